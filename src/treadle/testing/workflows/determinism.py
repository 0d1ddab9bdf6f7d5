"""`assert_deterministic`: a history replayed in this process and in others, where sets have another order."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from treadle import formats
from treadle.engine import ActivityDefinition, WorkflowDefinition
from treadle.errors import UsageError
from treadle.payloads import Converter, JsonConverter
from treadle.testing.workflows.children import imported, read_child, start_child
from treadle.testing.workflows.histories import History, history_bytes, read_history
from treadle.testing.workflows.paranoia import ReplayDifferenceError, differences
from treadle.testing.workflows.replaying import HistoryReplay, replay

HASH_SEEDS: Final = (1, 2, 3)
"""PYTHONHASHSEED of the child processes. A set of two strings has the other order in every second process,
so one child would miss it every second time, three miss it every eighth."""
_MODULE: Final = "treadle.testing.workflows"


def assert_deterministic(
    workflow: WorkflowDefinition[..., Any],
    history: Any,
    *,
    workflow_id: str | None = None,
    activities: Iterable[ActivityDefinition[..., Any]] = (),
    converter: Converter | None = None,
    hash_seeds: Sequence[int] = HASH_SEEDS,
) -> HistoryReplay:
    """Replay a history twice here and once in each of some child processes, and compare.

    A replay compares every command with the recorded one, byte by byte. What only shows elsewhere shows here:
    a global that the first replay has changed, and the order of a set, which every process has its own of.

    Args:
        workflow: what `workflow.define` has made, in a module that can be imported.
        history: what `replay` takes: a file, a rehearsal, or events.
        workflow_id: picks one log of a file that has several.
        activities: as in `replay`; for the replays in this process.
        converter: values to JSON and back; the usual one unless given. The child processes make one of the
            same class, without arguments.
        hash_seeds: PYTHONHASHSEED of each child process; none for no child.

    Returns:
        What was replayed.

    Raises:
        NondeterminismError: the code does something else than the history says, here.
        ReplayDifferenceError: a second replay, or one in a child process, comes out otherwise.
        UsageError: the workflow is defined in ``__main__``, or a child process cannot find it; or as
            `replay`.
    """
    found = read_history(history, name=workflow.name, workflow_id=workflow_id)
    first = replay(found, workflow, activities=activities, converter=converter)
    second = replay(found, workflow, activities=activities, converter=converter)
    _check_same(found, first.portrait, second.portrait, "replayed a second time in this process")
    if hash_seeds:
        _check_children(workflow, found, first, converter, hash_seeds)
    return first


def _check_same(history: History, expected: Mapping[str, str], actual: Mapping[str, str], trial: str) -> None:
    if found := differences(expected, actual):
        raise ReplayDifferenceError(
            f"workflow {history.workflow_id!r}, {trial}: it is to come out as the first time",
            workflow_id=history.workflow_id,
            differences=found,
        )


# -- child processes -----------------------------------------------------------------------------------


def _check_children(
    workflow: WorkflowDefinition[..., Any],
    history: History,
    expected: HistoryReplay,
    converter: Converter | None,
    hash_seeds: Sequence[int],
) -> None:
    order = _order(workflow, history, converter)
    children = [start_child(_MODULE, order, seed) for seed in hash_seeds]
    answers = [read_child(child, f"replays {history.workflow_id!r}") for child in children]
    for seed, answer in zip(hash_seeds, answers, strict=True):
        trial = f"replayed in a process with PYTHONHASHSEED={seed}"
        if "usage" in answer:
            raise UsageError(answer["usage"])
        if "error" in answer:
            raise ReplayDifferenceError(
                f"workflow {history.workflow_id!r}, {trial}, does something else:\n{answer['error']}",
                workflow_id=history.workflow_id,
            )
        _check_same(history, expected.portrait, answer["portrait"], trial)


def _order(workflow: WorkflowDefinition[..., Any], history: History, converter: Converter | None) -> bytes:
    module, name = workflow.function.__module__, workflow.function.__qualname__
    if module == "__main__":
        raise UsageError(
            f"assert_deterministic replays in another process, which imports the workflow; {name!r} is"
            f" defined in __main__ ({workflow.code_place}): move it to a module, or give hash_seeds=() to"
            " stay in this process"
        )
    head = {
        "module": module,
        "name": _importable_name(workflow, module, name),
        "file": getattr(sys.modules.get(module), "__file__", None),
        "converter": None if converter is None else _class_path(converter),
        "workflow_id": history.workflow_id,
    }
    return json.dumps(head).encode() + b"\n" + history_bytes(history.workflow_id, history.events)


def _importable_name(workflow: WorkflowDefinition[..., Any], module: str, name: str) -> str:
    if getattr(sys.modules.get(module), name, None) is not workflow:
        raise UsageError(
            "assert_deterministic replays in another process, which imports the workflow; module"
            f" {module!r} has no {name!r} that is this one ({workflow.code_place}): keep it at the top of its"
            " module under its function's name, or give hash_seeds=() to stay in this process"
        )
    return name


def _class_path(converter: Converter) -> list[str]:
    kind = type(converter)
    if kind.__module__ == "__main__" or "." in kind.__qualname__:
        raise UsageError(
            f"assert_deterministic makes the converter anew in another process; {kind.__qualname__!r} cannot"
            " be imported there: move it to the top of a module, or give hash_seeds=()"
        )
    return [kind.__module__, kind.__qualname__]


def answer(order: bytes) -> dict[str, Any]:
    """Replay what another process has asked for; called in the child.

    Args:
        order: what it has asked.

    Returns:
        The portrait at the end, or what went wrong.
    """
    text, _, file = order.partition(b"\n")
    head = json.loads(text)
    try:
        workflow: WorkflowDefinition[..., Any] = imported(head)
        converter = _converter(head["converter"])
    except Exception as error:  # noqa: BLE001  # importing runs the user's code
        return {
            "usage": f"a process that replays imports {head['module']!r} to find workflow {head['name']!r},"
            f" and fails with {type(error).__name__}: {error}; can it be imported without a test runner?"
        }
    try:
        history = _history(file, head["workflow_id"])
        return {"portrait": replay(history, workflow, converter=converter).portrait}
    except Exception as error:  # noqa: BLE001  # told to the one who asked
        return {"error": "\n".join([f"{error}", *getattr(error, "__notes__", ())])}


def _history(file: bytes, workflow_id: str) -> History:
    for log in formats.read([file], source=workflow_id, format_name="jsonl"):
        if isinstance(log, formats.ImportedLog):
            return History(log.workflow_id, log.events)
    raise UsageError("there is no log")


def _converter(path: list[str] | None) -> Converter:
    if path is None:
        return JsonConverter()
    made: Converter = getattr(importlib.import_module(path[0]), path[1])()
    return made
