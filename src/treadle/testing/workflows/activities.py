"""The activities of a rehearsal: which attempt is planned for when, and what a crash does to it."""

from __future__ import annotations

from treadle.engine import CancelActivity, Execution
from treadle.testing.workflows.agenda import Agenda
from treadle.testing.workflows.cast import Cast
from treadle.testing.workflows.items import ACTIVITY_RANK, PlanDue
from treadle.testing.workflows.plans import Plan, cancel, plan_of


class Activities:
    """Plans attempts. A part of the outer world: it survives a crash, and still knows when it will answer.

    Args:
        cast: says what an attempt comes to.
        agenda: where it is put down.

    Attributes:
        losses: how many attempts were lost.
    """

    def __init__(self, cast: Cast, agenda: Agenda) -> None:
        self.losses = 0
        self._cast = cast
        self._agenda = agenda
        self._plans: dict[tuple[str, int], Plan] = {}

    def take_up(self, execution: Execution, seq: int, now_ns: int) -> Plan:
        """Plan an activity's next attempt, or go on with the one that is planned.

        Args:
            execution: the workflow.
            seq: of its ACTIVITY_SCHEDULED.
            now_ns: the time.

        Returns:
            The attempt.

        Raises:
            UsageError: nothing says what this activity does.
        """
        pending, plan = execution.activities[seq], self._plan(execution, seq, now_ns)
        if not plan.has_begun and plan.due_ns <= now_ns:
            self._cast.begin(plan, pending)
        self._schedule(plan)
        return plan

    def cancel(self, execution: Execution, effect: CancelActivity, now_ns: int) -> None:
        """Ask an attempt to end; a second time changes nothing.

        Args:
            execution: the workflow.
            effect: which activity.
            now_ns: the time.
        """
        if not effect.answer:
            abandoned = self._plans.get((execution.workflow_id, effect.seq))
            if abandoned is not None:
                _take_off(abandoned)
            return
        plan = self._plan(execution, effect.seq, now_ns)
        if not plan.is_cancelled:
            cancel(plan, self._cast.script(execution.activities[effect.seq].name), now_ns)
        self._schedule(plan)

    def is_in_flight(self, execution: Execution, seq: int) -> bool:
        """Tell whether an attempt would be lost with its process.

        Args:
            execution: the workflow, replayed.
            seq: of its ACTIVITY_SCHEDULED.

        Returns:
            Whether one was running that nobody has asked to end.
        """
        plan = self._plans.get((execution.workflow_id, seq))
        number = execution.activities[seq].attempts_failed + 1
        return plan is not None and plan.number == number and plan.has_begun and not plan.is_cancelled

    def lose(self, execution: Execution, seq: int, now_ns: int) -> None:
        """Let another attempt take the place of a lost one, and answer when that would have.

        Args:
            execution: the workflow, whose log tells of the loss.
            seq: of its ACTIVITY_SCHEDULED.
            now_ns: the time.
        """
        lost = self._plans[execution.workflow_id, seq]
        again = self.take_up(execution, seq, now_ns)
        again.end_ns, again.outcome = lost.end_ns, lost.outcome
        self._schedule(again)
        self.losses += 1

    def forget(self, workflow_id: str) -> None:
        """Take the attempts of a workflow that has ended off the agenda.

        Args:
            workflow_id: the workflow.
        """
        for plan in self._plans.values():
            if plan.workflow_id == workflow_id:
                _take_off(plan)

    def _plan(self, execution: Execution, seq: int, now_ns: int) -> Plan:
        pending, key = execution.activities[seq], (execution.workflow_id, seq)
        plan = self._plans.get(key)
        if plan is None or plan.number != pending.attempts_failed + 1:
            details = () if plan is None else plan.details
            plan = plan_of(pending, execution, now_ns, details)
            self._plans[key] = plan
        return plan

    def _schedule(self, plan: Plan) -> None:
        _take_off(plan)
        time_ns = plan.end_ns if plan.has_begun else plan.due_ns
        if time_ns is not None:
            order = (ACTIVITY_RANK, plan.workflow_id, plan.seq, plan.number)
            plan.item = self._agenda.put(time_ns, order, PlanDue(plan))


def _take_off(plan: Plan) -> None:
    if plan.item is not None:
        plan.item.is_done = True
        plan.item = None
