"""Raw log traffic: clients that append in every way there is, read, follow, and write to two logs at once.

Each event's payload names its log and carries a mark that is unique in the world, so that whatever is read
later tells whose it is and which call has written it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import trio

from treadle.checkers import Violation, acknowledged_once, chain, gap_free, isolation
from treadle.errors import AdmissionError, ConflictError, EventsPrunedError, SequenceGapError
from treadle.events import EventKind, NewEvent, WorkflowEvent, WorkflowId
from treadle.log import Appended
from treadle.runtime import Runtime
from treadle.sim.draws import Draws
from treadle.sim.paging import whole_log
from treadle.sim.workloads.living import spend_time
from treadle.sim.workloads.log_checks import (
    Told,
    guards_held,
    in_real_time,
    nothing_twice,
    read_as_stored,
    refused_for_a_reason,
    whole_or_not_there,
)
from treadle.sim.workloads.marked import mark_of, marked_batch, owner_of, payload_of
from treadle.sim.world import Answer, Process, World
from treadle.stores import Guard, Head, Outcome, Refused, Repeated, Store, Unit

SENDS_MAX: Final = 12
"""How often a client repeats a call that may be repeated before it gives up: its outcome stays unknown."""
EVENTS_MAX: Final = 4
"""How many events one call writes at most."""
BURST: Final = 3
"""How many appends a client sends without waiting for answers."""
ANSWERED_MAX: Final = 100
"""How many answered calls a client remembers, to send them again."""
ANSWER_SECONDS_MAX: Final = 600
"""How long any call may take while its process lives: longer than all faults together."""
FOLLOWED_SECONDS_MAX: Final = 2
"""How late a follower may be without faults: some looks at what other processes have written; one look and a
second where runtimes look more seldom, as in worlds of days."""
LAST_LOOK_SECONDS: Final = 30
"""How long followers go on when clients have ended, at least."""
_MILLE: Final = 1_000
_NANOSECONDS: Final = 1_000_000_000


@attrs.frozen(slots=True)
class _Old:
    """An answered call that may be sent again at any later time."""

    name: str
    marks: list[str]
    seq: int
    call: Callable[[Runtime], Awaitable[Any]]


class Client:
    """One client: makes operations one after the other, and writes down what it was told.

    Args:
        world: where it lives.
        number: which it is.
    """

    def __init__(self, world: World, number: int) -> None:
        self.name = f"c{number}"
        self.told: list[Told] = []
        self.lies: list[Violation] = []
        self.number = number
        self._world = world
        self._draws: Draws = world.draws(f"client {number}")
        self._process: Process = world.processes[number % len(world.processes)]
        self._marks = 0
        self._answered: list[_Old] = []

    async def live(self) -> None:
        """Make all operations, spread over the plan's duration."""
        await spend_time(self._world, self._draws, self.deeds())

    def deeds(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """Give what this client does, each as often as it is to be drawn."""
        return (
            self.append,
            self.append,
            self.append_by_key,
            self.append_by_key,
            self.append_by_seq,
            self.append_by_seq,
            self.read,
            self.read,
            self.unit,
            self.unit,
            self.burst,
            self.repeat,
            self.append_at_wrong_seq,
        )

    def _log(self) -> str:
        return f"w{self._draws.below(self._world.plan.workflows)}"

    def _new_marks(self, most: int = EVENTS_MAX) -> list[str]:
        marks = []
        for _ in range(self._draws.between(1, min(most, self._world.config.batch_events_max))):
            self._marks += 1
            marks.append(f"{self.name}.{self._marks}")
        return marks

    # -- operations --

    async def append(self) -> None:
        """Append without a seq or a key: at most once, whatever the answer."""
        name, marks = self._log(), self._new_marks()
        await self._append(name, marks)

    async def _append(
        self, name: str, marks: list[str], comes: Callable[[], object] = lambda: None
    ) -> Answer[Any]:
        begin, extend = self._world.recorder.now(), _extend(name, marks)

        def call(runtime: Runtime) -> Awaitable[Any]:
            comes()
            return extend(runtime)

        answer = await self._ask(call)
        self._check_appended(name, marks, answer, repeated=False)
        self._note(begin, answer, [(name, marks)], readmitted=True)
        return answer

    async def burst(self) -> None:
        """Append several times at one instant, against a rival: who came first stands first."""
        world, name = self._world, self._log()
        if (await self._append(name, self._new_marks(1))).outcome != "ok":
            return
        many, rival = [self._new_marks(2) for _ in range(BURST)], self._new_marks(1)
        came, seqs = list[int](), dict[int, int]()

        async def one(number: int) -> None:
            answer = await self._append(name, many[number], lambda: came.append(number))
            if answer.value is not None:
                seqs[number] = answer.value.seq

        async with trio.open_nursery() as nursery:
            for number in range(BURST):
                world.kernel.spawn(nursery, one, number)
            world.kernel.spawn(nursery, self._unit, [(name, rival)], name)
        # An actor that has forgotten where its log stands, as faults make it do, asks the store for all who
        # wait at once, and they go on in no order.
        known = world.config.idle_actors_max >= 100 and world.plan.is_calm
        stand = [seqs[number] for number in came if number in seqs]
        if known and stand != sorted(stand):
            self._lie(name, "first_order", f"appends one behind the other stand at {stand}")

    async def append_by_key(self) -> None:
        """Append one event under a key, again and again until it is answered."""
        name, marks = self._log(), self._new_marks(1)
        payload, key = payload_of(name, marks[0]), marks[0].encode()
        await self._until_answered(
            name, marks, lambda runtime: runtime.workflow(name).append("custom", payload, key=key)
        )

    async def append_by_seq(self) -> None:
        """Append at the seq that was next a moment ago, again and again until it is answered."""
        name, marks = self._log(), self._new_marks()
        seq = await self._next_seq(name)
        if seq is None:
            return
        await self._world.kernel.sleep(self._draws.between(0, _MILLE) / _MILLE)
        await self._until_answered(name, marks, _extend(name, marks, seq), at=seq)

    async def append_at_wrong_seq(self) -> None:
        """Append where something else stands, or past the end: it must be refused."""
        name, marks = self._log(), self._new_marks(1)
        seq = await self._next_seq(name)
        if seq is None:
            return
        gap = self._draws.below(2)
        # Others write meanwhile, but not so many.
        seq = seq + 1_000_000 if gap else seq - 1
        if seq < 1:
            return
        begin = self._world.recorder.now()
        answer = await self._ask(_extend(name, marks, seq))
        if answer.outcome == "ok":
            self._lie(name, "admission", f"what does not belong at seq {seq} was taken there")
        expected = SequenceGapError if gap else ConflictError
        if isinstance(answer.error, AdmissionError) and not isinstance(answer.error, expected):
            self._lie(name, "admission", f"at {seq} {type(answer.error).__name__} was told")
        self._note(begin, answer, [(name, marks)])

    async def _next_seq(self, name: str) -> int | None:
        begin = self._world.recorder.now()
        answer = await self._ask(lambda runtime: runtime.workflow(name).next_seq())
        reads = [] if answer.value is None else [{"workflow": name, "next_seq": answer.value}]
        self._note(begin, answer, [], reads)
        return answer.value

    async def repeat(self) -> None:
        """Send an answered call once more, much later: nothing is written, and the answer is the same."""
        if not self._answered:
            return
        old = self._draws.one_of(self._answered)
        begin = self._world.recorder.now()
        answer = await self._ask(old.call)
        self._check_appended(old.name, old.marks, answer, repeated=True, at=old.seq)
        if answer.outcome == "refused" and isinstance(answer.error, AdmissionError):
            self._lie(old.name, "repeats", f"{old.marks} was answered before, and is refused now")
        # Its writes are told by the call that made them.
        self._note(begin, answer, [])

    async def read(self) -> None:
        """Read a whole log, or what lies behind some seq, in one of the ways there are."""
        name = self._log()
        first = 1 if self._draws.below(2) else self._draws.between(1, 20)
        way = self._draws.one_of((_list, _fold, _fold_all))
        if way is _fold_all:
            first = 1
        begin = self._world.recorder.now()
        answer = await self._ask(lambda runtime: way(runtime, name, first))
        reads = []
        if answer.value is not None:
            reads = [{"workflow": name, "from": first, "marks": answer.value}]
        self._note(begin, answer, [], reads)

    async def unit(self) -> None:
        """Write to two logs as one, past the actors, guarding a third: as another process would."""
        names = sorted({self._log(), self._log()})
        guarded = self._log()
        pause = self._draws.between(0, _MILLE) / _MILLE if self._draws.below(2) else 0
        await self._unit([(name, self._new_marks(2)) for name in names], guarded, pause)

    async def _unit(self, written: list[tuple[str, list[str]]], guarded: str, pause: float = 0) -> None:
        names = [name for name, _ in written]
        begin = self._world.recorder.now()
        seen: list[Head] = []

        async def call(runtime: Runtime) -> list[Head]:
            seen[:] = await runtime.store.heads([*map(WorkflowId, names), WorkflowId(guarded)])
            if pause:
                await self._world.kernel.sleep(pause)
            outcome = await _append_unit(runtime.store, written, seen)
            if isinstance(outcome, Refused):
                raise outcome.error
            if isinstance(outcome, Repeated):
                self._lie(names[0], "repeats", f"{written} is new, and was answered as a repeat")
            return seen

        answer = await self._ask(call)
        third = [] if not seen or guarded in names else [seen[-1]]
        reads: list[dict[str, Any]] = []
        seqs: list[int | None] = [None] * len(written)
        if answer.value is not None:
            seqs = [head.next_seq for head in answer.value[: len(written)]]
            reads = [{"workflow": head.workflow_id, "next_seq": head.next_seq} for head in third]
        guards = [(head.workflow_id, head.next_seq - 1) for head in third]
        self._note(begin, answer, written, reads, seqs, guarded=guards)

    # -- what all of them do --

    async def _ask(self, call: Callable[[Runtime], Awaitable[Any]]) -> Answer[Any]:
        return await self._world.ask(self._process, call, answer_seconds_max=ANSWER_SECONDS_MAX)

    def _lie(self, name: str, promise: str, message: str) -> None:
        self.lies.append(Violation(promise, name, None, f"{self.name}: {message}"))

    def _check_appended(
        self,
        name: str,
        marks: Sequence[str],
        answer: Answer[Any],
        *,
        repeated: bool | None,
        at: int | None = None,
    ) -> None:
        """Look at an answer by itself: the events it tells are those that were sent."""
        if answer.value is None:
            return
        appended: Appended = answer.value
        events = appended.events
        first = events[0].seq if at is None else at
        told = [(event.seq, mark_of(event), owner_of(event)) for event in events]
        expected = [(first + place, mark, name) for place, mark in enumerate(marks)]
        if told != expected:
            self._lie(name, "answers", f"{expected} was appended, and {told} was told")
        if repeated is not None and appended.repeated is not repeated:
            self._lie(name, "answers", f"{list(marks)}: repeated is told to be {appended.repeated}")

    async def _twice(self, call: Callable[[Runtime], Awaitable[Any]]) -> list[Answer[Any]]:
        """Ask twice, one close behind the other."""
        answers: list[Answer[Any]] = []

        async def again() -> None:
            answers.append(await self._ask(call))

        async with trio.open_nursery() as nursery:
            self._world.kernel.spawn(nursery, again)
            self._world.kernel.spawn(nursery, again)
        return answers

    async def _until_answered(
        self, name: str, marks: list[str], call: Callable[[Runtime], Awaitable[Any]], *, at: int | None = None
    ) -> None:
        begin, sends, unknown = self._world.recorder.now(), 0, False
        answer: Answer[Any] = Answer("unknown")
        for _ in range(SENDS_MAX):
            twice = self._world.arrives_twice()
            answers = await self._twice(call) if twice else [await self._ask(call)]
            sends += len(answers)
            answer = min(answers, key=lambda one: _FINAL.index(_kind_of(one)))
            self._compare(name, marks, answers)
            if _kind_of(answer) in {"ok", "no"}:
                break
            unknown = unknown or any(one.outcome == "unknown" for one in answers)
            await self._world.kernel.sleep(self._draws.between(1, 2 * _MILLE) / _MILLE)
        self._check_appended(name, marks, answer, repeated=False if sends == 1 else None, at=at)
        if answer.outcome == "refused" and unknown and not isinstance(answer.error, AdmissionError):
            answer = Answer("unknown", None, answer.error)
        reads = [] if at is None or answer.outcome != "ok" else [{"workflow": name, "next_seq": at}]
        self._note(begin, answer, [(name, marks)], reads, at=at)
        if answer.value is not None and len(self._answered) < ANSWERED_MAX:
            self._answered.append(_Old(name, marks, answer.value.events[0].seq, call))

    def _compare(self, name: str, marks: Sequence[str], answers: Sequence[Answer[Any]]) -> None:
        kinds = {_kind_of(answer) for answer in answers}
        if kinds >= {"ok", "no"}:
            self._lie(name, "repeats", f"{list(marks)} was taken, and the same was refused")
        taken = [answer.value for answer in answers if answer.value is not None]
        if len({one.events for one in taken}) > 1:
            self._lie(name, "repeats", f"{list(marks)} was answered in two ways")
        if sum(not one.repeated for one in taken) > 1:
            self._lie(name, "repeats", f"{list(marks)} was written twice, or so it was told")

    def _note(
        self,
        begin: int,
        answer: Answer[Any],
        written: Sequence[tuple[str, list[str]]],
        reads: Sequence[dict[str, Any]] = (),
        seqs: Sequence[int | None] | None = None,
        *,
        guarded: Sequence[tuple[str, int]] = (),
        readmitted: bool = False,
        at: int | None = None,
        **lifetimes: Sequence[dict[str, Any]],
    ) -> None:
        recorder, outcome = self._world.recorder, answer.outcome
        if seqs is None:
            told = answer.value.events[0].seq if answer.value is not None and written else None
            seqs = [told] * len(written)
        seen = list(reads)
        # A transaction that has only listed has no log to name.
        if isinstance(answer.error, AdmissionError) and answer.error.workflow_id:
            seen.append({"workflow": answer.error.workflow_id, "next_seq": answer.error.next_seq})
        if isinstance(answer.error, EventsPrunedError):
            kept = {"workflow": answer.error.workflow_id, "from": answer.error.first_kept_seq}
            lifetimes["kept"] = [*lifetimes.get("kept", ()), kept]
        end = recorder.now()
        error = type(answer.error).__name__ if answer.error is not None else ""
        recorder.write(
            {
                "op": begin,
                "client": self.name,
                "begin": begin,
                "end": end if outcome != "unknown" else None,
                "at": self._world.now_ns(),
                "outcome": outcome,
                "error": error,
                "reads": seen,
                "writes": [
                    {"workflow": name, "marks": marks, "seq": seq}
                    for (name, marks), seq in zip(written, seqs, strict=True)
                ],
                **{what: told for what, told in lifetimes.items() if told},
            }
        )
        # Where a call asked to be placed was seen before it began, not by it.
        lengths = [] if at is not None and outcome == "ok" else _lengths_of(seen)
        self.told.append(
            Told(
                begin=begin,
                end=end if outcome != "unknown" else None,
                at_ns=self._world.now_ns(),
                outcome=outcome,
                writes=[(name, marks, seq) for (name, marks), seq in zip(written, seqs, strict=True)],
                seen=lengths,
                reads=[(one["workflow"], one["from"], one["marks"]) for one in seen if "from" in one],
                guarded=guarded,
                readmitted=readmitted,
                error=error,
            )
        )


_FINAL: Final = ("ok", "no", "unknown", "again")
"""What of two answers to the same call counts, the first that is there."""


def _kind_of(answer: Answer[Any]) -> str:
    if answer.outcome == "refused":
        return "no" if isinstance(answer.error, AdmissionError) else "again"
    return answer.outcome


def _lengths_of(seen: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["workflow"], one["next_seq"] - 1) for one in seen if "next_seq" in one]


