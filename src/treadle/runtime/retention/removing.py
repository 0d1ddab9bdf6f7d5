"""Removing the events of one log because somebody asks for it: `WorkflowHandle.prune` and `.delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from treadle.errors import WorkflowNotFoundError
from treadle.events import WorkflowId, check_seq
from treadle.runtime.inbox import Proposal
from treadle.runtime.retention.needs import Needs
from treadle.stores import Head, Unit
from treadle.stores.births import pruned

if TYPE_CHECKING:  # what is done here is done for a runtime
    from treadle.runtime.runtime import Runtime


async def prune(runtime: Runtime, workflow_id: WorkflowId, before_seq: int | None) -> int:
    """Take the beginning of a log away; see `WorkflowHandle.prune`.

    Args:
        runtime: the runtime.
        workflow_id: the log.
        before_seq: the first seq that is kept; None for the last baseline's.

    Returns:
        The first kept seq.
    """
    if before_seq is not None:
        check_seq(before_seq)
    needs = Needs(runtime)
    head = await _there(runtime, workflow_id, "remove")
    if before_seq is None:
        noted = await needs.noted(workflow_id, workflow_id)
        seq = await needs.cut_seq(head, noted.get(workflow_id))
    elif before_seq < head.first_kept_seq:
        raise pruned(head, before_seq)
    else:
        seq = before_seq
    if seq == head.first_kept_seq:
        return seq
    await needs.check_cut(head, seq)
    checkpoint = await needs.checkpoint()
    await needs.check_read(head, seq, checkpoint)
    await needs.raise_horizon(checkpoint)
    await commit(runtime, workflow_id, await needs.cut_unit(head, seq))
    return seq


async def delete(runtime: Runtime, workflow_id: WorkflowId) -> None:
    """Delete a log; see `WorkflowHandle.delete`.

    Args:
        runtime: the runtime.
        workflow_id: the log.
    """
    needs = Needs(runtime)
    head = await _there(runtime, workflow_id, "delete")
    await needs.check_delete(head)
    checkpoint = await needs.checkpoint()
    await needs.check_read(head, head.next_seq, checkpoint)
    await needs.raise_horizon(checkpoint)
    await commit(runtime, workflow_id, await needs.delete_unit(head))


async def commit(runtime: Runtime, workflow_id: WorkflowId, unit: Unit) -> None:
    """Write a unit that removes events of a log.

    Args:
        runtime: the runtime.
        workflow_id: the log.
        unit: the unit.

    Raises:
        TreadleError: it was refused, or its outcome is unknown.
    """
    try:
        await runtime._supervisor.commit_unit(Proposal(None), unit)
    finally:
        runtime._supervisor.forget([workflow_id])


async def _there(runtime: Runtime, workflow_id: WorkflowId, what: str) -> Head:
    (head,) = await runtime.store.heads([workflow_id])
    if head.next_seq == head.first_kept_seq:
        raise WorkflowNotFoundError(
            f"workflow {workflow_id!r} has no events: there is nothing to {what}", workflow_id=workflow_id
        )
    return head
