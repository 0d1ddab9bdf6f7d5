"""From an exception to the value that the log keeps of it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from treadle.engine.failures.values import NO_DETAILS, Failure
from treadle.engine.retry import SECONDS_MAX, is_refused
from treadle.errors import InvalidValueError, RecordedError
from treadle.payloads import Converter

MESSAGE_LENGTH_MAX: Final = 4_096
"""Characters of a text that are kept: more is a document, not a reason."""
TYPE_LENGTH_MAX: Final = 255
"""Characters of a type's name that are kept."""
DETAILS_SIZE_BYTES_MAX: Final = 64 * 1024
"""What a failure carries beside its text; it is written even when nothing else fits any more."""
DEPTH_MAX: Final = 8
"""Causes that are followed; deeper ones rarely tell more."""
MEMBERS_MAX: Final = 16
"""Members of an exception group that are kept: of a thousand failed children the first tell enough."""
NODES_MAX: Final = 32
"""Exceptions in one failure, causes and members together: so a failure always fits into an event."""
TRACEBACK_LENGTH_MAX: Final = 16_384
"""Characters of a traceback that are kept: its beginning and its end."""

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,16}\b")


class ApplicationError(Exception):
    """An activity's, a handler's or a workflow's own failure, with what its caller needs to act on it.

    Any exception fails an attempt; this one says more.

    Args:
        message: what happened.
        *details: JSON values that come back as `ActivityError.details`.
        type: the name it is known by, where the class of an exception stands otherwise.
        non_retryable: no further attempt is made.
        retry_after_seconds: the next attempt waits so long, whatever the backoff says.

    Raises:
        InvalidValueError: `retry_after_seconds` is negative, not finite or over ten years.
    """

    def __init__(
        self,
        message: str,
        *details: Any,
        type: str | None = None,  # noqa: A002 - the word users know; it shadows nothing they need here
        non_retryable: bool = False,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, *details)
        if retry_after_seconds is not None and not 0 <= retry_after_seconds <= SECONDS_MAX:
            raise InvalidValueError(
                f"retry_after_seconds is a number from 0 to {SECONDS_MAX:,}, got {retry_after_seconds!r}"
            )
        self.message = message
        self.details = details
        self.type = type
        self.non_retryable = non_retryable
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return str(self.message)


def failure_of(
    exception: BaseException, converter: Converter, *, non_retryable: Sequence[str] = ()
) -> Failure:
    """Make the value that the log keeps of an exception.

    Causes given with ``raise ... from`` are followed and members of groups kept, all within limits. It never
    raises: what cannot be kept is left out and said so.

    Args:
        exception: the exception.
        converter: encodes the details.
        non_retryable: names of types that must not be tried again (`Retry.non_retryable_names`).

    Returns:
        The failure; `non_retryable` is set when the exception says so or its type is among the names.
    """
    return _Maker(converter, non_retryable).make(exception, 0)


def traceback_of(exception: BaseException) -> str:
    """Write the traceback of an exception, for people: it is kept beside a failure and never compared.

    Args:
        exception: the exception.

    Returns:
        The text, its middle left out when it is too long.
    """
    try:
        text = "".join(traceback.format_exception(exception, limit=-32, chain=True))
    except Exception as error:  # noqa: BLE001 - an exception whose own text raises must still be recorded
        return f"(its traceback cannot be written: {type(error).__name__})"
    if len(text) <= TRACEBACK_LENGTH_MAX:
        return text
    half = TRACEBACK_LENGTH_MAX // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} characters left out ...\n{text[-half:]}"


