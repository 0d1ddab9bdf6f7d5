"""Shrinking: a failing run made small, by hypothesis, which chooses the plan; the seed decides the rest.

Hypothesis (the extra `sim`) finds the smallest plan that still breaks a promise: few workflows, clients and
operations, few faults, kills and forced decisions, a short time. Of each plan several seeds are tried,
because a smaller world is another world, and what a bug needs comes about in one of some of them.

It goes in rounds. Each looks for a run that is smaller than the one before it has left; the last one finds
none. So a run that breaks seldom is shrunk as well: from where it is, one step at a time.
"""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import attrs
import msgspec

from treadle.checkers import Violation
from treadle.errors import UsageError
from treadle.sim.exploring.smaller import size, smaller_plans
from treadle.sim.plan import Plan
from treadle.sim.running import SEED_MAX, Run, run_world
from treadle.sim.workloads import Workload
from treadle.sim.world import World

EXAMPLES_MAX: Final = 300
"""How many plans a round tries before it gives up: some minutes of CPU, for large worlds."""
SEEDS_MAX: Final = 16
"""How many seeds a plan is tried with at most: the failing one first, then those behind it."""
DECISIONS_SHARE: Final = 2
"""How many times the decisions of the failing run all seeds of one plan take together, at most: small worlds
are cheap, so more of them are tried."""

_LONG: Final = 4
"""How many times the decisions of the failing run a smaller one takes before it counts as endless."""
_LONG_DECISIONS: Final = 10_000
"""Below this none does: nearly all that a small world does is to open and to close."""
_ENDLESS: Final = ("every task waits", "it takes more than", "take turns")

End = Literal["nothing smaller", "time", "interrupted"]


@attrs.frozen(slots=True)
class Shrunk:
    """What shrinking has come to.

    Attributes:
        run: the smallest failing run that was found; the given one when none was smaller.
        tried: how many worlds were run.
        ended: why it ended: nothing smaller was found, the time was over, or somebody interrupted it.
    """

    run: Run
    tried: int
    ended: End


