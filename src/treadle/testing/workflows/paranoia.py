"""What an execution is, as plain values: so that two of them can be compared, here and in another process."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from treadle.engine import Execution
from treadle.engine.driver import TaskStack
from treadle.events import WorkflowEvent
from treadle.testing.workflows.items import Instance
from treadle.testing.workflows.variables import variables

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+\b")


class ReplayDifferenceError(AssertionError):
    """A workflow that was replayed is not the one it was.

    Attributes:
        workflow_id: the workflow.
        differences: what, how it was, how it is after the replay; for each thing that differs.
    """

    def __init__(
        self, message: str, *, workflow_id: str, differences: tuple[tuple[str, str, str], ...] = ()
    ) -> None:
        lines = [message, *(f"  {what}: {before} -> {after}" for what, before, after in differences)]
        super().__init__("\n".join(lines))
        self.workflow_id = workflow_id
        self.differences = differences


def portrait(execution: Execution) -> dict[str, str]:
    """Tell everything about an execution that a replay must bring back.

    Args:
        execution: not evicted.

    Returns:
        Texts by what they tell; the same in every process.
    """
    run = execution.run
    generator = run._random
    activities = {
        seq: (
            *(pending.name, pending.state.name, pending.attempts_failed, pending.next_due_ns),
            *(pending.choice, dict(pending.failed_on)),
        )
        for seq, pending in run.activities.items()
    }
    facts = {
        "status": execution.status.name,
        "next seq": execution.next_seq,
        "run": execution.run_start_seq,
        "time": execution.now_ns,
        "activities": activities,
        "timers": dict(run.timers),
        "children": {seq: (child.id, child.state.name) for seq, child in run.children.items()},
        "signals unread": {name: list(queue.unread) for name, queue in sorted(run.signals.items())},
        "queries": sorted(run.queries),
        "updates": sorted(run.updates),
        "updates pending": sorted(run.updates_pending),
        "updates done": run.updates_done,
        "patches": run.patches,
        "random numbers drawn": None if generator is None else _shortened(generator.getstate()),
        "uuids drawn": run._uuids,
        "tasks": [line for stack in execution.stack() for line in _lines(stack, "")],
    }
    return {what: _ADDRESS.sub("0x...", repr(value)) for what, value in facts.items()}


def _shortened(state: Any) -> str:
    return blake2b(repr(state).encode(), digest_size=8).hexdigest()


def _lines(stack: TaskStack, indent: str) -> list[str]:
    where = " < ".join(f"{frame.function}:{frame.line}" for frame in reversed(stack.frames))
    found = [f"{indent}{stack.name} at {where} waits for {stack.waiting_for or 'nothing'}"]
    return found + [line for child in stack.children for line in _lines(child, f"{indent}  ")]


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Compare two portraits.

    Args:
        before: the one.
        after: the other.

    Returns:
        What differs, and both sides.
    """
    gone = "nothing"
    return tuple(
        (what, value, after.get(what, gone))
        for what, value in before.items()
        if value != after.get(what, gone)
    )


def check_instance(instance: Instance) -> None:
    """Compare a rehearsed workflow with a replay of its log.

    Args:
        instance: the workflow, behind an activation.

    Raises:
        ReplayDifferenceError: they differ.
        NondeterminismError: the code does something else than the log says.
    """
    if instance.execution is not None:
        check_replay(instance.execution, instance.events[instance.run_start_seq - 1 :])


def check_replay(execution: Execution, events: Sequence[WorkflowEvent]) -> None:
    """Replay a workflow's log from the beginning of its run, and compare what comes of it.

    Args:
        execution: in memory, between two activations; all of its events are in the log.
        events: the log, from the first event of the run (or of an earlier one) on.

    Raises:
        ReplayDifferenceError: they differ.
        NondeterminismError: the code does something else than the log says.
    """
    again = Execution(
        execution.definition,
        execution.workflow_id,
        execution.registry,
        execution.converter,
        limits=execution.limits,
        first_seq=events[0].seq,
    )
    again.calls = execution.calls
    try:
        again.replay(events)
        lacking = again.finish_replay()
        found = differences(portrait(execution), portrait(again))
        # Not part of the portrait: that is compared between processes, too, where a user's repr may differ.
        found += differences(variables(execution), variables(again))
        if lacking is not None:
            kinds = ", ".join(event.kind.name for event in lacking.events)
            found = (("commands", "those of the log", f"{kinds} as well"), *found)
        found += tuple((f"seq {one.seq} {one.field}", one.logged, one.done) for one in again.drifts)
    finally:
        again.evict()
    if found:
        raise ReplayDifferenceError(
            f"workflow {execution.workflow_id!r}: a replay of its {len(events)} events is to bring it back as"
            " it is, and does not",
            workflow_id=execution.workflow_id,
            differences=found,
        )
