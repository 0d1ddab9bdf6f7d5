"""Which world a workflow is simulated in: a seed, faults, and one crash; and a strategy that draws them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import attrs

from treadle.errors import UsageError
from treadle.sim.faults import FAULTS, fault_rates
from treadle.sim.running import SEED_MAX

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

When = Literal["before", "after"]
Keeps = Literal["memory", "disk"]
"""What a world's store is: memory, or SQLite over a simulated disk."""

APPENDS_MAX: Final = 40
"""Up to which append a drawn crash lies: a workflow of a dozen steps makes fewer."""
DRAWN_FAULTS: Final = tuple(name for name in FAULTS if name != "pause")
"""The faults of `any_world` unless it is told: all but ``pause``, in whose worlds processes look twice a
second for what others wrote, so that a workflow that sleeps for months takes minutes."""
_DRAWN_SEED_MAX: Final = 999
"""Few, so that shrinking a seed, where smaller is not simpler, takes seconds and not minutes."""
_WHEN: Final = get_args(When)
_KEEPS: Final = get_args(Keeps)
_EARLY_WEIGHT: Final = 20
"""How much oftener the first append is drawn than the twentieth and each later one."""


def _faults(given: Any) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise UsageError(
            f"faults is a list of names, or of 'name=rate', got {given!r}; write faults=[{given!r}]"
        )
    wishes = tuple(given)
    for wish in wishes:
        if not isinstance(wish, str):
            raise UsageError(f"a fault is a name or 'name=rate', got {wish!r}; known are {', '.join(FAULTS)}")
    fault_rates(wishes)
    return wishes


@attrs.frozen(repr=False)
class Conditions:
    """A world, but for the workflow in it; its `repr` can be pasted into a test.

    Args:
        seed: decides who goes next, how long things take, and when faults happen.
        faults: which may happen: names of `treadle.sim.FAULTS`, ``"name=rate"`` in thousandths, or ``"all"``.
        crash: at which append the process is killed, counted from 1 over all its lives, and whether
            ``"before"`` or ``"after"`` its write; None for no crash of this kind.
        store: ``"memory"``, or ``"disk"`` for SQLite over a simulated disk, which power cuts, I/O errors and
            want of room can befall (faults ``power_cut``, ``disk_io_error``, ``disk_full``).

    Raises:
        UsageError: an unknown fault, an impossible rate, no such seed, crash or store.
    """

    seed: int = attrs.field(default=0)
    faults: tuple[str, ...] = attrs.field(default=(), converter=_faults)
    crash: tuple[int, When] | None = attrs.field(default=None)
    store: Keeps = attrs.field(default="memory")

    @seed.validator
    def _check_seed(self, _attribute: object, value: object) -> None:
        if type(value) is not int or not 0 <= value <= SEED_MAX:
            raise UsageError(f"a seed is a whole number, 0 to {SEED_MAX}, got {value!r}")

    @crash.validator
    def _check_crash(self, _attribute: object, value: Any) -> None:
        if value is None:
            return
        is_pair = isinstance(value, tuple) and len(value) == 2
        if not is_pair or type(value[0]) is not int or value[0] < 1 or value[1] not in _WHEN:
            raise UsageError(
                f"crash is None, or an append from 1 and 'before' or 'after', got {value!r};"
                " write crash=(3, 'after')"
            )

    @store.validator
    def _check_store(self, _attribute: object, value: Any) -> None:
        if value not in _KEEPS:
            raise UsageError(f"store is 'memory' or 'disk', got {value!r}; write store='disk'")

    def __repr__(self) -> str:
        told = [f"seed={self.seed}"]
        if self.faults:
            told.append(f"faults={list(self.faults)}")
        if self.crash is not None:
            told.append(f"crash={self.crash}")
        if self.store != "memory":
            told.append(f"store={self.store!r}")
        return f"Conditions({', '.join(told)})"


def any_world(
    *, faults: Iterable[str] = DRAWN_FAULTS, appends_max: int = APPENDS_MAX, store: Keeps = "memory"
) -> SearchStrategy[Conditions]:
    """Draw worlds: any schedule, any of some faults, and any single crash.

    An early append is drawn oftener than a late one, and few faults oftener than many. A failing world is
    shrunk to few faults, an early crash or none, and a small seed.

    Args:
        faults: those that are drawn from: names, or ``"name=rate"``; an empty list for none.
        appends_max: up to which append the crash lies.
        store: ``"memory"``, or ``"disk"`` for SQLite over a simulated disk.

    Returns:
        A hypothesis strategy of `Conditions`.

    Raises:
        UsageError: an unknown fault, an impossible rate, no append to crash at, or no such store.
        ImportError: hypothesis is not installed.
    """
    from hypothesis import strategies  # noqa: PLC0415  # only this needs hypothesis

    names = _faults(faults)
    if type(appends_max) is not int or appends_max < 1:
        raise UsageError(f"appends_max is a whole number from 1, got {appends_max!r}")
    # No list in most worlds: hypothesis varies the parts of a list, and leaves the crash as it was meanwhile.
    chosen = strategies.just(list[str]())
    if names:
        chosen |= strategies.sampled_from(names).map(lambda name: [name])
        chosen |= strategies.lists(strategies.sampled_from(names), unique=True)
    return strategies.builds(
        Conditions,
        crash=strategies.sampled_from(_crashes(appends_max)),
        seed=strategies.integers(0, _DRAWN_SEED_MAX),
        faults=chosen.map(lambda drawn: tuple(name for name in names if name in drawn)),
        store=strategies.just(Conditions(store=store).store),
    )


def _crashes(appends_max: int) -> list[tuple[int, When] | None]:
    """List crashes as often as they are to be drawn, simple ones first, since those are shrunk to.

    Evenly drawn, one of 80 crashes is met in a hundred examples by luck alone, and most workflows are over
    before most of them. So an append is drawn the more often the earlier it is.
    """
    crashes: list[tuple[int, When] | None] = [None]
    for number in range(1, appends_max + 1):
        crashes += [(number, when) for when in _WHEN for _ in range(-(-_EARLY_WEIGHT // number))]
    return crashes
