"""The policy: what it refuses, and that a log's record makes the same one again."""

import pytest

from treadle import activity
from treadle.engine.learning import AdaptivePolicy, Arm
from treadle.engine.records import ActivityScheduled, decode_record, options_of, scheduled_prefix, with_choice
from treadle.errors import DefinitionError, InvalidValueError
from treadle.events import EventKind, WorkflowEvent


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"arms": ()}, "1 to 32 values"),
        ({"arms": range(33)}, "1 to 32 values"),
        ({"arms": (1, 1)}, "no two of them equal"),
        ({"arms": (1, 1.0)}, "no two of them equal"),
        ({"arms": (-1,)}, "from 0 to"),
        ({"arms": (float("nan"),)}, "from 0 to"),
        ({"arms": (float("inf"),)}, "from 0 to"),
        ({"arms": ("1",)}, "from 0 to"),
        ({"arms": None}, "from 0 to"),
        ({"arms": 1, "routes": ()}, "1 to 8 values"),
        ({"arms": 1, "routes": ("a", "a")}, "no two of them equal"),
        ({"arms": 1, "routes": ("a", "")}, "1 to 100 printable"),
        ({"arms": 1, "routes": ("a", 2)}, "1 to 100 printable"),
        ({"arms": 1, "key": "\n"}, "1 to 100 printable"),
        ({"arms": 1, "key": 3}, "1 to 100 printable"),
        ({"arms": 1, "half_life_seconds": 0}, "above 0"),
        ({"arms": 1, "half_life_seconds": -1}, "from 0 to"),
        ({"arms": 1, "attempt_cost_seconds": 0}, "above 0"),
        ({"arms": 1, "prior_attempts": 0}, "from 1 to"),
        ({"arms": 1, "prior_attempts": True}, "from 1 to"),
        ({"arms": 1, "attempts": 0}, "AdaptiveRetry.attempts"),
        ({"arms": 1, "non_retryable": (3,)}, "AdaptiveRetry.non_retryable"),
    ],
)
def test_what_makes_no_sense_is_refused(given, words):
    with pytest.raises(InvalidValueError, match=words):
        activity.AdaptiveRetry(**given)


def test_one_arm_and_one_route_need_no_tuple():
    policy = activity.AdaptiveRetry(arms=5, routes="eu")

    assert (Arm("eu", 1, 5 * 10**9),) == policy.candidates({"eu": 1})
    assert (Arm("eu"),) == policy.candidates({})


@pytest.mark.parametrize(
    "key", [lambda: "x", lambda host: host["name"], lambda _: 3, lambda _: "", lambda _: "x" * 101]
)
def test_a_key_that_is_none_is_told_with_the_functions_own_words(key):
    with pytest.raises(InvalidValueError, match=r"AdaptiveRetry\.key"):
        activity.AdaptiveRetry(arms=1, key=key).key_of(["host"])


def test_a_retry_that_is_none_is_refused():
    with pytest.raises(DefinitionError, match="a Retry or an AdaptiveRetry"):
        activity.define(retry=3)


POLICY = activity.AdaptiveRetry(
    arms=(0, 2.5),
    routes=("a", "b"),
    key=lambda: "k",
    half_life_seconds=60,
    attempt_cost_seconds=9,
    prior_attempts=4,
    attempts=None,
    non_retryable=(KeyError, "Declined"),
)


@activity.define(retry=POLICY)
async def call() -> None: ...


def test_the_record_makes_the_same_policy_again():
    payload = with_choice(scheduled_prefix(call), None) + b"[]}"
    record = decode_record(WorkflowEvent(1, 0, EventKind.ACTIVITY_SCHEDULED, payload), ActivityScheduled)
    again = options_of(record).retry

    # Another class: what follows the log is brought by whoever defines the activity.
    assert again == AdaptivePolicy(
        arms=(0, 2.5),
        routes=("a", "b"),
        half_life_seconds=60,
        attempt_cost_seconds=9,
        prior_attempts=4,
        attempts=None,
        non_retryable=("KeyError", "Declined"),
    )
