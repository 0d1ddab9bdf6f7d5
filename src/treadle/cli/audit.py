"""An audit of a store: digest chains and head facts recomputed, and one digest over all logs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, Self

import attrs

from treadle.checkers import Violation, chain
from treadle.cli.exits import CommandError
from treadle.engine import HeadFold
from treadle.errors import CorruptStoreError
from treadle.events import KIND_BY_NUMBER, WorkflowId, trusted_event
from treadle.log import DIGEST_SIZE_BYTES
from treadle.stores import PAGE_EVENTS, AuditRow, Damage, Head, Store

DAMAGE_MAX: Final = 1_000
"""How much damage is listed: a store broken from end to end is not better known by a longer list."""
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


class Audit:
    """Reads logs as raw as they lie there, and collects what is wrong.

    Args:
        store: audited.
        watermark: what the store must still hold, or None.

    Attributes:
        damage: what was found.
        workflows: how many logs were read.
        events: how many events.
        position: the highest position seen.
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
        self._all = StoreDigest()
        self._marked = StoreDigest()

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
        self, workflow_ids: Sequence[WorkflowId], advance: Callable[[float], None] = lambda _: None
    ) -> None:
        """Recompute the chains and the head facts of some logs, page by page.

        Args:
            workflow_ids: the logs.
            advance: told for each log that it is done.

        Raises:
            StoreError: the store could not be read at all.
        """
        for head in await self._heads(workflow_ids):
            self.workflows += 1
            try:
                await self._check_log(head)
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

    async def _check_log(self, head: Head) -> None:
        workflow_id = head.workflow_id
        seq, digest = head.first_kept_seq, head.digest_before
        marked, fold = None, HeadFold()
        while rows := await self._store.audit(workflow_id, seq - 1):
            if self._note_all(chain(workflow_id, rows, first_seq=seq, digest_before=digest)):
                return
            seq, digest = rows[-1].seq + 1, rows[-1].digest
            if head.facts is not None:
                _add_all(fold, rows, head.next_seq)
            marked = self._marked_digest(rows) or marked
            self.events += len(rows)
            self.position = max(self.position, rows[-1].position)
            if len(rows) < PAGE_EVENTS:
                break
        # A log that somebody appends to right now may by now reach beyond the head that was read first.
        if seq <= head.next_seq:
            end = (head.next_seq, head.digest)
            self._note_all(chain(workflow_id, (), first_seq=seq, digest_before=digest, head=end))
        if head.facts is not None and (problem := fold.problem(head.facts)) is not None:
            self.note(Damage(problem, workflow_id, head.next_seq - 1))
        self._all.add(workflow_id, digest)
        if marked is not None:
            self._marked.add(workflow_id, marked)

    def _note_all(self, violations: list[Violation]) -> bool:
        for found in violations:
            self.note(Damage(found.message, found.workflow_id, found.seq))
        return bool(violations)

    def _marked_digest(self, rows: list[AuditRow]) -> bytes | None:
        if self._watermark is None:
            return None
        # Positions rise with the seqs of a log, so the last row below the mark is what the mark has seen.
        below = [row.digest for row in rows if row.position <= self._watermark.position]
        return below[-1] if below else None

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
            self.note(
                Damage(
                    f"expected digest {mark.digest} at position {mark.position}, found {self._marked.hex()}:"
                    " something below it was changed, lost or added"
                )
            )


def _add_all(fold: HeadFold, rows: Sequence[AuditRow], next_seq: int) -> None:
    # The facts were read with the head: what was appended since has facts of its own.
    for row in rows:
        if row.seq < next_seq:
            fold.add(trusted_event(row.seq, row.timestamp, KIND_BY_NUMBER[row.kind], row.payload))