def _extend(name: str, marks: Sequence[str], seq: int | None = None) -> Callable[[Runtime], Awaitable[Any]]:
    events = [NewEvent(EventKind.CUSTOM, payload_of(name, mark)) for mark in marks]
    return lambda runtime: runtime.workflow(name).extend(events, seq=seq)


async def _list(runtime: Runtime, name: str, first: int) -> list[str]:
    return [mark_of(event) for event in await runtime.workflow(name).read(first).list()]


async def _fold(runtime: Runtime, name: str, first: int) -> list[str]:
    return await runtime.workflow(name).replay(_with_mark, [], first)


async def _fold_all(runtime: Runtime, name: str, _first: int) -> list[str]:
    (replayed,) = [one async for one in runtime.replay_all(_with_mark, list, [name])]
    return replayed.state


def _with_mark(marks: list[str], event: WorkflowEvent) -> list[str]:
    return [*marks, mark_of(event)]


async def _append_unit(
    store: Store, written: Sequence[tuple[str, list[str]]], heads: Sequence[Head]
) -> Outcome:
    """Write events to several logs at once, if a further log is unchanged meanwhile.

    `heads` are those of the written logs in their order, and of the guarded one last.
    """
    names = [WorkflowId(name) for name, _ in written]
    batches = tuple(
        marked_batch(head.workflow_id, head.digest, head.next_seq, marks, head.token)
        for head, (_, marks) in zip(heads, written, strict=False)
    )
    third = heads[-1]
    guards = () if third.workflow_id in names else (Guard(third.workflow_id, third.next_seq, third.digest),)
    (outcome,) = await store.append([Unit(batches, guards)])
    return outcome


