"""Experience in figures, for people: what is known of each arm now, and how often it was taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

import attrs

from treadle.engine.learning.beta import interval
from treadle.engine.learning.decay import ONE
from treadle.engine.learning.experience import Experience, Lesson

SHARE: Final = 0.9
"""How probable it is that a chance of success lies in the interval that is told."""


@attrs.frozen(slots=True)
class ArmReport:
    """What is known of one arm.

    Attributes:
        activity: the activity's name.
        key: whose experience it is.
        route: where it goes; empty when there is only one way.
        failed: how many attempts of the same call have failed on this route before; the last number that is
            told apart stands for more as well.
        delay_ns: the wait before it.
        successes: how many attempts there were in all, the forgotten ones included.
        failures: likewise.
        good: what is left of them: the weight of successes, in attempts.
        bad: likewise, of failures.
        mean: the chance of success to be expected, with no belief of its own before: (good + 1) / (good +
            bad + 2).
        low: the lower end of the interval in which it lies with a probability of 90 %.
        high: the upper end.
        share: how often this arm was taken among those with the same key and number of failures.
        last_ns: when the last attempt of it ended.
    """

    activity: str
    key: str
    route: str
    failed: int
    delay_ns: int
    successes: int
    failures: int
    good: float
    bad: float
    mean: float
    low: float
    high: float
    share: float
    last_ns: int


def told(experiences: Iterable[Experience], now_ns: int) -> list[ArmReport]:
    """Tell what is known.

    Args:
        experiences: of keys of activities.
        now_ns: the time: what was learned has faded since.

    Returns:
        One report for each arm, by activity, key, number of failures, route and wait.
    """
    found: list[ArmReport] = []
    for one in sorted(experiences, key=lambda one: (one.activity, one.key)):
        taken: Counter[int] = Counter()
        for lesson in one.lessons:
            taken[lesson.arm.failed] += _attempts(lesson)
        order = sorted(
            one.lessons, key=lambda lesson: (lesson.arm.failed, lesson.arm.route, lesson.arm.delay_ns)
        )
        found += [_report(one, lesson, taken[lesson.arm.failed], now_ns) for lesson in order]
    return found


def _attempts(lesson: Lesson) -> int:
    return lesson.successes + lesson.failures


def _report(of: Experience, lesson: Lesson, taken: int, now_ns: int) -> ArmReport:
    good, bad = (weight / ONE for weight in lesson.weights(now_ns, of.half_life_ns))
    low, high = interval(good + 1, bad + 1, SHARE)
    return ArmReport(
        activity=of.activity,
        key=of.key,
        route=lesson.arm.route,
        failed=lesson.arm.failed,
        delay_ns=lesson.arm.delay_ns,
        successes=lesson.successes,
        failures=lesson.failures,
        good=good,
        bad=bad,
        mean=(good + 1) / (good + bad + 2),
        low=low,
        high=high,
        share=_attempts(lesson) / taken,
        last_ns=lesson.as_of_ns,
    )
