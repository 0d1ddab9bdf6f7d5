"""What crashing everywhere and searching orders have in common: many runs of one seed, and one verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import process_time
from typing import Any, Final

from treadle.cli.exits import OK, VIOLATION
from treadle.cli.notes import note
from treadle.cli.options import OutputFormat
from treadle.cli.output import counted, show_facts
from treadle.cli.sim.histories import save, usual_path
from treadle.cli.sim.worlds import again_of, counts, tell_violations, verdict_rows
from treadle.sim.running import Run

KEPT_MAX: Final = 1_000
"""How many broken worlds are kept, each with its history on disk: nobody looks at more of them."""


class Tried:
    """Takes the runs of one exploration, tells of the broken ones at once, and keeps their histories.

    Attributes:
        worlds: how many were run.
        kept: the histories of broken ones: run, what is wrong with it in words, file, command.
    """

    def __init__(self) -> None:
        self.worlds = 0
        self.kept: list[dict[str, Any]] = []
        self._decisions = 0
        self._counts: dict[str, int] = {}
        self._promises: dict[str, str] = {}
        self._begun = process_time()

    def take(self, run: Run) -> None:
        """Add a run.

        Args:
            run: what was made.

        Raises:
            OSError: its history could not be written.
        """
        self.worlds += 1
        self._decisions += run.decisions
        self._promises.update(run.promises)
        for promise, count in counts(run.promises, list(run.violations)).items():
            self._counts[promise] = self._counts.get(promise, 0) + count
        if not run.holds:
            self.keep(run, [str(found) for found in run.violations])

    def keep(self, run: Run, what: list[str]) -> None:
        """Save the history of a run that is not as it should be, and tell how to see it again.

        Args:
            run: which.
            what: what is wrong with it.

        Raises:
            OSError: its history could not be written.
        """
        path: Path = save(run, usual_path(run))
        again = again_of(run, path)
        tell_violations(run, path, again)
        if run.holds:
            note("\n".join([*what, f"history: {path}", f"reproduce: {again}"]))
        self.kept.append(
            {
                "kills": [list(kill) for kill in run.plan.kills],
                "forced": [list(one) for one in run.plan.forced or ()],
                "violations": what[:10],
                "history": str(path),
                "reproduce": again,
            }
        )

    def show(self, output: OutputFormat, title: str, told: Mapping[str, Any], rows: Mapping[str, Any]) -> int:
        """Print the verdict.

        Args:
            output: how.
            title: what stands above it.
            told: what this kind of exploration has to say, as an object.
            rows: the same for a table.

        Returns:
            The exit code.
        """
        cpu_seconds = process_time() - self._begun
        rate = round(self._decisions / cpu_seconds) if cpu_seconds else 0
        record = {
            "ok": not self.kept,
            **told,
            "worlds": self.worlds,
            "promises": self._counts,
            "broken": self.kept,
            "decisions": self._decisions,
            "decisions_per_second": rate,
        }
        shown = {
            **rows,
            "decided": f"{counted(self._decisions, 'decision')}, {rate:,} a second of CPU",
            **verdict_rows(self._promises, self._counts),
        }
        if self.kept:
            shown["verdict"] = "VIOLATION"
            shown["again"] = [one["reproduce"] for one in self.kept]
        show_facts(output, title, record, shown)
        return VIOLATION if self.kept else OK


def picture(tried: Tried, seed: int, total: int | None) -> str:
    """Word how far an exploration is.

    Args:
        tried: what was run.
        seed: of all worlds.
        total: how many there will be at most, or None.

    Returns:
        One line.
    """
    of = "" if total is None else f" of {total:,}"
    return f"seed {seed}  world {tried.worlds:,}{of}  {len(tried.kept):,} broken"
