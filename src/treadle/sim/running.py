"""Running a world from its first moment to the verdict."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from treadle import _version
from treadle.checkers import Violation, check_history, read_history
from treadle.errors import UsageError
from treadle.sim.draws import Draws
from treadle.sim.history import Recorder
from treadle.sim.kernel_guard import KernelGuard, violation_error
from treadle.sim.lives import LifeKernel
from treadle.sim.models import repeated
from treadle.sim.places import DiskPlace, MemoryPlace, Place
from treadle.sim.plan import Plan
from treadle.sim.workloads import Workload, workload
from treadle.sim.world import World
from treadle.sim.world_kernel import KernelDeadlockError, KernelViolationError

SEED_MAX: Final = 2**63 - 1
PROMISES: Final[Mapping[str, str]] = {
    "processes_live": "no process ends by itself, except over its store or because another took its place",
    "raises_nothing": "neither clients nor checks raise what they do not handle",
    "comes_to_an_end": "nobody waits for ever, and the decisions suffice",
}
"""What is held against every world, whatever its workload checks besides: name -> in words."""


@attrs.frozen(slots=True)
class Run:
    """What became of a world.

    Attributes:
        seed: its seed.
        plan: its plan.
        promises: what was checked: name -> in words.
        violations: the promises that were broken; empty when all held.
        digest: of its history; the same for the same seed and code.
        lines: its history, a line of JSON for each thing that happened; the first of a very long one.
        lines_made: how many there are, those that were not kept among them.
        decisions: how many times the world has chosen who goes on.
        virtual_seconds: how much time has passed in it.
        appends: how many groups its stores were given.
        faults: name of a fault -> how often it has happened.
    """

    seed: int
    plan: Plan
    promises: Mapping[str, str]
    violations: tuple[Violation, ...]
    digest: str
    lines: Sequence[bytes]
    lines_made: int
    decisions: int
    virtual_seconds: float
    appends: int
    faults: dict[str, int]

    @property
    def holds(self) -> bool:
        """Whether every promise held."""
        return not self.violations


def run_world(
    seed: int,
    plan: Plan,
    *,
    own: Workload | None = None,
    guard: bool = True,
    watch: Callable[[World], object] = lambda _: None,
    decided: Callable[[int, int, str], object] | None = None,
) -> Run:
    """Run one world, and hold every promise against what is left of it.

    Args:
        seed: decides everything the plan leaves open.
        plan: the rest.
        own: a workload to take instead of the plan's.
        guard: name every wait that goes round the kernel, and refuse real I/O; without it a world is a
            little faster.
        watch: given the world before it begins, for whoever shows how far it is.
        decided: where the plan forces decisions, told of each before it is taken: its number, how many are
            ready, and the digest of what has happened so far.

    Returns:
        What became of it.

    Raises:
        UsageError: the plan asks for what is not there, the seed is none, it is called inside a run of Trio,
            or the workload's check gives something else than violations.
        KernelViolationError: something waited outside the kernel, or did real I/O: the seed would mean
            nothing.
    """
    if type(seed) is not int or not 0 <= seed <= SEED_MAX:
        raise UsageError(f"a seed is a whole number, 0 to {SEED_MAX}, got {seed!r}")
    load = own or workload(plan.workload)
    if load.workflows and plan.processes > 1 and not getattr(load, "shares_one_runner", False):
        # Between processes a file's lock decides; memory has none, so they would fence each other for ever.
        raise UsageError(
            f"one process at a time runs a store's durable workflows, got processes={plan.processes};"
            " give 1: a pause lets another one take over"
        )
    if trio.lowlevel.in_trio_run():
        raise UsageError(
            "a world is a run of Trio of its own, and run_world() was called inside another one; call it from"
            " a plain function, without async"
        )
    kernel = LifeKernel(seed, clock_jumps="clock_jump" in plan.faults)
    kernel.decisions_max = plan.decisions_max
    recorder = Recorder(header(seed, plan, own))
    kernel.forced = None if plan.forced is None else dict(plan.forced)
    if decided is not None:
        kernel.decided = lambda number, ready: decided(number, ready, recorder.happened)
    place = _place(seed, plan, kernel)
    world = World(
        kernel,
        seed,
        plan,
        place,
        recorder,
        workflows=load.workflows,
        activities=[repeated(one) for one in load.activities] if _repeats(plan) else load.activities,
        foreign_writers=load.foreign_writers,
        retention=getattr(load, "retention", None),
    )
    world.workload = load
    watch(world)
    guarding = KernelGuard(kernel)
    violations: list[Violation] = []
    found: list[Any] = []

    async def main(_: LifeKernel) -> None:
        await world.run(load.clients)
        # All checks are made at one instant, and a hundred thousand logs take some reads each.
        kernel.instant_decisions_max = kernel.decisions_max
        store = await place.open()
        try:
            found.append(await load.check(world, store))
        finally:
            await place.leave(store)

    try:
        broken = _live(kernel, main, guarding, guard=guard)
    finally:
        place.close()
    for given in found:
        violations += _violations(load, given)
    violations += broken
    violations += [Violation("processes_live", "", None, what) for what in world.broken]
    violations += _recorded(recorder)
    recorder.write({"ends": recorder.now(), "decisions": kernel.decisions, "violations": len(violations)})
    return Run(
        seed,
        plan,
        {**load.promises, **PROMISES},
        tuple(violations),
        recorder.digest,
        recorder.lines,
        recorder.count,
        kernel.decisions,
        kernel.current_time(),
        world.appends,
        dict(world.faults_made),
    )


def _repeats(plan: Plan) -> bool:
    return "activity_twice" in plan.faults


def _live(
    kernel: LifeKernel, main: Callable[[LifeKernel], Awaitable[None]], guarding: KernelGuard, *, guard: bool
) -> list[Violation]:
    """Run a world's first task; tell what it has raised that a world must not."""
    broken: list[Violation] = []
    try:
        trio.run(kernel.run_main, main, (), clock=kernel, instruments=[guarding] if guard else [])
    except BaseException as error:
        if guarding.violations:
            raise violation_error(guarding.violations) from error
        if isinstance(error, KernelDeadlockError):
            return [Violation("comes_to_an_end", "", None, str(error))]
        causes = list(_leaves(error))
        if any(not isinstance(one, Exception) or isinstance(one, KernelViolationError) for one in causes):
            raise
        broken = [Violation("raises_nothing", "", None, _told(one)) for one in causes]
    if guarding.violations:
        raise violation_error(guarding.violations)
    return broken


