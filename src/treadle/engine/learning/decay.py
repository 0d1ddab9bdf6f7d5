"""Forgetting, in whole numbers: the same experience weighs the same on every machine.

A weight halves in a half-life. Time goes in steps of a 64th of it, counted from 1970, so how many steps lie
between two times does not depend on who looked in between; a step multiplies by a whole number and shifts.
`2 ** -x` as a float comes out of a library that each platform brings its own of.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

ONE: Final = 1 << 20
"""The weight of one attempt; a millionth of it is forgotten altogether."""
STEPS: Final = 64
"""Steps in a half-life: none is more than 1.1 %."""
HALVINGS_MAX: Final = 64
"""After so many nothing is left of any weight, and shifting further would only cost time."""
_BITS: Final = 32


def _root64(value: int) -> int:
    for _ in range(6):
        value = isqrt(value)
    return value


# The 64th root of 2 ** (32 * 64 - step), rounded down: six square roots of whole numbers, each exact.
_FACTORS: Final = tuple(_root64(1 << (_BITS * STEPS - step)) for step in range(STEPS))


def decayed(weight: int, since_ns: int, until_ns: int, half_life_ns: int) -> int:
    """Let a weight fade.

    Args:
        weight: what it was.
        since_ns: when.
        until_ns: when it is asked for; no later than `since_ns` leaves it as it is.
        half_life_ns: how long it takes to halve.

    Returns:
        What is left.
    """
    steps = until_ns * STEPS // half_life_ns - since_ns * STEPS // half_life_ns
    if steps <= 0 or not weight:
        return weight
    halvings, step = divmod(steps, STEPS)
    return 0 if halvings > HALVINGS_MAX else weight * _FACTORS[step] >> (_BITS + halvings)