def shrink(
    failing: Run,
    *,
    own: Callable[[], Workload | None] = lambda: None,
    seconds: float = float("inf"),
    examples_max: int = EXAMPLES_MAX,
    database: str | Path | None = None,
    told: Callable[[int, Run], object] = lambda _tried, _smallest: None,
    clock: Callable[[], float] = time.monotonic,
    run: Callable[..., Run] = run_world,
) -> Shrunk:
    """Find a small run that breaks the same promise.

    Ctrl-C ends it as time does: what was found so far is given.

    Args:
        failing: a run that has broken one.
        own: makes the user's own workload, anew for each world; None where the plan's name says it all.
        seconds: how long at most; looked at between two worlds.
        examples_max: how many plans a round tries before it gives up.
        database: the folder of a database of hypothesis, in which the smallest run is kept for the next
            time.
        told: called after each world: how many were run, and the smallest failing run so far.
        clock: tells how long it has taken.
        run: makes a run of seed, plan, ``own`` and ``watch``; another one in tests.

    Returns:
        The smallest failing run.

    Raises:
        UsageError: the run holds all its promises, or hypothesis is not installed.
        KernelViolationError: something waited outside the kernel.
    """
    if failing.holds:
        raise UsageError(
            f"seed {failing.seed} breaks no promise with this plan: there is nothing to shrink;"
            " `treadle sim soak` looks for a seed that does"
        )
    hypothesis = _hypothesis()
    phase = hypothesis.Phase
    settings = hypothesis.settings(
        # Its explanations are for readers of tests, and would be most of the worlds.
        phases=(phase.reuse, phase.generate, phase.shrink),
        max_examples=examples_max,
        # What it keeps there it looks for only when it may draw at random; see `_Known`.
        database=None,
        deadline=None,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    attempts = _Attempts(failing, own, clock() + seconds, told, clock, run)
    known = None if database is None else _Known(database, failing, attempts.wanted)
    ended: End = "nothing smaller"
    try:
        if known is not None:
            known.begin(attempts)
        while _round(hypothesis, settings, attempts):
            pass
    except _TimeIsUpError:
        ended = "time"
    except BaseException as error:
        # Inside a world Trio has Ctrl-C come out of its nurseries.
        if not any(isinstance(one, KeyboardInterrupt) for one in _leaves(error)):
            raise
        ended = "interrupted"
    if known is not None:
        known.keep(attempts.smallest)
    return Shrunk(attempts.smallest, attempts.tried, ended)


def _round(hypothesis: Any, settings: Any, attempts: _Attempts) -> bool:
    base = attempts.smallest

    def is_smaller(plan: Plan) -> bool:
        found = attempts.size_of(plan)
        return found is not None and found < size(base)

    try:
        hypothesis.find(
            smaller_plans(base.plan, attempts.rates),
            is_smaller,
            settings=settings,
            random=random.Random(base.seed),  # noqa: S311  # the same search for the same run
        )
    except hypothesis.errors.NoSuchExample:
        return False
    return True


class _Attempts:
    """Runs worlds of smaller plans, and remembers what came of them."""

    def __init__(
        self,
        failing: Run,
        own: Callable[[], Workload | None],
        ends: float,
        told: Callable[[int, Run], object],
        clock: Callable[[], float],
        run: Callable[..., Run],
    ) -> None:
        self.smallest = failing
        self.wanted: set[tuple[str, str]] = {_told_apart(one) for one in failing.violations}
        self.rates = failing.plan.faults
        self.tried = 0
        self._failing = failing
        self._own = own
        self._ends = ends
        self._told = told
        self._clock = clock
        self._run = run
        # By what they say, since many choices of hypothesis lead to the same plan.
        self._known: dict[bytes, tuple[int, ...] | None] = {}

    def size_of(self, plan: Plan) -> tuple[int, ...] | None:
        """Tell the size of a plan's first run that breaks the promise, or None when none of some does."""
        said = msgspec.json.encode(plan.as_json())
        if said not in self._known:
            self._known[said] = self._first_size(plan)
        return self._known[said]

    def _first_size(self, plan: Plan) -> tuple[int, ...] | None:
        first, decisions = self._failing.seed, 0
        for seed in range(first, min(first + SEEDS_MAX, SEED_MAX + 1)):
            made = self.attempt(seed, plan)
            if self.breaks(made):
                return size(made)
            decisions += made.decisions
            if decisions >= DECISIONS_SHARE * self._failing.decisions:
                break
        return None

    def attempt(self, seed: int, plan: Plan) -> Run:
        """Run a world, if there is time, and note it when it is the smallest."""
        if self._clock() >= self._ends:
            raise _TimeIsUpError
        made = self._run(seed, plan, own=self._own(), watch=self._bound)
        self.tried += 1
        if self.breaks(made):
            self.smallest = min(self.smallest, made, key=size)
        self._told(self.tried, self.smallest)
        return made

    def _bound(self, world: World) -> None:
        # Not in the plan: whoever runs the smallest one again needs no such limit, because it has ended.
        most = max(_LONG_DECISIONS, _LONG * self._failing.decisions)
        world.kernel.decisions_max = min(most, world.kernel.decisions_max)

    def breaks(self, made: Run) -> bool:
        """Tell whether a run breaks the promise that is to be broken."""
        return not self.wanted.isdisjoint(_told_apart(one) for one in made.violations)


class _Known:
    """What is known of a failing run from the last time: its smallest run, in a database of hypothesis."""

    def __init__(self, folder: str | Path, failing: Run, wanted: set[tuple[str, str]]) -> None:
        database = importlib.import_module("hypothesis.database").DirectoryBasedExampleDatabase
        self._database: Any = database(folder)
        # Without a version of the code: who has changed it wants to know whether the smallest still breaks.
        said = msgspec.json.encode((failing.seed, failing.plan.as_json(), sorted(wanted)))
        self._key = b"treadle sim shrink " + blake2b(said, digest_size=16).hexdigest().encode()
        self._values: set[bytes] = set()

    def begin(self, attempts: _Attempts) -> None:
        """Run what is known once more: it may be the smallest again."""
        self._values = set(self._database.fetch(self._key))
        for value in sorted(self._values):
            with suppress(msgspec.MsgspecError, UsageError):  # what another version has written
                seed, plan = msgspec.json.decode(value, type=tuple[int, dict[str, Any]])
                attempts.attempt(seed, Plan.from_json(plan))

    def keep(self, smallest: Run) -> None:
        """Keep the smallest run, and nothing else."""
        kept = msgspec.json.encode((smallest.seed, smallest.plan.as_json()))
        for value in self._values - {kept}:
            self._database.delete(self._key, value)
        self._database.save(self._key, kept)


class _TimeIsUpError(BaseException):
    """Ends a search at once; no `Exception`, because hypothesis takes those for what it looks for."""


def _told_apart(violation: Violation) -> tuple[str, str]:
    """Name what is broken: a world that raises another error, or is endless otherwise, shows another bug."""
    how = violation.anomaly or ""
    if violation.promise == "raises_nothing":
        how = violation.message.partition(":")[0]
    elif violation.promise == "comes_to_an_end":
        how = next((words for words in _ENDLESS if words in violation.message), "")
    return violation.promise, how


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _hypothesis() -> Any:
    try:
        return importlib.import_module("hypothesis")
    except ImportError:
        raise UsageError("shrinking needs hypothesis; install treadle[sim]") from None