def _recorded(recorder: Recorder) -> list[Violation]:
    """Check what clients did and saw as it was written down: who reads the file later comes to the same."""
    if not recorder.whole:
        # Logs stand at the end of a history: what is cut off would pass unchecked, or be missed in vain.
        return [
            Violation(
                "comes_to_an_end",
                "",
                None,
                f"it writes {recorder.count:,} lines, of which {len(recorder.lines):,} are kept, so that"
                " nobody can check its history; let it do less",
            )
        ]
    if not any(line.startswith(_LOG) for line in recorder.lines):
        return []
    return check_history(read_history(recorder.lines))


def _violations(load: Workload, given: Any) -> Sequence[Violation]:
    """Give what a workload's check has found; it may be the user's own."""
    if not isinstance(given, list | tuple) or not all(isinstance(one, Violation) for one in given):
        raise UsageError(
            f"{type(load).__name__}.check gives a list of Violation, an empty one when all holds, got"
            f" {given!r:.80}; return [] or [Violation(promise, workflow_id, seq, message)]"
        )
    return given


def _place(seed: int, plan: Plan, kernel: LifeKernel) -> Place:
    if plan.store == "memory":
        return MemoryPlace(kernel)
    return DiskPlace(kernel, Draws(seed, "disk"))


def header(seed: int, plan: Plan, own: Workload | None = None) -> dict[str, Any]:
    """Tell what a history is made of.

    Args:
        seed: the world's.
        plan: the rest.
        own: the user's own workload, or None.

    Returns:
        What the first line of a history holds.
    """
    return {
        "treadle": _version.__version__,
        "code": code_digest(),
        "own": "" if own is None else own_digest(own),
        "seed": seed,
        "plan": plan.as_json(),
    }


def own_digest(own: Workload) -> str:
    """Tell one version of a user's workload from another.

    Args:
        own: the workload.

    Returns:
        A digest of the file that holds its class; empty when there is none.
    """
    try:
        path = inspect.getsourcefile(type(own))
        return blake2b(Path(path).read_bytes(), digest_size=8).hexdigest() if path else ""
    except (OSError, TypeError):
        return ""


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _told(error: BaseException) -> str:
    ours = (str(_ROOT), str(Path(trio.__file__).parent))
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)] or frames
    place = f" at {Path(theirs[-1].filename).name}:{theirs[-1].lineno} in {theirs[-1].name}" if theirs else ""
    return f"{type(error).__name__}: {error}{place}"


_LOG: Final = b'{"log":'
_ROOT: Final = Path(__file__).parent.parent
_code: dict[str, str] = {}


def code_digest() -> str:
    """Tell one version of this library's code from another.

    Returns:
        A digest of its sources: a seed means the same only with the same code.
    """
    if "treadle" not in _code:
        summed = blake2b(digest_size=8)
        for path in sorted(_ROOT.rglob("*.py")):
            summed.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        _code["treadle"] = summed.hexdigest()
    return _code["treadle"]
