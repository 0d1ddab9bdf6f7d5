"""Clients that branch, play and reset durable workflows, and signal them, also in transactions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any, Final, Literal

import trio

from treadle.checkers.durable import Birth, Sent
from treadle.engine.imagining import NEVER, NO_ANSWER, OpenCall
from treadle.errors import AdmissionError, InternalError, UsageError, WorkflowError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.runtime import Runtime
from treadle.runtime.durable.playing import WhatIf
from treadle.runtime.transacting import Transaction
from treadle.sim.workloads.durable_notes import Notes
from treadle.sim.workloads.living import spend_time
from treadle.sim.workloads.marked import payload_of
from treadle.sim.workloads.rewritten import rewritten, touch
from treadle.sim.world import Answer, World

SENDS_MAX: Final = 12
"""How often a client repeats a call that may be repeated before it gives up: its outcome stays unknown."""
ANSWER_SECONDS_MAX: Final = 900
"""How long any call may take while its process lives: longer than all faults together."""
PAUSE_SECONDS_MAX: Final = 120
"""How long a branch waits at most until it is resumed: what it needs of others must be there then."""
_MILLE: Final = 1_000


class DurableClient:
    """One client: makes operations one after the other, and notes what it was told.

    Args:
        world: where it lives.
        number: which it is.
        notes: what all clients know together.
    """

    def __init__(self, world: World, number: int, notes: Notes) -> None:
        self._world = world
        self._notes = notes
        self._draws = world.draws(f"client {number}")
        self._process = world.processes[number % len(world.processes)]
        self._name = f"c{number}"
        self._marks = 0

    async def live(self) -> None:
        """Make all operations, spread over the plan's duration."""
        await spend_time(self._world, self._draws, self.deeds())

    def deeds(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """Give what it does, each as often as it is to be drawn."""
        return (
            self.signal,
            self.signal,
            self.signal_in_transaction,
            self.signal_in_transaction,
            self.signal_in_transaction,
            self.branch,
            self.branch,
            self.play,
            self.play,
            self.reset,
            self.reset,
            self.reset,
            self.read,
            self.look_round,
        )

    # -- signals --

    async def signal(self) -> None:
        """Send a signal under a key, again and again until it is answered."""
        if (name := self._one_that_waits()) is None:
            return
        mark = self._mark(name)
        answer = await self._until_answered(
            lambda runtime: runtime.workflow(name).signal("go", mark, key=mark.encode())
        )
        self._notes.sent.append(Sent(name, mark, _outcome(answer)))
        self._note("signal", name, answer)

    async def signal_in_transaction(self) -> None:
        """Append to a plain log and send a signal, as one; under keys again and again, without them once."""
        if (name := self._one_that_waits()) is None:
            return
        log, mark = self._plain_log(), self._mark(name)
        key = mark.encode() if self._draws.below(2) else None
        pause = self._draws.between(0, _MILLE) / _MILLE if self._draws.below(2) else 0
        signals_first = self._draws.below(2)

        async def decide(tx: Transaction) -> None:
            if signals_first:
                await tx.signal(name, "go", mark, key=key)
            await tx.append(log, "custom", payload_of(log, mark), key=key)
            await self._world.kernel.sleep(pause)
            if not signals_first:
                await tx.signal(name, "go", mark, key=key)

        def call(runtime: Runtime) -> Awaitable[None]:
            return runtime.transact(decide)

        answer = await (self._ask(call) if key is None else self._until_answered(call))
        outcome = _outcome(answer)
        self._notes.sent.append(Sent(name, mark, outcome, log))
        self._noted_append(log, [mark], outcome)
        self._note("transact", name, answer)

    # -- branches --

    async def branch(self) -> None:
        """Branch a workflow anywhere, to go on in earnest; after a while, let it."""
        born = await self._branch("real")
        if born is None:
            return
        await self._world.kernel.sleep(self._draws.between(0, PAUSE_SECONDS_MAX * _MILLE) / _MILLE)
        answer = await self._until_answered(lambda runtime: runtime.workflow(born.branch).resume())
        self._note("resume", born.branch, answer)

    async def play(self) -> None:
        """Branch a workflow anywhere, and play the branch on, perhaps twice at once; then look at it."""
        born = await self._branch("what_if")
        if born is None:
            return
        for number in range(self._draws.between(1, 3)):
            count = 2 if self._world.arrives_twice() else 1
            async with trio.open_nursery() as nursery:
                for which in range(count):
                    self._world.kernel.spawn(nursery, self._play, born.branch, f"{number} {which}")
        await self._read(born.branch)

    async def _play(self, name: str, which: str) -> None:
        # Of its own stream: a play that is cut off draws no other number than one that is not.
        answers = _Answers(self._world.draws(f"play {name} {which}").one_of)

        async def call(runtime: Runtime) -> WhatIf:
            found: WhatIf = await runtime.workflow(name).what_if(
                answers, workflows=[rewritten], activities=[touch]
            )
            return found

        answer = await self._ask(call)
        if answer.value is not None:
            self._notes.saw(name, answer.value.events)
        self._note("play", name, answer)

    async def _branch(self, mode: Literal["what_if", "real"]) -> Birth | None:
        """Begin a branch; None when it surely was not."""
        notes, draws = self._notes, self._draws
        if not notes.durable:
            return None
        parent = draws.one_of(list(notes.durable))
        events = await self._read(parent)
        if not events:
            return None
        at = draws.one_of(events).seq
        to = f"{'v' if mode == 'real' else 'i'}{notes.next_number()}"
        born = Birth(to, parent, at, mode, [event for event in events if event.seq <= at])
        if mode == "what_if":
            notes.played[to] = None

        async def call(runtime: Runtime) -> bool:
            await runtime.workflow(parent).branch(at=at, to=to, mode=mode)
            return True

        answer = await self._ask(call)
        self._note("branch", parent, answer)
        if answer.outcome == "refused":
            return None
        notes.births.append(born)
        notes.own_from[to] = at + 1
        if mode == "real":
            notes.durable[to] = None
            if parent in notes.waiting:
                notes.waiting[to] = None
        return born

    # -- resets --

    async def reset(self) -> None:
        """Let a workflow go on from any earlier event, with the signals that came since or without."""
        notes, draws = self._notes, self._draws
        if not notes.durable:
            return
        name = draws.one_of(list(notes.durable))
        events = await self._read(name)
        if len(events) < 2:
            return
        at = draws.one_of(events[:-1]).seq
        reapply: Literal["signals", "none"] = draws.one_of(("signals", "signals", "none"))
        if reapply == "none":
            notes.lossy[name] = None

        async def call(runtime: Runtime) -> int:
            seq: int = await runtime.workflow(name).reset(at=at, reapply=reapply)
            return seq

        begin = self._world.recorder.now()
        answer = await self._ask(call)
        end = self._world.recorder.now()
        over = inf if answer.outcome == "unknown" else end
        notes.reset_asks.setdefault(name, []).append((begin, over))
        if answer.value is not None:
            notes.resets[name, answer.value] = end
        self._note("reset", name, answer)

    # -- looking --

    async def read(self) -> None:
        """Read what any log keeps: abandoned, shared or not, it stays what it is."""
        names = [*self._notes.durable, *self._notes.played, *self._notes.plain]
        if names:
            await self._read(self._draws.one_of(names))

    async def look_round(self) -> None:
        """Meet all workflows there are, in one of the ways there are."""
        notes, replays = self._notes, self._draws.below(2)

        async def call(runtime: Runtime) -> list[str]:
            if not replays:
                return [name async for name in runtime.workflow_ids()]
            found = runtime.replay_all(lambda count, _: count + 1, int, from_first_kept=True)
            return [one.workflow_id async for one in found]

        answer = await self._ask(call)
        notes.meets("a replay of all logs" if replays else "a list", answer.value or ())

    async def _read(self, name: str) -> list[WorkflowEvent]:
        async def call(runtime: Runtime) -> list[WorkflowEvent]:
            (head,) = await runtime.store.heads([WorkflowId(name)])
            return await runtime.workflow(name).read(head.first_kept_seq).list()

        answer = await self._ask(call)
        events = answer.value or []
        self._notes.saw(name, events)
        return events

    # -- what all of them do --

    def _one_that_waits(self) -> str | None:
        waiting = list(self._notes.waiting)
        return self._draws.one_of(waiting) if waiting else None

    def _plain_log(self) -> str:
        name = f"l{self._draws.below(self._world.plan.workflows)}"
        self._notes.plain[name] = None
        return name

    def _mark(self, whose: str) -> str:
        self._marks += 1
        return f"{whose}<{self._name}.{self._marks}"

    def _noted_append(self, log: str, marks: Sequence[str], outcome: str) -> None:
        if outcome == "ok":
            self._notes.acknowledged.setdefault(log, []).extend(marks)
        elif outcome == "refused":
            self._notes.refused.update(marks)

    async def _ask(self, call: Callable[[Runtime], Awaitable[Any]]) -> Answer[Any]:
        answer = await self._world.ask(self._process, call, answer_seconds_max=ANSWER_SECONDS_MAX)
        if isinstance(answer.error, InternalError):
            self._notes.lie("raises_nothing", "", f"{type(answer.error).__name__} was told: {answer.error}")
        return answer

    async def _until_answered(self, call: Callable[[Runtime], Awaitable[Any]]) -> Answer[Any]:
        """Ask until there is an answer that asking again would not change.

        Who was refused behind a call without an answer does not know whether that one was taken.
        """
        unknown, answer = False, Answer[Any]("unknown")
        for _ in range(SENDS_MAX):
            answer = await self._ask(call)
            if answer.outcome == "ok" or (
                isinstance(answer.error, AdmissionError | WorkflowError | UsageError) and not unknown
            ):
                return answer
            unknown = unknown or answer.outcome == "unknown"
            if unknown and isinstance(answer.error, AdmissionError | WorkflowError | UsageError):
                break
            await self._world.kernel.sleep(self._draws.between(1, 2 * _MILLE) / _MILLE)
        return Answer("unknown", None, answer.error) if unknown else answer

    def _note(self, what: str, name: str, answer: Answer[Any]) -> None:
        told = type(answer.error).__name__ if answer.error is not None else ""
        self._world.note(what, workflow=name, client=self._name, outcome=answer.outcome, error=told)


class _Answers:
    """Answers the calls of a branch that is played: with a value, with none, or that they never end."""

    def __init__(self, one_of: Callable[[Sequence[str]], str]) -> None:
        self._one_of = one_of

    def __call__(self, call: OpenCall) -> Any:
        how = self._one_of(("value", "value", "value", "value", "failure", "never", "nothing"))
        if how == "nothing":
            return NO_ANSWER
        if how == "never":
            return NEVER
        if call.kind == "child":
            return [f"imagined {call.seq}"]
        if how == "failure":
            return ImaginedError("it is imagined to fail")
        return f"imagined {call.seq}" if call.kind == "activity" else None


class ImaginedError(Exception):
    """What a call of a branch that is played is imagined to fail with."""


def _outcome(answer: Answer[Any]) -> Literal["ok", "refused", "unknown"]:
    outcome = answer.outcome
    return "ok" if outcome == "ok" else "refused" if outcome == "refused" else "unknown"
