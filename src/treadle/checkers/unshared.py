"""Branches told as plain writes, so that every other promise can be held against histories that have some.

To whoever reads it, a branch is a log like any other, which one operation has begun with all that it shares.
So here that operation *writes* what the branch shares, and the shared marks get names of their own in it, as
each mark is written once. What a branch has to be beside that, `treadle.checkers.branches` says.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from treadle.checkers.operations import Branching, History, Operation, Read, Write


def unshared(history: History) -> History:
    """Tell a history's branches as writes.

    Args:
        history: the history.

    Returns:
        One without branches; the same one when it has none.
    """
    if not any(isinstance(one, Branching) for op in history.operations for one in op.lifetimes):
        return history
    begun = begun_logs(history)

    def renamed(workflow: str, first_seq: int, marks: tuple[str, ...]) -> tuple[str, ...]:
        branching = begun.get(workflow)
        shared = 0 if branching is None else max(0, branching.at - first_seq + 1)
        if not shared or not marks:
            return marks
        return (*(_own(workflow, mark) for mark in marks[:shared]), *marks[shared:])

    return attrs.evolve(
        history,
        operations=tuple(_unshared(operation, history, begun, renamed) for operation in history.operations),
        logs={name: renamed(name, 1, marks) for name, marks in history.logs.items()},
        followers=tuple(
            attrs.evolve(seen, marks=renamed(seen.workflow, seen.first_seq, seen.marks))
            for seen in history.followers
        ),
    )


def begun_logs(history: History) -> dict[str, Branching]:
    """Find out which logs are branches: those that hold the first own event of one.

    Args:
        history: the history.

    Returns:
        Workflow id to how it began; the first one, should several have.
    """
    begun: dict[str, Branching] = {}
    for operation in history.operations:
        for one in operation.lifetimes:
            if isinstance(one, Branching) and one.mark in history.logs.get(one.workflow, ()):
                begun.setdefault(one.workflow, one)
    return begun


def _own(workflow: str, mark: str) -> str:
    return f"{mark} in {workflow}"


_Renaming = Callable[[str, int, "tuple[str, ...]"], "tuple[str, ...]"]


def _unshared(
    operation: Operation, history: History, begun: dict[str, Branching], renamed: _Renaming
) -> Operation:
    branches = [one for one in operation.lifetimes if isinstance(one, Branching)]
    reads = tuple(
        read
        if read.marks is None or read.workflow not in begun
        else Read(read.workflow, renamed(read.workflow, read.first_seq, read.marks), read.first_seq)
        for read in operation.reads
    )
    if not branches:
        return operation if reads == operation.reads else attrs.evolve(operation, reads=reads)
    written = tuple(_written(one, history, begun, operation) for one in branches)
    others = tuple(one for one in operation.lifetimes if not isinstance(one, Branching))
    return attrs.evolve(operation, reads=reads, writes=(*operation.writes, *written), lifetimes=others)


def _written(one: Branching, history: History, begun: dict[str, Branching], operation: Operation) -> Write:
    if begun.get(one.workflow) is not one:
        return Write(one.workflow, (one.mark,))
    shared = history.logs[one.workflow][: one.at]
    marks = (*(_own(one.workflow, mark) for mark in dict.fromkeys(shared)), one.mark)
    return Write(one.workflow, marks, 1 if operation.outcome == "ok" else None)
