"""Branches: units that belong to no actor's step.

A branch of a plain log is one unit and nothing else: a graft, which its store lets finish where it sees the
digest that the first event names. Only a branch of a durable workflow, or inside what its parent
shares, has more read for it, once the store has said that it is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import msgspec

from treadle.errors import ConflictError, EventsPrunedError, UsageError, WorkflowExistsError
from treadle.events import EventKind, WorkflowEvent, WorkflowId, check_seq
from treadle.log import (
    DIGEST_SIZE_BYTES,
    SEED_SIZE_BYTES,
    Branched,
    chain_digest,
    decode_branched,
    encode_branched,
)
from treadle.runtime.durable.beginning_branches import Birth, BranchMode, birth_of
from treadle.runtime.inbox import Proposal
from treadle.stores import Batch, Branch, Graft, Head, Seam, Store, Unit

if TYPE_CHECKING:  # what is done here is done for a runtime
    from treadle.runtime.runtime import Runtime


async def branch(runtime: Runtime, parent: WorkflowId, at: int, to: WorkflowId, mode: BranchMode) -> None:
    """Begin a log that shares another one's events; see `WorkflowHandle.branch`.

    Args:
        runtime: the runtime.
        parent: the log whose events are shared.
        at: the last seq that is shared.
        to: the new log.
        mode: what a branch of a durable workflow is for.
    """
    if parent == to:
        raise UsageError(f"workflow {to!r} cannot be a branch of itself; give the branch a new id")
    check_seq(at)
    check_seq(at + 1)
    beginning = _Beginning(Branched(parent, at, "", _seed(runtime)), to, runtime._kernel.wall_time_ns())
    await _commit_birth(runtime, Graft(to, parent, at, beginning.finish), to)
    for _ in range(runtime.config.readmissions_max):
        if beginning.unread is None:
            return
        try:
            await _commit_birth(runtime, await _read_up(runtime, beginning, beginning.unread, mode), to)
        except EventsPrunedError as error:
            # Cut since its head was read: the run that a branch there would go on in may begin later now.
            if error.first_kept_seq > at:
                raise
            lost = error
        else:
            return
    raise lost


@attrs.define(slots=True, eq=False)
class _Beginning:
    """A branch's first unit, as far as it is known before its store is asked.

    Attributes:
        branched: what its first event says, still without the digest.
        to: the new log.
        now_ns: the time.
        unread: the digest, when more must be read before the unit can be made.
    """

    branched: Branched
    to: WorkflowId
    now_ns: int
    unread: bytes | None = None

    def finish(self, seam: Seam) -> Unit:
        """Make the unit, or nothing when more must be read; see `Graft.finish`."""
        digest, facts, shared_seq = seam
        self.unread = None
        if digest is None:
            # Any will do: the store says what is wrong with the seq.
            return self.unit(self.branched, bytes(DIGEST_SIZE_BYTES))
        if facts is not None or self.branched.at <= shared_seq:
            # How a durable workflow stood there, or in which log the last shared event was written.
            self.unread = digest
            return Unit()
        branched = self.branched
        if shared_seq:
            branched = msgspec.structs.replace(branched, previous=shared_seq + 1)
        return self.unit(branched, digest)

    def unit(self, branched: Branched, digest: bytes, birth: Birth | None = None) -> Unit:
        """Make the unit of all that is in it."""
        at, to = branched.at, self.to
        branched = msgspec.structs.replace(branched, digest=digest.hex())
        event = WorkflowEvent(at + 1, self.now_ns, EventKind.BRANCHED, encode_branched(branched))
        facts, records, hidden = (None, (), False) if birth is None else birth
        batch = Batch(to, digest, (event,), (chain_digest(digest, event),), facts=facts)
        needs_seq = None if facts is None else facts.run_start_seq
        begins = Branch(to, WorkflowId(branched.parent), at, digest, hidden, needs_seq)
        return Unit((batch,), records=records, branches=(begins,))


async def _read_up(runtime: Runtime, beginning: _Beginning, digest: bytes, mode: BranchMode) -> Unit:
    """Make the unit of a branch for which more than its seam must be known."""
    store, at = runtime.store, beginning.branched.at
    (head,) = await store.heads([WorkflowId(beginning.branched.parent)])
    if not head.first_kept_seq <= at < head.next_seq:
        # Cut or deleted since: the store says so.
        return beginning.unit(beginning.branched, digest)
    branched = await _with_origin(store, head, beginning.branched)
    birth: Birth | None = None
    if head.facts is not None:
        codecs, now_ns = runtime._codecs, beginning.now_ns
        birth = await birth_of(store, codecs, head, at, beginning.to, mode=mode, now_ns=now_ns)
    return beginning.unit(branched, digest, birth)


async def _with_origin(store: Store, parent: Head, branched: Branched) -> Branched:
    """Say where the last shared event was written: perhaps further up than in the parent."""
    origin, seq = "", parent.shared_seq + 1 if parent.shared_seq else 0
    while seq > branched.at:
        (event,) = await store.read(parent.workflow_id, seq, seq, limit=1)
        found = decode_branched(event.payload)
        origin, seq = found.written_to, found.previous
    return msgspec.structs.replace(branched, origin=origin, previous=seq)


async def _commit_birth(runtime: Runtime, unit: Unit | Graft, to: WorkflowId) -> None:
    try:
        await runtime._supervisor.commit_unit(Proposal(None), unit)
    except ConflictError as error:
        if error.workflow_id != to:
            raise
        raise WorkflowExistsError(
            f"workflow id {to!r} is in use: it stands at seq {error.next_seq}; give the branch another id",
            workflow_id=to,
        ) from error
    finally:
        runtime._supervisor.forget([to])


def _seed(runtime: Runtime) -> str:
    draw = runtime._kernel.random
    return bytes(int(draw() * 256) for _ in range(SEED_SIZE_BYTES)).hex()
