"""The Beta distribution: what is drawn is distributed as told, and intervals hold what they say."""

from random import Random

import pytest

from treadle.engine.learning.beta import GRID, density, draw_beta, interval

SHAPES = [(1, 1), (3, 9), (0.2, 1.8), (250, 40)]


@pytest.mark.parametrize(("successes", "failures"), SHAPES)
def test_draws_have_the_mean_and_the_spread_of_their_distribution(successes, failures):
    stream, total = Random(1), successes + failures
    drawn = [draw_beta(successes, failures, stream) for _ in range(4_000)]
    mean = sum(drawn) / len(drawn)
    variance = sum((one - mean) ** 2 for one in drawn) / len(drawn)
    expected = successes / total * (failures / total) / (total + 1)

    assert abs(mean - successes / total) < 5 * (expected / len(drawn)) ** 0.5
    assert abs(variance / expected - 1) < 0.15
    assert all(0 <= one <= 1 for one in drawn)


@pytest.mark.parametrize(("successes", "failures"), SHAPES[:2] + SHAPES[3:])
def test_an_interval_holds_its_share_of_the_draws(successes, failures):
    stream = Random(2)
    low, high = interval(successes, failures, 0.9)
    inside = sum(low <= draw_beta(successes, failures, stream) <= high for _ in range(4_000))

    assert abs(inside / 4_000 - 0.9) < 0.03


def test_the_interval_of_knowing_nothing_is_all_but_its_ends():
    low, high = interval(1, 1, 0.9)

    assert (0.05, 0.95) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_a_density_adds_up_to_one():
    assert pytest.approx(GRID, rel=1e-3) == sum(density(3, 9))


def test_hopeless_shapes_draw_numbers_all_the_same():
    """Both of its halves are nothing by then; it divides by neither."""
    stream = Random(3)

    assert all(0 <= draw_beta(1e-3, 1e-3, stream) <= 1 for _ in range(200))
