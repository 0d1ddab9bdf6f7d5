"""How the next attempt is chosen: Thompson sampling over the price of a success.

For every arm a chance of success is drawn from what is believed of it (Thompson, Biometrika 25, 1933), and
the arm is taken that is cheapest if the draws are right. An arm that waits `d` and succeeds with chance `p`,
tried until it succeeds, takes `1 / p` tries, each of which costs its wait and the attempt itself: so its
price is `(d + cost) / p`, in seconds for one success. It is also the order in which one looks into boxes that
each cost something to open (Blackwell; Matula, "A periodic optimal search", Am. Math. Monthly 71, 1964).

The wait has to be in it: a longer one never makes success less likely, so a rule that looks at chances
alone would end up at the longest arm, whatever it is.

What is believed of an arm before anybody has tried it: trouble of unknown length that has lasted for `e` is
over within another `d` with chance `d / (d + e)` (Gott, Nature 363, 1993, for any length one has no reason to
expect). By price that means waits of about the root of `cost * e`: a backoff, until experience knows better.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from random import Random
from typing import Final, NamedTuple, Protocol

from treadle.engine.learning.arms import Arm, Choice
from treadle.engine.learning.beta import draw_beta
from treadle.engine.learning.decay import ONE
from treadle.engine.learning.experience import Experience, Lesson
from treadle.engine.learning.policy import AdaptivePolicy

CHANCE_MIN: Final = 1e-9
"""A price has an end: of two arms that both seem hopeless the shorter one is taken."""
HALF_A_SUCCESS: Final = 0.5
"""What the prior of an arm holds at least: with less, all its draws lie at nothing, and order no arms."""
PRIOR_STRETCH_MAX: Final = 10
"""How many times its own weight a prior may get for that; the rest experience must be able to outweigh."""
NOTHING_FAILED: Final[Mapping[str, int]] = {}


class Known(Protocol):
    """Where experience is asked for."""

    def of(self, activity: str, key: str) -> Experience | None:
        """Tell what is known for one key of one activity.

        Args:
            activity: its name.
            key: the key.

        Returns:
            What is known; None for nothing.
        """


class KnowsNothing:
    """For code that runs where nobody has followed the log: the prior is all there is."""

    def of(self, activity: str, key: str) -> None:
        """Know nothing."""


NOTHING_KNOWN: Final = KnowsNothing()


class Standing(NamedTuple):
    """Where a call stands whose next attempt is to be chosen.

    Attributes:
        activity: the activity's name.
        key: whose experience counts.
        now_ns: the time.
        elapsed_ns: how long ago the call was made.
        failed_on: how many attempts of the call have failed on each route.
        route: of the attempt that has just failed.
        asked_ns: the wait that its failure asks for, or None.
        left_ns: how much later the next attempt must begin than now, at the latest; None for no such limit.
    """

    activity: str
    key: str
    now_ns: int
    elapsed_ns: int = 0
    failed_on: Mapping[str, int] = NOTHING_FAILED
    route: str = ""
    asked_ns: int | None = None
    left_ns: int | None = None


def stream_of(seed: bytes, number: int, attempt: int) -> Random:
    """Make the chance by which one attempt's arm is chosen.

    By the call's number and not its seq: an attempt that is lost writes an event, and moves all later ones.

    Args:
        seed: of the run; itself written down.
        number: which of the run's calls it is that are chosen for.
        attempt: the attempt's number, from 1, lost ones left out.

    Returns:
        A stream of its own: who chooses before or meanwhile moves nothing here.
    """
    digest = blake2b(b"attempt:%d:%d" % (number, attempt), key=seed, digest_size=16).digest()
    return Random(digest)  # noqa: S311  # nobody is to be kept from guessing it


def choose(policy: AdaptivePolicy, known: Known, standing: Standing, stream: Random) -> Choice | None:
    """Choose how a call's next attempt is made.

    Args:
        policy: the arms.
        known: what was learned of them.
        standing: where the call stands.
        stream: chance.

    Returns:
        The choice; None when no arm's wait is short enough.
    """
    arms = policy.candidates(standing.failed_on)
    experience = known.of(standing.activity, standing.key) or Experience("", "", policy.half_life_ns)
    best: tuple[float, Choice] | None = None
    for lesson, choice in zip(experience.of(arms), _choices(arms, standing), strict=True):
        # Drawn also for an arm that is out of the question: no draw moves another.
        chance = max(draw_beta(*belief(policy, lesson, standing), stream), CHANCE_MIN)
        price = (choice.delay_ns + policy.attempt_cost_ns) / chance
        fits = standing.left_ns is None or choice.delay_ns < standing.left_ns
        if fits and (best is None or price < best[0]):
            best = (price, choice)
    return None if best is None else best[1]


def belief(policy: AdaptivePolicy, lesson: Lesson, standing: Standing) -> tuple[float, float]:
    """Tell what is believed of an arm's chance of success.

    Args:
        policy: how fast experience fades, and what weighs as much as the prior.
        lesson: what was learned of the arm.
        standing: where the call stands.

    Returns:
        The two parameters of a Beta distribution: successes, failures.
    """
    good, bad = lesson.weights(standing.now_ns, policy.half_life_ns)
    mean = prior_mean(policy, lesson.arm, standing.elapsed_ns)
    least, most = policy.prior_attempts, policy.prior_attempts * PRIOR_STRETCH_MAX
    weight = min(max(least, HALF_A_SUCCESS / mean), most)
    return weight * mean + good / ONE, weight * (1 - mean) + bad / ONE


def prior_mean(policy: AdaptivePolicy, arm: Arm, elapsed_ns: int) -> float:
    """Tell the chance of success of an arm that nobody has tried.

    Args:
        policy: its shortest wait is the grain of time: no trouble is taken to be younger.
        arm: the arm.
        elapsed_ns: how long ago the call was made.

    Returns:
        A number between 0 and 1; one half on a route that has not failed.
    """
    grain_ns = policy.grain_ns
    if not arm.failed:
        return 0.5
    return (arm.delay_ns + grain_ns) / (arm.delay_ns + max(elapsed_ns, 0) + 2 * grain_ns)


def _choices(arms: tuple[Arm, ...], standing: Standing) -> list[Choice]:
    """Make the choices that arms would be; what a failure asks for replaces the waits of its own route."""
    asked_ns, key = standing.asked_ns, standing.key
    return [
        Choice(key, arm.route, arm.failed, arm.delay_ns)
        if asked_ns is None or arm.route != standing.route
        else Choice(key, arm.route, arm.failed, asked_ns, asked=True)
        for arm in arms
    ]
