"""Attempts at scripted activities: when each ends and with what, by the activity's own limits and policy.

The same rules as in a runtime: an attempt takes the time its script says, unless a limit is over earlier; a
failed one is followed by another as the retry policy says; a cancelled one ends when it has unwound.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import msgspec

from treadle.engine import (
    ActivityDefinition,
    ActivityOutcome,
    Completed,
    EndedByCancel,
    Execution,
    Failed,
)
from treadle.engine.arguments import encode_result
from treadle.engine.definitions import ActivityOptions
from treadle.engine.failures import failure_of, timeout_failure
from treadle.engine.pending import PendingActivity
from treadle.engine.retrying import Ended, Made
from treadle.errors import TimeoutKind, TreadleError
from treadle.payloads import Converter
from treadle.testing.workflows.agenda import Item
from treadle.testing.workflows.scripts import Played, Script

NANOSECONDS: Final = 1_000_000_000


@attrs.define(eq=False, slots=True)
class Plan:
    """One attempt, as it will go.

    Attributes:
        workflow_id: the workflow that has scheduled it.
        run: the workflow's run.
        seq: of its ACTIVITY_SCHEDULED.
        number: which attempt, counted from 1.
        due_ns: when it begins.
        scheduled_ns: when the activity was scheduled.
        options: its limits and its policy, as recorded.
        policy_number: the attempt as the retry policy counts it: lost ones left out.
        name: the activity's.
        made: what it is made with, for a policy that learns.
        has_begun: whether it runs.
        is_cancelled: whether it was asked to end.
        end_ns: when it ends; None for never.
        outcome: with what, once it has begun.
        details: what a heartbeat has told.
        item: its place in the agenda, or None.
    """

    workflow_id: str
    run: int
    seq: int
    number: int
    due_ns: int
    scheduled_ns: int
    options: ActivityOptions
    policy_number: int
    name: str
    made: Made
    has_begun: bool = False
    is_cancelled: bool = False
    end_ns: int | None = None
    outcome: ActivityOutcome | None = None
    details: tuple[Any, ...] = ()
    item: Item | None = None


def plan_of(pending: PendingActivity, execution: Execution, now_ns: int, details: tuple[Any, ...]) -> Plan:
    """Plan the next attempt at an activity.

    Args:
        pending: the activity.
        execution: the workflow.
        now_ns: the time.
        details: what the heartbeat of an earlier attempt has told.

    Returns:
        The plan.
    """
    number = pending.attempts_failed + 1
    return Plan(
        execution.workflow_id,
        execution.run_start_seq,
        pending.seq,
        number,
        max(now_ns, pending.next_due_ns or now_ns),
        pending.scheduled_ns,
        pending.options,
        number - pending.attempts_lost,
        pending.name,
        pending.made(execution.run.seed),
        details=details,
    )


def begin(
    plan: Plan,
    script: Script,
    played: Played,
    definition: ActivityDefinition[..., Any],
    converter: Converter,
) -> None:
    """Let an attempt begin: decide when it ends and with what.

    Args:
        plan: the attempt; changed.
        script: how long it takes to unwind.
        played: what the script makes of it.
        definition: the activity.
        converter: encodes its result.
    """
    plan.has_begun = True
    if played.seconds is not None:
        plan.end_ns = plan.due_ns + round(played.seconds * NANOSECONDS)
        plan.outcome = _outcome(plan, played, definition, converter)
    limit = _first_limit(plan, hangs=played.seconds is None)
    if limit is not None and (plan.end_ns is None or plan.end_ns > limit[0]):
        plan.end_ns = limit[0] + round(script.cleanup_seconds * NANOSECONDS)
        plan.outcome = Failed(timeout_failure(limit[1], limit[2] / NANOSECONDS))


def cancel(plan: Plan, script: Script, now_ns: int) -> None:
    """Ask an attempt to end.

    Args:
        plan: the attempt; changed.
        script: what it does about it.
        now_ns: the time.
    """
    plan.is_cancelled = True
    if plan.has_begun and script.ignores_cancel:
        return
    unwinding_ns = round(script.cleanup_seconds * NANOSECONDS) if plan.has_begun else 0
    if plan.end_ns is None or plan.end_ns > now_ns + unwinding_ns or not plan.has_begun:
        plan.end_ns = now_ns + unwinding_ns
        plan.outcome = EndedByCancel()
    plan.has_begun = True


def end_of(plan: Plan) -> tuple[Ended, ActivityOutcome]:
    """Tell how an attempt has ended, in the engine's words.

    Args:
        plan: the attempt, ended.

    Returns:
        The attempt, and what it has come to.
    """
    assert plan.outcome is not None  # noqa: S101  # the pair of begin() and cancel()
    ended = Ended(
        plan.name,
        plan.seq,
        plan.number,
        plan.number - plan.policy_number,
        plan.options,
        plan.scheduled_ns,
        plan.made,
        plan.is_cancelled,
    )
    return ended, plan.outcome


def _first_limit(plan: Plan, *, hangs: bool) -> tuple[int, TimeoutKind, int] | None:
    options = plan.options
    limits: list[tuple[int, TimeoutKind, int]] = []
    if options.start_to_close_ns is not None:
        limits.append((plan.due_ns + options.start_to_close_ns, "start_to_close", options.start_to_close_ns))
    if options.schedule_to_close_ns is not None:
        over_ns = plan.scheduled_ns + options.schedule_to_close_ns
        limits.append((over_ns, "schedule_to_close", options.schedule_to_close_ns))
    if options.heartbeat_ns is not None and hangs:
        limits.append((plan.due_ns + options.heartbeat_ns, "heartbeat", options.heartbeat_ns))
    return min(limits, key=lambda limit: limit[0], default=None)


def _outcome(
    plan: Plan, played: Played, definition: ActivityDefinition[..., Any], converter: Converter
) -> ActivityOutcome:
    if isinstance(played.error, Misfit):
        return _never_again(played.error.why, converter)
    if played.error is not None:
        names = plan.options.retry.non_retryable_names
        return Failed(failure_of(played.error, converter, non_retryable=names))
    try:
        return Completed(encode_result(definition, played.value, converter))
    except TreadleError as error:
        return _never_again(error, converter)


def _never_again(error: TreadleError, converter: Converter) -> Failed:
    """As in a runtime: what does not fit its annotations will not fit them the next time either."""
    return Failed(msgspec.structs.replace(failure_of(error, converter), non_retryable=True))


class Misfit(Exception):  # noqa: N818  # never raised: it stands where an error stands
    """Arguments that do not fit an activity's signature.

    Attributes:
        why: what is wrong.
    """

    def __init__(self, why: TreadleError) -> None:
        super().__init__()
        self.why = why
