"""Choosing: the cheapest success by what is known, within the limits, and the same whoever asks again."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.engine.learning import (
    NOTHING_KNOWN,
    AdaptivePolicy,
    Choice,
    Experiences,
    Standing,
    Trial,
    choose,
    learn,
    stream_of,
)
from treadle.engine.learning.choosing import prior_mean

SECOND = 10**9
POLICY = AdaptivePolicy(arms=(1, 10, 60))
ROUTED = AdaptivePolicy(arms=(1, 10), routes=("a", "b"))
FIRST = Standing("call", "", 0)
FAILED_ONCE = Standing("call", "", 0, 0, {"": 1})


def known_of(policy, *ends):
    """What is known after ends as (route, failed, seconds, successes, failures)."""
    known = Experiences()
    found = None
    for route, failed, seconds, successes, failures in ends:
        trial = Trial("call", "", policy.half_life_ns, route, failed, seconds * SECOND)
        for success in [True] * successes + [False] * failures:
            found = learn(found, trial, 0, success=success)
    known._by_key["call", ""] = found
    return known


def shares(policy, known, standing, number=300):
    """How often each choice is drawn."""
    drawn = [choose(policy, known, standing, stream_of(b"seed", seq, 2)) for seq in range(number)]
    return {choice: drawn.count(choice) / number for choice in drawn}


def test_the_cheapest_success_is_taken_not_the_likeliest():
    """After 10 s nine in ten succeed, after 60 s all of them: 16.7 s a success, against 65."""
    known = known_of(POLICY, ("", 1, 1, 0, 60), ("", 1, 10, 90, 10), ("", 1, 60, 60, 0))

    assert shares(POLICY, known, FAILED_ONCE)[Choice("", "", 1, 10 * SECOND)] > 0.95


def test_a_dearer_attempt_waits_longer():
    known = known_of(POLICY, ("", 1, 1, 20, 80), ("", 1, 10, 95, 5))
    dear = AdaptivePolicy(arms=(1, 10, 60), attempt_cost_seconds=60)
    cheap = AdaptivePolicy(arms=(1, 10, 60), attempt_cost_seconds=0.5)

    assert shares(dear, known, FAILED_ONCE).get(Choice("", "", 1, SECOND), 0) < 0.05
    assert shares(cheap, known, FAILED_ONCE)[Choice("", "", 1, SECOND)] > 0.8


def test_without_experience_waits_grow_with_the_trouble():
    def usual_wait(elapsed_seconds):
        standing = FAILED_ONCE._replace(elapsed_ns=elapsed_seconds * SECOND)
        found = shares(POLICY, NOTHING_KNOWN, standing)
        return sum(choice.delay_ns * share for choice, share in found.items()) / SECOND

    assert usual_wait(0) < usual_wait(60) < usual_wait(3600)


def test_the_prior_of_a_wait_as_long_as_the_trouble_is_about_one_half():
    standing = POLICY.candidates({"": 1})[1]

    assert 0.5 == pytest.approx(prior_mean(POLICY, standing, 9 * SECOND), abs=0.03)


def test_a_route_that_comes_through_is_taken_from_the_first_attempt_on():
    known = known_of(ROUTED, ("a", 0, 0, 2, 60), ("b", 0, 0, 60, 2))

    assert shares(ROUTED, known, FIRST)[Choice("", "b")] > 0.99


def test_another_route_is_tried_at_once_after_a_failure():
    known = known_of(ROUTED, ("b", 0, 0, 60, 2))
    after_a = Standing("call", "", 0, SECOND, {"a": 1}, "a")

    assert shares(ROUTED, known, after_a)[Choice("", "b")] > 0.95


def test_a_route_that_asks_for_time_gets_it_and_others_do_not():
    asked = Standing("call", "", 0, SECOND, {"a": 1}, "a", asked_ns=300 * SECOND)
    found = set(shares(ROUTED, known_of(ROUTED, ("b", 0, 0, 0, 300)), asked))

    assert {Choice("", "a", 1, 300 * SECOND, asked=True), Choice("", "b")} >= found
    assert Choice("", "a", 1, 300 * SECOND, asked=True) in found
    assert {Choice("", "b")} == set(shares(ROUTED, known_of(ROUTED, ("b", 0, 0, 300, 0)), asked, 50))


@given(st.integers(-5, 100), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=30)
def test_what_is_chosen_ends_within_the_limit_or_nothing_is(left_seconds, failed, elapsed):
    standing = FAILED_ONCE._replace(
        failed_on={"": failed}, left_ns=left_seconds * SECOND, elapsed_ns=elapsed * SECOND
    )
    choice = choose(POLICY, NOTHING_KNOWN, standing, Random(1))

    assert (choice is None) == (left_seconds <= 1)
    assert choice is None or choice.delay_ns < left_seconds * SECOND


def test_asked_again_it_chooses_the_same():
    first = [choose(POLICY, NOTHING_KNOWN, FAILED_ONCE, stream_of(b"s", 7, 2)) for _ in range(3)]

    assert 1 == len(set(first))
    assert stream_of(b"s", 7, 2).random() != stream_of(b"s", 7, 3).random()
