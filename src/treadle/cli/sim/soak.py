"""Many worlds, one after the other: seed by seed, in this process or spread over several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from time import monotonic
from typing import Any, Self

import msgspec
import trio

from treadle.cli.exits import FailedError
from treadle.cli.processes import module_process
from treadle.cli.sim.own import maker
from treadle.cli.sim.worlds import again_of, counts, keep_history, timed
from treadle.sim.plan import Plan


class Seeds(msgspec.Struct, frozen=True):
    """Which seeds are tried, and by whom.

    Args:
        first: the first one.
        number: how many; None for as many as there is time for.
        seconds: after how long no other one is begun; None for no such limit.
        step: how far the next one is away: as many as there are processes.
    """

    first: int
    number: int | None
    seconds: float | None
    step: int = 1

    def shares(self, jobs: int) -> list[Seeds]:
        """Deal them out.

        Args:
            jobs: to how many.

        Returns:
            What each takes; fewer than wished when there are not enough.
        """
        if self.number is None:
            return [Seeds(self.first + job, None, self.seconds, jobs) for job in range(jobs)]
        numbers = [self.number // jobs + (job < self.number % jobs) for job in range(jobs)]
        return [
            Seeds(self.first + job, number, self.seconds, jobs)
            for job, number in enumerate(numbers)
            if number
        ]

    def each(self) -> Iterator[int]:
        """Give them one after the other, while there is time."""
        begun = monotonic()
        for place in count() if self.number is None else range(self.number):
            if self.seconds is not None and monotonic() - begun >= self.seconds:
                return
            yield self.first + place * self.step


class Report(msgspec.Struct, frozen=True):
    """What became of one world, as one process tells another.

    Args:
        seed: its seed.
        decisions: its decisions.
        cpu_seconds: what it took.
        virtual_seconds: how long it was.
        faults: what was made.
        promises: what was checked, in words.
        counts: promise -> violations.
        violations: the first ones, in words.
        history: where its history is, or None.
        again: the command that runs it again.
    """

    seed: int
    decisions: int
    cpu_seconds: float
    virtual_seconds: float
    faults: dict[str, int]
    promises: dict[str, str]
    counts: dict[str, int]
    violations: list[str]
    history: str | None
    again: str


class Task(msgspec.Struct, frozen=True):
    """What one process of a soak is to do.

    Args:
        plan: the plan of all worlds, as `Plan.as_json` gives it.
        seeds: the seeds.
    """

    plan: dict[str, Any]
    seeds: Seeds

    def encoded(self) -> str:
        """Word it for another process's command line."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decoded(cls, text: str) -> Self:
        """Read what `encoded` gave.

        Args:
            text: JSON.

        Returns:
            The task.
        """
        return msgspec.json.decode(text, type=cls)


VIOLATIONS_MAX = 10
"""How many violations of one world are told."""


def worlds(plan: Plan, seeds: Seeds) -> Iterator[Report]:
    """Run one world after the other.

    Args:
        plan: of all of them.
        seeds: of each.

    Yields:
        What became of each, when it is done; a world that broke a promise has its history saved.

    Raises:
        UsageError: the plan asks for what is not there, or a seed is none.
        OSError: a history could not be written.
    """
    make = maker(plan)
    for seed in seeds.each():
        done = timed(seed, plan, make)
        run = done.run
        kept = keep_history(run, None)
        yield Report(
            seed,
            run.decisions,
            done.cpu_seconds,
            run.virtual_seconds,
            run.faults,
            dict(run.promises),
            counts(run.promises, list(run.violations)),
            [str(found) for found in run.violations[:VIOLATIONS_MAX]],
            None if kept is None else str(kept),
            again_of(run, kept),
        )


class Soak:
    """What a soak has come to.

    Args:
        violations_max: after how many worlds with a violation it stops.
    """

    def __init__(self, violations_max: int) -> None:
        self.worlds = 0
        self.decisions = 0
        self.cpu_seconds = 0.0
        self.virtual_seconds = 0.0
        self.faults: dict[str, int] = {}
        self.promises: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.broken: list[Report] = []
        self._violations_max = violations_max

    def is_over(self) -> bool:
        """Whether enough violations are known."""
        return len(self.broken) >= self._violations_max

    def take(self, report: Report) -> None:
        """Add a world.

        Args:
            report: what became of it.
        """
        self.worlds += 1
        self.decisions += report.decisions
        self.cpu_seconds += report.cpu_seconds
        self.virtual_seconds += report.virtual_seconds
        self.promises.update(report.promises)
        _add(self.faults, report.faults)
        _add(self.counts, report.counts)
        if any(report.counts.values()):
            self.broken.append(report)
            self.broken.sort(key=lambda known: known.seed)


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number


def soak_here(plan: Plan, seeds: Seeds, soak: Soak, told: Callable[[Report], object]) -> None:
    """Soak in this process.

    Args:
        plan: of all worlds.
        seeds: of each.
        soak: takes what became of them.
        told: called for each.
    """
    for report in worlds(plan, seeds):
        soak.take(report)
        told(report)
        if soak.is_over():
            return


async def soak_apart(
    plan: Plan, seeds: Seeds, jobs: int, soak: Soak, told: Callable[[Report], object]
) -> None:
    """Soak in several processes at once; each has every n-th seed.

    Args:
        plan: of all worlds.
        seeds: of each.
        jobs: how many processes.
        soak: takes what became of them.
        told: called for each.

    Raises:
        FailedError: a process ended before it was done.
    """
    async with trio.open_nursery() as nursery:
        for share in seeds.shares(jobs):
            nursery.start_soon(_one_job, Task(plan.as_json(), share), soak, told, nursery.cancel_scope)


async def _one_job(
    task: Task, soak: Soak, told: Callable[[Report], object], all_jobs: trio.CancelScope
) -> None:
    rest = b""
    async with module_process("treadle.cli.sim.process", task.encoded()) as child:
        assert child.stdout is not None  # noqa: S101  # module_process() asks for a pipe
        while chunk := await child.stdout.receive_some():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                report = msgspec.json.decode(line, type=Report)
                # Those that end after the last one wanted are not counted, as in one process.
                if soak.is_over():
                    return
                soak.take(report)
                told(report)
                if soak.is_over():
                    all_jobs.cancel()
                    return
        if await child.wait():
            raise FailedError("a process of the soak ended before it was done; its error stands above")
