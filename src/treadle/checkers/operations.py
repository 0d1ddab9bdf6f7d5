"""The recorded history of what clients did and saw, as values: what the checkers of histories are given.

A history says nothing about how a store works. It has operations with their begin and end on one clock,
what each of them saw and wrote, how it was answered, and at last what each log holds. Events are known by
their marks, each of which is written once in the whole history; whoever sends an event again with its seq
or key goes on with the same operation.

An operation is held to one moment: whatever it saw and wrote, it did at once, at some time between its
begin and its end. What it saw, it saw before it wrote. A client that reads and then decides has carried
out two operations.

====================  ================================================================================
outcome               what it says
====================  ================================================================================
``ok``                it took place, between begin and end
``refused``           nothing of it was written, nor ever will be; what it was answered, it has seen
``unknown``           it may have taken place, may do so later than its end, or never; what it names as
                      seen holds only if it did
====================  ================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NoReturn, TypeAlias

import attrs

from treadle.errors import InvalidValueError
from treadle.events import workflow_id

Outcome: TypeAlias = Literal["ok", "refused", "unknown"]
OUTCOMES: Final = ("ok", "refused", "unknown")

Part: TypeAlias = Literal["operations", "logs", "followers", "quarantines", "crashes"]
"""Of what a history consists."""


# Without a slot for weak references: a million of each of these have to fit beside everything else.
@attrs.frozen(weakref_slot=False)
class Read:
    """What an operation saw of one log: its events from a seq to its then end, or its length alone.

    Attributes:
        workflow: the log.
        marks: the events from `first_seq` to the end the log had then; None when only `next_seq` was seen.
        first_seq: the seq of the first of them.
        next_seq: the seq the log was to take next; None when `marks` were seen.
    """

    workflow: str
    marks: tuple[str, ...] | None = None
    first_seq: int = 1
    next_seq: int | None = None


@attrs.frozen(weakref_slot=False)
class Write:
    """What an operation appended to one log, as one batch.

    Attributes:
        workflow: the log.
        marks: its events.
        seq: the seq of the first one as its writer was told, or None when nobody told.
    """

    workflow: str
    marks: tuple[str, ...]
    seq: int | None = None


@attrs.frozen(weakref_slot=False)
class Branching:
    """A log that an operation began as a branch of another one, or wanted to.

    Attributes:
        workflow: the new log.
        parent: the log whose events it shares.
        at: the last seq that is shared.
        mark: the branch's own first event, behind the shared ones; a mark like any other.
    """

    workflow: str
    parent: str
    at: int
    mark: str


@attrs.frozen(weakref_slot=False)
class Cutting:
    """A log whose beginning an operation took away, or wanted to.

    Attributes:
        workflow: the log.
        first_seq: the first seq that is kept. Behind the last event there was, the log is deleted.
    """

    workflow: str
    first_seq: int


@attrs.frozen(weakref_slot=False)
class Kept:
    """What an operation was told of where a log's kept part begins.

    Attributes:
        workflow: the log.
        first_seq: the first kept seq it was told.
    """

    workflow: str
    first_seq: int


Lifetime: TypeAlias = Branching | Cutting | Kept
"""What happens to a log other than that events are read and written."""


@attrs.frozen(weakref_slot=False)
class Operation:
    """One thing a client asked for. Several writes in it are one unit: all of them or none.

    Attributes:
        op: its number, unique in the history.
        client: who asked.
        begin: when, on the recorder's clock.
        end: when it was answered; None if it never was, and its outcome is then unknown.
        outcome: how.
        reads: what it saw; the guards of a unit that was taken are reads of `next_seq`.
        writes: what it wrote, or wanted to.
        error: the name of the error it was answered with, if anybody recorded it.
        lifetimes: what it did to logs beside, or was told of that: in the same moment.
    """

    op: int
    client: str
    begin: int
    end: int | None
    outcome: Outcome
    reads: tuple[Read, ...] = ()
    writes: tuple[Write, ...] = ()
    error: str | None = None
    lifetimes: tuple[Lifetime, ...] = ()

    def __str__(self) -> str:
        times = f"from {self.begin}, never answered" if self.end is None else f"{self.begin} to {self.end}"
        return f"operation {self.op} of {self.client} ({times})"


@attrs.frozen(weakref_slot=False)
class Observed:
    """What a follower saw, in its order.

    Attributes:
        follower: who.
        workflow: the log that it followed.
        first_seq: from where.
        marks: the events.
    """

    follower: str
    workflow: str
    first_seq: int
    marks: tuple[str, ...]


@attrs.frozen(weakref_slot=False)
class Quarantine:
    """A time during which a workflow's actor was surely quarantined.

    Attributes:
        workflow: the workflow.
        begin: from when on.
        end: until when; None if it was never released.
    """

    workflow: str
    begin: int
    end: int | None = None


@attrs.frozen(weakref_slot=False)
class Crash:
    """A crash of a workflow's actor, which may answer `WorkflowUnavailableError` from then on.

    Attributes:
        workflow: the workflow.
        at: when.
    """

    workflow: str
    at: int


class MisfitError(InvalidValueError):
    """A part of a history contradicts itself or another part, so nothing can be concluded from the whole.

    Attributes:
        part: in which field of the history.
        place: its place there, from 0; for logs in the order of the mapping.
    """

    def __init__(self, message: str, *, part: Part, place: int) -> None:
        super().__init__(message)
        self.part = part
        self.place = place


def _as_logs(logs: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(marks) for name, marks in logs.items()}


@attrs.frozen
class History:
    """Everything that was recorded of one run.

    Attributes:
        operations: what clients did.
        logs: workflow id to what its log holds at the end, from seq 1 on: what it shares with a parent and
            what was cut from it too, as those saw it who cut it. One that is not told is empty, and nobody's
            write to it was acknowledged.
        followers: what followers saw.
        quarantines: when actors were quarantined.
        crashes: when actors crashed.
        kept: workflow id to the first seq that its log keeps at the end, for logs that do not keep all.

    Raises:
        MisfitError: a number, a mark or a workflow of an operation comes twice, an end lies before its
            begin, an acknowledged write goes to a log that is not told, or a value is none.
    """

    operations: tuple[Operation, ...]
    logs: Mapping[str, tuple[str, ...]] = attrs.field(converter=_as_logs)
    followers: tuple[Observed, ...] = ()
    quarantines: tuple[Quarantine, ...] = ()
    crashes: tuple[Crash, ...] = ()
    kept: Mapping[str, int] = attrs.Factory(dict)

    def __attrs_post_init__(self) -> None:
        _Rules(self).check()


class _Rules:
    """What must be true of a history before anything can be concluded from it."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._part: Part = "logs"
        self._place = 0
        self._names: set[str] = set()
        self._numbers: set[int] = set()
        self._marks: set[str] = set()

    def check(self) -> None:
        history = self._history
        for self._place, name in enumerate(history.logs):
            self._check_name(name)
            self._check_kept(name)
        self._part = "operations"
        for self._place, operation in enumerate(history.operations):
            self._check_operation(operation)
        self._part = "followers"
        for self._place, seen in enumerate(history.followers):
            self._check_name(seen.workflow)
            self._check_count("from", seen.first_seq)
            self._check_marks(seen.marks)
        self._part = "quarantines"
        for self._place, quarantine in enumerate(history.quarantines):
            self._check_name(quarantine.workflow)
            self._check_times(quarantine.begin, quarantine.end)
        self._part = "crashes"
        for self._place, crash in enumerate(history.crashes):
            self._check_name(crash.workflow)

    def _check_operation(self, operation: Operation) -> None:
        if operation.op in self._numbers:
            self._refuse(
                f"each operation has its own number, got {operation.op} twice; number them 1, 2, 3 ..."
            )
        self._numbers.add(operation.op)
        self._check_times(operation.begin, operation.end)
        if operation.outcome not in OUTCOMES:
            self._refuse(f"an outcome is one of {', '.join(OUTCOMES)}, got {operation.outcome!r}")
        if operation.end is None and operation.outcome != "unknown":
            self._refuse(
                f"an operation that was never answered has the outcome unknown, got {operation.outcome!r};"
                " record its end"
            )
        for read in operation.reads:
            self._check_read(read)
        for write in operation.writes:
            self._check_write(operation, write)
        written = [write.workflow for write in operation.writes]
        for lifetime in operation.lifetimes:
            self._check_lifetime(operation, lifetime)
            if isinstance(lifetime, Branching):
                written.append(lifetime.workflow)
        if len(written) > 1:
            self._check_once(written)

    def _check_lifetime(self, operation: Operation, lifetime: Lifetime) -> None:
        if not isinstance(lifetime, Branching):
            self._check_name(lifetime.workflow)
            self._check_count("from", lifetime.first_seq)
            return
        self._check_name(lifetime.parent)
        self._check_count("at", lifetime.at)
        if lifetime.parent == lifetime.workflow:
            self._refuse(f"a log is no branch of itself, got {lifetime.parent!r} twice; name its parent")
        self._check_write(operation, Write(lifetime.workflow, (lifetime.mark,)))

    def _check_kept(self, name: str) -> None:
        first_seq = self._history.kept.get(name, 1)
        self._check_count("kept", first_seq)
        if first_seq > len(self._history.logs[name]) + 1:
            self._refuse(
                f"what a log keeps begins at most behind its {len(self._history.logs[name])} events, got"
                f" {first_seq} for {name!r}; tell what was cut from it as well"
            )

    def _check_read(self, read: Read) -> None:
        self._check_name(read.workflow)
        if (read.marks is None) is (read.next_seq is None):
            self._refuse("a read has either marks or next_seq, got both or none; make two reads of it")
        self._check_count("from", read.first_seq)
        if read.marks is not None:
            self._check_marks(read.marks)
        if read.next_seq is not None:
            self._check_count("next_seq", read.next_seq)

    def _check_write(self, operation: Operation, write: Write) -> None:
        self._check_name(write.workflow)
        self._check_marks(write.marks)
        if not write.marks:
            self._refuse("a write has at least one mark, got none; leave the write out")
        if write.seq is not None:
            self._check_count("seq", write.seq)
        for mark in write.marks:
            if mark in self._marks:
                self._refuse(
                    f"each mark is written once, got {mark!r} again; give it its own mark, or record what was"
                    " sent again as one operation"
                )
            self._marks.add(mark)
        if operation.outcome == "ok" and write.workflow not in self._history.logs:
            self._refuse(
                f"a log that an acknowledged write goes to is told at the end, got none for"
                f" {write.workflow!r}; was the history cut short?"
            )

    def _check_once(self, workflows: list[str]) -> None:
        if len(set(workflows)) < len(workflows):
            twice = next(name for name in workflows if workflows.count(name) > 1)
            self._refuse(
                f"an operation writes to each log once, got {twice!r} twice; join the marks of one batch"
            )

    def _check_times(self, begin: int, end: int | None) -> None:
        if end is not None and end < begin:
            self._refuse(f"an end does not lie before its begin, got begin {begin} and end {end}")

    def _check_marks(self, marks: object) -> None:
        # A list never equals the tuple of a log, and would make each read of it a wrong one.
        if type(marks) is not tuple:
            self._refuse(f"marks are a tuple of str, got {type(marks).__name__}")

    def _check_count(self, what: str, value: int) -> None:
        if value < 1:
            self._refuse(f"{what} is a seq, which count 1, 2, 3 ..., got {value}")

    def _check_name(self, name: str) -> None:
        if name in self._names:
            return
        try:
            workflow_id(name)
        except InvalidValueError as error:
            self._refuse(str(error))
        self._names.add(name)

    def _refuse(self, message: str) -> NoReturn:
        raise MisfitError(message, part=self._part, place=self._place)
