"""What retries that learn are worth: time to success and wasted attempts, in changing worlds and steady ones.

Everything is simulated in virtual time, with the policy, the choice and the fold that a runtime uses. Each
seed is one day of calls; three strategies meet the very same days (and the same coins, in their order):
treadle's `Retry()` (exponential backoff, without its bound on attempts), an `AdaptiveRetry`, and the best
arm, which is of all routes and waits the one that would have been best had it been known from the start.

A row's figures are ratios to `Retry()`, with the 95 % interval of a bootstrap over the seeds; `price` is
waiting and wasted attempts together, an attempt at what the policy says it costs. At the end one world is run
once more, through a real runtime, and what that has learned is held against its log.

    python benchmarks/learning.py [--seeds 30] [--picture docs/pictures/learning.svg]
"""

from __future__ import annotations

import argparse
import heapq
import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any, ClassVar, NamedTuple, Protocol

import attrs
import trio
import trio.testing
from rich.console import Console
from rich.table import Table

from treadle import Projections, RuntimeConfig, activity, open_runtime, workflow
from treadle.activity import AdaptiveRetry, Retry
from treadle.engine.learning import Choice, Experience, Standing, Trial, choose, learn
from treadle.kernel import InlineKernel
from treadle.projections import RETRIES, retries
from treadle.projections.retries import key_of
from treadle.stores.memory import MemoryStore

ARMS = (1, 3, 10, 30, 100)
HOUR = 3600.0
DAY = 24 * HOUR
CALLS_PER_SECOND = 0.25
NANOSECONDS = 1_000_000_000
RESAMPLES = 2_000


# -- worlds ----------------------------------------------------------------------------------------------


class World(Protocol):
    """Something that is called, and succeeds or fails."""

    routes: ClassVar[tuple[str, ...]]

    def succeeds(self, route: str, now: float) -> bool:
        """Tell what an attempt comes to."""


class Outages:
    """It is down every half an hour or so, as long as is usual in those six hours: 8, 45 or 240 s."""

    routes: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, seed: int) -> None:
        self.random = Random(f"world {seed}")
        self.begins: list[float] = []
        self.ends: list[float] = []
        now = 0.0
        while now < 2 * DAY:
            now += self.random.expovariate(1 / self.mean_up())
            self.begins.append(now)
            now += self.lasts(now)
            self.ends.append(now)

    def mean_up(self) -> float:
        """Tell how long it is up between two times that it is down."""
        return HOUR / 2

    def lasts(self, now: float) -> float:
        """Tell how long it is down this time."""
        usual = Random(f"{self.begins[0]} {now // (6 * HOUR)}").choice((8, 45, 240))
        return usual * self.random.uniform(0.8, 1.2)

    def succeeds(self, route: str, now: float) -> bool:  # noqa: ARG002
        """Tell what an attempt comes to."""
        place = bisect_right(self.begins, now) - 1
        return place < 0 or self.ends[place] <= now


class OutagesOfAnyLength(Outages):
    """It is down every half an hour or so: mostly for seconds, sometimes for ten minutes."""

    def lasts(self, now: float) -> float:  # noqa: ARG002
        """Tell how long it is down this time."""
        return self.random.expovariate(1 / 3 if self.random.random() < 0.6 else 1 / 600)


class Hiccups(Outages):
    """About once a minute it fails for three seconds or so; every hour is like every other."""

    def mean_up(self) -> float:
        """Tell how long it is up between two times that it is down."""
        return 60

    def lasts(self, now: float) -> float:  # noqa: ARG002
        """Tell how long it is down this time."""
        return self.random.expovariate(1 / 3)


