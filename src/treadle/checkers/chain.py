"""The promise: what is stored is what was written, event by event, as the digest chain says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from treadle.checkers.violation import Violation
from treadle.events import KIND_BY_NUMBER, SEQ_MAX, TIMESTAMP_MAX, TIMESTAMP_MIN, WorkflowId
from treadle.log import next_digest, root_digest


class ChainRow(Protocol):
    """A stored event as raw as it lies there; every value may be of any type.

    Attributes:
        seq: its seq.
        timestamp: its event time.
        kind: the number of its kind.
        payload: its payload.
        digest: the digest stored with it.
    """

    @property
    def seq(self) -> Any: ...  # noqa: D102
    @property
    def timestamp(self) -> Any: ...  # noqa: D102
    @property
    def kind(self) -> Any: ...  # noqa: D102
    @property
    def payload(self) -> Any: ...  # noqa: D102
    @property
    def digest(self) -> Any: ...  # noqa: D102


def chain(
    workflow_id: WorkflowId,
    rows: Iterable[ChainRow],
    *,
    first_seq: int = 1,
    digest_before: bytes | None = None,
    head: tuple[int, bytes] | None = None,
) -> list[Violation]:
    """Recompute a log's digest chain from its first event on.

    Args:
        workflow_id: the log.
        rows: all its rows in the order of their seqs; looked at once, never kept.
        first_seq: the seq of the first one.
        digest_before: the digest before it; None for that of the id, with which every whole log begins.
        head: the next seq and digest the store tells for the log, to be compared with the chain's end.

    Returns:
        The first damage, named by its seq, or nothing: behind a broken link nothing can be told.
    """
    seq, digest = first_seq, root_digest(workflow_id) if digest_before is None else digest_before
    for row in rows:
        problem = _problem_of_values(row) or _problem_of_place(row, seq, digest)
        if problem:
            return [Violation("chain", workflow_id, seq, problem)]
        seq, digest = row.seq + 1, row.digest
    if head is not None and head != (seq, digest):
        told, found = f"next seq {head[0]} and {_hex(head[1])}", f"next seq {seq} and {_hex(digest)}"
        message = f"the head tells {told}, the events lead to {found}"
        return [Violation("chain", workflow_id, min(seq, head[0]), message)]
    return []


def _problem_of_values(row: ChainRow) -> str | None:
    seq, timestamp = row.seq, row.timestamp
    if type(seq) is not int or not 1 <= seq <= SEQ_MAX:
        return f"expected a seq, found {_brief(seq)}"
    if type(timestamp) is not int or not TIMESTAMP_MIN <= timestamp <= TIMESTAMP_MAX:
        return f"expected a timestamp of 64 bits, found {_brief(timestamp)}"
    # An IntEnum is as good as its number; True is not, though it equals 1.
    if isinstance(row.kind, bool) or not isinstance(row.kind, int) or row.kind not in KIND_BY_NUMBER:
        return f"expected the number of a kind, found {_brief(row.kind)}"
    if type(row.payload) is not bytes:
        return f"expected a payload of bytes, found {_brief(row.payload)}"
    return None


def _problem_of_place(row: ChainRow, seq: int, digest: bytes) -> str | None:
    if row.seq != seq:
        return f"expected seq {seq}, found {row.seq}"
    expected = next_digest(digest, row.seq, row.timestamp, KIND_BY_NUMBER[row.kind], row.payload)
    if row.digest != expected:
        return (
            f"expected digest {_hex(expected)}, found {_hex(row.digest)}: the event or one before was changed"
        )
    return None


def _hex(digest: object) -> str:
    return digest.hex() if isinstance(digest, bytes) else _brief(digest)


def _brief(value: object) -> str:
    return f"{repr(value)[:60]} ({type(value).__name__})"
