"""A plan: everything about a world that is not left to its seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, Self, get_args

import attrs
import msgspec

from treadle.errors import InvalidValueError
from treadle.sim.arrivals import Arrivals
from treadle.sim.faults import ordered_rates

DECISIONS_MAX: Final = 100_000_000
"""How many decisions a world takes before it counts as endless: half an hour of CPU."""


def _count(least: int, most: int) -> Any:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if type(value) is not int or not least <= value <= most:
            raise InvalidValueError(
                f"{attribute.name} is a whole number, {least:,} to {most:,}, got {value!r}"
            )

    return check


@attrs.frozen(slots=True, kw_only=True)
class Plan:
    """What a world is to do.

    Attributes:
        workload: the name of what clients and workflows do.
        store: where everything is kept: ``"memory"``, or ``"disk"`` for SQLite over a simulated disk.
        workflows: how many logs, or durable workflows.
        clients: how many clients there are at once.
        operations: how many operations each client makes.
        processes: how many processes share the store; more than one in memory only.
        duration_seconds: the virtual time over which work arrives and faults happen.
        faults: name of a fault -> its rate; see `treadle.sim.FAULTS`, in whose order they are kept.
        decisions_max: after how many decisions the world counts as endless.
        module: ``MODULE:name`` of the user's own workload, or empty.
        kills: appends at which the process is killed, counted over all its lives: number, and whether
            after the write.
        forced: decisions that are not left to the seed: which decision, and the place in the queue of who
            goes on, the first one being 0; all others take the first. None leaves all to the seed.
        arrivals: how workflows arrive over the duration; see `treadle.sim.arrivals`.
        limits: ``"drawn"`` from the seed, small ones often, because bugs live where limits bite; or
            ``"usual"``, a runtime's own defaults, as who sizes a system wants them.
        activities_max: how many activities a runtime runs at once; 0 leaves it to `limits`.

    Raises:
        InvalidValueError: a value lies outside what its word allows.
        UsageError: an unknown fault, or an impossible rate.
    """

    workload: str = "logs"
    store: Literal["memory", "disk"] = attrs.field(
        default="memory", validator=attrs.validators.in_(("memory", "disk"))
    )
    workflows: int = attrs.field(default=5, validator=_count(1, 1_000_000))
    clients: int = attrs.field(default=5, validator=_count(1, 10_000))
    operations: int = attrs.field(default=20, validator=_count(1, 1_000_000))
    processes: int = attrs.field(default=1, validator=_count(1, 16))
    duration_seconds: int = attrs.field(default=600, validator=_count(1, 10 * 365 * 86_400))
    faults: Mapping[str, int] = attrs.field(factory=dict, converter=ordered_rates)
    decisions_max: int = attrs.field(default=DECISIONS_MAX, validator=_count(1, 10 * DECISIONS_MAX))
    module: str = ""
    kills: tuple[tuple[int, bool], ...] = ()
    forced: tuple[tuple[int, int], ...] | None = None
    arrivals: Arrivals = attrs.field(
        default="exponential", validator=attrs.validators.in_(get_args(Arrivals))
    )
    limits: Literal["drawn", "usual"] = attrs.field(
        default="drawn", validator=attrs.validators.in_(("drawn", "usual"))
    )
    activities_max: int = attrs.field(default=0, validator=_count(0, 1_000_000))

    def __attrs_post_init__(self) -> None:
        for number, place in self.forced or ():
            if number < 1 or place < 0:
                raise InvalidValueError(
                    "a forced decision is its number, from 1 on, and a place in the queue, from 0 on,"
                    f" got {number!r} and {place!r}"
                )
        if self.processes > 1 and self.store == "disk":
            raise InvalidValueError(
                "a simulated disk is locked by one process; give processes=1, or store='memory'"
            )

    @property
    def is_said_by_options(self) -> bool:
        """Whether a command line can say it: kills and forced decisions stand in a history alone."""
        return not self.kills and self.forced is None

    @property
    def is_calm(self) -> bool:
        """Whether nothing befalls its worlds: promises about time hold only then."""
        return not self.faults and not self.kills

    def as_json(self) -> dict[str, Any]:
        """Give it as plain values, for a history's header."""
        return attrs.asdict(self, recurse=False) | {"faults": dict(self.faults), "kills": list(self.kills)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make it of what `as_json` gave.

        Args:
            values: plain values.

        Returns:
            The plan.

        Raises:
            InvalidValueError: one of them is none of a plan's.
        """
        try:
            kills = tuple((int(number), bool(after)) for number, after in values.get("kills", ()))
            return cls(
                **{
                    **values,
                    "kills": kills,
                    "forced": msgspec.convert(values.get("forced"), tuple[tuple[int, int], ...] | None),
                    "faults": msgspec.convert(values.get("faults", {}), dict[str, int]),
                }
            )
        except (TypeError, ValueError, msgspec.ValidationError) as error:
            raise InvalidValueError(f"this is no plan of a world: {error}") from error
