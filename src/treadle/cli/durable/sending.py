"""`treadle workflow signal|cancel|terminate|resume|update`: messages, from whichever process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import (
    CodecsOption,
    Held,
    asking,
    client_runtime,
    durable_head,
    held,
    note_no_runner,
    runner_of,
    runner_record,
)
from treadle.cli.durable.modules import load_codecs
from treadle.cli.durable.values import Arguments, show_value, values_of
from treadle.cli.exits import FAILED, OK
from treadle.cli.options import DEFAULT_STORE, OutputFormat, OutputOption, StoreOption, WorkflowArgument
from treadle.cli.output import Column, Rows, show_facts
from treadle.engine import Status
from treadle.events import WorkflowId
from treadle.payloads import CodecChain
from treadle.runtime import Runtime, WorkflowHandle
from treadle.runtime.durable.wire import AWAITING_RESUME
from treadle.stores import Store

SIGNAL_USAGE: Final = "Usage: treadle workflow signal [OPTIONS] WORKFLOW-ID NAME [ARGUMENTS...]"
SIGNAL_EXAMPLES: Final = """Examples:

  treadle workflow signal order-7 decision yes
  treadle workflow signal order-7 add_item '{"item": "loom", "count": 2}' --key 2c9e
"""
UPDATE_USAGE: Final = "Usage: treadle workflow update [OPTIONS] WORKFLOW-ID NAME [ARGUMENTS...]"
UPDATE_EXAMPLES: Final = """Examples:

  treadle workflow update order-7 add_item loom 2
  treadle workflow update order-7 add_item loom 2 --id 2c9e
"""
CANCEL_EXAMPLES: Final = """Examples:

  treadle workflow cancel order-7
  treadle workflow cancel order-7 --reason "the customer has changed her mind"
"""
TERMINATE_EXAMPLES: Final = """Examples:

  treadle workflow terminate order-7 --reason "started twice"
"""
RESUME_USAGE: Final = "Usage: treadle workflow resume [OPTIONS] [WORKFLOW-ID...]"
RESUME_EXAMPLES: Final = """Examples:

  treadle workflow resume order-7
  treadle workflow resume
"""
RESUME_WAIT_SECONDS: Final = 5.0
"""How long it is watched whether a workflow goes on; a replay takes far less."""
_LOOK_SECONDS: Final = 0.05
_HELD_COLUMNS: Final = (Column("status", 10), Column("workflow", 24), Column("why"))

NameArgument = Annotated[str, Parameter(allow_leading_hyphen=False)]
ReasonOption = Annotated[str, Parameter(show_default=False, allow_leading_hyphen=True)]
Send = Callable[[WorkflowHandle], Awaitable[None]]


def signal(
    workflow_id: WorkflowArgument,
    name: NameArgument,
    /,
    *arguments: Arguments,
    key: Annotated[str | None, Parameter(show_default=False, allow_leading_hyphen=True)] = None,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Send a workflow a signal; it is durable when the command returns, whether somebody runs it or not.

    Args:
        workflow_id: the workflow's id.
        name: which signal.
        *arguments: its values.
        key: 1-64 bytes under which this signal is known; sent again with it, it is not delivered twice.
        codecs: what payloads go through.
        output: how the answer is printed.
        store: the store.

    Raises:
        CommandError: an argument cannot be right.
        NotFoundError: there is no such workflow.
        WorkflowClosedError: it has ended.
        StoreError: the store failed.
    """
    values = values_of(arguments)
    known = None if key is None else key.encode(errors="surrogateescape")

    async def send(handle: WorkflowHandle) -> None:
        await handle.signal(name, *values, key=known)

    _send(store, workflow_id, f"signal {name!r}", send, codecs, output)


