"""When a failed activity is tried again, as data.

Delays are whole nanoseconds, computed from whole numbers: the same on every machine, so that what is
written about the next attempt can be computed again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import attrs

from treadle.errors import InvalidValueError

ATTEMPTS_DEFAULT: Final = 10
"""With the delays' own defaults: some eight minutes, long enough for a restart of what was called, short
enough for somebody to hear of it the same day."""
SECONDS_MAX: Final = 10 * 366 * 24 * 3600
"""Ten years; a longer time is a slip of units."""
BACKOFF_MAX: Final = 1_000
"""Already the third attempt would wait for days."""
NANOSECONDS: Final = 1_000_000_000

NonRetryable: TypeAlias = "type[BaseException] | str"


def nanoseconds(seconds: float, what: str, *, zero: bool = False) -> int:
    """Turn a caller's seconds into nanoseconds.

    Args:
        seconds: the caller's number.
        what: what it is, for the error's words.
        zero: whether none at all is allowed.

    Returns:
        Whole nanoseconds.

    Raises:
        InvalidValueError: no number, not finite, too small or too large.
    """
    if type(seconds) not in {int, float} or not math.isfinite(seconds) or not 0 <= seconds <= SECONDS_MAX:
        raise InvalidValueError(
            f"{what} is a number of seconds from 0 to {SECONDS_MAX:,} (ten years), got {seconds!r}"
        )
    found = round(seconds * NANOSECONDS)
    if found == 0 and not zero:
        raise InvalidValueError(f"{what} is above 0 seconds, got {seconds!r}")
    return found


def nanoseconds_asked(seconds: float) -> int:
    """Tell the wait that a failure asks for.

    Args:
        seconds: what it says.

    Returns:
        Nanoseconds, at most ten years of them.
    """
    return round(min(seconds, SECONDS_MAX) * NANOSECONDS)


def as_kinds(value: NonRetryable | Iterable[NonRetryable]) -> tuple[NonRetryable, ...]:
    """Take what a caller gives as `non_retryable`.

    Args:
        value: one type or name, or several.

    Returns:
        All of them.
    """
    return (value,) if isinstance(value, str | type) else tuple(value)


def names_of(kinds: Iterable[NonRetryable]) -> tuple[str, ...]:
    """Name exception types as an event keeps them.

    Args:
        kinds: types, or names already.

    Returns:
        Their names.
    """
    return tuple(kind if isinstance(kind, str) else type_name(kind) for kind in kinds)


def check_bounds(what: str, attempts: Any, kinds: Iterable[Any]) -> None:
    """Refuse what bounds no retries: a number of attempts, and the failures that are not tried again.

    Args:
        what: the policy, for the error's words.
        attempts: how many attempts there are in all, or None.
        kinds: exception types, or their names.

    Raises:
        InvalidValueError: one of them is none.
    """
    if attempts is not None and (type(attempts) is not int or attempts < 1):
        raise InvalidValueError(
            f"{what}.attempts is an int from 1, or None for no end, got {attempts!r}; attempts=1 tries once"
        )
    for kind in kinds:
        is_type = isinstance(kind, type) and issubclass(kind, BaseException)
        if not is_type and not (isinstance(kind, str) and kind):
            raise InvalidValueError(
                f"{what}.non_retryable holds exception types or their names, got {kind!r};"
                " write (ValueError,) or ('Declined',)"
            )


@attrs.frozen(kw_only=True)
class Retry:
    """How often and how fast a failed activity is tried again.

    Args:
        initial_seconds: the wait after the first failed attempt.
        backoff: what each later wait is multiplied with; its first three decimals count.
        maximum_seconds: the longest wait.
        attempts: how many attempts there are in all, the first one included; None for no end, which has
            to be asked for.
        non_retryable: exception types, or their names, after which no further attempt is made; subclasses
            too.

    Raises:
        InvalidValueError: a value lies outside what its word allows.
    """

    initial_seconds: float = 1
    backoff: float = 2
    maximum_seconds: float = 100
    attempts: int | None = ATTEMPTS_DEFAULT
    non_retryable: tuple[NonRetryable, ...] = attrs.field(default=(), converter=as_kinds)

    def __attrs_post_init__(self) -> None:
        initial = nanoseconds(self.initial_seconds, "Retry.initial_seconds", zero=True)
        if nanoseconds(self.maximum_seconds, "Retry.maximum_seconds", zero=True) < initial:
            raise InvalidValueError(
                "Retry.maximum_seconds is at least initial_seconds,"
                f" got {self.maximum_seconds!r} below {self.initial_seconds!r}"
            )
        if type(self.backoff) not in {int, float} or not 1 <= self.backoff <= BACKOFF_MAX:
            raise InvalidValueError(
                f"Retry.backoff is a number from 1 to {BACKOFF_MAX:,}, got {self.backoff!r}"
            )
        check_bounds("Retry", self.attempts, self.non_retryable)

    @property
    def non_retryable_names(self) -> tuple[str, ...]:
        """The names of the types after which no further attempt is made, as an event keeps them."""
        return names_of(self.non_retryable)

    def delay_ns(self, attempt: int) -> int:
        """Compute the wait after a failed attempt.

        Args:
            attempt: its number, from 1.

        Returns:
            Nanoseconds, at most `maximum_seconds` of them.
        """
        thousandths = round(self.backoff * 1000)
        longest = round(self.maximum_seconds * NANOSECONDS)
        delay = round(self.initial_seconds * NANOSECONDS)
        for _ in range(attempt - 1):
            longer = delay * thousandths // 1000
            if longer == delay or delay >= longest:
                break
            delay = longer
        return min(delay, longest)

    def next_delay_ns(self, attempt: int, *, retry_after_seconds: float | None = None) -> int | None:
        """Decide whether a failed attempt is followed by another, and when.

        Args:
            attempt: the number of the failed one, from 1.
            retry_after_seconds: the wait that the failure itself asks for; it wins over the backoff, and
                over `maximum_seconds`, for it comes from whoever is being called.

        Returns:
            Nanoseconds to wait, or None when that was the last attempt.
        """
        if self.attempts is not None and attempt >= self.attempts:
            return None
        if retry_after_seconds is not None:
            return nanoseconds_asked(retry_after_seconds)
        return self.delay_ns(attempt)


def type_name(cls: type) -> str:
    """Name a class so that two modules' classes differ: ``payments.Declined``, ``ValueError``.

    Args:
        cls: the class.

    Returns:
        Its module and qualified name, the latter alone for a builtin.
    """
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def is_refused(exception: BaseException, names: Iterable[str]) -> bool:
    """Tell whether an exception is of a type that must not be tried again.

    Args:
        exception: what an attempt raised.
        names: as `Retry.non_retryable_names`: with a module or without, of its class or one above.

    Returns:
        True when it is.
    """
    wanted = set(names)
    own = getattr(exception, "type", None)  # the name that an ApplicationError gives itself
    return bool(wanted) and (
        (isinstance(own, str) and own in wanted)
        or any(cls.__name__ in wanted or type_name(cls) in wanted for cls in type(exception).__mro__)
    )
