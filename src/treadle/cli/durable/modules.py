"""The user's module: imported, and the workflows and activities in it found."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeAlias

import attrs

from treadle.cli.exits import CommandError, FailedError, NotFoundError
from treadle.engine import ActivityDefinition, WorkflowDefinition
from treadle.payloads import CodecChain

Workflow: TypeAlias = WorkflowDefinition[..., Any]
Activity: TypeAlias = ActivityDefinition[..., Any]

FRAMES_SHOWN_MAX: Final = 3
"""How many of the user's own lines stand below an import that failed: the last ones hold the cause."""


@attrs.frozen
class Code:
    """What a user's module holds for a runtime.

    Attributes:
        module: the module's name.
        workflows: each once.
        activities: each once.
        chosen: the workflow that is meant, or None when nobody has said and it cannot be told.
    """

    module: str
    workflows: tuple[Workflow, ...] = ()
    activities: tuple[Activity, ...] = ()
    chosen: Workflow | None = None

    def workflow(self) -> Workflow:
        """Tell which workflow is meant.

        Returns:
            The one named, or the only one.

        Raises:
            CommandError: there are several, or none.
        """
        if self.chosen is not None:
            return self.chosen
        if not self.workflows:
            raise CommandError(
                f"module {self.module!r} holds no workflow; put @workflow.define above an async def in it"
            )
        names = ", ".join(f"{self.module}:{name}" for name in sorted(found.name for found in self.workflows))
        raise CommandError(f"module {self.module!r} holds several workflows; say which: {names}")


def load_code(target: str) -> Code:
    """Import a user's module, as `python -m` finds it, and take what it holds.

    Args:
        target: ``MODULE`` or ``MODULE:NAME``.

    Returns:
        All workflows and activities that are defined or imported in the module, or stand in a module that
        it imports by name.

    Raises:
        CommandError: the name is none of a module.
        NotFoundError: there is no such module, or no such workflow in it.
        FailedError: the module could not be imported.
    """
    name, _, wanted = target.partition(":")
    module = import_module(name)
    found = list(_definitions(module))
    workflows = _each_once(value for value in found if isinstance(value, WorkflowDefinition))
    activities = _each_once(value for value in found if isinstance(value, ActivityDefinition))
    chosen = _named(module, wanted, workflows) if wanted else _only(module, workflows)
    return Code(name, tuple(workflows), tuple(activities), chosen)


def load_all(targets: Sequence[str]) -> Code:
    """Import several modules for one runtime.

    Args:
        targets: ``MODULE`` or ``MODULE:NAME`` each; a name chooses nothing here.

    Returns:
        All that they hold.

    Raises:
        CommandError: a name is none of a module, or none of the modules holds anything.
        NotFoundError: there is no such module, or no such workflow in it.
        FailedError: a module could not be imported.
    """
    codes = [load_code(target) for target in targets]
    workflows = _each_once(found for code in codes for found in code.workflows)
    activities = _each_once(found for code in codes for found in code.activities)
    name = ", ".join(code.module for code in codes)
    if not workflows and not activities:
        raise CommandError(
            f"nothing to run: {name} holds no workflow; put @workflow.define above an async def in it"
        )
    return Code(name, tuple(workflows), tuple(activities))


def load_codecs(target: str | None) -> CodecChain:
    """Import what payloads go through between converter and store.

    Args:
        target: ``MODULE:NAME`` of a list of codecs, or of a `CodecChain`; None for no codecs.

    Returns:
        The chain.

    Raises:
        CommandError: the target is none, or what it names are no codecs.
        NotFoundError: there is no such module, or nothing of this name in it.
        FailedError: the module could not be imported.
    """
    if target is None:
        return CodecChain(())
    name, _, wanted = target.partition(":")
    if not wanted:
        raise CommandError(f"codecs are named as MODULE:NAME, got {target!r}")
    value = vars(import_module(name)).get(wanted)
    if value is None:
        raise NotFoundError(f"module {name!r} holds nothing named {wanted!r}")
    if isinstance(value, CodecChain):
        return value
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise CommandError(f"{target} is a list of codecs, got {value!r:.80}")
    return CodecChain(value)


def import_module(name: str) -> ModuleType:
    """Import a module by its dotted name; the current folder is looked at first.

    Args:
        name: the name.

    Returns:
        The module.

    Raises:
        CommandError: the name is none of a module.
        NotFoundError: there is no such module.
        FailedError: it could not be imported.
    """
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        raise CommandError(f"a module is named as in an import, got {name!r}{_as_module(name)}")
    if not sys.path or sys.path[0] not in {"", str(Path.cwd())}:
        sys.path.insert(0, str(Path.cwd()))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _not_imported(name, error) from error
        raise _no_module(name) from error
    except (Exception, SystemExit) as error:
        raise _not_imported(name, error) from error


def _as_module(name: str) -> str:
    # A path is what a shell completes, and nearly a module's name.
    dotted = name.removesuffix(".py").strip("./").replace("/", ".")
    if name.endswith(".py") and all(part.isidentifier() for part in dotted.split(".")):
        return f"; write {dotted}"
    return ""


def _no_module(name: str) -> NotFoundError:
    beside = [path.stem for path in Path.cwd().glob("*.py")]
    near = difflib.get_close_matches(name, beside, n=3)
    guess = f"; did you mean {' or '.join(near)}?" if near else ""
    return NotFoundError(f"no module {name!r} in this folder or on Python's path{guess}")


def _not_imported(name: str, error: BaseException) -> FailedError:
    frames = [
        f"  {frame.filename}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and not frame.filename.startswith(importlib.__path__[0])
    ]
    if isinstance(error, SyntaxError):
        frames.append(f"  {error.filename}:{error.lineno}")
    # The first frame is ours.
    told = "\n".join(frames[1:][-FRAMES_SHOWN_MAX:])
    what = "it ended the process" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    return FailedError(f"module {name!r} could not be imported: {what}" + (f"\n{told}" if told else ""))


def _definitions(module: ModuleType) -> Iterator[object]:
    """What the module itself names first, then what stands in modules that it names."""
    yield from vars(module).values()
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType) and value is not module:
            yield from list(vars(value).values())


def _each_once(found: Iterable[Any]) -> list[Any]:
    return list({id(value): value for value in found}.values())


def _named(module: ModuleType, wanted: str, workflows: list[Workflow]) -> Workflow:
    value = vars(module).get(wanted)
    if isinstance(value, WorkflowDefinition):
        return value
    for workflow in workflows:
        if workflow.name == wanted:
            return workflow
    names = [workflow.name for workflow in workflows]
    near = difflib.get_close_matches(wanted, names, n=3)
    guess = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    known = ", ".join(sorted(names)) or "none"
    raise NotFoundError(f"module {module.__name__!r} holds no workflow {wanted!r}; {guess}It holds: {known}")


def _only(module: ModuleType, workflows: list[Workflow]) -> Workflow | None:
    # What is defined here is more likely meant than what was imported to be a child of it.
    own = [workflow for workflow in workflows if workflow.function.__module__ == module.__name__]
    for candidates in (own, workflows):
        if len(candidates) == 1:
            return candidates[0]
    return None
