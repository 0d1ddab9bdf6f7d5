"""The Beta distribution: what is believed of a chance of success, after so many successes and failures.

Drawn with `random()` alone, the one method of Python's generator that is promised to stay as it is. A draw
takes a logarithm now and then, whose last bit may differ between machines; that is why a choice is written
down, and never drawn again.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import exp, lgamma, log, sqrt
from random import Random
from typing import Final

GRID: Final = 2_000
"""Places at which a density is added up to tell an interval: three digits, which is more than one reads."""


def draw_beta(successes: float, failures: float, stream: Random) -> float:
    """Draw a chance of success.

    Args:
        successes: above 0.
        failures: likewise.
        stream: chance.

    Returns:
        A number from 0 to 1.
    """
    good, bad = _gamma(successes, stream), _gamma(failures, stream)
    return good / (good + bad) if good else 0.0


def _gamma(shape: float, stream: Random) -> float:
    """Marsaglia and Tsang, "A simple method for generating gamma variables" (ACM TOMS 26, 2000)."""
    if shape < 1:
        return _gamma(shape + 1, stream) * exp(log(1 - stream.random()) / shape)
    scale = shape - 1 / 3
    spread = 1 / sqrt(9 * scale)
    while True:
        normal = _normal(stream)
        root = 1 + spread * normal
        if root <= 0:
            continue
        cube = root * root * root
        if log(1 - stream.random()) < normal * normal / 2 + scale * (1 - cube + log(cube)):
            return scale * cube


def _normal(stream: Random) -> float:
    """Marsaglia's polar method."""
    while True:
        x, y = 2 * stream.random() - 1, 2 * stream.random() - 1
        square = x * x + y * y
        if 0 < square < 1:
            return x * sqrt(-2 * log(square) / square)


def density(successes: float, failures: float, places: int = GRID) -> tuple[float, ...]:
    """Tell how probable each chance of success is.

    Args:
        successes: above 0.
        failures: likewise.
        places: how many equal parts of 0 to 1 are told.

    Returns:
        The density in the middle of each part.
    """
    total = lgamma(successes + failures) - lgamma(successes) - lgamma(failures)
    middles = ((place + 0.5) / places for place in range(places))
    return tuple(
        exp(total + (successes - 1) * log(middle) + (failures - 1) * log(1 - middle)) for middle in middles
    )


def interval(successes: float, failures: float, share: float) -> tuple[float, float]:
    """Tell between which values a chance of success lies; what lies outside is as probable on either side.

    Args:
        successes: above 0.
        failures: likewise.
        share: how probable it is to lie between them.

    Returns:
        The lower and the upper end.
    """
    heights = density(successes, failures)
    sums = tuple(accumulate(heights))

    def below(part: float) -> float:
        wanted = part * sums[-1]
        place = bisect_left(sums, wanted)
        return (place + 1 - (sums[place] - wanted) / heights[place]) / GRID

    return below((1 - share) / 2), below((1 + share) / 2)
