"""Running a world from its first moment to the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import attrs
import trio

from treadle import _version
from treadle.checkers import Violation
from treadle.errors import UsageError
from treadle.sim.draws import Draws
from treadle.sim.history import Recorder
from treadle.sim.kernel_guard import KernelGuard, violation_error
from treadle.sim.lives import LifeKernel
from treadle.sim.places import DiskPlace, MemoryPlace, Place
from treadle.sim.plan import Plan
from treadle.sim.workloads import Workload, workload
from treadle.sim.world import World
from treadle.sim.world_kernel import KernelDeadlockError

SEED_MAX: Final = 2**63 - 1


@attrs.frozen(slots=True)
class Run:
    """What became of a world.

    Attributes:
        seed: its seed.
        plan: its plan.
        violations: the promises that were broken; empty when all held.
        digest: of its history; the same for the same seed and code.
        lines: its history, a line of JSON for each thing that happened.
        decisions: how many times the world has chosen who goes on.
        virtual_seconds: how much time has passed in it.
        appends: how many groups its stores were given.
        faults: name of a fault -> how often it has happened.
    """

    seed: int
    plan: Plan
    violations: tuple[Violation, ...]
    digest: str
    lines: Sequence[bytes]
    decisions: int
    virtual_seconds: float
    appends: int
    faults: dict[str, int]

    @property
    def holds(self) -> bool:
        """Whether every promise held."""
        return not self.violations


def run_world(seed: int, plan: Plan, *, own: Workload | None = None, guard: bool = True) -> Run:
    """Run one world, and hold every promise against what is left of it.

    Args:
        seed: decides everything the plan leaves open.
        plan: the rest.
        own: a workload to take instead of the plan's.
        guard: name every wait that goes round the kernel; without it a world is a little faster.

    Returns:
        What became of it.

    Raises:
        UsageError: the plan asks for what is not there, or the seed is none.
        KernelViolationError: something waited outside the kernel: the seed would mean nothing.
    """
    if type(seed) is not int or not 0 <= seed <= SEED_MAX:
        raise UsageError(f"a seed is a whole number, 0 to {SEED_MAX}, got {seed!r}")
    load = own or workload(plan.workload)
    kernel = LifeKernel(seed, clock_jumps="clock_jump" in plan.faults)
    kernel.decisions_max = plan.decisions_max
    recorder = Recorder(
        {"treadle": _version.__version__, "code": code_digest(), "seed": seed, "plan": plan.as_json()}
    )
    place = _place(seed, plan, kernel)
    world = World(
        kernel,
        seed,
        plan,
        place,
        recorder,
        workflows=load.workflows,
        activities=load.activities,
        foreign_writers=load.foreign_writers,
    )
    watch = KernelGuard(kernel)
    violations: list[Violation] = []

    async def main(_: LifeKernel) -> None:
        await world.run(load.clients)
        store = await place.open()
        try:
            violations.extend(await load.check(world, store))
        finally:
            await place.leave(store)

    try:
        trio.run(kernel.run_main, main, (), clock=kernel, instruments=[watch] if guard else [])
    except KernelDeadlockError as error:
        if watch.violations:
            raise violation_error(watch.violations) from error
        violations.append(Violation("comes_to_an_end", "", None, str(error)))
    except BaseException as error:
        if watch.violations:
            raise violation_error(watch.violations) from error
        raise
    finally:
        place.close()
    if watch.violations:
        raise violation_error(watch.violations)
    violations += [Violation("processes_live", "", None, what) for what in world.broken]
    recorder.write({"ends": recorder.now(), "decisions": kernel.decisions, "violations": len(violations)})
    return Run(
        seed,
        plan,
        tuple(violations),
        recorder.digest,
        recorder.lines,
        kernel.decisions,
        kernel.current_time(),
        world.appends,
        dict(world.faults_made),
    )


def _place(seed: int, plan: Plan, kernel: LifeKernel) -> Place:
    if plan.store == "memory":
        return MemoryPlace(kernel)
    return DiskPlace(kernel, Draws(seed, "disk"))


_code: dict[str, str] = {}


def code_digest() -> str:
    """Tell one version of this library's code from another.

    Returns:
        A digest of its sources: a seed means the same only with the same code.
    """
    if "treadle" not in _code:
        root = Path(__file__).parent.parent
        summed = blake2b(digest_size=8)
        for path in sorted(root.rglob("*.py")):
            summed.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        _code["treadle"] = summed.hexdigest()
    return _code["treadle"]
