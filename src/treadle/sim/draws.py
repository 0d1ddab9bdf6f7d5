"""Chance from a seed, the same in every version of Python.

Only `random.Random.random()` is promised to stay as it is, so everything here is made of it, integers and
tables: no distribution of the standard library, and no function of a maths library whose last digit another
machine may round otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

MILLE: Final = 1_000
_EXPONENTIAL_MILLE: Final = (
    8, 24, 40, 56, 73, 90, 107, 125, 143, 161, 179, 198, 217, 237, 257, 277,
    298, 319, 341, 363, 386, 409, 433, 458, 483, 508, 535, 562, 589, 618, 647, 678,
    709, 741, 774, 809, 845, 882, 920, 960, 1002, 1045, 1091, 1138, 1188, 1241, 1297, 1356,
    1418, 1485, 1556, 1633, 1717, 1808, 1908, 2019, 2144, 2287, 2454, 2655, 2906, 3243, 3753, 4852,
)  # fmt: skip
"""The middles of 64 equal shares of the exponential distribution with mean 1, in thousandths: a table, so
that every machine draws the same. Its tail ends at five times the mean."""


class Draws:
    """A stream of chance of its own, named, so that drawing from one does not change another.

    Args:
        seed: the world's.
        name: the stream's.
    """

    __slots__ = ("_random",)

    def __init__(self, seed: int, name: str) -> None:
        self._random = random.Random(f"treadle {seed} {name}").random  # noqa: S311  # a seed, no secret

    def fraction(self) -> float:
        """Draw a number.

        Returns:
            From [0, 1).
        """
        return self._random()

    def below(self, limit: int) -> int:
        """Draw an int from 0 on.

        Args:
            limit: the first one that is not drawn; at least 1.

        Returns:
            The number.
        """
        return int(self._random() * limit)

    def between(self, least: int, most: int) -> int:
        """Draw an int.

        Args:
            least: the smallest.
            most: the largest.

        Returns:
            The number.
        """
        return least + self.below(most - least + 1)

    def happens(self, rate_mille: int) -> bool:
        """Tell whether something happens this time.

        Args:
            rate_mille: how often in a thousand.

        Returns:
            Whether it does.
        """
        return rate_mille > 0 and self.below(MILLE) < rate_mille

    def one_of(self, choices: Sequence[T]) -> T:
        """Draw one of some.

        Args:
            choices: at least one.

        Returns:
            The one.
        """
        return choices[self.below(len(choices))]

    def exponential(self, mean: int) -> int:
        """Draw a time between two things that happen by chance.

        Args:
            mean: the mean time.

        Returns:
            At least 1.
        """
        return max(1, mean * self.one_of(_EXPONENTIAL_MILLE) // MILLE)

    def bytes(self, count: int) -> bytes:
        """Draw bytes.

        Args:
            count: how many.

        Returns:
            The bytes.
        """
        return bytes(self.below(256) for _ in range(count))
