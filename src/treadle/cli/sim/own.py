"""A workload by its name: one of the built-in ones, or the user's, made anew for every world."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from typing import Any, TypeAlias

from treadle.cli.durable.modules import import_module
from treadle.cli.exits import CommandError, FailedError, NotFoundError
from treadle.sim.plan import Plan
from treadle.sim.workloads import Workload, workload

Maker: TypeAlias = Callable[[], Workload | None]

_NEEDED = ("clients", "check")


def maker(plan: Plan) -> Maker:
    """Find what makes a plan's workload.

    Args:
        plan: names it.

    Returns:
        Called once for each world: the user's workload, or None where the plan's own name says it all.

    Raises:
        UsageError: no built-in workload is called so.
        CommandError: the name is none of a module, or what it names is no workload.
        NotFoundError: there is no such module, or nothing of this name in it.
        FailedError: the module could not be imported, or the workload could not be made.
    """
    if not plan.module:
        workload(plan.workload)
        return lambda: None
    value = _named(plan.module)
    if isinstance(value, type) or (callable(value) and not _is_workload(value)):
        return lambda: _made(plan.module, value)
    _check(plan.module, value)
    # One object for all worlds would carry what one world has left in it into the next.
    return lambda: copy.deepcopy(value)


def _named(target: str) -> Any:
    name, _, wanted = target.partition(":")
    if not wanted:
        raise CommandError(f"a workload of your own is named as MODULE:name, got {target!r}")
    held = vars(import_module(name))
    if wanted in held:
        return held[wanted]
    near = difflib.get_close_matches(wanted, [known for known in held if not known.startswith("_")], n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    raise NotFoundError(f"module {name!r} holds nothing named {wanted!r}{guess}")


def _made(target: str, make: Callable[[], Any]) -> Workload:
    try:
        value = make()
    except Exception as error:
        raise FailedError(
            f"{target}() raises {type(error).__name__}: {error}; it is called without arguments"
        ) from error
    return _check(target, value)


def _check(target: str, value: Any) -> Workload:
    if not _is_workload(value):
        missing = [name for name in _NEEDED if not callable(getattr(value, name, None))]
        raise CommandError(
            f"{target} is no workload: it has no {' and no '.join(missing)}; let a class inherit from"
            " treadle.sim.Workload, with `async def clients(self, world)` and"
            " `async def check(self, world, store)`"
        )
    lacking = [
        name
        for name in ("workflows", "activities", "foreign_writers", "promises")
        if not hasattr(value, name)
    ]
    if lacking:
        raise CommandError(
            f"{target} has no {', '.join(lacking)}; let its class inherit from treadle.sim.Workload"
        )
    found: Workload = value
    return found


def _is_workload(value: object) -> bool:
    return all(callable(getattr(value, name, None)) for name in _NEEDED)
