"""`treadle store doctor`: every check there is, and for each what it means and what to do."""

from __future__ import annotations

from typing import Final

import attrs
import trio

from treadle.cli.exits import OK, VIOLATION, CommandError
from treadle.cli.notes import write_out
from treadle.cli.options import DEFAULT_STORE, OutputOption, StoreOption
from treadle.cli.output import Column, Rows, counted, printable
from treadle.cli.store.informing import runner_of
from treadle.cli.stores import path_of
from treadle.stores import sqlite

EXAMPLES: Final = """Examples:

  treadle store doctor
  treadle store doctor --store orders.db -o json
"""
_COLUMNS: Final = (Column("check", 18), Column("state", 8), Column("found"))


def doctor(*, output: OutputOption = "table", store: StoreOption = DEFAULT_STORE) -> int:
    """Make every check of a store there is, and say for each what it means and what to do.

    It looks at the SQLite library, the file, permissions, left-over drafts, the poison marker, the header,
    locks, the write-ahead log, the schema's version, room, the clock, who runs the workflows, and the
    structure: pages, indices, checksums. It changes nothing. The digest chains are read by `treadle log
    verify`. The exit code is 4 when something is wrong; a notice is only worth knowing.

    Args:
        output: how the findings are printed.
        store: the store.

    Returns:
        The exit code.

    Raises:
        CommandError: it is a store in memory.
    """
    if store.lower().startswith("memory:"):
        raise CommandError(
            "a memory store ends with its process: there is nothing to look at; name another one"
        )
    found: list[sqlite.Diagnosis] = []
    with Rows(output, *_COLUMNS) as rows:
        for diagnosis in sqlite.diagnose(path_of(store)):
            found.append(diagnosis)
            rows.add(attrs.asdict(diagnosis), diagnosis.check, diagnosis.state, diagnosis.found)
        if len(found) > 1 and all(diagnosis.state != "wrong" for diagnosis in found):
            runner = sqlite.Diagnosis(
                "runner", "ok", trio.run(runner_of, store) or "nobody runs its workflows"
            )
            found.append(runner)
            rows.add(attrs.asdict(runner), runner.check, runner.state, runner.found)
    if output == "table":
        _tell(found)
    return VIOLATION if any(diagnosis.state == "wrong" for diagnosis in found) else OK


def _tell(found: list[sqlite.Diagnosis]) -> None:
    for diagnosis in found:
        if diagnosis.state != "ok":
            write_out(
                f"\n{diagnosis.check} ({diagnosis.state}): {printable(diagnosis.found)}\n"
                f"  means: {printable(diagnosis.means)}\n  do: {printable(diagnosis.advice)}\n"
            )
    wrong = sum(diagnosis.state == "wrong" for diagnosis in found)
    notices = sum(diagnosis.state == "notice" for diagnosis in found)
    verdict = f"{counted(wrong, 'thing')} wrong" if wrong else "nothing is wrong"
    write_out(f"\n{verdict}, {counted(notices, 'notice')}\n")
