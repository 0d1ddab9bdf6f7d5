"""The options that make a plan, and the command line that says the same again."""

from __future__ import annotations

import shlex
from typing import Annotated, Final, Literal

import attrs
from cyclopts import Parameter

from treadle.cli.exits import CommandError
from treadle.cli.options import WHOLE
from treadle.sim.arrivals import Arrivals
from treadle.sim.faults import FAULTS, fault_rates
from treadle.sim.plan import Plan
from treadle.sim.workloads import WORKLOADS

OWN: Final = "own"
"""What a plan calls a workload that is the user's: its place stands beside it."""

MINUTES_MAX: Final = 7 * 24 * 60
"""A week: a soak that goes on is started again with another --first."""
WORKLOAD_NAMES: Final = ("--workload", "--builtin")
"""What a workload may be given by besides its place."""


def one_workload(_type: type, given: object) -> None:
    """Refuse a workload that is given by its place and by an option: cyclopts hands over both, in a list.

    Args:
        given: one name, or several.

    Raises:
        ValueError: there are several; cyclopts words it.
    """
    if not isinstance(given, str):
        raise ValueError("A world has one workload; leave one of them out.")  # noqa: TRY004  # cyclopts' own


WorkloadArgument = Annotated[
    str,
    Parameter(
        name=WORKLOAD_NAMES,
        validator=one_workload,
        help=f"{', '.join(WORKLOADS)}, or MODULE:name of your own workload.",
        allow_leading_hyphen=False,
    ),
]


@Parameter(name="*")
@attrs.frozen(kw_only=True)
class PlanOptions:
    """Everything about a world that its seed does not decide."""

    workflows: Annotated[int, WHOLE, Parameter(help="how many logs, or durable workflows.")] = 5
    clients: Annotated[int, WHOLE, Parameter(help="how many clients there are at once.")] = 5
    operations: Annotated[int, WHOLE, Parameter(help="how many operations each client makes.")] = 20
    faults: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="NAME[=RATE]",
            consume_multiple=True,
            negative="",
            show_default=" ".join,
            help="which faults happen, and how often in a thousand calls or hours; all, or none.",
        ),
    ] = ("all",)
    duration: Annotated[
        int, WHOLE, Parameter(metavar="SECONDS", help="the virtual time over which work and faults come.")
    ] = 600
    processes: Annotated[int, WHOLE, Parameter(help="how many processes share the store, in memory.")] = 1
    store: Annotated[
        Literal["memory", "disk"], Parameter(help="memory, or SQLite over a simulated disk.")
    ] = "memory"
    decisions: Annotated[int, WHOLE, Parameter(help="after how many choices a world counts as endless.")] = (
        Plan().decisions_max
    )
    arrivals: Annotated[Arrivals, Parameter(help="how workflows arrive over the duration.")] = "exponential"
    limits: Annotated[
        Literal["drawn", "usual"],
        Parameter(help="a runtime's limits: drawn from the seed, or its usual ones, to size a system."),
    ] = "drawn"
    activities: Annotated[
        int, WHOLE, Parameter(help="how many activities run at once; 0 leaves it to the limits.")
    ] = 0

    def plan(self, workload: str) -> Plan:
        """Make a plan of them.

        Args:
            workload: a name of `WORKLOADS`, or ``MODULE:name``.

        Returns:
            The plan.

        Raises:
            UsageError: an unknown fault, an impossible rate, or a value outside what its word allows.
        """
        own = ":" in workload
        return Plan(
            workload=OWN if own else workload,
            module=workload if own else "",
            store=self.store,
            workflows=self.workflows,
            clients=self.clients,
            operations=self.operations,
            processes=self.processes,
            duration_seconds=self.duration,
            faults=fault_rates(name for text in self.faults for name in text.split(",")),
            decisions_max=self.decisions,
            arrivals=self.arrivals,
            limits=self.limits,
            activities_max=self.activities,
        )


def reproducing(seed: int, plan: Plan) -> str:
    """Word the one command that runs a world again.

    Args:
        seed: its seed.
        plan: its plan.

    Returns:
        A line for a shell.

    Raises:
        CommandError: the plan holds what no option says.
    """
    if not plan.is_said_by_options:
        raise CommandError(
            "a plan with kills or forced decisions is run again from its history:"
            " treadle sim replay --history FILE"
        )
    words = ["treadle", "sim", "run", plan.module or plan.workload, "--seed", str(seed)]
    usual = PlanOptions()
    for option, field in (
        ("workflows", "workflows"),
        ("clients", "clients"),
        ("operations", "operations"),
        ("duration", "duration_seconds"),
        ("processes", "processes"),
        ("store", "store"),
        ("decisions", "decisions_max"),
        ("arrivals", "arrivals"),
        ("limits", "limits"),
        ("activities", "activities_max"),
    ):
        if getattr(plan, field) != getattr(usual, option):
            words += [f"--{option}", str(getattr(plan, field))]
    return shlex.join([*words, *_fault_words(plan)])


def _fault_words(plan: Plan) -> list[str]:
    if dict(plan.faults) == fault_rates(["all"]):
        return []
    wishes = [
        name if rate == FAULTS[name].default else f"{name}={rate}" for name, rate in plan.faults.items()
    ]
    return ["--faults", *(wishes or ["none"])]
