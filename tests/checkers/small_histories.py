"""Small histories for hypothesis: some come from an order, and then perhaps one thing in them is changed."""

from __future__ import annotations

import attrs
from hypothesis import strategies as st

from treadle.checkers import History, Operation, Read, Write

NAMES = ("a", "b")
CLOCK_MAX = 12


@st.composite
def ordered(draw: st.DrawFn) -> History:
    """Up to five operations on two logs that happened in an order, and perhaps something spoilt."""
    count = draw(st.integers(1, 5))
    logs: dict[str, tuple[str, ...]] = {"a": (), "b": ()}
    # The operations in the order of their moments; what they are answered fits this order, unless spoilt.
    operations = []
    for number in range(count):
        operation, logs = _carried_out(draw, number, logs)
        operations.append(operation)
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 2)))):
        operations, logs = draw(st.sampled_from(SPOILERS))(draw, operations, logs)
    return History(tuple(draw(st.permutations(operations))), logs)


@st.composite
def crossed(draw: st.DrawFn) -> History:
    """Up to four operations that each log took in an order of its own: each is right, all may be wrong."""
    count = draw(st.integers(2, 4))
    parts = {number: ([], []) for number in range(count)}
    logs = {}
    for name in NAMES:
        log = ()
        for number in draw(st.permutations(range(count))):
            reads, writes = parts[number]
            does = draw(st.sampled_from(("nothing", "read", "write", "guarded write")))
            if does in {"read", "guarded write"}:
                reads.append(draw(st.sampled_from((Read(name, log), Read(name, next_seq=len(log) + 1)))))
            if does in {"write", "guarded write"}:
                marks = tuple(f"{number}{name}{place}" for place in range(draw(st.integers(1, 2))))
                writes.append(Write(name, marks))
                log += marks
        logs[name] = log
    operations = []
    for number, (reads, writes) in parts.items():
        begin = draw(st.sampled_from((0, 0, 0, 1, 2)))
        end = begin + draw(st.sampled_from((0, 2, 2, 2)))
        operations.append(Operation(number, f"c{number}", begin, end, "ok", tuple(reads), tuple(writes)))
    return History(tuple(operations), logs)


def histories() -> st.SearchStrategy[History]:
    """Small histories of all sorts, right or wrong."""
    return ordered() | crossed()


def _carried_out(draw, number, logs):
    outcome = draw(st.sampled_from(("ok", "ok", "ok", "ok", "refused", "unknown")))
    reads = tuple(_read(draw, logs) for _ in range(draw(st.sampled_from((0, 1, 1, 2)))))
    names = draw(st.sampled_from(((), ("a",), ("a",), ("b",), ("a", "b"), ("b", "a"))))
    takes_place = outcome == "ok" or (outcome == "unknown" and draw(st.booleans()))
    writes, after = [], dict(logs)
    for name in names:
        marks = tuple(f"{number}{name}{place}" for place in range(draw(st.sampled_from((1, 1, 2)))))
        told = takes_place and draw(st.booleans())
        writes.append(Write(name, marks, len(logs[name]) + 1 if told else None))
        if takes_place:
            after[name] += marks
    # Its moment is at 2 * number; a wide span says little about its order, a narrow one much.
    moment = 2 * number
    begin = moment - draw(st.sampled_from((0, 0, 1, 3, CLOCK_MAX)))
    end = moment + draw(st.sampled_from((0, 0, 1, 3, CLOCK_MAX)))
    if outcome == "unknown" and draw(st.booleans()):
        end = None
    operation = Operation(number, f"c{number}", begin, end, outcome, reads, tuple(writes))
    return operation, after


def _read(draw, logs):
    name = draw(st.sampled_from(NAMES))
    log = logs[name]
    if draw(st.booleans()):
        return Read(name, next_seq=len(log) + 1)
    first_seq = draw(st.integers(1, len(log) + 2))
    return Read(name, log[first_seq - 1 :], first_seq)


# -- what can be wrong with it ------------------------------------------------------------------------------


def _swap(draw, operations, logs):
    name = draw(st.sampled_from(NAMES))
    return operations, {**logs, name: tuple(draw(st.permutations(logs[name])))}


def _lose(draw, operations, logs):
    name = draw(st.sampled_from(NAMES))
    if not logs[name]:
        return operations, logs
    place = draw(st.integers(0, len(logs[name]) - 1))
    return operations, {**logs, name: logs[name][:place] + logs[name][place + 1 :]}


def _double(draw, operations, logs):
    name, into = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
    if not logs[name]:
        return operations, logs
    mark = draw(st.sampled_from(logs[name]))
    place = draw(st.integers(0, len(logs[into])))
    return operations, {**logs, into: (*logs[into][:place], mark, *logs[into][place:])}


def _insert(draw, operations, logs):
    name = draw(st.sampled_from(NAMES))
    wanted = [mark for op in operations for write in op.writes for mark in write.marks]
    mark = draw(st.sampled_from([*wanted, "nobody's"]))
    if mark in {*logs["a"], *logs["b"]}:
        return operations, logs
    place = draw(st.integers(0, len(logs[name])))
    return operations, {**logs, name: (*logs[name][:place], mark, *logs[name][place:])}


def _change(draw, operations, change):
    place = draw(st.integers(0, len(operations) - 1))
    return [*operations[:place], change(operations[place]), *operations[place + 1 :]]


def _move_in_time(draw, operations, logs):
    begin = draw(st.integers(-2, CLOCK_MAX))
    length = draw(st.integers(0, 3))

    def moved(operation):
        end = None if operation.end is None else begin + length
        return attrs.evolve(operation, begin=begin, end=end)

    return _change(draw, operations, moved), logs


def _see_something_else(draw, operations, logs):
    stretch = draw(st.lists(st.sampled_from([*logs["a"], *logs["b"], "nobody's"]), max_size=3))
    read = Read(draw(st.sampled_from(NAMES)), tuple(stretch), draw(st.integers(1, 3)))
    return _change(draw, operations, lambda operation: attrs.evolve(operation, reads=(read,))), logs


def _see_another_time(draw, operations, logs):
    reads = (_read(draw, {name: log[: draw(st.integers(0, len(log)))] for name, log in logs.items()}),)
    return _change(draw, operations, lambda op: attrs.evolve(op, reads=op.reads + reads)), logs


def _tell_another_seq(draw, operations, logs):
    seq = draw(st.integers(1, 6))

    def told(operation):
        writes = operation.writes
        return attrs.evolve(operation, writes=tuple(attrs.evolve(write, seq=seq) for write in writes))

    return _change(draw, operations, told), logs


def _answer_otherwise(draw, operations, logs):
    outcome = draw(st.sampled_from(("ok", "refused", "unknown")))

    def answered(operation):
        if operation.end is None:
            return operation
        return attrs.evolve(operation, outcome=outcome)

    return _change(draw, operations, answered), logs


SPOILERS = (
    _swap,
    _lose,
    _double,
    _insert,
    _move_in_time,
    _move_in_time,
    _see_something_else,
    _see_another_time,
    _see_another_time,
    _tell_another_seq,
    _answer_otherwise,
)