class Logs:
    """The workload."""

    workflows = ()
    activities = ()
    foreign_writers = True
    promises: Mapping[str, str] = {
        "gap_free": "every log's seqs are 1, 2, 3 ...",
        "isolation": "no event stands in another's log",
        "acknowledged_once": "what was answered is there once, where it was told; what was not, at most once",
        "chain": "every log's digests lead to its head",
        "followed_order": "followers saw each event once, in the log's order",
    }

    def __init__(self) -> None:
        self.made: list[Client] = []
        self.followers: list[_Follower] = []

    async def clients(self, world: World) -> None:
        """Let clients write and read, and followers follow.

        Args:
            world: where.
        """
        self.made = [Client(world, number) for number in range(world.plan.clients)]
        async with trio.open_nursery() as nursery:
            for number in range(min(2, world.plan.workflows)):
                follower = _Follower(f"f{number}", f"w{number}")
                self.followers.append(follower)
                world.kernel.spawn(nursery, _follow, world, number, follower)
            async with trio.open_nursery() as clients:
                for client in self.made:
                    world.kernel.spawn(clients, client.live)
            world.be_calm()
            # The last events are found by the next poll.
            await world.kernel.sleep(max(LAST_LOOK_SECONDS, 3 * world.config.poll_seconds))
            nursery.cancel_scope.cancel()

    async def check(self, world: World, store: Store) -> list[Violation]:
        """Hold every promise against what is left, and write the logs into the history.

        Args:
            world: where it happened.
            store: what is left.

        Returns:
            What was broken.
        """
        told = sorted((one for client in self.made for one in client.told), key=lambda one: one.begin)
        violations = [lie for client in self.made for lie in client.lies]
        logs: dict[str, list[str]] = {}
        told_of = _by_log(told)
        world.logs_to_check = world.plan.workflows
        for number in range(world.plan.workflows):
            world.logs_checked = number
            name = WorkflowId(f"w{number}")
            events = await whole_log(store, name)
            (head,) = await store.heads([name])
            marks = logs[name] = [mark_of(event) for event in events]
            world.recorder.write({"log": name, "marks": marks})
            violations += gap_free(name, events, next_seq=head.next_seq)
            violations += isolation(name, events, owner_of)
            violations += chain(name, await store.audit(name, limit=len(events) + 1), head=head[1:3])
            violations += nothing_twice(name, marks)
            violations += _as_told(name, told_of.get(name, ()), marks)
        violations += whole_or_not_there(told, logs)
        violations += read_as_stored(told, logs)
        violations += in_real_time(told)
        violations += guards_held(told, await _positions(store), logs)
        violations += refused_for_a_reason(told, readmissions_max=world.config.readmissions_max)
        for follower in self.followers:
            followed, seen = follower.followed, [mark for mark, _ in follower.seen]
            world.recorder.write({"follower": follower.name, "workflow": followed, "from": 1, "marks": seen})
            violations += _missed(followed, seen, logs[followed])
            if world.plan.is_calm:
                late_seconds_max = max(FOLLOWED_SECONDS_MAX, world.config.poll_seconds + 1)
                violations += _late(followed, follower.seen, told_of.get(followed, ()), late_seconds_max)
        return violations


