"""Searching orders: every way in which a run may leave the order of first come, first served, a few times.

Most bugs of order need one or two tasks to be late, not a whole random order. So the search begins with the
run in which, of all who can go on, the one that was started first always does; then it makes one of its
decisions otherwise, then two, up to the bound. A decision that leads to a history that was seen already is
not gone on from: the history's digest stands for where the world is, so equal prefixes are run once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import attrs

from treadle.sim.plan import Plan
from treadle.sim.running import Run, run_world
from treadle.sim.workloads import Workload

RUNS_MAX: Final = 10_000
"""How many runs a search makes at most: some minutes of CPU."""
PLACES_MAX: Final = 3
"""How far behind the first one is taken at most: who stands fifth is soon first."""


@attrs.frozen(slots=True)
class Searched:
    """What a search has come to.

    Attributes:
        runs: how many runs were made.
        states: how many states were met, told apart by decision, queue and the history so far.
        passed_over: how many deviations were left out because what they lead to had been seen.
        exhausted: whether all deviations within the bounds were tried.
        broken: the runs that have broken a promise; their plans hold the decisions that were forced.
    """

    runs: int
    states: int
    passed_over: int
    exhausted: bool
    broken: tuple[Run, ...]


def search_schedules(
    seed: int,
    plan: Plan,
    *,
    deviations_max: int = 1,
    runs_max: int = RUNS_MAX,
    broken_max: int = 1,
    own: Callable[[], Workload | None] = lambda: None,
    told: Callable[[Run], object] = lambda _run: None,
    run: Callable[..., Run] = run_world,
) -> Searched:
    """Try every order that leaves first-come-first-served at most so often.

    Args:
        seed: decides all but the order.
        plan: of all these worlds but for what it forces; small, for its decisions are multiplied.
        deviations_max: how many decisions may be otherwise.
        runs_max: how many runs are made.
        broken_max: how many broken runs end it.
        own: makes the user's own workload, anew for each world; None where the plan's name says it all.
        told: called with each run.
        run: makes a run of seed, plan, ``own`` and ``decided``; another one in tests.

    Returns:
        What it has come to.

    Raises:
        UsageError: the seed or the plan is none.
        KernelViolationError: something waited outside the kernel.
    """
    todo: deque[dict[int, int]] = deque([{}])
    seen: set[tuple[str, int, int]] = set()
    ends: set[bytes] = set()
    broken: list[Run] = []
    runs = passed_over = 0
    while todo and runs < runs_max and len(broken) < broken_max:
        forced = todo.popleft()
        last = max(forced, default=0)
        choices: list[tuple[int, int]] = []

        def decided(
            number: int, waiting: int, digest: str, last: int = last, choices: list[tuple[int, int]] = choices
        ) -> None:
            nonlocal passed_over
            if number <= last or waiting < 2:
                return
            for place in range(1, min(waiting, PLACES_MAX + 1)):
                # Where the world stands is told by what it has written down, and who waits; the number of the
                # decision tells states apart between which nothing was written.
                state = (digest, number, place)
                if state in seen:
                    passed_over += 1
                else:
                    seen.add(state)
                    choices.append((number, place))

        made = run(seed, attrs.evolve(plan, forced=tuple(forced.items())), own=own(), decided=decided)
        runs += 1
        told(made)
        if not made.holds:
            broken.append(made)
        end = _digest(made)
        if end in ends or len(forced) >= deviations_max:
            continue  # an end that is known was reached by states whose deviations are on the list
        ends.add(end)
        todo.extend({**forced, number: place} for number, place in choices)
    return Searched(runs, len(seen), passed_over, not todo, tuple(broken))


def _digest(run: Run) -> bytes:
    # Without the header, which tells of what was forced.
    return blake2b(b"\n".join(run.lines[1:]), digest_size=16).digest()