class _Maker:
    """One walk along the causes and members of an exception, with what is left of its limits."""

    __slots__ = ("_converter", "_nodes", "_non_retryable", "_seen")

    def __init__(self, converter: Converter, non_retryable: Sequence[str]) -> None:
        self._converter = converter
        self._non_retryable = non_retryable
        self._nodes = 0
        # By id, and held: the id of a freed exception would be given to the next.
        self._seen: dict[int, BaseException] = {}

    def make(self, exception: BaseException, depth: int) -> Failure:
        self._nodes += 1
        self._seen[id(exception)] = exception
        cause = _cause_of(exception)
        details, note = self._details_of(exception)
        return Failure(
            _type_of(exception),
            _bounded(_text_of(exception) + note, MESSAGE_LENGTH_MAX),
            details=details,
            members=self._members(exception, depth),
            cause=None if cause is None or not self._has_room(cause, depth) else self.make(cause, depth + 1),
            non_retryable=self._forbids(exception, depth),
            retry_after_seconds=_retry_after(exception),
        )

    def _has_room(self, exception: BaseException, depth: int) -> bool:
        return id(exception) not in self._seen and depth + 1 < DEPTH_MAX and self._nodes < NODES_MAX

    def _members(self, exception: BaseException, depth: int) -> tuple[Failure, ...]:
        inside = exception.exceptions if isinstance(exception, BaseExceptionGroup) else ()
        if isinstance(exception, RecordedError):
            inside = exception.members
        return tuple(
            self.make(member, depth + 1) for member in inside[:MEMBERS_MAX] if self._has_room(member, depth)
        )

    def _forbids(self, exception: BaseException, depth: int) -> bool:
        """Only what the attempt itself raised decides whether there is another, not what led to it."""
        if depth:
            return False
        return bool(getattr(exception, "non_retryable", False)) or is_refused(exception, self._non_retryable)

    def _details_of(self, exception: BaseException) -> tuple[msgspec.Raw, str]:
        details = getattr(exception, "details", ()) if _has_details(exception) else ()
        if not details:
            return NO_DETAILS, ""
        try:
            encoded = self._converter.encode(list(details))
        except InvalidValueError as error:
            return NO_DETAILS, f" (its details are left out: {error})"
        if len(encoded) > DETAILS_SIZE_BYTES_MAX:
            return NO_DETAILS, f" (its details are left out: {len(encoded):,} bytes of JSON)"
        return msgspec.Raw(encoded), ""


def _has_details(exception: BaseException) -> bool:
    return isinstance(exception, ApplicationError) or type(exception) is RecordedError


def _cause_of(exception: BaseException) -> BaseException | None:
    if isinstance(exception, RecordedError) and type(exception) is not RecordedError:
        return _own_failure(exception)
    # Never `__context__`: Python also puts there what whoever drives the code is handling just then, so a
    # replay made inside an `except` block would record another failure than the first run.
    return exception.__cause__


def _own_failure(error: RecordedError) -> RecordedError:
    """An ActivityError is the failure of the activity, told by another: as a chain it is two."""
    return RecordedError(
        error.failure_message,
        failure_type=error.failure_type,
        failure_message=error.failure_message,
        details=error.details,
        cause=error.cause,
        members=error.members,
    )


def _type_of(exception: BaseException) -> str:
    name: Any = type(exception).__name__
    if isinstance(exception, ApplicationError) and exception.type:
        name = exception.type
    elif type(exception) is RecordedError:
        name = exception.failure_type
    return _bounded(str(name), TYPE_LENGTH_MAX)


def _text_of(exception: BaseException) -> str:
    if type(exception) is RecordedError:
        return exception.failure_message
    try:
        text = str(exception)
    except Exception as error:  # noqa: BLE001 - an exception whose own text raises must still be recorded
        text = f"(its text cannot be written: {type(error).__name__})"
    return _ADDRESS.sub("0x...", text.encode(errors="backslashreplace").decode())


def _retry_after(exception: BaseException) -> float | None:
    found = getattr(exception, "retry_after_seconds", None)
    return found if isinstance(found, int | float) and 0 <= found <= SECONDS_MAX else None


def _bounded(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else f"{text[: length_max - 1]}…"
