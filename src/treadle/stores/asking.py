"""What a store may be asked: the same for both our stores, checked before either of them looks.

A question that cannot be right must not be answered: a list read from place -1 gives its last event, SQLite
takes a limit of -1 for none, and both would call what they cannot compare a bug or a damaged file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from treadle.errors import InvalidValueError
from treadle.events import check_prefix

LIMIT_MAX: Final = 2**63 - 2
"""What fits into a statement with one more to tell whether a page is the last."""


def check_id(workflow_id: object) -> None:
    """Refuse what cannot be a log's name; one that no log can have reads as an empty log.

    Args:
        workflow_id: the log.

    Raises:
        InvalidValueError: not a str, or not valid Unicode.
    """
    _check_text(workflow_id, "a workflow id; make one with workflow_id()")


def check_ids(workflow_ids: Sequence[object]) -> None:
    """Refuse what cannot be logs' names.

    Args:
        workflow_ids: the logs.

    Raises:
        InvalidValueError: no sequence, or one of them is not a str or not valid Unicode.
    """
    if not isinstance(workflow_ids, list | tuple):
        raise InvalidValueError(f"workflow ids are given as a list, got {workflow_ids!r:.60}")
    try:
        # All at once: a thousand heads are asked for together.
        "".join(workflow_ids).encode()
    except (TypeError, UnicodeEncodeError):
        for workflow_id in workflow_ids:
            check_id(workflow_id)


def check_page(limit: object, after: object = 0) -> None:
    """Refuse what cannot bound a page that goes on behind a number.

    Args:
        limit: the most to give.
        after: the seq or position to go on behind.

    Raises:
        InvalidValueError: not an int, or below 0; or a limit above `LIMIT_MAX`.
    """
    _check_int(limit, 0, "a limit")
    if limit > LIMIT_MAX:  # type: ignore[operator]  # an int by now
        raise InvalidValueError(f"a limit is an int of at most {LIMIT_MAX}, got {limit}")
    _check_int(after, 0, "the place to go on behind")


def check_stretch(workflow_id: object, from_seq: object, to_seq: object, limit: object) -> None:
    """Refuse what cannot be a page of a log.

    Args:
        workflow_id: the log.
        from_seq: its first seq.
        to_seq: its last seq, or None; 0 for nothing.
        limit: the most events.

    Raises:
        InvalidValueError: one of them is not.
    """
    check_id(workflow_id)
    _check_int(from_seq, 1, "the first seq")
    if to_seq is not None:
        _check_int(to_seq, 0, "the last seq")
    check_page(limit)


def check_times(since: object, until: object) -> None:
    """Refuse what cannot bound event time.

    Args:
        since: the earliest.
        until: the latest, or None.

    Raises:
        InvalidValueError: not an int.
    """
    _check_int(since, None, "a time")
    if until is not None:
        _check_int(until, None, "a time")


def check_names(prefix: object, after: object = None) -> None:
    """Refuse what cannot choose names.

    Args:
        prefix: what they begin with.
        after: the name to go on behind, or None.

    Raises:
        InvalidValueError: not a str, or not valid Unicode.
    """
    check_prefix(prefix)  # type: ignore[arg-type]  # that is what it asks
    if after is not None:
        _check_text(after, "the id to go on behind")


def check_due(until_ns: object, after: object) -> None:
    """Refuse what cannot choose wake-up times.

    Args:
        until_ns: the latest.
        after: the time and id to go on behind, or None.

    Raises:
        InvalidValueError: no int, or no pair of an int and a str.
    """
    check_times(until_ns, None)
    if after is None:
        return
    if not isinstance(after, tuple) or len(after) != 2:
        raise InvalidValueError(f"the place to go on behind is a time and an id, got {after!r:.60}")
    check_times(after[0], None)
    _check_text(after[1], "the id to go on behind")


def check_space(namespace: object) -> None:
    """Refuse what cannot be whose records they are.

    Args:
        namespace: whose.

    Raises:
        InvalidValueError: not a str, or not valid Unicode.
    """
    _check_text(namespace, "a record's namespace")


def check_bytes(key: object) -> None:
    """Refuse what cannot be a key.

    Args:
        key: of an event or a record.

    Raises:
        InvalidValueError: not bytes.
    """
    if type(key) is not bytes:
        raise InvalidValueError(f"a key is bytes, got {key!r:.60} ({type(key).__name__}); encode it first")


def check_copy(path: object) -> str:
    """Refuse what cannot be the name of a copy.

    Args:
        path: where it shall lie.

    Returns:
        The path as a str.

    Raises:
        InvalidValueError: no path, empty, or with characters that do not print.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str) or not text or not text.isprintable():
        raise InvalidValueError(f"a backup is given a path, got {path!r:.60}; try 'orders-monday.db'")
    return text


def _check_int(value: object, least: int | None, what: str) -> None:
    if type(value) is not int or (least is not None and value < least):
        bound = "" if least is None else f" of at least {least}"
        raise InvalidValueError(f"{what} is an int{bound}, got {value!r:.60} ({type(value).__name__})")


def _check_text(value: object, what: str) -> None:
    if not isinstance(value, str):
        raise InvalidValueError(f"expected a str for {what}; got {value!r:.60} ({type(value).__name__})")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValueError(
            f"expected valid Unicode for {what}; got a lone surrogate in {value[:60]!a}"
        ) from None
