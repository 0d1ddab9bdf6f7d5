"""Experience: what the ends of attempts have taught, for one key of one activity. A fold of events.

For each arm two weights, of successes and of failures; both fade. With the policy's prior they are the
Beta distribution of the arm's chance of success. Everything kept is a whole number, so two machines that
fold the same events hold the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from treadle.engine.learning.arms import ARMS_MAX, Arm, Trial
from treadle.engine.learning.decay import ONE, decayed

ARMS_KEPT_MAX: Final = ARMS_MAX
"""What is kept of an activity whose arms are changed often is bounded too: those not met for longest go."""


class Lesson(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of one arm.

    Attributes:
        arm: the arm.
        good: the weight of its successes at `as_of_ns`; one attempt weighs `ONE`.
        bad: the weight of its failures.
        as_of_ns: the time of the newest attempt that was counted.
        successes: how many there were in all, the forgotten ones included.
        failures: likewise.
    """

    arm: Arm
    good: int = 0
    bad: int = 0
    as_of_ns: int = 0
    successes: int = 0
    failures: int = 0

    def after(self, timestamp_ns: int, half_life_ns: int, *, success: bool) -> Lesson:
        """Count one more attempt.

        Args:
            timestamp_ns: when it ended. Earlier than `as_of_ns` (the feed is in the order of commits) counts
                as that.
            half_life_ns: how fast the ones before are forgotten.
            success: whether it was one.

        Returns:
            What is known then.
        """
        good, bad = self.weights(timestamp_ns, half_life_ns)
        return Lesson(
            self.arm,
            good + ONE * success,
            bad + ONE * (not success),
            max(self.as_of_ns, timestamp_ns),
            self.successes + success,
            self.failures + (not success),
        )

    def weights(self, now_ns: int, half_life_ns: int) -> tuple[int, int]:
        """Tell what is left of it.

        Args:
            now_ns: the time.
            half_life_ns: how fast it is forgotten.

        Returns:
            The weights of successes and of failures.
        """
        return (
            decayed(self.good, self.as_of_ns, now_ns, half_life_ns),
            decayed(self.bad, self.as_of_ns, now_ns, half_life_ns),
        )


class Experience(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known for one key of one activity.

    Attributes:
        activity: the activity's name.
        key: the key.
        half_life_ns: that of the newest attempt.
        lessons: one for each arm that was met, in the order of arms.
    """

    activity: str
    key: str
    half_life_ns: int
    lessons: tuple[Lesson, ...] = ()

    def after(self, trial: Trial, timestamp_ns: int, *, success: bool) -> Experience:
        """Learn from one attempt.

        Args:
            trial: the attempt, of this activity and key.
            timestamp_ns: when it ended.
            success: whether it was one.

        Returns:
            What is known then.
        """
        lessons = {lesson.arm: lesson for lesson in self.lessons}
        arm = trial.arm
        before = lessons.get(arm) or Lesson(arm)
        lessons[arm] = before.after(timestamp_ns, trial.half_life_ns, success=success)
        if len(lessons) > ARMS_KEPT_MAX:
            del lessons[min(lessons, key=lambda one: (lessons[one].as_of_ns, one))]
        kept = tuple(lessons[one] for one in sorted(lessons))
        return Experience(self.activity, self.key, trial.half_life_ns, kept)

    def of(self, arms: Iterable[Arm]) -> tuple[Lesson, ...]:
        """Tell what is known of some arms.

        Args:
            arms: the arms.

        Returns:
            One lesson for each; an empty one for an arm that nobody has met.
        """
        lessons = {lesson.arm: lesson for lesson in self.lessons}
        return tuple(lessons.get(arm) or Lesson(arm) for arm in arms)


def learn(before: Experience | None, trial: Trial, timestamp_ns: int, *, success: bool) -> Experience:
    """Learn from one attempt; the fold.

    Args:
        before: what was known for the trial's activity and key; None for nothing.
        trial: the attempt.
        timestamp_ns: when it ended.
        success: whether it was one.

    Returns:
        What is known then.
    """
    known = before or Experience(trial.activity, trial.key, trial.half_life_ns)
    return known.after(trial, timestamp_ns, success=success)
