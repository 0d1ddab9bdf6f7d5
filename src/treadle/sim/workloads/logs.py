"""Raw log traffic: clients that append in every way there is, read, follow, and write to two logs at once.

Each event's payload names its log and carries a mark that is unique in the world, so that whatever is read
later tells whose it is and which call has written it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import trio

from treadle.checkers import Violation, acknowledged_once, chain, gap_free, isolation
from treadle.errors import AdmissionError, TreadleError
from treadle.events import EventKind, NewEvent, WorkflowEvent, WorkflowId
from treadle.log import chain_digest
from treadle.runtime import Runtime
from treadle.sim.draws import Draws
from treadle.sim.world import Answer, Process, World
from treadle.stores import PAGE_EVENTS, Batch, Guard, Head, Store, Unit, Written

SENDS_MAX: Final = 12
"""How often a client repeats a call that may be repeated before it gives up: its outcome stays unknown."""
EVENTS_MAX: Final = 4
"""How many events one call writes at most."""
_MILLE: Final = 1_000
_NANOSECONDS: Final = 1_000_000_000


def mark_of(event: WorkflowEvent) -> str:
    """Read an event's mark.

    Args:
        event: of this workload.

    Returns:
        The mark.
    """
    return event.payload.partition(b"|")[2].decode()


def owner_of(event: WorkflowEvent) -> str:
    """Read whose log an event was written for.

    Args:
        event: of this workload.

    Returns:
        The workflow id.
    """
    return event.payload.partition(b"|")[0].decode()


def _payload(name: str, mark: str) -> bytes:
    return f"{name}|{mark}".encode()


class Client:
    """One client: makes operations one after the other, and writes down what it was told.

    Args:
        world: where it lives.
        number: which it is.
    """

    def __init__(self, world: World, number: int) -> None:
        self.name = f"c{number}"
        self.acknowledged: list[tuple[str, str, int]] = []
        self.unanswered: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str]] = []
        self._world = world
        self._draws: Draws = world.draws(f"client {number}")
        self._process: Process = world.processes[number % len(world.processes)]
        self._marks = 0

    async def live(self) -> None:
        """Make all operations, spread over the plan's duration."""
        plan = self._world.plan
        pause_ns = max(1, plan.duration_seconds * _NANOSECONDS // plan.operations)
        deeds = (self.append, self.append, self.append_by_key, self.append_by_seq, self.read, self.unit)
        for _ in range(plan.operations):
            await self._world.kernel.sleep(self._draws.exponential(pause_ns) / _NANOSECONDS)
            await self._draws.one_of(deeds)()

    def _log(self) -> str:
        return f"w{self._draws.below(self._world.plan.workflows)}"

    def _new_marks(self, most: int = EVENTS_MAX) -> list[str]:
        marks = []
        for _ in range(self._draws.between(1, most)):
            self._marks += 1
            marks.append(f"{self.name}.{self._marks}")
        return marks

    # -- operations --

    async def append(self) -> None:
        """Append without a seq or a key: at most once, whatever the answer."""
        name, marks = self._log(), self._new_marks()
        events = [NewEvent(EventKind.CUSTOM, _payload(name, mark)) for mark in marks]
        begin = self._world.recorder.now()
        answer = await self._ask(lambda runtime: runtime.workflow(name).extend(events))
        self._note(begin, answer, [(name, marks)])

    async def append_by_key(self) -> None:
        """Append one event under a key, again and again until it is answered."""
        name, marks = self._log(), self._new_marks(1)
        payload, key = _payload(name, marks[0]), marks[0].encode()
        await self._until_answered(
            name, marks, lambda runtime: runtime.workflow(name).append("custom", payload, key=key)
        )

    async def append_by_seq(self) -> None:
        """Append at the seq that was next a moment ago, again and again until it is answered."""
        name, marks = self._log(), self._new_marks()
        seen = await self._ask(lambda runtime: runtime.workflow(name).next_seq())
        if seen.outcome != "ok" or seen.value is None:
            return
        await self._world.kernel.sleep(self._draws.between(0, _MILLE) / _MILLE)
        seq = seen.value
        events = [NewEvent(EventKind.CUSTOM, _payload(name, mark)) for mark in marks]
        await self._until_answered(
            name, marks, lambda runtime: runtime.workflow(name).extend(events, seq=seq), at=seq
        )

    async def read(self) -> None:
        """Read a whole log, or what lies behind some seq."""
        name = self._log()
        first = 1 if self._draws.below(2) else self._draws.between(1, 20)
        begin = self._world.recorder.now()
        answer = await self._ask(lambda runtime: runtime.workflow(name).read(first).list())
        reads = []
        if answer.value is not None:
            reads = [{"workflow": name, "from": first, "marks": [mark_of(event) for event in answer.value]}]
        self._note(begin, answer, [], reads)

    async def unit(self) -> None:
        """Write to two logs as one, past the actors, guarding a third: as another process would."""
        names = sorted({self._log(), self._log()})
        guarded = self._log()
        written = [(name, self._new_marks(2)) for name in names]
        begin = self._world.recorder.now()
        answer = await self._ask(lambda runtime: _append_unit(runtime.store, written, guarded))
        reads: list[dict[str, Any]] = []
        seqs: list[int | None] = [None] * len(written)
        if answer.value is not None:
            seqs = [head.next_seq for head in answer.value[: len(written)]]
            reads = [
                {"workflow": head.workflow_id, "next_seq": head.next_seq}
                for head in answer.value
                if head.workflow_id == guarded and guarded not in names
            ]
        self._note(begin, answer, written, reads, seqs)

    # -- what all of them do --

    async def _ask(self, call: Callable[[Runtime], Awaitable[Any]]) -> Answer[Any]:
        return await self._world.ask(self._process, call)

    async def _until_answered(
        self, name: str, marks: list[str], call: Callable[[Runtime], Awaitable[Any]], *, at: int | None = None
    ) -> None:
        begin = self._world.recorder.now()
        answer: Answer[Any] = Answer("unknown")
        unknown = False
        for _ in range(SENDS_MAX):
            if self._world.arrives_twice():
                first = await self._ask(call)
                unknown = unknown or first.outcome == "unknown"
            answer = await self._ask(call)
            if answer.outcome == "ok" or isinstance(answer.error, AdmissionError):
                break
            unknown = unknown or answer.outcome == "unknown"
            await self._world.kernel.sleep(self._draws.between(1, 2 * _MILLE) / _MILLE)
        if answer.outcome == "refused" and unknown and not isinstance(answer.error, AdmissionError):
            answer = Answer("unknown", None, answer.error)
        reads = [] if at is None or answer.outcome != "ok" else [{"workflow": name, "next_seq": at}]
        self._note(begin, answer, [(name, marks)], reads)

    def _note(
        self,
        begin: int,
        answer: Answer[Any],
        written: Sequence[tuple[str, list[str]]],
        reads: Sequence[dict[str, Any]] = (),
        seqs: Sequence[int | None] | None = None,
    ) -> None:
        recorder, outcome = self._world.recorder, answer.outcome
        if seqs is None:
            told = answer.value.events[0].seq if answer.value is not None and written else None
            seqs = [told] * len(written)
        seen = list(reads)
        if (
            outcome == "refused"
            and (next_seq := getattr(answer.error, "next_seq", None))
            and len(written) == 1
        ):
            seen.append({"workflow": written[0][0], "next_seq": next_seq})
        recorder.write(
            {
                "op": begin,
                "client": self.name,
                "begin": begin,
                "end": recorder.now() if outcome != "unknown" else None,
                "at": self._world.now_ns(),
                "outcome": outcome,
                "error": type(answer.error).__name__ if answer.error is not None else "",
                "reads": seen,
                "writes": [
                    {"workflow": name, "marks": marks, "seq": seq}
                    for (name, marks), seq in zip(written, seqs, strict=True)
                ],
            }
        )
        for (name, marks), seq in zip(written, seqs, strict=True):
            for place, mark in enumerate(marks):
                if outcome == "ok" and seq is not None:
                    self.acknowledged.append((name, mark, seq + place))
                elif outcome == "refused":
                    self.refused.append((name, mark))
                else:
                    self.unanswered.append((name, mark))


async def _append_unit(store: Store, written: Sequence[tuple[str, list[str]]], guarded: str) -> list[Head]:
    """Write events to several logs at once, if a further log is unchanged meanwhile.

    Returns:
        The heads before: of the written logs in their order, and of the guarded one last.
    """
    names = [WorkflowId(name) for name, _ in written]
    heads = await store.heads([*names, WorkflowId(guarded)])
    batches = []
    for head, (name, marks) in zip(heads, written, strict=False):
        digest, events, digests = head.digest, [], []
        for place, mark in enumerate(marks):
            event = WorkflowEvent(head.next_seq + place, 0, EventKind.CUSTOM, _payload(name, mark))
            digest = chain_digest(digest, event)
            events.append(event)
            digests.append(digest)
        batches.append(
            Batch(head.workflow_id, head.digest, tuple(events), tuple(digests), None, None, head.token)
        )
    third = heads[-1]
    guards = () if third.workflow_id in names else (Guard(third.workflow_id, third.next_seq, third.digest),)
    (outcome,) = await store.append([Unit(tuple(batches), guards)])
    if isinstance(outcome, Written):
        return heads
    error: TreadleError = outcome.error  # type: ignore[union-attr]  # marks are new: it is no repeat
    raise error


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
        self.followed: list[tuple[str, str, list[str]]] = []

    async def clients(self, world: World) -> None:
        """Let clients write and read, and followers follow.

        Args:
            world: where.
        """
        self.made = [Client(world, number) for number in range(world.plan.clients)]
        async with trio.open_nursery() as nursery:
            for number in range(min(2, world.plan.workflows)):
                seen: list[str] = []
                self.followed.append((f"f{number}", f"w{number}", seen))
                world.kernel.spawn(nursery, _follow, world, number, f"w{number}", seen)
            async with trio.open_nursery() as clients:
                for client in self.made:
                    world.kernel.spawn(clients, client.live)
            world.be_calm()
            # The last events are found by the next poll.
            await world.kernel.sleep(30)
            nursery.cancel_scope.cancel()

    async def check(self, world: World, store: Store) -> list[Violation]:
        """Hold every promise against what is left, and write the logs into the history.

        Args:
            world: where it happened.
            store: what is left.

        Returns:
            What was broken.
        """
        violations: list[Violation] = []
        acknowledged: dict[str, list[tuple[str, int]]] = {}
        never: dict[str, set[str]] = {}
        for client in self.made:
            for name, mark, seq in client.acknowledged:
                acknowledged.setdefault(name, []).append((mark, seq))
            for name, mark in client.refused:
                never.setdefault(name, set()).add(mark)
        for number in range(world.plan.workflows):
            name = WorkflowId(f"w{number}")
            events = await _whole(store, name)
            (head,) = await store.heads([name])
            marks = [(event.seq, mark_of(event)) for event in events]
            world.recorder.write({"log": name, "marks": [mark for _, mark in marks]})
            told = acknowledged.get(name, [])
            violations += gap_free(name, events, next_seq=head.next_seq)
            violations += isolation(name, events, owner_of)
            violations += acknowledged_once(name, [mark for mark, _ in told], marks)
            violations += chain(name, await store.audit(name, limit=len(events) + 1), head=head[1:3])
            violations += _misplaced(name, told, marks, never.get(name, set()))
        for follower, followed, seen in self.followed:
            world.recorder.write({"follower": follower, "workflow": followed, "from": 1, "marks": seen})
            violations += _missed(followed, seen, await _whole(store, WorkflowId(followed)))
        return violations


async def _follow(world: World, number: int, name: str, seen: list[str]) -> None:
    process = world.processes[number % len(world.processes)]

    async def follow(runtime: Runtime) -> None:
        async for event in runtime.workflow(name).follow(len(seen) + 1):
            seen.append(mark_of(event))  # noqa: PERF401  # endless, and looked at when it has been cut

    while True:
        await world.ask(process, follow)
        await world.kernel.sleep(0.5)


async def _whole(store: Store, name: WorkflowId) -> list[WorkflowEvent]:
    events: list[WorkflowEvent] = []
    while page := await store.read(name, len(events) + 1, limit=PAGE_EVENTS):
        events += page
    return events


def _misplaced(
    name: str, told: Sequence[tuple[str, int]], found: Sequence[tuple[int, str]], never: set[str]
) -> list[Violation]:
    seq_of = {mark: seq for seq, mark in found}
    wrong = [
        Violation("acknowledged_once", name, seq_of[mark], f"{mark!r} was told to stand at seq {seq}")
        for mark, seq in told
        if mark in seq_of and seq_of[mark] != seq
    ]
    return wrong + [
        Violation("acknowledged_once", name, seq, f"{mark!r} was refused and is there")
        for seq, mark in found
        if mark in never
    ]


def _missed(name: str, seen: Sequence[str], events: Sequence[WorkflowEvent]) -> list[Violation]:
    stored = [mark_of(event) for event in events]
    if list(seen) == stored:
        return []
    place = next(
        (n for n, (a, b) in enumerate(zip(seen, stored, strict=False)) if a != b), min(len(seen), len(stored))
    )
    message = f"a follower saw {seen[place : place + 1]}, the log has {stored[place : place + 1]}"
    return [Violation("followed_order", name, place + 1, message)]


def make_workload() -> Logs:
    """Make this workload."""
    return Logs()
