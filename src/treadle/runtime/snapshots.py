"""Snapshots: states that were kept of a log, for whoever replays it next. A cache, and no more than that.

One record for each log and fold, replaced by each newer one. Whatever is wrong with it (it is damaged, of
another version, of a history that is not there), it is passed over with a warning and the events are read.
"""

from __future__ import annotations

import logging
from hashlib import blake2b
from typing import Any, Final

from treadle.errors import CodecError, InvalidValueError
from treadle.events import EventKind, WorkflowId
from treadle.log import Fold, FoldedState, decode_branched, decode_folded, encode_folded
from treadle.payloads import CodecChain
from treadle.runtime.durable.wire import Envelopes
from treadle.stores import Head, Record, Store

SNAPSHOTS: Final = "treadle:snapshot"
"""The namespace of snapshots; a key is a digest of the workflow's id, and one of the fold's name."""
ANCESTORS_MAX: Final = 8
"""How many parents a branch asks for what they have kept of the part it shares."""
SNAPSHOTS_MAX: Final = 1_000
"""How many snapshots of one log are removed with it: one for each fold's name that was ever used."""
_SUM_SIZE_BYTES: Final = 16
_logger: Final = logging.getLogger("treadle.runtime")


def _sum(content: bytes) -> bytes:
    return blake2b(content, digest_size=_SUM_SIZE_BYTES).digest()


def snapshot_key(workflow_id: str, fold_name: str) -> bytes:
    """Tell under which key a snapshot lies.

    Args:
        workflow_id: the log.
        fold_name: the fold.

    Returns:
        The key.
    """
    return _sum(workflow_id.encode()) + _sum(fold_name.encode())


class Snapshots:
    """Finds snapshots, and makes records of them.

    Args:
        store: where they lie.
        codecs: what they go through.
    """

    def __init__(self, store: Store, codecs: CodecChain) -> None:
        self._store = store
        self._envelopes = Envelopes(codecs)

    def record(self, folded: FoldedState) -> Record:
        """Make the record of a snapshot.

        Args:
            folded: the state.

        Returns:
            The record.

        Raises:
            InvalidValueError: it is too large for one.
        """
        content = self._envelopes.close(folded.workflow_id, encode_folded(folded))
        # Records have no digest chain: a flipped bit in a number would be another state.
        return Record(SNAPSHOTS, snapshot_key(folded.workflow_id, folded.fold), _sum(content) + content)

    async def find(self, head: Head, fold: Fold[Any], last: int) -> FoldedState | None:
        """Find the newest state that may stand for the beginning of a log.

        Args:
            head: where the log stands.
            fold: the fold.
            last: the last seq that the state may hold.

        Returns:
            The state, or None: then the events are read.
        """
        if head.first_kept_seq == head.next_seq:
            return None
        name: WorkflowId | None = head.workflow_id
        for _ in range(ANCESTORS_MAX):
            if name is None:
                return None
            kept = await self._kept(name, fold)
            if kept is not None and await self._fits(kept, head, last, own=name == head.workflow_id):
                return kept
            name = await self._parent(name)
        return None

    async def _kept(self, name: WorkflowId, fold: Fold[Any]) -> FoldedState | None:
        stored = await self._store.record(SNAPSHOTS, snapshot_key(name, fold.name))
        if stored is None:
            return None
        kept, why = None, "it is damaged"
        content = stored[_SUM_SIZE_BYTES:]
        try:
            if stored[:_SUM_SIZE_BYTES] == _sum(content):
                kept = decode_folded(self._envelopes.open(name, content))
                why = _misfit(kept, name, fold)
        except (CodecError, InvalidValueError) as error:
            why = str(error)
        if why:
            _warn(name, fold.name, why)
            return None
        return kept

    async def _fits(self, kept: FoldedState, head: Head, last: int, *, own: bool) -> bool:
        """Hold a state against the log; what a parent has kept of a part that is not shared is no news."""
        if not own and kept.seq > head.shared_seq:
            return False
        why = None
        if kept.seq >= head.next_seq:
            why = f"it holds seq {kept.seq}, and the log ends at {head.next_seq - 1}; was a backup restored?"
        elif kept.seq < head.first_kept_seq:
            why = f"it ends at seq {kept.seq}, before the first that is kept, {head.first_kept_seq}"
        elif kept.seq > last:
            return False
        elif await self.digest_at(head, kept.seq) != _unhex(kept.digest):
            why = f"it is of another history up to seq {kept.seq}"
        if why is not None and own:
            _warn(head.workflow_id, kept.fold, why)
        return why is None

    async def digest_at(self, head: Head, seq: int) -> bytes | None:
        """Tell the digest of an event of a log.

        Args:
            head: where the log stands.
            seq: the event's.

        Returns:
            The digest; None when it is not there.
        """
        if seq == head.next_seq - 1:
            return head.digest
        rows = await self._store.audit(head.workflow_id, seq - 1, limit=1)
        return rows[0].digest if rows and rows[0].seq == seq else None

    async def _parent(self, name: WorkflowId) -> WorkflowId | None:
        (head,) = await self._store.heads([name])
        if not head.shared_seq:
            return None
        events = await self._store.read(name, head.shared_seq + 1, limit=1)
        if not events or events[0].kind is not EventKind.BRANCHED:
            return None
        try:
            return WorkflowId(decode_branched(events[0].payload).parent)
        except InvalidValueError:
            return None

    async def removals(self, workflow_id: WorkflowId) -> tuple[Record, ...]:
        """Make what removes all that was kept of a log.

        Args:
            workflow_id: the log.

        Returns:
            Records without values.
        """
        prefix = _sum(workflow_id.encode())
        page = await self._store.records(SNAPSHOTS, after=prefix, limit=SNAPSHOTS_MAX)
        return tuple(Record(SNAPSHOTS, row.key, None) for row in page if row.key.startswith(prefix))


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _misfit(kept: FoldedState, name: str, fold: Fold[Any]) -> str:
    if (kept.workflow_id, kept.fold) != (name, fold.name):
        return f"it is one of {kept.workflow_id!r} by fold {kept.fold!r}"
    if kept.version != fold.version:
        return f"it is of version {kept.version}, and the fold is at {fold.version}"
    return ""


def _warn(name: str, fold_name: str, why: str) -> None:
    _logger.warning("a snapshot of workflow %r by fold %r is ignored: %s", name, fold_name, why)