class RateLimits:
    """It takes a quarter more than is usual in a window; its length, 20 to 120 s, changes every six hours."""

    routes: ClassVar[tuple[str, ...]] = ("",)
    windows: ClassVar[tuple[int, ...]] = (20, 60, 120)

    def __init__(self, seed: int) -> None:
        random = Random(f"world {seed}")
        self.seconds = [random.choice(self.windows) for _ in range(100)]
        self.window = (0, 0)
        self.taken = 0

    def succeeds(self, route: str, now: float) -> bool:  # noqa: ARG002
        """Tell what an attempt comes to."""
        seconds = self.seconds[int(now // (6 * HOUR))]
        window = (seconds, int(now // seconds))
        if window != self.window:
            self.window, self.taken = window, 0
        self.taken += 1
        return self.taken <= seconds * CALLS_PER_SECOND * 5 / 4


class CrowdedLimit(RateLimits):
    """Three calls in ten seconds, where two and a half are usual: who waits longer is overtaken."""

    windows: ClassVar[tuple[int, ...]] = (10,)


class FlakyRoutes:
    """Of two routes one is good (97 %) and one is bad (35 %); which, is drawn anew every two hours."""

    routes: ClassVar[tuple[str, ...]] = ("primary", "backup")

    def __init__(self, seed: int) -> None:
        random = Random(f"world {seed}")
        self.good = [random.choice(self.routes) for _ in range(100)]
        self.coin = Random(f"coin {seed}")

    def succeeds(self, route: str, now: float) -> bool:
        """Tell what an attempt comes to."""
        return self.coin.random() < (0.97 if route == self.good[int(now // (2 * HOUR))] else 0.35)


class Steady:
    """One attempt in ten fails, at all times, whatever went before."""

    routes: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, seed: int) -> None:
        self.coin = Random(f"coin {seed}")

    def succeeds(self, route: str, now: float) -> bool:  # noqa: ARG002
        """Tell what an attempt comes to."""
        return self.coin.random() < 0.9


WORLDS: Mapping[str, Callable[[int], World]] = {
    "outages of usual lengths": Outages,
    "outages of any length": OutagesOfAnyLength,
    "rate limits": RateLimits,
    "a crowded limit": CrowdedLimit,
    "flaky routes": FlakyRoutes,
    "steady: one in ten fails": Steady,
    "steady: short hiccups": Hiccups,
}


# -- strategies ------------------------------------------------------------------------------------------


class Call(NamedTuple):
    """A call that goes on."""

    number: int
    began: float
    attempt: int
    failed_on: Mapping[str, int]


class Strategy(Protocol):
    """How attempts are made."""

    def first(self, call: Call, now: float) -> Choice:
        """Choose the first attempt."""

    def following(self, call: Call, choice: Choice, now: float) -> Choice:
        """Choose the one after a failure."""

    def ended(self, choice: Choice, now: float, *, success: bool) -> None:
        """Hear of an attempt's end."""


class Backoff:
    """treadle's default policy, on the first route."""

    def __init__(self, route: str) -> None:
        self.retry, self.route = Retry(attempts=None), route

    def first(self, call: Call, now: float) -> Choice:  # noqa: ARG002
        """Choose the first attempt."""
        return Choice("", self.route)

    def following(self, call: Call, choice: Choice, now: float) -> Choice:  # noqa: ARG002
        """Choose the one after a failure."""
        return Choice("", self.route, 0, self.retry.delay_ns(call.attempt))

    def ended(self, choice: Choice, now: float, *, success: bool) -> None:
        """Hear of an attempt's end."""


class OneArm(Backoff):
    """Always the same."""

    def __init__(self, route: str, seconds: float) -> None:
        super().__init__(route)
        self.retry = Retry(initial_seconds=seconds, backoff=1, attempts=None)


class Learning:
    """The real policy, the real choice, the real fold."""

    def __init__(self, policy: AdaptiveRetry, seed: int) -> None:
        self.policy, self.stream = policy, Random(f"choices {seed}")
        self.experience: Experience | None = None

    def of(self, activity: str, key: str) -> Experience | None:  # noqa: ARG002
        """Tell what is known."""
        return self.experience

    def first(self, call: Call, now: float) -> Choice:
        """Choose the first attempt."""
        return self._chosen(call, "", now)

    def following(self, call: Call, choice: Choice, now: float) -> Choice:
        """Choose the one after a failure."""
        return self._chosen(call, choice.route, now)

    def _chosen(self, call: Call, route: str, now: float) -> Choice:
        elapsed_ns = round((now - call.began) * NANOSECONDS)
        standing = Standing("called", "", round(now * NANOSECONDS), elapsed_ns, call.failed_on, route)
        found = choose(self.policy, self, standing, self.stream)
        assert found is not None
        return found

    def ended(self, choice: Choice, now: float, *, success: bool) -> None:
        """Hear of an attempt's end."""
        arm = choice.arm
        trial = Trial("called", "", self.policy.half_life_ns, arm.route, arm.failed, arm.delay_ns)
        self.experience = learn(self.experience, trial, round(now * NANOSECONDS), success=success)


# -- a day -----------------------------------------------------------------------------------------------


class Day(NamedTuple):
    """What a day came to, for one call of it."""

    waited: float
    wasted: float

    def price(self, cost: float) -> float:
        """Tell both in one."""
        return self.waited + cost * self.wasted


def day(world: World, strategy: Strategy, seed: int) -> Day:
    """Let a day of calls happen."""
    arrivals, now = Random(f"arrivals {seed}"), 0.0
    agenda: list[tuple[float, int, Call, Choice | None]] = []
    while (now := now + arrivals.expovariate(CALLS_PER_SECOND)) < DAY:
        agenda.append((now, len(agenda), Call(len(agenda), now, 1, {}), None))
    calls, waited, wasted = len(agenda), 0.0, 0
    while agenda:
        now, number, call, given = heapq.heappop(agenda)
        choice = given or strategy.first(call, now)
        success = world.succeeds(choice.route, now)
        strategy.ended(choice, now, success=success)
        if success:
            waited += now - call.began
            continue
        wasted += 1
        failed_on = {**call.failed_on, choice.route: call.failed_on.get(choice.route, 0) + 1}
        following = strategy.following(call._replace(failed_on=failed_on), choice, now)
        later = Call(number, call.began, call.attempt + 1, failed_on)
        heapq.heappush(agenda, (now + following.delay_ns / NANOSECONDS, number, later, following))
    return Day(waited / calls, wasted / calls)


# -- what came of it -------------------------------------------------------------------------------------


class Ratio(NamedTuple):
    """How much of the backoff's, with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(ours: Iterable[float], theirs: Iterable[float]) -> Ratio:
    """Compare two strategies over the same days."""
    pairs, random = list(zip(ours, theirs, strict=True)), Random(0)
    resampled = sorted(
        sum(one for one, _ in drawn) / sum(other for _, other in drawn)
        for drawn in (random.choices(pairs, k=len(pairs)) for _ in range(RESAMPLES))
    )
    whole = sum(one for one, _ in pairs) / sum(other for _, other in pairs)
    return Ratio(whole, resampled[round(RESAMPLES * 0.025)], resampled[round(RESAMPLES * 0.975) - 1])


class Row(NamedTuple):
    """One world."""

    name: str
    backoff: Day
    best: str
    ratios: dict[str, tuple[Ratio, Ratio, Ratio]]


def measured(name: str, make: Callable[[int], World], seeds: int, policy: AdaptiveRetry) -> Row:
    """Let all strategies meet the same days of a world."""
    routes = make(0).routes
    cost = policy.attempt_cost_seconds

    def days(strategy: Callable[[int], Strategy], number: int) -> list[Day]:
        return [day(make(seed), strategy(seed), seed) for seed in range(number)]

    arms = [(route, seconds) for route in routes for seconds in ARMS]
    few = max(2, seeds // 4)
    best = min(arms, key=lambda arm: sum(one.price(cost) for one in days(lambda _: OneArm(*arm), few)))
    backoff = days(lambda _: Backoff(routes[0]), seeds)
    others = {
        "AdaptiveRetry": days(lambda seed: Learning(policy, seed), seeds),
        "best arm": days(lambda _: OneArm(*best), seeds),
    }
    ratios = {
        who: (
            ratio((one.waited for one in found), (one.waited for one in backoff)),
            ratio((one.wasted for one in found), (one.wasted for one in backoff)),
            ratio((one.price(cost) for one in found), (one.price(cost) for one in backoff)),
        )
        for who, found in others.items()
    }
    mean = Day(*(statistics.mean(column) for column in zip(*backoff, strict=True)))
    return Row(name, mean, f"{best[0]} {best[1]} s".strip(), ratios)


def show(rows: list[Row], seeds: int, policy: AdaptiveRetry, console: Console) -> None:
    """Print the table."""
    table = Table(
        title=f"Ratios to Retry() over {seeds} days each, 95 % intervals; attempts at"
        f" {policy.attempt_cost_seconds:g} s",
        caption="below 1 is better; Retry()'s own figures are for one call, whether it failed or not",
    )
    for column in ("world", "Retry(): waits", "wasted", "strategy", "time to success", "wasted", "price"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        own = (row.name, f"{row.backoff.waited:.3f} s", f"{row.backoff.wasted:.4f}")
        for who, found in row.ratios.items():
            label = who if who != "best arm" else f"best arm ({row.best})"
            table.add_row(*own, label, *map(str, found), end_section=who == "best arm")
            own = ("", "", "")
    console.print(table)


def draw(rows: list[Row], path: Path) -> None:
    """Draw the ratios: two bars a world for each of the two figures."""
    import matplotlib as mpl  # noqa: PLC0415  # nobody else waits for it

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "treadle", "svg.fonttype": "none", "font.size": 10})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
    colours = {"AdaptiveRetry": "#2a7f62", "best arm": "#b9c9c2"}
    for place, (axis, title) in enumerate(zip(axes, ("time to success", "wasted attempts"), strict=True)):
        for shift, (who, colour) in enumerate(colours.items()):
            found = [row.ratios[who][place] for row in rows]
            heights = [number - 0.2 + 0.4 * shift for number in range(len(rows))]
            errors = [
                [one.value - one.low for one in found],
                [one.high - one.value for one in found],
            ]
            values = [one.value for one in found]
            axis.barh(heights, values, 0.36, color=colour, label=who)
            axis.errorbar(values, heights, xerr=errors, fmt="none", ecolor="#333333", capsize=2, lw=1)
        axis.axvline(1, color="#b03a2e", lw=1.2, label="Retry()")
        axis.set_title(title)
        axis.set_xlabel("of Retry()'s, below 1 is better")
        axis.set_xlim(0, 1.7)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(rows)), [row.name for row in rows])
    axes[0].invert_yaxis()
    axes[1].legend(loc="upper right", frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})


# -- the same through a runtime --------------------------------------------------------------------------


ADAPTIVE = AdaptiveRetry(arms=ARMS, attempts=None)


class Shown:
    """The world that the activities below call, and what has come of it."""

    world: World
    began: float
    wasted: int


async def _call() -> None:
    if not Shown.world.succeeds("", trio.current_time() - Shown.began):
        Shown.wasted += 1
        raise OSError("down")


@activity.define(retry=Retry(attempts=None))
async def call_patiently() -> None:
    """Call with the default policy."""
    await _call()


@activity.define(retry=ADAPTIVE)
async def call_learning() -> None:
    """Call with the policy that learns."""
    await _call()


@workflow.define
async def patient() -> None:
    """Call once."""
    await workflow.activity(call_patiently)


@workflow.define
async def learning() -> None:
    """Call once."""
    await workflow.activity(call_learning)


async def run_day(definition: Any, called: Any, calls: int) -> tuple[float, int, int]:
    """Run calls of a world through a real runtime; tell waiting, wasted attempts, and arms learned."""
    Shown.world, Shown.began, Shown.wasted = Outages(1), trio.current_time(), 0
    kernel, arrivals, waited = InlineKernel(), Random("arrivals 1"), 0.0
    kernel._random = Random(1)  # type: ignore[assignment]
    store = MemoryStore(kernel)
    config = RuntimeConfig(poll_seconds=DAY)
    async with open_runtime(
        store, workflows=[definition], activities=[called], kernel=kernel, config=config
    ) as runtime:

        async def call(number: int) -> None:
            nonlocal waited
            start = trio.current_time()
            await (await runtime.start(definition, id=f"call-{number}")).result()
            waited += trio.current_time() - start

        async with trio.open_nursery() as nursery:
            for number in range(calls):
                await trio.sleep(arrivals.expovariate(CALLS_PER_SECOND))
                nursery.start_soon(call, number)
    lessons = 0
    if called is call_learning:
        projections = Projections(retries())
        (verdict,) = await projections.verify(store=store)
        assert verdict.same, verdict
        state = await projections.stored(RETRIES, key_of(called.name, ""), store=store)
        lessons = len(state.lessons)
    return waited / calls, Shown.wasted, lessons


def through_a_runtime(console: Console, calls: int) -> None:
    """Run outages of usual lengths through a runtime: the same code, so the same direction."""
    for name, definition, called in (
        ("Retry()", patient, call_patiently),
        ("AdaptiveRetry", learning, call_learning),
    ):
        clock = trio.testing.MockClock(autojump_threshold=0)
        waited, wasted, lessons = trio.run(run_day, definition, called, calls, clock=clock)
        learned = f"; {lessons} arms learned, equal to a rebuild from its log" if lessons else ""
        console.print(
            f"outages of usual lengths, {calls:,} calls through a runtime, {name}:"
            f" {waited:.3f} s a call, {wasted / calls:.4f} wasted{learned}",
            soft_wrap=True,
            highlight=False,
        )


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--world", action="append", choices=list(WORLDS))
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--calls", type=int, default=5_000, help="through the runtime; 0 for none")
    parser.add_argument("--attempt-cost", type=float, default=ADAPTIVE.attempt_cost_seconds)
    parser.add_argument("--half-life", type=float, default=ADAPTIVE.half_life_seconds)
    given = parser.parse_args()
    policy = attrs.evolve(
        ADAPTIVE, attempt_cost_seconds=given.attempt_cost, half_life_seconds=given.half_life
    )
    rows = [
        measured(name, make, given.seeds, attrs.evolve(policy, routes=make(0).routes))
        for name, make in WORLDS.items()
        if not given.world or name in given.world
    ]
    console = Console(width=None if Console().is_terminal else 150)
    show(rows, given.seeds, policy, console)
    if given.picture is not None:
        draw(rows, given.picture)
    if given.calls:
        through_a_runtime(console, given.calls)


if __name__ == "__main__":
    main()
