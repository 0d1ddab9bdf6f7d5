"""A stress run from beginning to end: write, in one process or several, then check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from time import perf_counter
from typing import Any

import attrs
import msgspec
import trio

from treadle.checkers import Violation
from treadle.cli.exits import FailedError
from treadle.cli.output import progress
from treadle.cli.processes import module_process
from treadle.cli.stress.load import Load, LogState, apply, mark, owner
from treadle.cli.stress.writers import Report, Writers
from treadle.cli.verdict import Verdict, check_chains, check_logs, check_states
from treadle.runtime import Runtime, open_runtime

_LINE: Any = msgspec.json.Decoder(int | Report)


@attrs.frozen
class Outcome:
    """What a stress run has shown.

    Attributes:
        reports: what the writers of each process told.
        seconds: how long the writing took.
        verdict: what the checkers found.
    """

    reports: list[Report]
    seconds: float
    verdict: Verdict


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
    started = perf_counter()
    if load.processes > 1:
        # Made by one: processes that start together need not race to make it.
        async with open_runtime(url):
            pass
        with progress("writing", load.total) as advance:
            await _write_apart(url, load, reports, advance)
        seconds = perf_counter() - started
        async with open_runtime(url) as runtime:
            return Outcome(reports, seconds, await _check(runtime, load, reports))
    async with open_runtime(url) as runtime:
        with progress("writing", load.total) as advance:
            reports.append(await Writers(runtime, load, 0, advance).run())
        seconds = perf_counter() - started
        return Outcome(reports, seconds, await _check(runtime, load, reports))


async def _write_apart(url: str, load: Load, reports: list[Report], advance: Callable[[float], None]) -> None:
    async with trio.open_nursery() as nursery:
        for process in range(load.processes):
            nursery.start_soon(_write_in_process, url, load, process, reports, advance)
    if len(reports) < load.processes:
        raise FailedError(
            f"{load.processes - len(reports)} of {load.processes} processes ended without a report;"
            " their errors stand above"
        )


async def _write_in_process(
    url: str, load: Load, process: int, reports: list[Report], advance: Callable[[float], None]
) -> None:
    rest = b""
    async with module_process("treadle.cli.stress.process", url, str(process), load.encoded()) as child:
        assert child.stdout is not None  # noqa: S101  # module_process() asks for a pipe
        while chunk := await child.stdout.receive_some():
            *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
            for line in lines:
                told = _LINE.decode(line)
                if isinstance(told, Report):
                    reports.append(told)
                else:
                    advance(told)
        await child.wait()


async def _check(runtime: Runtime, load: Load, reports: list[Report]) -> Verdict:
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
        check_states(verdict, live, replayed)
        await check_chains(runtime, verdict, advance=advance)
    return verdict
