"""A workflow replayed in this process, read-only: nothing is started, nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

from treadle.cli.durable.connecting import durable_head, existing_store
from treadle.cli.durable.modules import Code
from treadle.cli.exits import NotFoundError
from treadle.engine import Execution, Registry
from treadle.engine.marks import goes_below
from treadle.engine.origins import decoded_events
from treadle.errors import CorruptStoreError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.payloads import CodecChain, JsonConverter
from treadle.stores import Head, Store


async def read_run(store: Store, head: Head, chain: CodecChain) -> list[WorkflowEvent]:
    """Read the newest run of a durable workflow.

    Args:
        store: where it is.
        head: its head, with facts.
        chain: decodes payloads.

    Returns:
        Its events, as the engine wrote them.

    Raises:
        CodecError: a codec or a key is missing.
        StoreError: the store could not be read.
    """
    assert head.facts is not None  # noqa: S101  # asked by the caller
    events: list[WorkflowEvent] = []
    seq = head.facts.run_start_seq
    while seq < head.next_seq:
        page = await store.read(head.workflow_id, seq, head.next_seq - 1)
        if not page:
            raise CorruptStoreError(
                f"workflow {head.workflow_id!r}: expected events up to seq {head.next_seq - 1}, found none at"
                f" {seq}; run `treadle log verify`",
                workflow_id=head.workflow_id,
                seq=seq,
            )
        events += page
        seq = page[-1].seq + 1
    if goes_below(events) and head.facts.run_start_seq > head.first_kept_seq:
        # A reset has gone back to an earlier run than the one its branch knew.
        events = []
        seq = head.first_kept_seq
        while page := await store.read(head.workflow_id, seq, head.next_seq - 1):
            events += page
            seq = page[-1].seq + 1
    return list(decoded_events(head.workflow_id, events, chain))


def replayed(code: Code, name: str, workflow_id: WorkflowId, events: Sequence[WorkflowEvent]) -> Execution:
    """Put a workflow where its log says it was. Not inside Trio: its code must find nothing of it.

    Args:
        code: the user's module.
        name: the name the workflow's code is registered under.
        workflow_id: its id.
        events: from the first event of a run on.

    Returns:
        The workflow in memory; what its log lacks at the end is made up and not written.

    Raises:
        NotFoundError: the module does not hold this workflow.
        NondeterminismError: the code no longer does what the log says.
        WorkflowHeldError: the code raises what holds it.
    """
    registry = Registry(code.workflows, code.activities)
    definition = registry.workflows.get(name)
    if definition is None:
        known = ", ".join(sorted(registry.workflows)) or "none"
        raise NotFoundError(
            f"workflow {workflow_id!r} runs {name!r}, which module {code.module!r} does not hold;"
            f" it holds: {known}"
        )
    execution = Execution(definition, workflow_id, registry, JsonConverter(), first_seq=events[0].seq)
    execution.replay(events)
    execution.finish_replay()
    return execution


async def read_workflow(url: str, name: str, chain: CodecChain) -> tuple[Head, list[WorkflowEvent]]:
    """Read a durable workflow's newest run from a store, to replay it.

    Args:
        url: the store.
        name: what the user wrote.
        chain: decodes payloads.

    Returns:
        Its head, with facts, and the events of its run.

    Raises:
        NotFoundError: there is no such workflow.
        UsageError: it is a plain log.
        CodecError: a codec or a key is missing.
        StoreError: the store could not be opened or read.
    """
    async with existing_store(url, read_only=True) as store:
        head = await durable_head(store, name)
        return head, await read_run(store, head, chain)
