"""`treadle check`: a history that was recorded somewhere, held against the promises here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import attrs
from cyclopts import Parameter

from treadle.checkers import (
    HISTORY_CHECKERS,
    VIOLATIONS_MAX,
    History,
    HistoryReader,
    Violation,
    known_checkers,
)
from treadle.cli.exits import OK, VIOLATION
from treadle.cli.files import opened, size_bytes, told_name
from treadle.cli.notes import note
from treadle.cli.options import OutputFormat, OutputOption
from treadle.cli.output import Column, Rows, counted, progress, show_facts
from treadle.formats import decompressed
from treadle.formats.lines import numbered_lines

EXAMPLES: Final = """Examples:

  treadle check history.jsonl
  treadle check history.jsonl.gz --checker linearizable --checker serializable
  zcat history.jsonl.gz | treadle check - -o json
"""
LINE_SIZE_BYTES_MAX: Final = 1024 * 1024 * 1024
"""A log is told in one line, however long: tens of millions of events fit into this."""
_NOTED_MAX: Final = 10
_COLUMNS: Final = (
    Column("promise", max(map(len, HISTORY_CHECKERS))),
    Column("checked", 20, right=True),
    Column("violations", 11),
    Column("what holds, or the first violation"),
)


@attrs.frozen
class Checked:
    """What one checker came to.

    Args:
        promise: its name.
        checked: how many things it looked at.
        violations: what it found.
    """

    promise: str
    checked: int
    violations: list[Violation]

    def record(self) -> dict[str, Any]:
        """Word it as a JSON object."""
        return {
            "promise": self.promise,
            "said": HISTORY_CHECKERS[self.promise].said,
            "checked": self.checked,
            "violations": len(self.violations),
            "first": str(self.violations[0]) if self.violations else None,
        }

    def cells(self) -> tuple[str, str, str, str]:
        """Word it for a table."""
        checker = HISTORY_CHECKERS[self.promise]
        count = len(self.violations)
        found = f"{count} or more" if count >= VIOLATIONS_MAX else str(count) if count else "none"
        first = str(self.violations[0]).removeprefix(f"{self.promise}: ") if self.violations else ""
        if not self.checked and not count:
            found, first = "-", "nothing of it was recorded"
        return self.promise, counted(self.checked, checker.noun), found, first or checker.said


def check(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    checker: Annotated[list[str] | None, Parameter(negative="", metavar="NAME")] = None,
    output: OutputOption = "table",
) -> int:
    """Hold a recorded history of operations against every promise, and name what is broken.

    The history is JSON Lines, plain or gzip: what clients did and saw, with times, and what the logs held at
    the end; any store and any client can be recorded so. Each promise has a row: how much was checked, how
    many violations there are, and the first of them. The exit code is 4 when there is one.

    Args:
        file: the history; - reads stdin.
        checker: only this promise; may be given several times.
        output: how the verdict is printed.

    Returns:
        The exit code.

    Raises:
        UsageError: there is no such checker.
        FormatError: the file is no history, or contradicts itself; the line is named.
        OSError: it cannot be read.
    """
    names = known_checkers(HISTORY_CHECKERS if checker is None else checker)
    history, passed_over = _read(file)
    results = _check(history, names)
    violations = [violation for result in results for violation in result.violations]
    for violation in violations[:_NOTED_MAX]:
        note(f"violation: {violation}")
    if passed_over:
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in passed_over.items())
        note(f"lines of other kinds, passed over: {kinds}")
    _show(output, history, passed_over, results)
    return VIOLATION if violations else OK


def _read(name: str) -> tuple[History, dict[str, int]]:
    source = told_name(name)
    reader = HistoryReader(source)
    bar = progress(f"reading {Path(source).name}", size_bytes(name))
    with bar as advance, opened(name, advance) as chunks:
        plain = decompressed(chunks, source=source)
        for _, line in numbered_lines(plain, source=source, size_bytes_max=LINE_SIZE_BYTES_MAX):
            reader.take(line)
    return reader.finish(), dict(reader.passed_over)


def _check(history: History, names: list[str]) -> list[Checked]:
    results = []
    with progress("checking", len(names)) as advance:
        for name in names:
            checker = HISTORY_CHECKERS[name]
            results.append(Checked(name, checker.count(history), checker.check(history)))
            advance(1)
    return results


def _show(
    output: OutputFormat, history: History, passed_over: dict[str, int], results: list[Checked]
) -> None:
    if output == "table":
        with Rows(output, *_COLUMNS) as rows:
            for result in results:
                rows.add({}, *result.cells())
        return
    violations = [violation for result in results for violation in result.violations]
    facts = {
        "ok": not violations,
        "operations": len(history.operations),
        "logs": len(history.logs),
        "events": sum(map(len, history.logs.values())),
        "followers": len(history.followers),
        "passed_over": passed_over,
        "promises": [result.record() for result in results],
        "violations": [attrs.asdict(violation) for violation in violations],
    }
    show_facts(output, "checked", facts, {})
