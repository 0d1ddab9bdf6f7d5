"""Messages that reach a rehearsed workflow from outside, each at its virtual time."""

from __future__ import annotations

from typing import Any

import attrs

from treadle.errors import UsageError
from treadle.testing.workflows.scripts import check_seconds


@attrs.frozen(init=False)
class SignalAt:
    """A signal.

    Args:
        seconds: when, counted from the start.
        name: which signal.
        *args: its values.
    """

    seconds: float
    name: str
    args: tuple[Any, ...]

    def __init__(self, seconds: float, name: str, *args: Any) -> None:
        check_seconds(seconds, "seconds")
        self.__attrs_init__(seconds, name, args)


@attrs.frozen(init=False)
class UpdateAt:
    """An update.

    Args:
        seconds: when, counted from the start.
        name: of its handler.
        *args: its arguments.
        id: under which `Rehearsal.updates` has what became of it; the name unless given.
    """

    seconds: float
    name: str
    args: tuple[Any, ...]
    id: str

    def __init__(self, seconds: float, name: str, *args: Any, id: str | None = None) -> None:  # noqa: A002
        check_seconds(seconds, "seconds")
        self.__attrs_init__(seconds, name, args, name if id is None else id)


@attrs.frozen(init=False)
class QueryAt:
    """A query; `Rehearsal.answers` has the answer.

    Args:
        seconds: when, counted from the start.
        name: which query.
        *args: its arguments.
    """

    seconds: float
    name: str
    args: tuple[Any, ...]

    def __init__(self, seconds: float, name: str, *args: Any) -> None:
        check_seconds(seconds, "seconds")
        self.__attrs_init__(seconds, name, args)


@attrs.frozen
class CancelAt:
    """A cancel request.

    Args:
        seconds: when, counted from the start.
        reason: in words.
    """

    seconds: float = attrs.field()
    reason: str = ""

    @seconds.validator
    def _check_seconds(self, _attribute: object, value: object) -> None:
        check_seconds(value, "seconds")


@attrs.frozen
class TerminateAt:
    """An end from outside; the code is not asked.

    Args:
        seconds: when, counted from the start.
        reason: in words.
    """

    seconds: float = attrs.field()
    reason: str = ""

    @seconds.validator
    def _check_seconds(self, _attribute: object, value: object) -> None:
        check_seconds(value, "seconds")


Dated = SignalAt | UpdateAt | QueryAt | CancelAt | TerminateAt
"""What `run_workflow` takes as messages."""


def check_messages(messages: Any) -> tuple[Dated, ...]:
    """Refuse what is no message.

    Args:
        messages: the caller's.

    Returns:
        They, earliest first, equal times in the order in which they were given.

    Raises:
        UsageError: something else is among them.
    """
    found = tuple(messages)
    for message in found:
        if not isinstance(message, Dated):
            raise UsageError(
                "messages= holds SignalAt, UpdateAt, QueryAt, CancelAt and TerminateAt,"
                f" got {message!r}; write SignalAt(3600, 'decision', 'yes')"
            )
    return tuple(sorted(found, key=lambda message: message.seconds))