def cancel(
    workflow_id: WorkflowArgument,
    /,
    *,
    reason: ReasonOption = "",
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Ask a workflow to end; its code may clean up first, and may even complete.

    Args:
        workflow_id: the workflow's id.
        reason: in words, for its log.
        codecs: what payloads go through.
        output: how the answer is printed.
        store: the store.

    Raises:
        NotFoundError: there is no such workflow.
        WorkflowClosedError: it has ended.
        StoreError: the store failed.
    """
    _send(store, workflow_id, "cancel request", lambda handle: handle.cancel(reason), codecs, output)


def terminate(
    workflow_id: WorkflowArgument,
    /,
    *,
    reason: ReasonOption = "",
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """End a workflow without asking its code, even one that is held.

    Args:
        workflow_id: the workflow's id.
        reason: in words, for its log.
        codecs: what payloads go through.
        output: how the answer is printed.
        store: the store.

    Raises:
        NotFoundError: there is no such workflow.
        WorkflowClosedError: it has ended.
        StoreError: the store failed.
    """
    _send(store, workflow_id, "termination", lambda handle: handle.terminate(reason), codecs, output)


def _send(url: str, name: str, what: str, send: Send, codecs: str | None, output: OutputFormat) -> None:
    facts = trio.run(_sent, url, name, what, send, load_codecs(codecs))
    runner = facts["runner"]
    told = "nobody now; it is kept" if runner is None else f"process {runner['pid']} on {runner['host']}"
    show_facts(output, "", facts, {"sent": what, "to": facts["workflow_id"], "runner": told})


async def _sent(url: str, name: str, what: str, send: Send, chain: CodecChain) -> dict[str, Any]:
    async with client_runtime(url, chain) as runtime:
        handle = await _handle(runtime, name)
        await send(handle)
        holder = await trio.to_thread.run_sync(runner_of, runtime.store)
        if holder is None:
            note_no_runner(runtime.store, f"the {what} is kept, and {handle.workflow_id} takes it")
        return {"workflow_id": handle.workflow_id, "sent": what, "runner": runner_record(holder)}


async def _handle(runtime: Runtime, name: str) -> WorkflowHandle:
    """Find a workflow, begun or waiting to begin; near ids are told when there is none."""
    handle = runtime.workflow(name)
    if not await runtime.store.messages(handle.workflow_id, limit=1):
        await durable_head(runtime.store, name)
    return handle


# -- updates: messages with an answer ------------------------------------------------------------------


def update(
    workflow_id: WorkflowArgument,
    name: NameArgument,
    /,
    *arguments: Arguments,
    id: Annotated[str | None, Parameter(show_default=False, allow_leading_hyphen=True)] = None,  # noqa: A002  # the option's name
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Have a workflow do something, wait for it, and print its answer as JSON.

    Args:
        workflow_id: the workflow's id.
        name: which update.
        *arguments: its arguments.
        id: under which it is known; sent again with it, it is answered and not done again.
        codecs: what payloads go through.
        output: how the answer is printed; a table is JSON on several lines.
        store: the store.

    Raises:
        CommandError: an argument cannot be right.
        NotFoundError: there is no such workflow.
        NoRunnerError: nobody runs the store's workflows.
        UpdateRejectedError: the workflow has refused it; nothing was written.
        UpdateFailedError: its handler raised.
        StoreError: the store failed.
    """
    values = values_of(arguments)
    show_value(output, trio.run(_update, store, workflow_id, name, values, id, load_codecs(codecs)))


async def _update(
    url: str, workflow_id: str, name: str, values: list[Any], update_id: str | None, chain: CodecChain
) -> Any:
    async with client_runtime(url, chain) as runtime:
        head = await durable_head(runtime.store, workflow_id)
        with asking():
            return await runtime.workflow(head.workflow_id).update(name, *values, id=update_id)


# -- the held ------------------------------------------------------------------------------------------


def resume(
    workflow_id: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    /,
    *,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Try held workflows again, all of them when none is named, and tell whether they go on.

    A workflow is held when its code raised what its `hold_on` names, or no longer does what its log says.
    A runner that is started with changed code tries them by itself.

    Args:
        workflow_id: the workflows; all held ones if left out.
        codecs: what payloads go through.
        output: how the answer is printed.
        store: the store.

    Returns:
        The exit code: 1 when one is held still.

    Raises:
        NotFoundError: there is no such workflow.
        NoRunnerError: nobody runs the store's workflows.
        StoreError: the store failed.
    """
    return trio.run(partial(_resume, store, workflow_id or [], load_codecs(codecs), output))


async def _resume(url: str, names: list[str], chain: CodecChain, output: OutputFormat) -> int:
    still_held = False
    async with client_runtime(url, chain) as runtime:
        if await trio.to_thread.run_sync(runner_of, runtime.store) is None:
            note_no_runner(runtime.store, "held workflows whose code has changed are tried again")
        chosen = [(await durable_head(runtime.store, name)).workflow_id for name in names]
        if not names:
            chosen = await _all_held(runtime)
        with Rows(output, *_HELD_COLUMNS) as rows:
            for workflow_id in chosen:
                status, why = await _resume_one(runtime, workflow_id, chain)
                still_held |= status == "held"
                record = {"workflow_id": workflow_id, "status": status, "reason": why}
                rows.add(record, status, workflow_id, why or "")
    return FAILED if still_held else OK


async def _all_held(runtime: Runtime) -> list[WorkflowId]:
    found: list[WorkflowId] = []
    while page := await runtime.store.list_workflows(status=Status.HELD, after=found[-1] if found else None):
        found += page
    # A branch is not held for its code: it waits for somebody who names it.
    heads = await runtime.store.heads(found)
    return [head.workflow_id for head in heads if head.facts and head.facts.details != AWAITING_RESUME]


async def _resume_one(runtime: Runtime, workflow_id: WorkflowId, chain: CodecChain) -> tuple[str, str | None]:
    store, handle = runtime.store, runtime.workflow(workflow_id)
    before = await _held(store, workflow_id, chain)
    if before is not None and await trio.to_thread.run_sync(runner_of, store) is not None:
        await handle.resume()
        with trio.move_on_after(RESUME_WAIT_SECONDS):
            while await _held(store, workflow_id, chain) == before:  # noqa: ASYNC110  # another process
                await trio.sleep(_LOOK_SECONDS)
        # It is let go first and tried then: code that fails as before holds it again at once.
        with trio.move_on_after(RESUME_SETTLE_SECONDS):
            while await _held(store, workflow_id, chain) is None:  # noqa: ASYNC110  # another process
                await trio.sleep(_LOOK_SECONDS)
    why = await _held(store, workflow_id, chain)
    return await handle.status(), None if why is None else why.reason


async def _held(store: Store, workflow_id: WorkflowId, chain: CodecChain) -> Held | None:
    (head,) = await store.heads([workflow_id])
    return await held(store, head, chain)


RESUME_SETTLE_SECONDS: Final = 0.5
"""How long one that goes on is looked at, whether it stays so."""
