"""Draws: the same numbers from a seed and a name, in every version of Python, for ever."""

import inspect
import random

from treadle.sim import draws
from treadle.sim.draws import Draws


def test_a_stream_gives_the_numbers_it_has_always_given():
    """Golden numbers: another one makes every seed in every bug report mean another world."""
    stream = Draws(7, "store")

    assert [14, 15, 41, 31, 59, 23, 55, 50] == [stream.below(100) for _ in range(8)]
    assert [4, 5, 4, 5, 4, 2, 3, 3] == [stream.between(2, 5) for _ in range(8)]
    assert [562, 1_091, 2_906, 2_655] == [Draws(seed, "x").exponential(1_000) for seed in range(4)]
    assert "8198ecb962f9" == stream.bytes(6).hex()
    assert "ccccbccc" == "".join(stream.one_of("abcd") for _ in range(8))


def test_the_tables_middle_is_its_mean():
    """So that a rate is the rate it says."""
    table = draws._EXPONENTIAL_MILLE

    assert 64 == len(table)
    assert list(table) == sorted(table)
    assert abs(sum(table) / len(table) - 1_000) < 10


def test_streams_of_other_names_and_seeds_are_others():
    """Drawing from one does not change another."""
    streams = [Draws(seed, name) for seed in (1, 2, 11) for name in ("a", "b", "1 a")]

    assert len(streams) == len({tuple(stream.below(1_000) for _ in range(5)) for stream in streams})


def test_a_stream_asks_random_for_nothing_but_random():
    """Its other functions may change with any version of Python."""
    source = inspect.getsource(draws)

    assert 1 == source.count("random.Random(")
    assert 'random.Random(f"treadle {seed} {name}").random' in source
    assert not any(f".{name}(" in source for name in dir(random.Random) if name != "random")


def test_what_never_happens_draws_nothing():
    """So that a fault that is left out leaves every other draw as it was."""
    calm, other = Draws(3, "x"), Draws(3, "x")

    assert not any(calm.happens(0) for _ in range(100))
    assert calm.below(1_000) == other.below(1_000)
    assert all(Draws(3, "y").happens(1_000) for _ in range(10))


def test_a_rate_is_kept():
    stream = Draws(0, "rate")

    assert 180 < sum(stream.happens(20) for _ in range(10_000)) < 220


def test_every_number_may_come_and_no_other():
    stream = Draws(0, "range")

    assert {2, 3, 4} == {stream.between(2, 4) for _ in range(200)}
    assert {0, 1, 2} == {stream.below(3) for _ in range(200)}
    assert min(stream.exponential(1) for _ in range(500)) == 1
