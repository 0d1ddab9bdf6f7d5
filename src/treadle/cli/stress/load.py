"""The load of a stress run: what each writer sends, and what its log must then hold. Pure.

Writers of one workflow share its log and know nothing of each other, so none of them can say a seq; each
event carries an idempotency key instead, made of its writer and its number.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final, Self

import attrs
import msgspec

from treadle.events import EventKind, NewEvent, WorkflowEvent, WorkflowId
from treadle.payloads import encode


class Payload(msgspec.Struct):
    """The content of each event: whose it is, who wrote it, and his how-many-th it is."""

    workflow: str
    writer: int
    number: int


_decoder: Final = msgspec.json.Decoder(Payload)


@attrs.frozen
class Load:
    """What a stress run writes; every process of it is given the same.

    Args:
        workflows: how many logs.
        events: how many events each log gets in all, unless `seconds` decide.
        writers: how many writers each log has in each process.
        batch: how many events a writer sends at once.
        duplicates: which share of the batches is sent a second time after its answer.
        cancel: which share of the batches has its caller cancelled and is sent again.
        processes: how many processes write.
        seed: decides who sends twice and who is cancelled.
        seconds: for how long every writer goes on instead; None for the fixed number of events.
        history: the file of the recorded history, or empty; see `recording`.
        kill_seconds: about how long each process lives before it is killed; None for no killing.
    """

    workflows: int
    events: int
    writers: int
    batch: int
    duplicates: float
    cancel: float
    processes: int
    seed: int
    seconds: float | None = None
    history: str = ""
    kill_seconds: float | None = None

    @property
    def total(self) -> int | None:
        """How many events there are in all; None when nobody knows before."""
        return None if self.seconds is not None else self.workflows * self.events

    def encoded(self) -> str:
        """Word the load for another process's command line."""
        return msgspec.json.encode(attrs.asdict(self)).decode()

    @classmethod
    def decoded(cls, text: str) -> Self:
        """Read what `encoded` gave.

        Args:
            text: the load as JSON.

        Returns:
            The load.
        """
        return cls(**msgspec.json.decode(text))

    def name(self, number: int) -> WorkflowId:
        """Tell the workflow id of a log.

        Args:
            number: which, from 0.

        Returns:
            Its id.
        """
        return WorkflowId(f"stress-{number:06d}")

    def batches(self, workflow: str, writer: int) -> Iterator[tuple[list[NewEvent], list[bytes]]]:
        """Tell what one writer sends to one workflow.

        Args:
            workflow: the log.
            writer: which of its writers, from 0, over all processes.

        Yields:
            Events and their keys, a batch at a time; without end when seconds decide.
        """
        sharers = self.writers * self.processes
        share = self.events // sharers + (writer < self.events % sharers)
        firsts = range(0, share, self.batch) if self.seconds is None else count(0, self.batch)
        for first in firsts:
            last = first + self.batch if self.seconds is not None else min(first + self.batch, share)
            numbers = range(first, last)
            yield (
                [NewEvent(EventKind.CUSTOM, encode(Payload(workflow, writer, n))) for n in numbers],
                [f"{writer}:{n}".encode() for n in numbers],
            )


class LogState:
    """What a log has come to: for each writer how many events it has there, the last, and their seqs' sum.

    A lost event, a doubled one, one out of its writer's order or at another seq than its writer was told
    gives another state.
    """

    __slots__ = ("disorder", "writers")

    def __init__(self) -> None:
        self.writers: dict[int, tuple[int, int, int]] = {}
        self.disorder = 0

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        if not isinstance(other, LogState):
            return NotImplemented
        return self.writers == other.writers and self.disorder == other.disorder

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        told = dict(sorted(self.writers.items()))
        return f"LogState({told}, disorder={self.disorder})"

    def add(self, writer: int, number: int, seq: int) -> None:
        """Take one event in.

        Args:
            writer: who wrote it.
            number: his how-many-th it is, from 0.
            seq: its seq.
        """
        count, last, seqs = self.writers.get(writer, (0, -1, 0))
        self.disorder += number != last + 1
        self.writers[writer] = (count + 1, number, seqs + seq)


def apply(state: LogState, event: WorkflowEvent) -> LogState:
    """Fold one event into a log's state.

    Args:
        state: the state before; changed.
        event: the event.

    Returns:
        The state after.
    """
    content = _decoder.decode(event.payload)
    state.add(content.writer, content.number, event.seq)
    return state


def owner(event: WorkflowEvent) -> str:
    """Read from an event whose it is.

    Args:
        event: an event of a stress run.

    Returns:
        The workflow id that its payload names.
    """
    return _decoder.decode(event.payload).workflow


def mark(event: WorkflowEvent) -> tuple[int, int]:
    """Read from an event who wrote it, and his how-many-th it is.

    Args:
        event: an event of a stress run.

    Returns:
        Writer and number, which name the event within its workflow.
    """
    content = _decoder.decode(event.payload)
    return content.writer, content.number
