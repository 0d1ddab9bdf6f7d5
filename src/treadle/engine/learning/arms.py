"""What a retry that learns chooses between, has chosen, and has tried: values that events carry."""

from __future__ import annotations

from typing import Final

import msgspec

FAILED_MAX: Final = 2
"""How far failures on one route are told apart: the first retry asks whether the trouble was a hiccup, every
later one how long it will last. Of finer steps each would have less to learn from.
"""
DELAYS_MAX: Final = 32
"""Of one policy. Each is learned by itself: of more, most would be forgotten before they are met again."""
ROUTES_MAX: Final = 8
"""Likewise."""
ARMS_MAX: Final = ROUTES_MAX * (1 + FAILED_MAX * DELAYS_MAX)
"""The arms of the widest policy."""


class Arm(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One way of making an attempt. What is learned is learned of arms.

    Attributes:
        route: where it goes; empty when there is only one way.
        failed: how many attempts of the same call have failed on this route before, up to `FAILED_MAX`.
        delay_ns: the wait before it; 0 on a route that the call has not tried yet.
    """

    route: str = ""
    failed: int = 0
    delay_ns: int = 0


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """The arm that one attempt was given; it stands in the event that begins the wait for this attempt.

    Attributes:
        key: whose experience it was chosen by.
        route: as in `Arm`.
        failed: as in `Arm`.
        delay_ns: the wait before the attempt.
        asked: whether the wait is the one that the failure itself has asked for: then it is none of the
            policy's arms, and what comes of it teaches nothing about them.
    """

    key: str
    route: str = ""
    failed: int = 0
    delay_ns: int = 0
    asked: bool = False

    @property
    def arm(self) -> Arm:
        """The arm."""
        return Arm(self.route, self.failed, self.delay_ns)


class Trial(msgspec.Struct, frozen=True, omit_defaults=True):
    """An attempt that has ended and teaches something; it stands in the event that tells of the end.

    Whether it was a success says the event's kind. All that the fold of experience needs is here, so that it
    looks at one event and at no other.

    Attributes:
        activity: the activity's name.
        key: as in `Choice`.
        half_life_ns: how fast it is forgotten.
        route: as in `Arm`.
        failed: as in `Arm`.
        delay_ns: as in `Arm`.
    """

    activity: str
    key: str
    half_life_ns: int
    route: str = ""
    failed: int = 0
    delay_ns: int = 0

    @property
    def arm(self) -> Arm:
        """The arm."""
        return Arm(self.route, self.failed, self.delay_ns)
