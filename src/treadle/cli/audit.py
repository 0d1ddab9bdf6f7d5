"""An audit of a store: digest chains and head facts recomputed, and one digest over all logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from hashlib import blake2b
from typing import Final, Self

import attrs

from treadle.checkers import Violation, chain
from treadle.cli.exits import CommandError
from treadle.cli.output import counted
from treadle.engine import HeadFold
from treadle.errors import CorruptStoreError
from treadle.events import KIND_BY_NUMBER, WorkflowId, trusted_event
from treadle.log import DIGEST_SIZE_BYTES
from treadle.stores import PAGE_EVENTS, AuditRow, Damage, Head, Store

DAMAGE_MAX: Final = 1_000
"""How much damage is listed: a store broken from end to end is not better known by a longer list."""
SHARERS_NAMED_MAX: Final = 5
"""How many branches a finding about a shared event names: enough to look for."""
_WATERMARK: Final = re.compile(r"([0-9]{1,19}):([0-9a-f]{32})")


@attrs.frozen
class Watermark:
    """A position, and the digest over all logs as they were there.

    Args:
        position: the position.
        digest: the digest, in hexadecimal.
    """

    position: int
    digest: str

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Read what `treadle log verify` printed.

        Args:
            text: ``POSITION:DIGEST``.

        Returns:
            The watermark.

        Raises:
            CommandError: it is none.
        """
        match = _WATERMARK.fullmatch(text.strip().lower())
        if match is None:
            raise CommandError(
                f"a watermark is POSITION:DIGEST as `treadle log verify` prints it, got {text[:60]!a}"
            )
        return cls(int(match[1]), match[2])


class StoreDigest:
    """One digest over many logs, each told by its id and the digest of its last event.

    It depends on what the logs hold and not on the order in which they were read; logs are added in the
    order of their ids.
    """

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=DIGEST_SIZE_BYTES)

    def add(self, workflow_id: str, digest: bytes) -> None:
        """Take a log in.

        Args:
            workflow_id: the log.
            digest: the digest of its last event.
        """
        name = workflow_id.encode()
        # The length first: no two lists of ids may give the same bytes.
        self._hash.update(len(name).to_bytes(2) + name + digest)

    def hex(self) -> str:
        """Tell the digest so far, in hexadecimal."""
        return self._hash.hexdigest()


class _Ends:
    """A log's last digests at the two positions that matter: where the audit began, and at the watermark."""

    def __init__(self, bound: int, mark: int) -> None:
        self.digest: bytes | None = None
        self.marked: bytes | None = None
        self.first_position: int | None = None
        self._bound = bound
        self._mark = mark

    def take(self, rows: Sequence[AuditRow]) -> None:
        # Positions rise with the seqs of a log, so the last row at or below a bound is what it has seen.
        if self.first_position is None:
            self.first_position = rows[0].position
        self.digest = _last_below(rows, self._bound) or self.digest
        self.marked = _last_below(rows, self._mark) or self.marked


