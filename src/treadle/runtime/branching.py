"""Branches: units that belong to no actor's step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from treadle.errors import ConflictError, UsageError, WorkflowExistsError
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.log import SEED_SIZE_BYTES, Branched, chain_digest, decode_branched, encode_branched
from treadle.runtime.durable.beginning_branches import Birth, BranchMode, birth_of
from treadle.runtime.inbox import Proposal
from treadle.stores import Batch, Branch, Head, Store, Unit

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
    store, now_ns = runtime.store, runtime._kernel.wall_time_ns()
    (head,) = await store.heads([parent])
    rows = await store.audit(parent, at - 1, limit=1)
    # What came behind the head meanwhile is not there: the facts are of another moment.
    is_there = bool(rows) and rows[0].seq == at and head.first_kept_seq <= at < head.next_seq
    # Without a row any digest will do: the store says what is wrong with the seq.
    digest = rows[0].digest if is_there else head.digest
    branched = Branched(parent, at, digest.hex(), _seed(runtime))
    birth: Birth | None = None
    if is_there:
        branched = await _with_origin(store, head, branched)
        if head.facts is not None:
            birth = await birth_of(store, runtime._codecs, head, at, to, mode=mode, now_ns=now_ns)
    event = WorkflowEvent(at + 1, now_ns, EventKind.BRANCHED, encode_branched(branched))
    facts = None if birth is None else birth.facts
    batch = Batch(to, digest, (event,), (chain_digest(digest, event),), facts=facts)
    unit = Unit((batch,), branches=(Branch(to, parent, at, digest, birth is not None and birth.hidden),))
    if birth is not None:
        unit = unit._replace(records=birth.records)
    await _commit_birth(runtime, unit, to)


async def _with_origin(store: Store, parent: Head, branched: Branched) -> Branched:
    """Say where the last shared event was written: perhaps further up than in the parent."""
    origin, seq = "", parent.shared_seq + 1 if parent.shared_seq else 0
    while seq > branched.at:
        (event,) = await store.read(parent.workflow_id, seq, seq, limit=1)
        found = decode_branched(event.payload)
        origin, seq = found.written_to, found.previous
    return msgspec.structs.replace(branched, origin=origin, previous=seq)


async def _commit_birth(runtime: Runtime, unit: Unit, to: WorkflowId) -> None:
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
