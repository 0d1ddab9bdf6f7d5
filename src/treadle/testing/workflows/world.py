"""One rehearsal: a workflow, its children and its scripted world, in virtual time and without waiting.

The loop takes what comes next from the agenda, gives it to the workflow it concerns, appends what comes of
it to that workflow's log and carries out what it asks for, just as a runtime does. Time passes from one
item to the next.

A *crash* is what is left when the process dies behind an append: the logs, the messages nobody has taken
yet, and the outer world, which knows when it will answer. All code is thrown away; the logs are replayed,
an activation that was cut is finished, and whatever was unfinished is taken up. So a rehearsal with a crash
in it must come out like the one without, to the byte; only an attempt that is lost with its process leaves
a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from treadle.engine import (
    Activation,
    AnswerUpdate,
    AttemptFailed,
    CancelActivity,
    CancelRequested,
    Closed,
    Effect,
    Execution,
    Failure,
    PutMessage,
    Rejected,
    Signal,
    StartActivity,
    Status,
    Terminate,
    TimersFired,
    Update,
    input_of,
)
from treadle.engine.failures import process_lost_failure
from treadle.engine.learning import Experiences
from treadle.engine.messages import ChildStartMessage
from treadle.engine.records import COMMAND_KINDS
from treadle.engine.retrying import what_follows
from treadle.errors import QueryFailedError, UsageError
from treadle.testing.workflows.activities import Activities
from treadle.testing.workflows.agenda import Agenda, Item
from treadle.testing.workflows.cast import Cast
from treadle.testing.workflows.dated import CancelAt, Dated, QueryAt, SignalAt, TerminateAt, UpdateAt
from treadle.testing.workflows.items import (
    OUTSIDE_RANK,
    PLAIN,
    TIMER_RANK,
    Begin,
    ChildEnds,
    CrashError,
    Given,
    Instance,
    Mail,
    Outside,
    PlanDue,
    TimerDue,
    Trials,
)
from treadle.testing.workflows.neighbours import Neighbours
from treadle.testing.workflows.open_registry import Executions
from treadle.testing.workflows.plans import NANOSECONDS, end_of
from treadle.testing.workflows.scenario import ACTIVATIONS_MAX, Scenario


class World:
    """Runs one scenario once.

    Args:
        scenario: what happens.
        trials: what else it is put through.

    Attributes:
        executions: makes the code of workflows.
        experiences: what the ends of attempts have taught so far.
        now_ns: the virtual time.
        instances: all workflows, by id.
        appends: how many appends there were.
        crashes: how many of them the process died behind.
        rejected: what became of updates that no log knows.
        answers: of queries, in order.
        undelivered: messages of the script that came too late.
        cast: the scripts, and what they were asked.
        activities: the attempts.
        neighbours: the mail between workflows.
    """

    def __init__(self, scenario: Scenario, trials: Trials = PLAIN) -> None:
        self.experiences = Experiences()
        self.executions = Executions((), scenario.converter, scenario.limits, self.experiences)
        self.now_ns = scenario.start_ns
        self.instances: dict[str, Instance] = {}
        self.appends = 0
        self.crashes = 0
        self.rejected: dict[str, Failure] = {}
        self.answers: list[Any] = []
        self.undelivered: list[Dated] = []
        self.scenario = scenario
        self._trials = trials
        self._agenda = Agenda()
        self._turns = 0
        self.cast = Cast(
            scenario.activities, scenario.children, self.executions, scenario.start_ns, scenario.memory
        )
        self.activities = Activities(self.cast, self._agenda)
        self.neighbours = Neighbours(scenario, self.cast, self._agenda, self.executions.converter)

    @property
    def root(self) -> Instance:
        """The rehearsed workflow."""
        return self.instances[self.scenario.workflow_id]

    def run(self) -> None:
        """Run until the workflow has ended, or nothing more will happen.

        Raises:
            UsageError: something has no script, or it goes on for ever.
            NondeterminismError: the code does not do again what its log says.
            WorkflowHeldError: what the code has done would hold it.
        """
        self._open()
        while (item := self._agenda.first()) is not None and not self._is_over(item):
            self.now_ns = max(self.now_ns, item.time_ns)
            self._count_turn()
            if self._dies(self._HANDLE[type(item.what)], self, item):
                self._recover()
        self._end()

    def close(self) -> None:
        """Throw all code away; the logs stay."""
        for instance in self.instances.values():
            instance.evict()

    def execution_of(self, instance: Instance) -> Execution:
        """Give a workflow's code, replayed when it is not in memory.

        Args:
            instance: the workflow.

        Returns:
            Its execution.

        Raises:
            NondeterminismError: the code does not do again what its log says.
        """
        if instance.execution is None:
            execution, lacking = self._replayed(instance)
            if lacking is not None:
                execution.evict()
                first = lacking.events[0]
                raise AssertionError(
                    f"workflow {instance.workflow_id!r}: replayed to its end at seq {first.seq - 1} it waits,"
                    f" got {first.kind.name} {first.payload.decode()} as well"
                )
            instance.execution = execution
        return instance.execution

    # -- the course of things --

    def _open(self) -> None:
        scenario = self.scenario
        begin = Begin(scenario.definition, scenario.workflow_id, scenario.start)
        self._agenda.put(scenario.start_ns, (TIMER_RANK, "", 0, 0), begin)
        for number, message in enumerate(scenario.messages):
            time_ns = scenario.start_ns + round(message.seconds * NANOSECONDS)
            self._agenda.put(time_ns, (OUTSIDE_RANK, "", number, 0), Outside(message))

    def _is_over(self, item: Item) -> bool:
        root = self.instances.get(self.scenario.workflow_id)
        if root is not None and root.status.is_closed and item.time_ns > self.now_ns:
            return True
        return self.scenario.until_ns is not None and item.time_ns > self.scenario.until_ns

    def _count_turn(self) -> None:
        self._turns += 1
        if self._turns > ACTIVATIONS_MAX:
            raise UsageError(
                f"workflow {self.scenario.workflow_id!r} is to come to an end within {ACTIVATIONS_MAX:,}"
                f" turns, and goes on after {(self.now_ns - self.scenario.start_ns) / NANOSECONDS:g} s; give"
                " until_seconds=... to one that lives for ever"
            )

    def _end(self) -> None:
        """What comes too late is undelivered; a query is answered whenever it comes."""
        until_ns = self.scenario.until_ns
        if until_ns is not None and not self.root.status.is_closed:
            self.now_ns = max(self.now_ns, until_ns)
        while (item := self._agenda.first()) is not None:
            item.is_done = True
            if isinstance(item.what, Outside):
                self._too_late(item.what.message)

    def _too_late(self, message: Dated) -> None:
        if isinstance(message, QueryAt):
            self._ask(message)
        else:
            self.undelivered.append(message)

    # -- activations --

    def _activate(self, instance: Instance, given: Any, item: Item | None) -> None:
        execution = self.execution_of(instance)
        with self._trials.guard():
            activation = execution.activate(given, self.now_ns)
        self._append(instance, activation, item)
        self._carry_out(instance, activation.effects)

    def _append(self, instance: Instance, activation: Activation, item: Item | None) -> None:
        events = activation.events
        for effect in activation.effects:
            # With the first batch: it is sure from then on that the rest will come.
            if isinstance(effect, PutMessage):
                self.neighbours.put(effect, self.instances.values(), self.now_ns)
        most, taken_at = self._trials.batch_events_max, _place_of_input(activation)
        for start in range(0, len(events), most):
            instance.events += events[start : start + most]
            if item is not None and start <= taken_at < start + most:
                item.is_done = True
            if start + most >= len(events):
                self._note_head(instance)
            self._appended()
        if item is not None and not item.is_done:
            item.is_done = True
            if not activation.taken and isinstance(item.what, Outside):
                self.undelivered.append(item.what.message)

    def _note_head(self, instance: Instance) -> None:
        execution = self.execution_of(instance)
        instance.run_start_seq, instance.status = execution.run_start_seq, execution.status
        # Of whole activations: code that makes the rest of a cut one again must not know more than before.
        self.experiences.take(instance.events[instance.learned :])
        instance.learned = len(instance.events)

    def _appended(self) -> None:
        self.appends += 1
        if self._trials.crashes is not None and self._trials.crashes(self.appends):
            self.crashes += 1
            raise CrashError

    def _carry_out(self, instance: Instance, effects: tuple[Effect, ...]) -> None:
        """Do what an activation asks for, now that all of it is in the log."""
        execution = self.execution_of(instance)
        for effect in effects:
            if isinstance(effect, StartActivity):
                self.activities.take_up(execution, effect.seq, self.now_ns)
            elif isinstance(effect, CancelActivity):
                self.activities.cancel(execution, effect, self.now_ns)
            elif isinstance(effect, AnswerUpdate) and isinstance(effect.outcome, Rejected):
                self.rejected[effect.update_id] = effect.outcome.failure
            elif isinstance(effect, Closed):
                self.activities.forget(instance.workflow_id)
        self._set_timer(instance)
        if self._trials.check is not None:
            self._trials.check(instance)
        if self._trials.evicts:
            instance.evict()

    def _set_timer(self, instance: Instance) -> None:
        execution = self.execution_of(instance)
        time_ns = None if execution.status.is_closed else execution.run.next_timer_ns()
        if time_ns is not None and time_ns != instance.timer_ns:
            order = (TIMER_RANK, instance.workflow_id, 1, 0)
            self._agenda.put(time_ns, order, TimerDue(instance.workflow_id))
            instance.timer_ns = time_ns

    # -- what comes next, by kind --

    def _begin(self, item: Item) -> None:
        self._begin_with(item.what, item)

    def _begin_with(self, begin: Begin, item: Item) -> None:
        instance = Instance(begin.workflow_id, begin.definition)
        instance.execution = self.executions.make(begin.definition, begin.workflow_id)
        self.instances[begin.workflow_id] = instance
        self._activate(instance, begin.start, item)

    def _timer(self, item: Item) -> None:
        instance = self.instances[item.what.workflow_id]
        is_current = instance.timer_ns == item.time_ns
        if is_current:
            instance.timer_ns = None
        if not is_current or instance.status.is_closed:
            item.is_done = True
            return
        self._activate(instance, TimersFired(item.time_ns), item)

    def _from_outside(self, item: Item) -> None:
        message, root = item.what.message, self.root
        if isinstance(message, QueryAt) or root.status.is_closed:
            item.is_done = True
            self._too_late(message)
        else:
            self._activate(root, self._input(message), item)

    def _input(self, message: Dated) -> Signal | Update | CancelRequested | Terminate:
        encode = self.executions.converter.encode
        if isinstance(message, SignalAt):
            return Signal(message.name, encode(list(message.args)))
        if isinstance(message, UpdateAt):
            return Update(message.id, message.name, encode(list(message.args)))
        if isinstance(message, CancelAt):
            return CancelRequested(message.reason)
        assert isinstance(message, TerminateAt)  # noqa: S101  # queries are asked, not given
        return Terminate(message.reason)

    def _ask(self, message: QueryAt) -> None:
        converter, root = self.executions.converter, self.root
        try:
            with self._trials.guard():
                args_json = converter.encode(list(message.args))
                answer = self.execution_of(root).query(message.name, args_json)
            self.answers.append(converter.decode(answer))
            if self._trials.check is not None:
                self._trials.check(root)
        except QueryFailedError as error:
            self.answers.append(error)
            if root.execution is not None and root.execution.is_spoilt:
                root.execution = None

    def _plan_due(self, item: Item) -> None:
        plan = item.what.plan
        instance = self.instances[plan.workflow_id]
        if not plan.has_begun:
            item.is_done = True
            self.activities.take_up(self.execution_of(instance), plan.seq, self.now_ns)
            return
        given = what_follows(*end_of(plan), self.experiences, self.now_ns)
        self._activate(instance, given, item)
        if isinstance(given, AttemptFailed) and plan.seq in self.execution_of(instance).activities:
            self.activities.take_up(self.execution_of(instance), plan.seq, self.now_ns)

    def _deliver(self, item: Item) -> None:
        put: PutMessage = item.what.put
        given = input_of(put.kind, put.payload)
        if isinstance(given, ChildStartMessage):
            self._start_child(put.workflow_id, given, item)
            return
        instance = self.instances.get(put.workflow_id)
        if instance is not None and not instance.status.is_closed:
            self._activate(instance, given, item)
            return
        item.is_done = True
        if self.neighbours.is_scripted(put.workflow_id):
            self.neighbours.tell_scripted(put.workflow_id, given, self.now_ns)
        else:
            self.neighbours.send_away(put, is_closed=instance is not None, now_ns=self.now_ns)

    def _start_child(self, child_id: str, message: ChildStartMessage, item: Item) -> None:
        is_taken = child_id in self.instances
        begin = self.neighbours.start(child_id, message, is_taken=is_taken, now_ns=self.now_ns)
        if begin is None:
            item.is_done = True
        else:
            self._begin_with(begin, item)

    def _child_ends(self, item: Item) -> None:
        self._give(item.what.parent.workflow_id, item.what.done, item)

    def _given(self, item: Item) -> None:
        self._give(item.what.workflow_id, item.what.input, item)

    def _give(self, workflow_id: str, given: Any, item: Item) -> None:
        instance = self.instances.get(workflow_id)
        if instance is None or instance.status.is_closed:
            item.is_done = True
        else:
            self._activate(instance, given, item)

    # -- after a crash --

    def _recover(self) -> None:
        while self._dies(self._recover_once):
            pass

    @staticmethod
    def _dies(step: Callable[..., None], *args: Any) -> bool:
        # Nothing follows inside the except: what the code raises later would have the crash as its context.
        try:
            step(*args)
        except CrashError:
            return True
        return False

    def _recover_once(self) -> None:
        self.close()
        self._agenda.forget((TimerDue, PlanDue))
        for instance in self.instances.values():
            instance.timer_ns = None
            if not instance.status.is_closed:
                self._recover_one(instance)

    def _recover_one(self, instance: Instance) -> None:
        instance.execution, lacking = self._replayed(instance)
        if lacking is not None:
            self._append(instance, lacking, None)
            # What it has begun is told by `unfinished` as well, and only begun once.
            self._carry_out(
                instance, tuple(effect for effect in lacking.effects if not isinstance(effect, StartActivity))
            )
        if instance.status is Status.RUNNING:
            self._take_up(instance)
            self._set_timer(instance)

    def _take_up(self, instance: Instance) -> None:
        execution = self.execution_of(instance)
        for effect in execution.unfinished():
            if isinstance(effect, CancelActivity):
                self.activities.cancel(execution, effect, self.now_ns)
            elif self._trials.loses_attempts and self.activities.is_in_flight(execution, effect.seq):
                number = execution.activities[effect.seq].attempts_failed + 1
                lost = AttemptFailed(effect.seq, number, process_lost_failure(), self.now_ns, lost=True)
                self._append(instance, execution.activate(lost, self.now_ns), None)
                self.activities.lose(execution, effect.seq, self.now_ns)
            else:
                self.activities.take_up(execution, effect.seq, self.now_ns)

    def _replayed(self, instance: Instance) -> tuple[Execution, Activation | None]:
        execution = self.executions.make(instance.definition, instance.workflow_id, instance.run_start_seq)
        with self._trials.guard():
            execution.replay(instance.events[instance.run_start_seq - 1 :])
            return execution, execution.finish_replay()

    _HANDLE: Final[dict[type, Callable[[World, Item], None]]] = {
        Begin: _begin,
        Outside: _from_outside,
        Mail: _deliver,
        Given: _given,
        TimerDue: _timer,
        PlanDue: _plan_due,
        ChildEnds: _child_ends,
    }


def _place_of_input(activation: Activation) -> int:
    """Where the given input stands among the events: the last one that is no command, if it was taken."""
    places = [place for place, event in enumerate(activation.events) if event.kind not in COMMAND_KINDS]
    return places[-1] if places and activation.taken else len(activation.events)