class Audit:
    """Reads logs as raw as they lie there, and collects what is wrong.

    Of a branch only its own events are read, from the seam on: the shared event behind which they begin,
    whose digest they continue. What it shares is read once, in the log in which it lies; `check_shared`
    reads what lies in no log any more because that was deleted.

    Args:
        store: audited.
        watermark: what the store must still hold, or None.

    Attributes:
        damage: what was found.
        workflows: how many logs were read.
        events: how many events.
        position: the newest position when the audit began; what came since is no part of the digests.
        digest: the digest over all logs, once `finish` was called.
    """

    def __init__(self, store: Store, watermark: Watermark | None = None) -> None:
        self.damage: list[Damage] = []
        self.workflows = 0
        self.events = 0
        self.position = 0
        self.digest: str | None = None
        self._store = store
        self._watermark = watermark
        self._begun = False
        self._all = StoreDigest()
        self._marked = StoreDigest()
        self._unmarked = 0
        self._seams: dict[int, list[Head]] = {}

    def note(self, damage: Damage) -> None:
        """Keep a finding, up to `DAMAGE_MAX`.

        Args:
            damage: what is wrong.
        """
        if len(self.damage) < DAMAGE_MAX:
            self.damage.append(damage)

    async def check_structure(self) -> None:
        """Let the store check what lies outside the chains.

        Raises:
            StoreError: the store could not be read.
        """
        for found in await self._store.check_structure():
            self.note(found)

    async def check_logs(
        self,
        workflow_ids: Sequence[WorkflowId],
        advance: Callable[[float], None] = lambda _: None,
        *,
        all_are_read: bool = True,
        hidden: Container[WorkflowId] = (),
    ) -> None:
        """Recompute the chains and the head facts of some logs, page by page.

        Args:
            workflow_ids: the logs.
            advance: told for each log that it is done.
            all_are_read: whether every log of the store is read, so that what a branch shares is read there.
            hidden: those of them that are no part of the digest over all logs.

        Raises:
            StoreError: the store could not be read at all.
        """
        if not self._begun:
            self.position, self._begun = await self._store.position(), True
        for head in await self._heads(workflow_ids):
            self.workflows += 1
            try:
                ends = await self._check_log(head, all_are_read=all_are_read)
                if head.workflow_id not in hidden:
                    self._add_digests(head, ends)
            except CorruptStoreError as error:
                self.note(Damage(str(error), head.workflow_id, error.seq))
            advance(1)

    async def _heads(self, workflow_ids: Sequence[WorkflowId]) -> list[Head]:
        try:
            return await self._store.heads(workflow_ids)
        except CorruptStoreError as error:
            if len(workflow_ids) == 1:
                self.note(Damage(str(error), workflow_ids[0], error.seq))
                return []
        # One unreadable head must not hide what the other logs of the page hold.
        return [head for name in workflow_ids for head in await self._heads([name])]

    async def _check_log(self, head: Head, *, all_are_read: bool) -> _Ends | None:
        workflow_id = head.workflow_id
        seq, digest = head.first_kept_seq, head.digest_before
        fold = HeadFold()
        if head.shared_seq:
            seam = await self._seam(head, all_are_read=all_are_read)
            if seam is None:
                return None
            seq, digest = head.shared_seq + 1, seam.digest
            await self._fold_shared(fold, head)
        ends = _Ends(self.position, -1 if self._watermark is None else self._watermark.position)
        while rows := await self._store.audit(workflow_id, seq - 1):
            if await self._note_all(chain(workflow_id, rows, first_seq=seq, digest_before=digest), rows):
                return None
            seq, digest = rows[-1].seq + 1, rows[-1].digest
            if head.facts is not None:
                _add_all(fold, rows, head.next_seq)
            ends.take(rows)
            self.events += len(rows)
            if len(rows) < PAGE_EVENTS:
                break
        # A log that somebody appends to right now may by now reach beyond the head that was read first.
        if seq <= head.next_seq:
            end = (head.next_seq, head.digest)
            await self._note_all(chain(workflow_id, (), first_seq=seq, digest_before=digest, head=end), ())
        if head.facts is not None and (problem := fold.problem(head.facts)) is not None:
            self.note(Damage(problem, workflow_id, head.next_seq - 1))
        return ends

    def _add_digests(self, head: Head, ends: _Ends | None) -> None:
        if ends is None:
            return
        if ends.digest is not None:
            self._all.add(head.workflow_id, ends.digest)
        if ends.marked is not None:
            self._marked.add(head.workflow_id, ends.marked)
        elif self._watermark is not None and head.first_kept_seq > 1 and not head.shared_seq:
            self._unmarked += 1

    # -- what branches share --

    async def _seam(self, head: Head, *, all_are_read: bool) -> AuditRow | None:
        seq = head.shared_seq
        rows = await self._store.audit(head.workflow_id, seq - 1, limit=1)
        digest: object = rows[0].digest if rows else None
        problem = None
        if not rows or rows[0].seq != seq:
            problem = "the last event that the branch shares is missing"
        elif not isinstance(digest, bytes) or len(digest) != DIGEST_SIZE_BYTES:
            problem = "the last event that the branch shares has no digest"
        if problem is not None:
            self.note(Damage(problem, head.workflow_id, seq))
            return None
        if not (all_are_read and await self._is_shown(rows[0].position)):
            self._seams.setdefault(rows[0].position, []).append(head)
        return rows[0]

    async def _is_shown(self, position: int) -> bool:
        """Tell whether the log in which a row lies still shows it, so that it is read there."""
        try:
            found = await self._store.feed(position - 1, hidden=True, limit=1)
        except CorruptStoreError:
            return False
        return bool(found) and found[0].position == position

    async def _fold_shared(self, fold: HeadFold, head: Head) -> None:
        # The facts are those of a run, and begin anew with it: what lies before need not be read.
        if head.facts is None or head.facts.run_start_seq > head.shared_seq:
            return
        seq = max(head.facts.run_start_seq, head.first_kept_seq)
        while seq <= head.shared_seq and (rows := await self._store.audit(head.workflow_id, seq - 1)):
            _add_all(fold, rows, head.shared_seq + 1)
            seq = rows[-1].seq + 1

    async def check_shared(self) -> None:
        """Recompute the chains of shared events that no log of their own shows any more.

        Raises:
            StoreError: the store could not be read.
        """
        # The longest first: on its way it meets the seams of those that share less.
        for position, heads in sorted(self._seams.items(), key=lambda seam: -seam[1][0].shared_seq):
            if position in self._seams:
                await self._check_shared_by(heads[0])
                self._seams.pop(position, None)

    async def _check_shared_by(self, head: Head) -> None:
        seq, digest = head.first_kept_seq, head.digest_before
        while seq <= head.shared_seq:
            limit = min(PAGE_EVENTS, head.shared_seq - seq + 1)
            rows = await self._store.audit(head.workflow_id, seq - 1, limit=limit)
            end = None if rows else (head.shared_seq + 1, head.digest)
            found = chain(head.workflow_id, rows, first_seq=seq, digest_before=digest, head=end)
            if await self._note_all(found, rows) or not rows:
                return
            for row in rows:
                self._seams.pop(row.position, None)
            seq, digest = rows[-1].seq + 1, rows[-1].digest

    async def _note_all(self, violations: list[Violation], rows: Sequence[AuditRow]) -> bool:
        for found in violations:
            position = next((row.position for row in rows if row.seq == found.seq), None)
            sharers = await self._sharers(found, position)
            named = ", ".join(repr(name) for name in sharers[:SHARERS_NAMED_MAX])
            more = len(sharers) - SHARERS_NAMED_MAX
            shared = f"; it is shared by {named}" if sharers else ""
            shared += f" and {more} more" if more > 0 else ""
            self.note(Damage(found.message + shared, found.workflow_id, found.seq))
        return bool(violations)

    async def _sharers(self, found: Violation, position: int | None) -> list[WorkflowId]:
        """Tell which branches have a damaged event; those are not reported for it again."""
        seq = found.seq
        if position is None or seq is None:
            return []
        there = await self._store.branches_of(WorkflowId(found.workflow_id))
        there += [head.workflow_id for heads in self._seams.values() for head in heads]
        sharers = [
            name
            for name in dict.fromkeys(there)
            if name != found.workflow_id and await self._has(name, seq, position)
        ]
        for seam, heads in list(self._seams.items()):
            if heads[0].workflow_id in sharers:
                del self._seams[seam]
        return sorted(sharers)

    async def _has(self, name: WorkflowId, seq: int, position: int) -> bool:
        rows = await self._store.audit(name, seq - 1, limit=1)
        return bool(rows) and rows[0].position == position

    def finish(self) -> None:
        """Tell the digest over all logs, and hold the watermark against it."""
        self.digest = self._all.hex()
        mark = self._watermark
        if mark is None or self.damage:
            return
        if self.position < mark.position:
            self.note(
                Damage(f"events are gone: expected position {mark.position}, it ends at {self.position}")
            )
        elif self._marked.hex() != mark.digest:
            message = (
                f"expected digest {mark.digest} at position {mark.position}, found {self._marked.hex()}:"
                " something below it was changed, lost, added or deleted"
            )
            if self._unmarked:
                message += (
                    f"; {counted(self._unmarked, 'log')} no longer shows what it held there, because"
                    " retention has removed it: a watermark is compared only as long as that is kept, note a"
                    " new one"
                )
            self.note(Damage(message))


def _last_below(rows: Sequence[AuditRow], position: int) -> bytes | None:
    if rows[-1].position <= position:
        return rows[-1].digest
    below = [row.digest for row in rows if row.position <= position]
    return below[-1] if below else None


def _add_all(fold: HeadFold, rows: Sequence[AuditRow], next_seq: int) -> None:
    # The facts were read with the head: what was appended since has facts of its own.
    for row in rows:
        if row.seq < next_seq:
            fold.add(trusted_event(row.seq, row.timestamp, KIND_BY_NUMBER[row.kind], row.payload))
