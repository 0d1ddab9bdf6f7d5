"""What a history means, by trying all orders: slow, short, and written without a look at the checkers."""

from __future__ import annotations

from treadle.checkers import History, Operation


def has_order(history: History, *, real_time: bool) -> bool:
    """Whether the operations can have happened one at a time and left the logs as they are."""
    goal = tuple((name, tuple(marks)) for name, marks in sorted(history.logs.items()))
    return _search(history.operations, goal, real_time=real_time)


def has_order_in_each_log(history: History) -> bool:
    """Whether what concerns one log can have happened so, for each log by itself, and in real time."""
    named = {part.workflow for op in history.operations for part in (*op.reads, *op.writes)}
    return all(
        _search(_about(name, history.operations), ((name, history.logs.get(name, ())),), real_time=True)
        for name in named | set(history.logs)
    )


def _about(name, operations):
    return [
        Operation(
            op.op,
            op.client,
            op.begin,
            op.end,
            op.outcome,
            tuple(read for read in op.reads if read.workflow == name),
            tuple(write for write in op.writes if write.workflow == name),
        )
        for op in operations
    ]


def _search(operations, goal, *, real_time):
    everybody = frozenset(range(len(operations)))
    must = {place for place in everybody if operations[place].outcome != "unknown"}
    before = {
        place: {
            other
            for other in must
            if real_time and operations[other].end < operations[place].begin and other != place
        }
        for place in everybody
    }
    tried = set()
    waiting = [(frozenset(), tuple((name, ()) for name, _ in goal))]
    while waiting:
        done, logs = waiting.pop()
        if (done, logs) in tried:
            continue
        tried.add((done, logs))
        if must <= done and logs == goal:
            return True
        for place in everybody - done:
            if before[place] <= done:
                after = _carried_out(operations[place], dict(logs))
                if after is not None:
                    waiting.append((done | {place}, tuple(sorted(after.items()))))
    return False


def _carried_out(operation, logs):
    for read in operation.reads:
        log = logs.get(read.workflow, ())
        if read.next_seq is not None and read.next_seq != len(log) + 1:
            return None
        if read.marks is not None and log[read.first_seq - 1 :] != read.marks:
            return None
    if operation.outcome == "refused":
        return logs
    for write in operation.writes:
        log = logs.get(write.workflow, ())
        if write.seq is not None and write.seq != len(log) + 1:
            return None
        logs[write.workflow] = log + write.marks
    return logs
