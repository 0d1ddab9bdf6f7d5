"""All promises that a recorded history can be held against, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Final, NamedTuple

from treadle.checkers.acknowledged_once import acknowledged_once_in
from treadle.checkers.branches import branches
from treadle.checkers.followed_order import followed_order
from treadle.checkers.isolation import isolation_in
from treadle.checkers.linearizable import linearizable
from treadle.checkers.operations import Branching, History, Kept
from treadle.checkers.quarantine import quarantine
from treadle.checkers.retention import retention
from treadle.checkers.serializable import serializable
from treadle.checkers.transactions import is_transaction, transactions
from treadle.checkers.unacknowledged_once import unacknowledged_once
from treadle.checkers.unshared import unshared
from treadle.checkers.violation import Violation
from treadle.errors import UsageError


class HistoryChecker(NamedTuple):
    """A promise that a history can be held against.

    Args:
        said: the promise, in words.
        check: the checker.
        noun: what it looks at, one by one.
        count: how many of them a history has.
    """

    said: str
    check: Callable[[History], list[Violation]]
    noun: str
    count: Callable[[History], int]


def _operations(history: History) -> int:
    return sum(1 for operation in history.operations if operation.reads or operation.writes)


def _events(history: History) -> int:
    return sum(map(len, history.logs.values()))


def _acknowledged(history: History) -> int:
    return sum(
        len(write.marks)
        for operation in history.operations
        if operation.outcome == "ok"
        for write in operation.writes
    )


def _unacknowledged(history: History) -> int:
    return sum(
        len(write.marks)
        for operation in history.operations
        if operation.outcome != "ok"
        for write in operation.writes
    )


def _seen(history: History) -> int:
    followed = sum(len(seen.marks) for seen in history.followers)
    return followed + sum(
        len(read.marks or ())
        for operation in history.operations
        if operation.outcome != "unknown"
        for read in operation.reads
    )


def _quarantines(history: History) -> int:
    return len(history.quarantines)


def _branches(history: History) -> int:
    return sum(isinstance(one, Branching) for op in history.operations for one in op.lifetimes)


def _transactions(history: History) -> int:
    return sum(map(is_transaction, history.operations))


def _beginnings(history: History) -> int:
    told = sum(isinstance(one, Kept) for op in history.operations for one in op.lifetimes)
    return told + len(history.kept)


def _plain(check: Callable[[History], list[Violation]]) -> Callable[[History], list[Violation]]:
    """Let a checker see a branch as a log like any other."""
    return lambda history: check(unshared(history))


HISTORY_CHECKERS: Final[dict[str, HistoryChecker]] = {
    "acknowledged_once": HistoryChecker(
        "every acknowledged event exactly once", _plain(acknowledged_once_in), "event", _acknowledged
    ),
    "unacknowledged_once": HistoryChecker(
        "every other event at most once, refused ones never",
        _plain(unacknowledged_once),
        "event",
        _unacknowledged,
    ),
    "isolation": HistoryChecker("nothing of one workflow in another", _plain(isolation_in), "event", _events),
    "followed_order": HistoryChecker(
        "whoever reads or follows sees the log", _plain(followed_order), "event", _seen
    ),
    "linearizable": HistoryChecker(
        "each log is linearizable", _plain(linearizable), "operation", _operations
    ),
    "serializable": HistoryChecker(
        "units are strictly serializable", _plain(serializable), "operation", _operations
    ),
    "quarantine": HistoryChecker(
        "nothing leaks from a quarantine", _plain(quarantine), "quarantine", _quarantines
    ),
    "branches": HistoryChecker(
        "a branch is its parent up to a seq, then itself", branches, "branching", _branches
    ),
    "transactions": HistoryChecker(
        "whole or not at all, behind what was read", _plain(transactions), "transaction", _transactions
    ),
    "retention": HistoryChecker(
        "what is cut stays cut, all else is kept", retention, "beginning", _beginnings
    ),
}
"""The table, by the name that a user gives and a violation carries."""


def check_history(history: History, names: Iterable[str] | None = None) -> list[Violation]:
    """Hold a history against all promises, or against some.

    Args:
        history: what clients did and what the logs hold.
        names: which promises, from `HISTORY_CHECKERS`; None for all.

    Returns:
        What was found, promise by promise; an empty list means that all hold.

    Raises:
        UsageError: there is no checker of a name; the message tells the nearest.
    """
    chosen = known_checkers(HISTORY_CHECKERS if names is None else names)
    return [violation for name in chosen for violation in HISTORY_CHECKERS[name].check(history)]


def known_checkers(names: Iterable[str]) -> list[str]:
    """See that there is a checker of each name.

    Args:
        names: what a user wrote; a hyphen is as good as an underscore.

    Returns:
        The names, each once, in the order of the table.

    Raises:
        UsageError: there is none of a name; the message tells the nearest.
    """
    if isinstance(names, str):
        raise UsageError(f"names is a collection of names, got {names!r}; use a list, even for one")
    asked = [name.replace("-", "_") for name in names]
    for name in asked:
        if name not in HISTORY_CHECKERS:
            near = get_close_matches(name, HISTORY_CHECKERS, n=1, cutoff=0.5)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"there is no checker {name!r}; {guess}known are {', '.join(HISTORY_CHECKERS)}")
    return [name for name in HISTORY_CHECKERS if name in asked]
