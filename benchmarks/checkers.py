"""What `treadle check` costs for each operation, and how that grows with the history's length.

A history of some thousand logs and a hundred clients is written to a file: appends, reads of the last few
events, conflicts, units over two logs, operations without an answer. It is read and held against every
promise; CPU time is told for each part, as a median. `growth` is the cost at the greatest length divided by
what n log n makes of the cost at the one before it: 1 is n log n, less is better.

`OPERATIONS` sets the lengths (100000,500000,1000000).
"""

from __future__ import annotations

import gc
import os
import random
import resource
import statistics
import time
from math import log2
from pathlib import Path

from common import ROUNDS, emit, scratch

from treadle.checkers import (
    HISTORY_CHECKERS,
    History,
    Operation,
    Read,
    Write,
    history_lines,
    operation_line,
    read_history,
)

LENGTHS = [int(text) for text in os.environ.get("OPERATIONS", "100000,500000,1000000").split(",")]
LOGS, CLIENTS = 1_000, 100


class Recorder:
    """Clients that do one thing after another to logs that behave; each thing may take a while."""

    def __init__(self) -> None:
        self.random = random.Random(7)
        self.logs: dict[str, list[str]] = {f"workflow-{number}": [] for number in range(LOGS)}
        self.names = list(self.logs)

    def operation(self, number: int) -> Operation:
        """The next one; its moment is its begin."""
        client = f"client-{int(self.random.random() * CLIENTS)}"
        end = number + 1 + int(self.random.random() * CLIENTS)
        one, other = self.random.sample(self.names, 2)
        chance = self.random.random()
        if chance < 0.25:
            first_seq = max(1, len(self.logs[one]) - int(self.random.random() * 5))
            read = Read(one, tuple(self.logs[one][first_seq - 1 :]), first_seq)
            return Operation(number, client, number, end, "ok", (read,))
        if chance < 0.35:
            conflict = Read(one, next_seq=len(self.logs[one]) + 1)
            wanted = Write(one, (f"e{number}",))
            return Operation(number, client, number, end, "refused", (conflict,), (wanted,))
        if chance < 0.4:
            wanted = Write(one, (f"e{number}",))
            if self.random.random() < 0.5:
                self.append(one, *wanted.marks)
            return Operation(number, client, number, None, "unknown", (), (wanted,))
        if chance < 0.5:
            guard = Read(other, next_seq=len(self.logs[other]) + 1)
            writes = (self.append(one, f"e{number}.0", f"e{number}.1"), self.append(other, f"e{number}.2"))
            return Operation(number, client, number, end, "ok", (guard,), writes)
        return Operation(number, client, number, end, "ok", (), (self.append(one, f"e{number}"),))

    def append(self, name: str, *marks: str) -> Write:
        """Append to a log, and tell at which seq."""
        self.logs[name].extend(marks)
        return Write(name, marks, len(self.logs[name]) - len(marks) + 1)


def record(path: Path, length: int) -> None:
    """Write a history."""
    recorder = Recorder()
    with path.open("wb") as file:
        file.writelines(operation_line(recorder.operation(number)) for number in range(length))
        file.writelines(history_lines(History((), recorder.logs)))


def check(path: Path) -> dict[str, float]:
    """Read a history and hold it against every promise; CPU seconds of each part."""
    seconds = {}
    begun = time.process_time()
    with path.open("rb") as file:
        history = read_history(file)
    seconds["read"] = time.process_time() - begun
    for name, checker in HISTORY_CHECKERS.items():
        begun = time.process_time()
        assert checker.check(history) == []
        seconds[name] = time.process_time() - begun
    return {**seconds, "all": sum(seconds.values())}


def main() -> None:
    """Measure and print."""
    # As the command sets it.
    gc.set_threshold(100_000, 20, 50)
    results: dict[str, dict[str, float]] = {}
    with scratch() as folder:
        for length in LENGTHS:
            record(folder / "history.jsonl", length)
            rounds = [check(folder / "history.jsonl") for _ in range(ROUNDS)]
            results[f"{length:,}"] = {
                name: statistics.median(round_[name] for round_ in rounds) for name in rounds[0]
            }
    growth = {}
    if len(LENGTHS) > 1:
        before, last = LENGTHS[-2:]
        expected = last * log2(last) / (before * log2(before))
        growth = {
            name: round(results[f"{last:,}"][name] / results[f"{before:,}"][name] / expected, 2)
            for name in results[f"{last:,}"]
        }
    emit(
        "checkers",
        {
            "cpu_seconds": {
                length: {name: round(value, 3) for name, value in values.items()}
                for length, values in results.items()
            },
            "growth": growth,
            "resident_mb_max": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
        },
    )


if __name__ == "__main__":
    main()
