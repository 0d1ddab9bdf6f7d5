"""A world: processes over one place, and everything that happens to them, from one seed.

The production code runs as it is (actors, supervisor, committer, engine, store); only the kernel under it
is the world's. Processes are lives that a *keeper* opens again whenever one has ended; *saboteurs* end, stop
and disturb them; clients call into whichever life there is, as over a wire that may lose the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Generic, TypeVar

import attrs
import trio

from treadle.engine import ActivityDefinition, WorkflowDefinition
from treadle.errors import AdmissionError, FencedError, StoreError, TreadleError, UsageError, WorkflowError
from treadle.runtime import Runtime, RuntimeConfig, open_runtime
from treadle.runtime.retention import RetentionPolicy
from treadle.sim.draws import Draws
from treadle.sim.faulty_store import FaultyStore, SharedFaultyStore
from treadle.sim.history import Recorder
from treadle.sim.limits import limits_of
from treadle.sim.lives import Life, LifeKernel, SeveredError, ensure_alive, survive
from treadle.sim.observing import Observer, observed
from treadle.sim.places import FAILING, Place
from treadle.sim.plan import Plan
from treadle.stores import Store

T = TypeVar("T")

HOUR_NS: Final = 3_600_000_000_000
DOWNTIME_SECONDS_MAX: Final = 5
"""How long a process stays away when it was killed."""
PAUSE_SECONDS_MAX: Final = 120
FULL_SECONDS_MAX: Final = 60
JUMP_SECONDS_MAX: Final = 3_600
PATIENCE_SECONDS_MAX: Final = 3
"""How long a caller that will be cancelled waits at most."""
DELAY_SECONDS_MAX: Final = 10
OPERATIONS_MAX: Final = 20
"""How far away the operation of the disk is at most in which a process dies: a commit has some five."""
ROOM_BYTES_MAX: Final = 65_536
"""How much room a disk has left at most that is about to be full: a dozen commits."""
MEND_SECONDS_MAX: Final = 10
"""How long it takes at most until somebody has looked at a poisoned store and starts its process again."""

ASKS_MAX: Final = 1_000
"""How often `World.insist` asks: a world of many faults answers long before."""
_MILLE: Final = 1_000
_NANOSECONDS: Final = 1_000_000_000


class SimulatedBugError(Exception):
    """What a crashing actor raises."""


_world: ContextVar[World] = ContextVar("treadle world")


def current_world() -> World:
    """Give the world whose task asks; for models of activities.

    Returns:
        The world.

    Raises:
        UsageError: outside any world.
        SeveredError: the process that asks was killed; what its code still cleans up, nobody sees.
    """
    ensure_alive()
    try:
        return _world.get()
    except LookupError:
        raise UsageError("no world here: a model of an activity runs inside a simulation only") from None


@attrs.frozen(slots=True)
class Answer(Generic[T]):
    """What a client was told.

    Attributes:
        outcome: ``"ok"``, ``"refused"`` (surely not done) or ``"unknown"``.
        value: what the call gave, when it was answered.
        error: what it raised, when it was refused or unknown; None when there was no answer at all.
    """

    outcome: str
    value: T | None = None
    error: TreadleError | None = None


@attrs.define(slots=True, eq=False)
class Process:
    """A place in the world where one life follows another.

    Attributes:
        number: which.
        lives: how many it has had.
        life: the present one, or None between two.
        runtime: the runtime that is open in it, or None.
        store: the store it is open on.
        waiting: tasks that wait until it is up.
        end: wakes the life's task, which then closes in order.
        keeper: the keeper, while it waits.
        operator: who starts it anew when its store is poisoned, while nothing is to be done.
        wants_life: whether the keeper is to open another one.
    """

    number: int
    lives: int = 0
    life: Life | None = None
    runtime: Runtime | None = None
    store: FaultyStore | None = None
    waiting: dict[trio.lowlevel.Task, None] = attrs.Factory(dict)
    end: trio.lowlevel.Task | None = None
    keeper: trio.lowlevel.Task | None = None
    operator: trio.lowlevel.Task | None = None
    wants_life: bool = True


class World:
    """One simulated world; see the top of this file.

    Args:
        kernel: its scheduler and clock.
        seed: decides everything the plan leaves open.
        plan: the rest.
        place: what outlives every process.
        recorder: takes the history.
        workflows: the durable workflows its processes run.
        activities: the activities they call; their functions are models.
        foreign_writers: whether anybody writes past its runtimes.
        retention: what its runtimes remove in the background; None for nothing.
        config: the limits of its runtimes; None draws them from the seed.

    Attributes:
        config: the limits of its runtimes.
        calm: whether faults have ended.
        broken: what happened that must not, in words.
        faults_made: name of a fault -> how often it has happened.
        logs_checked: how many logs the workload's check has looked at, for whoever shows how far it is.
        logs_to_check: how many there are; 0 before it begins.
    """

    def __init__(
        self,
        kernel: LifeKernel,
        seed: int,
        plan: Plan,
        place: Place,
        recorder: Recorder,
        *,
        workflows: Iterable[WorkflowDefinition[..., Any]] = (),
        activities: Iterable[ActivityDefinition[..., Any]] = (),
        foreign_writers: bool = False,
        retention: RetentionPolicy | None = None,
        config: RuntimeConfig | None = None,
    ) -> None:
        self.kernel = kernel
        self.seed = seed
        self.plan = plan
        self.place = place
        self.recorder = recorder
        self.calm = False
        self.broken: list[str] = []
        self.faults_made: dict[str, int] = {}
        self._workload: Any = None
        self._notes: dict[str, Any] = {}
        self.logs_checked = self.logs_to_check = 0
        self._fences = Observer(self.broken, recorder, self.now_ns)
        self.processes = [Process(number) for number in range(plan.processes)]
        self._retention = retention
        self._workflows = tuple(workflows)
        self._activities = tuple(observed(activity, recorder, self.now_ns) for activity in activities)
        self.config = config or limits_of(plan, self.draws("limits"))
        recorder.write(
            {"limits": {"activities_max": self.config.activities_max, "processes": plan.processes}}
        )
        # Polling for what others write takes decisions all the time: only where there are others.
        self._shared = foreign_writers or plan.processes > 1 or "pause" in plan.faults
        self._store_draws = Draws(seed, "store")
        self._wire = Draws(seed, "wire")
        self._actor = Draws(seed, "actor")
        self._fate = Draws(seed, "fate")
        self._streams: dict[str, Draws] = {}
        self._appends_before = 0
        self._closing = False
        self._former: list[Life] = []
        # Of every life that uses the place: its store, or None while that is being opened.
        self._stores: dict[Life, Store | None] = {}
        self._nursery: trio.Nursery | None = None

    # Python's clean-up runs on in a process that was killed, and must not reach what would outlive it.

    @property
    def workload(self) -> Any:
        """What clients do here, for models of activities to look at."""
        ensure_alive()
        return self._workload

    @workload.setter
    def workload(self, workload: Any) -> None:
        ensure_alive()
        self._workload = workload

    @property
    def notes(self) -> dict[str, Any]:
        """For models of activities, which have no other place that belongs to their world."""
        ensure_alive()
        return self._notes

    def draws(self, name: str) -> Draws:
        """Give a stream of chance.

        Args:
            name: the stream's.

        Returns:
            The stream, from its beginning.
        """
        return Draws(self.seed, name)

    def draws_of(self, name: str) -> Draws:
        """Give a stream of chance that goes on where it was last left.

        Args:
            name: the stream's.

        Returns:
            The stream.

        Raises:
            SeveredError: the process that asks was killed.
        """
        ensure_alive()
        if name not in self._streams:
            self._streams[name] = self.draws(name)
        return self._streams[name]

    def note_fault(self, fault: str, place: str) -> None:
        """Write down that a fault has happened.

        Args:
            fault: its name.
            place: where.

        Raises:
            SeveredError: the process that asks was killed.
        """
        ensure_alive()
        self.faults_made[fault] = self.faults_made.get(fault, 0) + 1
        self.recorder.write(
            {"fault": fault, "place": place, "moment": self.recorder.now(), "at": self.now_ns()}
        )

    def note(self, what: str, **facts: str | int | bool | None) -> None:
        """Write something of the program's own into the history.

        Args:
            what: what has happened; deterministic, as everything in a history.
            **facts: more of it.

        Raises:
            SeveredError: the process that asks was killed.
        """
        ensure_alive()
        self.recorder.write({"note": what, "moment": self.recorder.now(), "at": self.now_ns(), **facts})

    def now_ns(self) -> int:
        """Tell the virtual time since the world began, by the clock that never jumps."""
        return round(self.kernel.current_time() * _NANOSECONDS)

    # -- its course --

    async def run(self, clients: Callable[[World], Awaitable[None]]) -> None:
        """Live from the first opening to the last closing.

        Args:
            clients: all that clients do; faults happen until it returns.
        """
        _world.set(self)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for process in self.processes:
                self.kernel.spawn(nursery, self._keep, process)
                if self.plan.store == "disk":
                    self.kernel.spawn(nursery, self._operate, process)
            async with trio.open_nursery() as saboteurs:
                self._sabotage(saboteurs)
                await clients(self)
                saboteurs.cancel_scope.cancel()
            await self._close()
            nursery.cancel_scope.cancel()

    def be_calm(self) -> None:
        """Let no fault happen any more: what is unfinished must come to its end now."""
        self.calm = True
        for life in self._former:
            self._kill(life)  # others have taken their places
        self.place.heal()
        for process in self.processes:
            if process.store is not None:
                process.store.calm = True
            if process.life is not None:
                self.kernel.resume(process.life)

    async def _close(self) -> None:
        self.be_calm()
        self._closing = True
        for process in self.processes:
            self._end_in_order(process)
        while any(process.life is not None for process in self.processes):
            await self.kernel.sleep(1)

    # -- processes --

    @trio.lowlevel.enable_ki_protection
    async def _keep(self, process: Process) -> None:
        assert self._nursery is not None  # noqa: S101  # the pair of run()
        while True:
            if process.wants_life and not self._closing:
                process.wants_life = False
                process.lives += 1
                life = process.life = Life(f"p{process.number}.{process.lives}")
                self.kernel.spawn(self._nursery, self._live, process, life)
            process.keeper = trio.lowlevel.current_task()
            await self.kernel.park(lambda: setattr(process, "keeper", None))

    def _want_life(self, process: Process) -> None:
        process.wants_life = True
        if process.keeper is not None:
            task, process.keeper = process.keeper, None
            self.kernel.wake(task)

    async def _live(self, process: Process, life: Life) -> None:
        self.recorder.write({"life": life.name, "begins": self.recorder.now(), "at": self.now_ns()})
        why = await survive(life, self._open, process, life) or "killed"
        self.recorder.write({"life": life.name, "ends": self.recorder.now(), "why": why, "at": self.now_ns()})
        if process.life is not life:
            return  # another has taken its place while it stood still
        process.life = process.runtime = process.store = process.end = None
        if self._closing:
            return
        pause_ms = self._fate.between(0, DOWNTIME_SECONDS_MAX * _MILLE)
        await self.kernel.sleep(pause_ms / _MILLE)
        self._want_life(process)

    async def _open(self, process: Process, life: Life) -> str:
        self._stores[life] = None
        try:
            store = self._stores[life] = await self.place.open()
            faulty = self._faulty(store, life)
            # Beside the first process, which runs the workflows, the others are those that send to it.
            runs = process.number == 0
            async with open_runtime(
                faulty,
                workflows=self._workflows if runs else (),
                activities=self._activities if runs else (),
                kernel=self.kernel,
                config=self.config,
                projections=self._projections(),
                retention=self._retention,
            ) as runtime:
                self._let_actors_crash(runtime, faulty)
                self._watch_health(process, life, faulty)
                self._come_up(process, life, runtime, faulty)
                await self._until_end(process, life)
        except FencedError as error:
            # A process that was paused while it opened takes over when it comes back, whoever came after it:
            # in memory no lock keeps it away.
            taker = self._fences.raised_by.get(error.current_epoch, life.name)
            if process.life is life and taker == life.name:
                self.broken.append(f"{life.name} was fenced though nobody has taken its place")
            return "fenced"
        except StoreError:
            return "its store failed"
        except TreadleError as error:
            self.broken.append(f"{life.name} has ended by {type(error).__name__}")
            return type(error).__name__
        finally:
            await self._leave(life)
        return "closed"

    def _projections(self) -> Any:
        """Make what a life keeps up, if its workload has anything of the kind."""
        make = getattr(self._workload, "projections", None)
        return None if make is None else make()

    async def _leave(self, life: Life) -> None:
        store = self._stores.pop(life)
        if store is not None and not life.severed:
            with trio.CancelScope(shield=True), suppress(SeveredError):
                await self.place.leave(store)

    def _kill(self, life: Life) -> None:
        """Let nothing that a life still does have an effect, on its place or anywhere."""
        if not life.severed:
            self.kernel.sever(life)
            if life in self._stores:
                self.place.sever(self._stores[life])

    def _faulty(self, store: Store, life: Life) -> FaultyStore:
        kind = SharedFaultyStore if self._shared else FaultyStore
        faulty = kind(
            store,
            self.kernel,
            self._store_draws,
            self.plan.faults,
            kill=lambda: self._kill(life),
            note=self.note_fault,
        )
        faulty.calm = self.calm
        faulty.kills = self.plan.kills
        faulty.watch, faulty.name = self._fences, life.name
        faulty.told_late = self._fences.late
        faulty.count_append = self._count_append
        return faulty

    def _watch_health(self, process: Process, life: Life, store: FaultyStore) -> None:
        """Let somebody hear of it when a store takes nothing more."""

        def told() -> None:
            if process.life is life and process.operator is not None:
                task, process.operator = process.operator, None
                self.kernel.wake(task)

        store.told_poisoned = told

    async def _operate(self, process: Process) -> None:
        draws = self.draws("operator")
        while True:
            process.operator = trio.lowlevel.current_task()
            await self.kernel.park(lambda: setattr(process, "operator", None))
            life = process.life
            await self.kernel.sleep(draws.between(1, MEND_SECONDS_MAX))
            if process.life is life:
                self._end_in_order(process)

    def _count_append(self) -> int:
        self._appends_before += 1
        return self._appends_before

    @property
    def appends(self) -> int:
        """How many calls to `append` all stores have had."""
        return self._appends_before

    def _come_up(self, process: Process, life: Life, runtime: Runtime, store: FaultyStore) -> None:
        if process.life is not life:
            return
        process.runtime, process.store = runtime, store
        store.calm = self.calm
        waiting, process.waiting = process.waiting, {}
        for task in waiting:
            self.kernel.wake(task)

    async def _until_end(self, process: Process, life: Life) -> None:
        if self._closing or process.life is not life:
            return
        task = process.end = trio.lowlevel.current_task()

        def forget() -> None:
            if process.end is task:  # by now it may be the next life's
                process.end = None

        await self.kernel.park(forget)

    def _end_in_order(self, process: Process) -> None:
        if process.end is not None:
            process.runtime = None
            task, process.end = process.end, None
            self.kernel.wake(task)

    def _let_actors_crash(self, runtime: Runtime, store: FaultyStore) -> None:
        rate = self.plan.faults.get("actor_crash", 0)
        if not rate:
            return
        step = runtime._supervisor._step

        def crashing(*args: Any) -> Any:
            if not store.calm and self._actor.happens(rate):
                self.note_fault("actor_crash", "step")
                self.recorder.write({"crash": args[0].workflow_id, "at": self.recorder.now()})
                raise SimulatedBugError
            return step(*args)

        runtime._supervisor._step = crashing

    async def runtime_of(self, process: Process) -> tuple[Life, Runtime]:
        """Wait until a process is up.

        Args:
            process: which.

        Returns:
            Its life and its runtime.
        """
        # The life may be over while what is left of it still unwinds: nobody connects to that.
        while process.runtime is None or process.life is None or process.life.severed:
            task = trio.lowlevel.current_task()
            process.waiting[task] = None
            await self.kernel.park(partial(process.waiting.pop, task, None))
        return process.life, process.runtime

    # -- clients --

    async def ask(
        self,
        process: Process,
        call: Callable[[Runtime], Awaitable[T]],
        *,
        answer_seconds_max: float = float("inf"),
    ) -> Answer[T]:
        """Call into a process as from afar: late, cancelled, or without an answer.

        Args:
            process: which.
            call: what is called.
            answer_seconds_max: how long it may take; a process that lives and does not answer is broken.

        Returns:
            What came back.
        """
        if self._happens("delay"):
            await self.kernel.sleep(self._wire.between(1, DELAY_SECONDS_MAX * _MILLE) / _MILLE)
        patience = float("inf")
        if self._happens("cancelled_caller"):
            patience = self._wire.between(0, PATIENCE_SECONDS_MAX * _MILLE) / _MILLE
        life, runtime = await self.runtime_of(process)
        with trio.move_on_after(min(patience, answer_seconds_max)):
            return await self._ask(life, runtime, call)
        if patience >= answer_seconds_max and not life.severed:
            self.broken.append(f"{life.name} lives and has not answered for {answer_seconds_max:,} seconds")
        return Answer("unknown")

    async def insist(self, process: Process, call: Callable[[Runtime], Awaitable[T]]) -> Answer[T]:
        """Ask again and again until there is an answer, as clients do whose calls may be repeated.

        Args:
            process: which.
            call: what is called; it may arrive several times.

        Returns:
            What was answered: a value, or an error that asking again would not change; ``"unknown"`` when
            `ASKS_MAX` calls had no answer.
        """
        answer: Answer[T] = Answer("unknown")
        for _ in range(ASKS_MAX):
            answer = await self.ask(process, call)
            if answer.outcome == "ok" or isinstance(answer.error, AdmissionError | WorkflowError):
                break
            await self.kernel.sleep(1)
        return answer

    def arrives_twice(self) -> bool:
        """Draw whether a call that may be repeated arrives twice."""
        return self._happens("duplicate")

    def _happens(self, fault: str) -> bool:
        if self.calm or not self._wire.happens(self.plan.faults.get(fault, 0)):
            return False
        self.note_fault(fault, "wire")
        return True

    async def _ask(self, life: Life, runtime: Runtime, call: Callable[[Runtime], Awaitable[T]]) -> Answer[T]:
        try:
            value = await survive(life, call, runtime)
        except TreadleError as error:
            return Answer("refused" if error.written == "no" else "unknown", None, error)
        return Answer("unknown") if life.severed else Answer("ok", value)

    # -- what happens by the hour --

    def _sabotage(self, nursery: trio.Nursery) -> None:
        deeds: dict[str, Callable[[Process, Draws], Awaitable[None]]] = {
            "crash": self._crash,
            "restart": self._restart,
            "pause": self._pause,
            "clock_jump": self._jump,
            "full_store": self._fill,
            "power_cut": self._cut_power,
            "disk_io_error": self._fail_disk,
            "disk_full": self._fill_disk,
        }
        for fault, rate in self.plan.faults.items():
            if fault in deeds and (self.plan.store == "disk" or not fault.startswith("disk_")):
                self.kernel.spawn(nursery, self._now_and_then, fault, rate, deeds[fault])

    async def _now_and_then(
        self, fault: str, rate: int, deed: Callable[[Process, Draws], Awaitable[None]]
    ) -> None:
        draws, mean_ns = self.draws(f"fault {fault}"), HOUR_NS * _MILLE // rate
        while True:
            await self.kernel.sleep(draws.exponential(mean_ns) / _NANOSECONDS)
            process = draws.one_of(self.processes)
            if self.calm or process.life is None or process.life.paused:
                continue
            self.note_fault(fault, process.life.name)
            await deed(process, draws)

    async def _crash(self, process: Process, draws: Draws) -> None:
        def die() -> None:
            # Whoever it is by then: the disk's next operations may be another life's.
            if process.life is not None:
                process.runtime = None
                self._kill(process.life)

        if not (draws.below(2) and self.place.in_the_middle(draws.between(1, OPERATIONS_MAX), die)):
            die()

    async def _restart(self, process: Process, _draws: Draws) -> None:
        self._end_in_order(process)

    async def _pause(self, process: Process, draws: Draws) -> None:
        life = process.life
        assert life is not None  # noqa: S101  # asked by the caller
        seconds = draws.between(1, PAUSE_SECONDS_MAX)
        self.kernel.pause(life)
        if self.plan.store == "memory":
            # Somebody notices, and starts another process; this one knows nothing of it.
            self._former.append(life)
            process.life = process.runtime = process.store = process.end = None
            self._want_life(process)
        try:
            await self.kernel.sleep(seconds)
        finally:
            self.kernel.resume(life)
        if process.life is not life:
            await self.kernel.sleep(draws.between(1, PAUSE_SECONDS_MAX))
            self._kill(life)

    async def _jump(self, _process: Process, draws: Draws) -> None:
        self.kernel.jump(draws.between(-JUMP_SECONDS_MAX, JUMP_SECONDS_MAX) * _NANOSECONDS)

    async def _fill(self, process: Process, draws: Draws) -> None:
        store = process.store
        if store is not None:
            store.full = True
            await self.kernel.sleep(draws.between(1, FULL_SECONDS_MAX))
            store.full = False

    async def _fail_disk(self, _process: Process, draws: Draws) -> None:
        self.place.fail(draws.one_of(FAILING), draws.between(1, OPERATIONS_MAX))

    async def _fill_disk(self, _process: Process, draws: Draws) -> None:
        if self.place.fill(draws.below(ROOM_BYTES_MAX)):
            await self.kernel.sleep(draws.between(1, FULL_SECONDS_MAX))
            self.place.heal()

    async def _cut_power(self, _process: Process, draws: Draws) -> None:
        def go_dark() -> None:
            for process in self.processes:
                if process.life is not None:
                    process.runtime = None
            for life in list(self._stores):
                self.kernel.sever(life)
            self.place.cut_power()

        if not (draws.below(2) and self.place.in_the_middle(draws.between(1, OPERATIONS_MAX), go_dark)):
            go_dark()
