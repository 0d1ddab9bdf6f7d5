"""A retry policy that learns, as data: its arms, and what an attempt costs.

How it chooses is in `choosing`. What it has learned is nowhere in it: that is a fold of the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from treadle.engine.learning.arms import DELAYS_MAX, FAILED_MAX, ROUTES_MAX, Arm
from treadle.engine.retry import (
    ATTEMPTS_DEFAULT,
    NANOSECONDS,
    NonRetryable,
    as_kinds,
    check_bounds,
    names_of,
    nanoseconds,
)
from treadle.errors import InvalidValueError

NAME_LENGTH_MAX: Final = 100
"""Characters of a route or a key: both stand in the event of every attempt."""
HALF_LIFE_SECONDS: Final = 7200
"""Two hours: failures come in clusters, and the next one should still find what the last has taught; what
was true yesterday weighs nothing."""
ATTEMPT_COST_SECONDS: Final = 10
"""A wasted attempt is worth ten seconds of waiting, unless told: nobody sits before a durable workflow, and
asking again at once is what keeps a service down that is."""
PRIOR_ATTEMPTS: Final = 2
"""Two attempts of one's own weigh as much as what is believed without any."""
PRIOR_ATTEMPTS_MAX: Final = 1_000_000
ONE_ROUTE: Final = ("",)

Key: TypeAlias = str | Callable[..., str]


def _delays(value: Any) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


def _routes(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


@attrs.frozen(kw_only=True)
class AdaptivePolicy:
    """How a failed activity is tried again, learned from how its attempts have ended.

    Args:
        arms: the delays to choose from, in seconds; 0 is at once.
        routes: names of the ways an attempt can take; it is told in `activity.info().route`. Their order
            means nothing: a route that nobody has tried is tried soon.
        key: whose experience counts: a name, or a function of the call's arguments (as plain JSON values)
            that tells it, as the host that is called. Few are wanted: each learns by itself.
        half_life_seconds: how fast experience fades.
        attempt_cost_seconds: what a wasted attempt is worth in waiting: the more, the longer the waits.
        prior_attempts: how many attempts weigh as much as what is believed without any.
        attempts: how many attempts there are in all, the first one included; None for no end.
        non_retryable: exception types, or their names, after which no further attempt is made.

    Raises:
        InvalidValueError: a value lies outside what its word allows.
    """

    arms: tuple[float, ...] = attrs.field(converter=_delays)
    routes: tuple[str, ...] = attrs.field(default=ONE_ROUTE, converter=_routes)
    key: Key = ""
    half_life_seconds: float = HALF_LIFE_SECONDS
    attempt_cost_seconds: float = ATTEMPT_COST_SECONDS
    prior_attempts: float = PRIOR_ATTEMPTS
    attempts: int | None = ATTEMPTS_DEFAULT
    non_retryable: tuple[NonRetryable, ...] = attrs.field(default=(), converter=as_kinds)
    delays_ns: tuple[int, ...] = attrs.field(init=False, repr=False, eq=False)
    half_life_ns: int = attrs.field(init=False, repr=False, eq=False)
    attempt_cost_ns: int = attrs.field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        found = tuple(nanoseconds(arm, "each of AdaptiveRetry.arms", zero=True) for arm in self.arms)
        _check_several("arms", found, self.arms, DELAYS_MAX)
        _check_several("routes", self.routes, self.routes, ROUTES_MAX)
        if self.routes != ONE_ROUTE:
            for route in self.routes:
                _check_name(route, "each of AdaptiveRetry.routes")
        if not callable(self.key) and self.key != "":
            _check_name(self.key, "AdaptiveRetry.key, when it is no function,")
        prior = self.prior_attempts
        if type(prior) not in {int, float} or not 1 <= prior <= PRIOR_ATTEMPTS_MAX:
            raise InvalidValueError(
                f"AdaptiveRetry.prior_attempts is a number from 1 to {PRIOR_ATTEMPTS_MAX:,},"
                f" got {prior!r:.200}"
            )
        check_bounds("AdaptiveRetry", self.attempts, self.non_retryable)
        half_life_ns = nanoseconds(self.half_life_seconds, "AdaptiveRetry.half_life_seconds")
        cost_ns = nanoseconds(self.attempt_cost_seconds, "AdaptiveRetry.attempt_cost_seconds")
        object.__setattr__(self, "delays_ns", found)
        object.__setattr__(self, "half_life_ns", half_life_ns)
        object.__setattr__(self, "attempt_cost_ns", cost_ns)

    def learner(self) -> Any:
        """Make what follows the log for it; the one that users write brings one.

        Returns:
            A companion that tells what is known; None here, where nobody may know of any.
        """
        return None

    @property
    def grain_ns(self) -> int:
        """The shortest wait above none; a second when there is no other."""
        return min((delay_ns for delay_ns in self.delays_ns if delay_ns), default=NANOSECONDS)

    @property
    def non_retryable_names(self) -> tuple[str, ...]:
        """The names of the types after which no further attempt is made, as an event keeps them."""
        return names_of(self.non_retryable)

    def is_last(self, attempt: int) -> bool:
        """Tell whether no attempt may follow one.

        Args:
            attempt: its number, from 1, lost ones left out.

        Returns:
            True when it was the last.
        """
        return self.attempts is not None and attempt >= self.attempts

    def key_of(self, args: Iterable[Any]) -> str:
        """Tell whose experience counts for a call.

        Args:
            args: its arguments, as plain JSON values.

        Returns:
            The key.

        Raises:
            InvalidValueError: the function of the user's has raised, or tells no name.
        """
        if not callable(self.key):
            return self.key
        try:
            found = self.key(*args)
        except Exception as error:
            raise InvalidValueError(
                "AdaptiveRetry.key is a function of the call's arguments, given by position, as plain JSON"
                f" values; it raised {type(error).__name__}: {error}"
            ) from error
        _check_name(found, "what the function AdaptiveRetry.key returns")
        return found

    def candidates(self, failed_on: Mapping[str, int]) -> tuple[Arm, ...]:
        """List the arms of a call's next attempt.

        Args:
            failed_on: how many attempts of the call have failed on each route.

        Returns:
            The arms. A route that was not tried yet is tried at once: there is nothing to wait for.
        """
        return tuple(
            Arm(route, min(failed_on.get(route, 0), FAILED_MAX), delay_ns)
            for route in self.routes
            for delay_ns in (self.delays_ns if failed_on.get(route) else (0,))
        )


def _check_several(what: str, found: tuple[Any, ...], given: object, most: int) -> None:
    if not 1 <= len(found) <= most or len(set(found)) != len(found):
        raise InvalidValueError(
            f"AdaptiveRetry.{what} holds 1 to {most} values, no two of them equal, got {given!r:.200}"
        )


def _check_name(name: Any, what: str) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidValueError(
            f"{what} is a name of 1 to {NAME_LENGTH_MAX} printable characters, got {name!r:.200}"
        )
