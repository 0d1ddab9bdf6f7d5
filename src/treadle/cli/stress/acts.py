"""A stress run from beginning to end: write, in one process or several, then check."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable
from time import perf_counter
from typing import Any, Final

import attrs
import msgspec
import trio

from treadle.checkers import HISTORY_CHECKERS, History, Violation, check_history
from treadle.cli.exits import FailedError
from treadle.cli.output import progress
from treadle.cli.processes import module_process
from treadle.cli.stress.load import Load, LogState, apply, mark, owner
from treadle.cli.stress.recording import Recording, collect, mark_text, part_of, write_history
from treadle.cli.stress.writers import Report, Writers
from treadle.cli.verdict import Verdict, check_chains, check_logs, check_states
from treadle.runtime import Runtime, open_runtime

KILLS_MAX: Final = 1_000
"""How often a process is killed at most; then it is left in peace, so that every run has an end."""
HISTORY_PROMISES: Final = {
    name: HISTORY_CHECKERS[name].said
    for name in ("unacknowledged_once", "followed_order", "linearizable", "serializable")
}
"""What the history is held against besides what every run is."""
_LINE: Any = msgspec.json.Decoder(int | Report)


@attrs.frozen
class Outcome:
    """What a stress run has shown.

    Attributes:
        reports: what the writers of each process told.
        seconds: how long the writing took.
        verdict: what the checkers found.
        kills: how many processes were killed.
        operations: how many operations were recorded.
        unknown: how many of them had no answer.
    """

    reports: list[Report]
    seconds: float
    verdict: Verdict
    kills: int = 0
    operations: int = 0
    unknown: int = 0


async def perform(url: str, load: Load) -> Outcome:
    """Write the load and check what the store then holds.

    Args:
        url: a store that does not exist yet.
        load: what is written.

    Returns:
        The outcome.

    Raises:
        FailedError: a process ended without its report.
        TreadleError: the store failed.
    """
    reports: list[Report] = []
    for process in range(load.processes if load.history else 0):
        # One of a run that has failed: its writers were others.
        part_of(load.history, process).unlink(missing_ok=True)
    started = perf_counter()
    if load.processes > 1:
        # Made by one: processes that start together need not race to make it.
        async with open_runtime(url):
            pass
        with progress("writing", load.total) as advance:
            kills = await _write_apart(url, load, reports, advance)
        seconds = perf_counter() - started
        async with open_runtime(url) as runtime:
            return await _outcome(runtime, load, reports, seconds, kills)
    async with open_runtime(url) as runtime:
        with progress("writing", load.total) as advance:
            recording = Recording(part_of(load.history, 0)) if load.history else None
            reports.append(await Writers(runtime, load, 0, advance, recording).run())
        seconds = perf_counter() - started
        return await _outcome(runtime, load, reports, seconds)


async def _write_apart(url: str, load: Load, reports: list[Report], advance: Callable[[float], None]) -> int:
    kills: list[int] = []

    async def keep(process: int) -> None:
        chance = random.Random(f"{load.seed}:{process}")  # noqa: S311  # a seed, no secret
        ends = perf_counter() + (load.seconds or 0)
        now = load
        for _ in range(KILLS_MAX):
            patience = None if load.kill_seconds is None else load.kill_seconds * (0.5 + chance.random())
            ended = await _write_in_process(url, now, process, reports, advance, patience)
            if ended:
                return
            kills.append(process)
            if load.seconds is not None:
                now = attrs.evolve(load, seconds=max(ends - perf_counter(), 0))
        await _write_in_process(url, now, process, reports, advance, None)

    async with trio.open_nursery() as nursery:
        for process in range(load.processes):
            nursery.start_soon(keep, process)
    reported = len(reports)
    if reported < load.processes:
        raise FailedError(
            f"{load.processes - reported} of {load.processes} processes ended without a report;"
            " their errors stand above"
        )
    return len(kills)


async def _write_in_process(
    url: str,
    load: Load,
    process: int,
    reports: list[Report],
    advance: Callable[[float], None],
    patience: float | None,
) -> bool:
    """Run one life of a process; tell whether it has come to its own end."""
    rest = b""
    async with module_process("treadle.cli.stress.process", url, str(process), load.encoded()) as child:
        assert child.stdout is not None  # noqa: S101  # module_process() asks for a pipe
        with trio.CancelScope() as life:
            while chunk := await child.stdout.receive_some():
                if patience is not None and life.deadline == float("inf"):
                    life.deadline = trio.current_time() + patience
                *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
                for line in lines:
                    told = _LINE.decode(line)
                    if isinstance(told, Report):
                        reports.append(told)
                        life.deadline = float("inf")
                        patience = None
                    else:
                        advance(told)
            await child.wait()
        # Leaving the block kills it, with SIGKILL.
        return not life.cancelled_caught


async def _outcome(
    runtime: Runtime, load: Load, reports: list[Report], seconds: float, kills: int = 0
) -> Outcome:
    if not load.history:
        return Outcome(reports, seconds, await _check(runtime, load, reports))
    parts = [part_of(load.history, process) for process in range(load.processes)]
    recorded = collect(parts)
    # What a killed process was told is in its part only.
    told = Report(
        list(recorded.acknowledged()), [], broken=[one for report in reports for one in report.broken]
    )
    verdict = await _check(runtime, load, [told], doubtful=recorded.unknown)
    verdict.promises = {**verdict.promises, **HISTORY_PROMISES}
    history = History(recorded.operations, await _logs(runtime, load))
    write_history(load.history, history)
    verdict.add(check_history(history, HISTORY_PROMISES))
    for part in parts:
        part.unlink(missing_ok=True)
    unknown = sum(one.outcome == "unknown" for one in recorded.operations)
    reports[0].acknowledged = told.acknowledged
    for report in reports[1:]:
        report.acknowledged = []
    return Outcome(reports, seconds, verdict, kills, len(recorded.operations), unknown)


async def _logs(runtime: Runtime, load: Load) -> dict[str, tuple[str, ...]]:
    logs: dict[str, tuple[str, ...]] = {}
    for number in range(load.workflows):
        name = load.name(number)
        events = await runtime.workflow(name).read().list()
        logs[name] = tuple(mark_text(number, *mark(event)) for event in events)
    return logs


async def _check(
    runtime: Runtime, load: Load, reports: list[Report], *, doubtful: Collection[str] = ()
) -> Verdict:
    verdict = Verdict()
    live: dict[str, LogState] = {}
    marks: dict[str, list[Hashable]] = defaultdict(list)
    for report in reports:
        for number, writer, event, seq in report.acknowledged:
            name = load.name(number)
            live.setdefault(name, LogState()).add(writer, event, seq)
            marks[name].append((writer, event))
        verdict.add([Violation("acknowledged_once", *found) for found in report.broken])
    with progress("checking", 3 * load.workflows) as advance:
        await check_logs(runtime, verdict, lambda name: marks[name], mark, owner, advance=advance)
        replayed: dict[str, LogState] = {}
        async for done in runtime.replay_all(apply, LogState):
            replayed[done.workflow_id] = done.state
            advance(1)
        for doubted in doubtful:
            # What had no answer may be there: no writer knows the state of that log.
            live.pop(doubted, None)
            replayed.pop(doubted, None)
        check_states(verdict, live, replayed)
        await check_chains(runtime, verdict, advance=advance)
    return verdict
