"""One world on the command line: run with its progress shown, and what became of it in words."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import process_time
from typing import Any, Final

import attrs

from treadle.checkers import VIOLATIONS_MAX, Violation
from treadle.cli.notes import note
from treadle.cli.output import counted
from treadle.cli.sim.histories import save, usual_path
from treadle.cli.sim.own import Maker
from treadle.cli.sim.plans import reproducing
from treadle.sim.history import LINES_MAX
from treadle.sim.plan import Plan
from treadle.sim.running import Run, run_world
from treadle.sim.world import World

SHOWN_MAX: Final = 10
"""How many violations are told on stderr; the object of `-o json` has more."""
_REFRESHES_PER_SECOND: Final = 4


@attrs.frozen
class Timed:
    """A run, and what it took.

    Attributes:
        run: the run.
        cpu_seconds: CPU time, checks included.
    """

    run: Run
    cpu_seconds: float

    @property
    def decisions_per_second(self) -> int:
        """How many choices a second of CPU has made."""
        return round(self.run.decisions / self.cpu_seconds) if self.cpu_seconds else 0


def timed(seed: int, plan: Plan, make: Maker, *, watched: bool = False) -> Timed:
    """Run a world, and measure it.

    Args:
        seed: its seed.
        plan: its plan.
        make: makes its workload.
        watched: whether to show on stderr how far it is, when that is a terminal.

    Returns:
        The run.

    Raises:
        UsageError: the plan asks for what is not there, or the seed is none.
        KernelViolationError: something waited outside the kernel.
    """
    own, worlds = make(), list[World]()
    with shown_live(lambda: _picture(seed, worlds)) if watched else nullcontext():
        begun = process_time()
        run = run_world(seed, plan, own=own, watch=worlds.append)
        return Timed(run, process_time() - begun)


@contextmanager
def shown_live(picture: Callable[[], str]) -> Iterator[None]:
    """Show on stderr how far it is while the block runs, when that is a terminal.

    Args:
        picture: words it, again and again; called from another thread, so it must only read.

    Yields:
        Nothing.
    """
    if not _is_watched():
        yield
        return
    from rich.console import Console  # noqa: PLC0415  # a fifth of the start-up time, for those who watch
    from rich.live import Live  # noqa: PLC0415

    # A world has one thread and never lets go of it; the picture is drawn by another one.
    with Live(
        get_renderable=picture,
        console=Console(stderr=True, highlight=False),
        refresh_per_second=_REFRESHES_PER_SECOND,
        transient=True,
    ):
        yield


def _is_watched() -> bool:
    return sys.stderr.isatty()


def _picture(seed: int, worlds: list[World]) -> str:
    if not worlds:
        return f"seed {seed}"
    world = worlds[0]
    checking = f"  checked {world.logs_checked:,} of {counted(world.logs_to_check, 'log')}"
    return (
        f"seed {seed}  {counted(world.kernel.decisions, 'decision')}"
        f"  virtual {virtual(world.kernel.current_time())} of {virtual(world.plan.duration_seconds)}"
        f"  {counted(sum(list(world.faults_made.values())), 'fault')}" + checking * bool(world.logs_to_check)
    )


def virtual(seconds: float) -> str:
    """Word a stretch of virtual time.

    Args:
        seconds: how long.

    Returns:
        ``3:05:09``, with days before it when there are any.
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (counted(days, "day") + " " if days else "") + f"{hour}:{minute:02d}:{second:02d}"


# -- what became of it ----------------------------------------------------------------------------------


def counts(promises: Mapping[str, str], violations: list[Violation]) -> dict[str, int]:
    """Count the violations of each promise.

    Args:
        promises: those that were checked.
        violations: what was found; a promise that is not among them gets its own count.

    Returns:
        Promise -> how many.
    """
    counted_ones = dict.fromkeys(promises, 0)
    for found in violations:
        counted_ones[found.promise] = counted_ones.get(found.promise, 0) + 1
    return counted_ones


def verdict_rows(promises: Mapping[str, str], counted_ones: Mapping[str, int]) -> dict[str, Any]:
    """Word a verdict for a table: the promise, what was checked, the violations.

    Args:
        promises: promise -> what is checked.
        counted_ones: promise -> violations.

    Returns:
        Rows.
    """
    rows: dict[str, Any] = {
        promise: f"{f'BROKEN {count:,} times' if count else 'holds'}: {promises.get(promise, promise)}"
        for promise, count in counted_ones.items()
    }
    broken = any(counted_ones.values())
    return {**rows, "verdict": "VIOLATION" if broken else "all promises hold"}


def fault_lines(faults: Mapping[str, int]) -> list[str]:
    """Word which faults were made.

    Args:
        faults: name -> how often.

    Returns:
        A line for each, the most frequent first; one that says so when there were none.
    """
    ordered = sorted(faults.items(), key=lambda item: (-item[1], item[0]))
    return [f"{count:,} {name}" for name, count in ordered] or ["none"]


def record(done: Timed, kept: Path | None, again: str) -> dict[str, Any]:
    """Word a run as a JSON object.

    Args:
        done: the run.
        kept: where its history was saved, or None.
        again: the command that runs it again.

    Returns:
        The object.
    """
    run = done.run
    return {
        "ok": run.holds,
        "seed": run.seed,
        "workload": run.plan.module or run.plan.workload,
        "promises": counts(run.promises, list(run.violations)),
        "violations": [attrs.asdict(found) for found in run.violations[:VIOLATIONS_MAX]],
        "faults": run.faults,
        "decisions": run.decisions,
        "decisions_per_second": done.decisions_per_second,
        "virtual_seconds": run.virtual_seconds,
        "appends": run.appends,
        "lines": run.lines_made,
        "digest": run.digest,
        "history": None if kept is None else str(kept),
        "reproduce": again,
    }


def keep_history(run: Run, path: Path | None) -> Path | None:
    """Save a history where it is wished, or in the current folder when a promise was broken.

    Args:
        run: whose.
        path: where to, or None.

    Returns:
        Where it is, or None when it was not saved.

    Raises:
        OSError: it could not be written.
    """
    if path is None and run.holds:
        return None
    kept = save(run, path or usual_path(run))
    if run.lines_made > len(run.lines):
        note(f"the history has {run.lines_made:,} lines; {kept} has the first {LINES_MAX:,}")
    return kept


def tell_violations(run: Run, kept: Path | None, again: str) -> None:
    """Tell on stderr what was broken, where the history is, and how to see it again.

    Args:
        run: the run.
        kept: where its history is.
        again: the command.
    """
    for found in run.violations[:SHOWN_MAX]:
        note(f"violation: {found}")
    if len(run.violations) > SHOWN_MAX:
        note(f"and {len(run.violations) - SHOWN_MAX:,} more")
    if not run.holds:
        note(f"history: {kept}\nreproduce: {again}")


def again_of(run: Run, kept: Path | None) -> str:
    """Word the command that runs a world again.

    Args:
        run: the world's run.
        kept: where its history is, for a plan that no options say.

    Returns:
        A line for a shell.
    """
    if run.plan.is_said_by_options:
        return reproducing(run.seed, run.plan)
    return shlex.join(["treadle", "sim", "replay", "--history", "FILE" if kept is None else str(kept)])
