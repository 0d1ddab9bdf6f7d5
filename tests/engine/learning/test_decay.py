"""Forgetting: in whole numbers, by half in a half-life, and the same however time is cut into looks."""

from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.engine.learning.decay import ONE, STEPS, decayed

HALF_LIFE_NS = 3600 * 10**9
TIMES = st.integers(0, 10**19)


def test_a_weight_halves_in_a_half_life():
    assert [ONE // 2, ONE // 4, 0] == [
        decayed(ONE, 0, halvings * HALF_LIFE_NS, HALF_LIFE_NS) for halvings in (1, 2, 100)
    ]


def test_each_step_takes_its_share_and_nothing_more():
    """The factors are those of real numbers to nine digits, though no real number is involved."""
    for step in range(3 * STEPS):
        found = decayed(10**15, 0, step * HALF_LIFE_NS // STEPS + 1, HALF_LIFE_NS)
        assert abs(found / 10**15 - 2 ** (-step / STEPS)) < 1e-9


def test_time_that_goes_back_changes_nothing():
    assert ONE == decayed(ONE, HALF_LIFE_NS, 0, HALF_LIFE_NS)


@settings(max_examples=30)
@given(st.integers(0, 2**50), TIMES, TIMES, TIMES, st.integers(1, 10**17))
def test_looking_in_between_costs_no_more_than_rounding(weight, first, second, third, half_life_ns):
    first, second, third = sorted((first, second, third))
    whole = decayed(weight, first, third, half_life_ns)
    parts = decayed(decayed(weight, first, second, half_life_ns), second, third, half_life_ns)

    assert abs(whole - parts) <= 2 + (weight >> 30)
