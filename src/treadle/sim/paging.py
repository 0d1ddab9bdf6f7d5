"""Reading all of something from a store, page by page, when a world is over and everything is looked at."""

from __future__ import annotations

from treadle.events import WorkflowEvent, WorkflowId
from treadle.stores import PAGE_EVENTS, PAGE_WORKFLOWS, Store


async def all_workflows(store: Store) -> list[WorkflowId]:
    """List every workflow that has events.

    Args:
        store: where.

    Returns:
        Their ids, in order.

    Raises:
        StoreError: the store could not be read.
    """
    names: list[WorkflowId] = []
    while page := await store.list_workflows(after=names[-1] if names else None, limit=PAGE_WORKFLOWS):
        names += page
    return names


async def whole_log(store: Store, workflow_id: WorkflowId) -> list[WorkflowEvent]:
    """Read a log from its first event to its last.

    Args:
        store: where.
        workflow_id: whose.

    Returns:
        Its events; none for an unknown workflow.

    Raises:
        StoreError: the store could not be read.
    """
    events: list[WorkflowEvent] = []
    while page := await store.read(workflow_id, len(events) + 1, limit=PAGE_EVENTS):
        events += page
    return events