@attrs.define(slots=True, eq=False)
class _Follower:
    """One who follows a log, and when it has seen what."""

    name: str
    followed: str
    seen: list[tuple[str, int]] = attrs.Factory(list)


async def _follow(world: World, number: int, follower: _Follower) -> None:
    process, seen = world.processes[number % len(world.processes)], follower.seen

    async def follow(runtime: Runtime) -> None:
        async for event in runtime.workflow(follower.followed).follow(len(seen) + 1):
            seen.append((mark_of(event), world.now_ns()))

    while True:
        await world.ask(process, follow)
        await world.kernel.sleep(0.5)


async def _positions(store: Store) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    after = 0
    while page := await store.feed(after):
        after = page[-1].position
        for found in page:
            positions.setdefault(found.workflow_id, []).append(found.position)
    return positions


def _by_log(told: Iterable[Told]) -> dict[str, list[Told]]:
    """Find all operations that wrote to each log: asking all of them for each log would be quadratic."""
    found: dict[str, list[Told]] = {}
    for one in told:
        for name in dict.fromkeys(written for written, _, _ in one.writes):
            found.setdefault(name, []).append(one)
    return found


def _as_told(name: str, told: Sequence[Told], found: Sequence[str]) -> list[Violation]:
    acknowledged = [
        (mark, seq + place)
        for one in told
        for written, marks, seq in one.writes
        if written == name and one.outcome == "ok" and seq is not None
        for place, mark in enumerate(marks)
    ]
    refused = {
        mark
        for one in told
        for written, marks, _ in one.writes
        if written == name and one.outcome == "refused"
        for mark in marks
    }
    seq_of = {mark: seq for seq, mark in enumerate(found, 1)}
    violations = acknowledged_once(name, [mark for mark, _ in acknowledged], enumerate(found, 1))
    violations += [
        Violation("acknowledged_once", name, seq_of[mark], f"{mark!r} was told to stand at seq {seq}")
        for mark, seq in acknowledged
        if seq_of.get(mark, seq) != seq
    ]
    return violations + [
        Violation("acknowledged_once", name, seq, f"{mark!r} was refused and is there")
        for seq, mark in enumerate(found, 1)
        if mark in refused
    ]


def _missed(name: str, seen: Sequence[str], stored: Sequence[str]) -> list[Violation]:
    if list(seen) == list(stored):
        return []
    place = next(
        (n for n, (a, b) in enumerate(zip(seen, stored, strict=False)) if a != b), min(len(seen), len(stored))
    )
    message = f"a follower saw {list(seen[place : place + 1])}, the log has {list(stored[place : place + 1])}"
    return [Violation("followed_order", name, place + 1, message)]


def _late(
    name: str, seen: Sequence[tuple[str, int]], told: Sequence[Told], late_seconds_max: float
) -> list[Violation]:
    """Without faults a follower hears at once, and of other processes' events by the next look."""
    answered = {mark: one.at_ns for one in told for _, marks, _ in one.writes for mark in marks}
    return [
        Violation("followed_order", name, None, f"{mark!r} was seen {(at - answered[mark]) / 1e9:.1f} s late")
        for mark, at in seen
        if mark in answered and at - answered[mark] > late_seconds_max * _NANOSECONDS
    ]


def make_workload() -> Logs:
    """Make this workload."""
    return Logs()
