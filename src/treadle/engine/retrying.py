"""What follows an attempt: another one, when and how, or none; and what its end teaches. Pure.

Asked by whoever sees attempts through, a runtime or a rehearsal, so that both follow one rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import attrs

from treadle.engine.definitions import ActivityOptions
from treadle.engine.failures import Failure
from treadle.engine.inputs import ActivityDone, ActivityOutcome, AttemptFailed, Completed, Failed
from treadle.engine.learning import (
    AdaptivePolicy,
    Choice,
    Known,
    Standing,
    Trial,
    choose,
    stream_of,
)
from treadle.engine.retry import nanoseconds_asked

NO_FAILURES: Final[Mapping[str, int]] = {}


@attrs.frozen(slots=True)
class Made:
    """What an attempt was made with, for a policy that learns.

    Attributes:
        choice: the arm it was given; None for any other policy.
        failed_on: how many attempts of the call have failed on each route before it.
        seed: of the run, from which the next choice's chance is derived.
        number: which of the run's calls it belongs to that are chosen for.
    """

    choice: Choice | None = None
    failed_on: Mapping[str, int] = NO_FAILURES
    seed: bytes = b""
    number: int = 0

    @property
    def route(self) -> str:
        """Which way it takes; empty when there is only one."""
        return "" if self.choice is None else self.choice.route

    def failures_after(self) -> Mapping[str, int]:
        """Count the attempt itself, failed.

        Returns:
            How many attempts of the call have failed on each route.
        """
        if self.choice is None:
            return self.failed_on
        return {**self.failed_on, self.route: self.failed_on.get(self.route, 0) + 1}


PLAINLY_MADE: Final = Made()


class Ended(NamedTuple):
    """An attempt that has ended.

    Attributes:
        activity: the activity's name.
        seq: of its ACTIVITY_SCHEDULED.
        number: which attempt it was, counted from 1.
        lost: how many before it were lost with their process, which the policy does not count.
        options: the policy and the limits, as recorded.
        scheduled_ns: when the activity was scheduled.
        made: what the attempt was made with.
        cancelled: whether it was asked to end.
    """

    activity: str
    seq: int
    number: int
    lost: int
    options: ActivityOptions
    scheduled_ns: int
    made: Made
    cancelled: bool


def what_follows(
    ended: Ended, outcome: ActivityOutcome, known: Known, now_ns: int
) -> ActivityDone | AttemptFailed:
    """Decide whether an attempt was the last: the activity's own retry policy, within its limits of time.

    Args:
        ended: the attempt.
        outcome: what it has come to.
        known: what was learned, for a policy that learns.
        now_ns: the time.

    Returns:
        The input it becomes.
    """
    trial = None if ended.cancelled else _trial(ended, outcome)
    if isinstance(outcome, Failed) and not ended.cancelled and not outcome.failure.non_retryable:
        following = _next(ended, outcome.failure, known, now_ns)
        if following is not None:
            due_ns, choice = following
            return AttemptFailed(ended.seq, ended.number, outcome.failure, due_ns, choice=choice, trial=trial)
    return ActivityDone(ended.seq, outcome, ended.number, trial)


def _next(ended: Ended, failure: Failure, known: Known, now_ns: int) -> tuple[int, Choice | None] | None:
    policy, made = ended.options.retry, ended.number - ended.lost
    if isinstance(policy, AdaptivePolicy):
        choice = None if policy.is_last(made) else _chosen(ended, policy, failure, known, now_ns)
        return None if choice is None else (now_ns + choice.delay_ns, choice)
    delay_ns = policy.next_delay_ns(made, retry_after_seconds=failure.retry_after_seconds)
    left_ns = _left_ns(ended, now_ns)
    if delay_ns is None or (left_ns is not None and delay_ns >= left_ns):
        return None
    return now_ns + delay_ns, None


def _chosen(
    ended: Ended, policy: AdaptivePolicy, failure: Failure, known: Known, now_ns: int
) -> Choice | None:
    asked = failure.retry_after_seconds
    standing = Standing(
        ended.activity,
        "" if ended.made.choice is None else ended.made.choice.key,
        now_ns,
        now_ns - ended.scheduled_ns,
        ended.made.failures_after(),
        ended.made.route,
        None if asked is None else nanoseconds_asked(asked),
        _left_ns(ended, now_ns),
    )
    stream = stream_of(ended.made.seed, ended.made.number, ended.number - ended.lost + 1)
    return choose(policy, known, standing, stream)


def _left_ns(ended: Ended, now_ns: int) -> int | None:
    limit_ns = ended.options.schedule_to_close_ns
    return None if limit_ns is None else ended.scheduled_ns + limit_ns - now_ns


def _trial(ended: Ended, outcome: ActivityOutcome) -> Trial | None:
    """Tell what an end teaches: nothing, where no other wait or route would have changed it."""
    policy, choice = ended.options.retry, ended.made.choice
    if not isinstance(policy, AdaptivePolicy) or choice is None or choice.asked:
        return None
    if not isinstance(outcome, Completed | Failed):
        return None
    if isinstance(outcome, Failed) and outcome.failure.non_retryable:
        return None  # an answer: a declined card is declined on every route
    return Trial(
        ended.activity, choice.key, policy.half_life_ns, choice.route, choice.failed, choice.delay_ns
    )
