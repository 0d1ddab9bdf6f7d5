"""Taking workflow code out of memory: its clean-up runs, and nothing comes of it.

`Evicted` is thrown in where a task waits. A clean-up that waits again gets it again; code that goes on
waiting whatever it is told is left as it stands, for ever, because closing it would only make Python
complain.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Callable, Iterable
from contextvars import Context
from typing import Any, Final

from treadle.engine.driver.errors import Evicted
from treadle.engine.driver.tasks import RUNNING, Task

_REFUSALS_MAX: Final = 100
"""How often code may answer eviction with another wait; enough for clean-ups that wait one by one."""
_never_ending: Final[list[object]] = []


def innermost_first(tasks: Iterable[Task]) -> list[Task]:
    """Order tasks and all tasks below them so that each comes after those it waits for.

    Args:
        tasks: the outermost ones.

    Returns:
        All of them, deepest and youngest first.
    """
    found: list[Task] = []
    pending = list(tasks)
    while pending:
        task = pending.pop(0)
        found.append(task)
        pending[:0] = [child for nursery in task._nurseries or () for child in nursery.children]
    found.reverse()
    return found


def unwind(throw: Callable[[BaseException], object], waiter: object) -> None:
    """Throw `Evicted` into code until it has ended.

    Args:
        throw: throws into it.
        waiter: the code: kept for ever when it does not end.

    Raises:
        KeyboardInterrupt: somebody stopped the program meanwhile.
    """
    for _ in range(_REFUSALS_MAX):
        try:
            throw(Evicted())
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 -- nobody is left whom it could concern
            return
    _never_ending.append(waiter)


def close_generator(generator: AsyncGenerator[Any, Any]) -> None:
    """End an async generator that was dropped half-way; the hook Python calls for that.

    Its clean-up runs at once and cannot wait: there is no task in which it could, and giving it one would
    let the garbage collector decide about commands.

    Args:
        generator: what was dropped.
    """
    task = RUNNING.get()
    problem = Context().run(_close, generator)
    if problem is not None and task is not None and not task.scheduler.evicting:
        name = getattr(generator, "__qualname__", "?")
        warnings.warn(
            f"the async generator {name!r} was dropped half-way and its clean-up failed "
            f"with {problem!r}; iterate inside `async with contextlib.aclosing(...)`",
            ResourceWarning,
            stacklevel=2,
        )


def _close(generator: AsyncGenerator[Any, Any]) -> BaseException | None:
    closing = generator.aclose()
    try:
        closing.send(None)
    except StopIteration:
        return None
    except BaseException as problem:  # noqa: BLE001 -- told as a warning; there is no caller to raise to
        return problem
    unwind(closing.throw, (generator, closing))
    return RuntimeError("it waited for something foreign")
