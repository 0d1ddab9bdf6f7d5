"""What happens to a simulated workflow from outside, and what its log is held against: a workload of one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import trio

from treadle.checkers import Violation, chain, gap_free
from treadle.engine import ActivityDefinition, Registry, WorkflowDefinition
from treadle.errors import (
    DefinitionError,
    InvalidValueError,
    TreadleError,
    WorkflowClosedError,
    WorkflowError,
    WorkflowExistsError,
    WorkflowHeldError,
    WorkflowNotFoundError,
)
from treadle.events import WorkflowEvent, WorkflowId
from treadle.runtime import Runtime
from treadle.sim.paging import all_workflows, whole_log
from treadle.sim.workloads import Workload
from treadle.sim.workloads.generated_checks import answered_once, replays
from treadle.sim.world import Answer, World
from treadle.stores import Store
from treadle.testing.workflows.dated import SignalAt

FAULTS_SECONDS: Final = 3_600
"""For how long faults happen; then the workflow must come to its end in peace, so that every run has one."""
SECONDS_MAX: Final = 10 * 365 * 86_400
"""After how much virtual time a workflow counts as one that never ends."""
LOOKS_SECONDS_MAX: Final = 30 * 86_400
"""How seldom it is looked at whether it is held, in the end: virtual time costs nothing, looks do."""
FINAL: Final = (
    DefinitionError,
    InvalidValueError,
    WorkflowClosedError,
    WorkflowError,
    WorkflowExistsError,
    WorkflowNotFoundError,
)
"""Errors that asking again would not change; a store that is away or an actor that has crashed comes back."""


class Client(Workload):
    """Starts one workflow, signals it, and waits for its result.

    Args:
        definition: the workflow.
        args: its arguments.
        workflow_id: its id.
        children: other workflows its code starts.
        activities: models.
        signals: what it is sent, and when.

    Attributes:
        answer: what it was told at last; None when nothing came.
        held: the error when it is held or could not be started.
        logs: all logs, by id, once the world is over.
        notes: the world's, once it is over.
    """

    promises: Mapping[str, str] = {
        "gap_free": "every log's seqs are 1, 2, 3 ...",
        "chain": "every log's digests lead to its head",
        "answered_once": "every activity has one end",
        "replay_equals_live": "each log replays to its end",
    }

    def __init__(
        self,
        definition: WorkflowDefinition[..., Any],
        args: tuple[Any, ...],
        workflow_id: WorkflowId,
        *,
        children: Sequence[WorkflowDefinition[..., Any]],
        activities: Sequence[ActivityDefinition[..., Any]],
        signals: Sequence[SignalAt],
    ) -> None:
        self.workflows = (definition, *children)
        self.activities = tuple(activities)
        self.answer: Answer[Any] | None = None
        self.held: TreadleError | None = None
        self.logs: dict[str, tuple[WorkflowEvent, ...]] = {}
        self.notes: dict[str, Any] = {}
        self._args = args
        self.workflow_id = workflow_id
        self._signals = signals

    async def clients(self, world: World) -> None:
        """Do all that happens to the workflow.

        Args:
            world: where.
        """
        self.notes = world.notes
        async with trio.open_nursery() as nursery:
            world.kernel.spawn(nursery, self._calm_down, world)
            with trio.move_on_after(SECONDS_MAX):
                if await self._start(world):
                    for number, signal in enumerate(self._signals):
                        world.kernel.spawn(nursery, self._signal, world, number, signal)
                    await self._wait(world)
            nursery.cancel_scope.cancel()

    async def _calm_down(self, world: World) -> None:
        await world.kernel.sleep(FAULTS_SECONDS)
        world.be_calm()

    async def _start(self, world: World) -> bool:
        begun = await self._until(
            world,
            lambda runtime: runtime.start(
                self.workflows[0], *self._args, id=self.workflow_id, id_policy="use_existing"
            ),
        )
        # Begun by a call that had no answer, it may have ended before the next one.
        if begun.error is not None and not isinstance(begun.error, WorkflowExistsError):
            self.held = begun.error
        return self.held is None

    async def _signal(self, world: World, number: int, signal: SignalAt) -> None:
        await world.kernel.sleep(signal.seconds)
        key = f"signal {number}".encode()
        # Refused only by one that has ended: nobody is there to be told.
        await self._until(
            world,
            lambda runtime: runtime.workflow(self.workflow_id).signal(signal.name, *signal.args, key=key),
        )

    async def _wait(self, world: World) -> None:
        seconds = 1.0
        while self.answer is None and self.held is None:
            answer = await self._until(world, lambda runtime: self._look(runtime, seconds))  # noqa: B023
            if isinstance(answer.error, WorkflowHeldError):
                self.held = answer.error
            elif answer.error is not None or answer.value is not None:
                self.answer = answer
            seconds = min(2 * seconds, LOOKS_SECONDS_MAX)

    async def _look(self, runtime: Runtime, seconds: float) -> tuple[Any] | None:
        handle = runtime.workflow(self.workflow_id)
        with trio.move_on_after(seconds):
            return (await handle.result(),)
        described = await handle.describe()
        if described.held:
            raise WorkflowHeldError(
                f"workflow {self.workflow_id!r} is held: {described.held}",
                workflow_id=self.workflow_id,
                reason=described.held,
            )
        return None

    async def _until(self, world: World, call: Callable[[Runtime], Awaitable[Any]]) -> Answer[Any]:
        """Ask until it was answered by the workflow, or by what asking again would not change."""
        while True:
            answer = await world.ask(world.processes[0], call)
            if answer.outcome == "ok" or isinstance(answer.error, FINAL):
                return answer
            await world.kernel.sleep(1)

    async def check(self, world: World, store: Store) -> list[Violation]:
        """Hold what treadle promises about any workflow against the logs.

        Args:
            world: where it happened.
            store: what is left.

        Returns:
            What was broken.
        """
        violations: list[Violation] = []
        registry = Registry(self.workflows, self.activities)
        for name in await all_workflows(store):
            (head,) = await store.heads([name])
            events = await whole_log(store, name)
            self.logs[name] = tuple(events)
            world.recorder.write({"durable": name, "digest": head.digest.hex(), "events": len(events)})
            violations += gap_free(name, events, next_seq=head.next_seq)
            violations += chain(name, await store.audit(name, limit=len(events) + 1), head=head[1:3])
            # A workflow that continues as new has one log of several runs; these look at one.
            if head.facts is not None and head.facts.run_start_seq == 1:
                violations += answered_once(name, events)
                if self.held is None and (definition := registry.workflows.get(head.facts.name)):
                    violations += replays(name, events, definition, registry)
        if self.answer is None and self.held is None:
            violations.append(Violation("comes_to_an_end", self.workflow_id, None, self._never()))
        return violations

    def _never(self) -> str:
        events = self.logs.get(self.workflow_id, ())
        last = f"its last event is {events[-1].kind.name}" if events else "it has not begun"
        return (
            f"it has not ended after {SECONDS_MAX // 86_400 // 365} virtual years, and {last};"
            " give signals=[SignalAt(...)] if it waits for one"
        )
