"""`treadle run`: one workflow, from its start or from where it stood, to its result."""

from __future__ import annotations

import secrets
import shlex
from functools import partial
from typing import Annotated, Any, Final

import msgspec
import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import CodecsOption, runner_of
from treadle.cli.durable.modules import Code, Workflow, load_code, load_codecs
from treadle.cli.durable.replaying import read_run
from treadle.cli.durable.values import Arguments, show_value, values_of
from treadle.cli.durable.waiting import wait_for_end
from treadle.cli.exits import INTERRUPTED, OK, CommandError, first_cause
from treadle.cli.notes import note
from treadle.cli.options import DEFAULT_STORE, OutputOption, StoreOption
from treadle.engine.arguments import decode_arguments
from treadle.engine.origins import decoded_event
from treadle.engine.records import RunStarted
from treadle.errors import InvalidValueError, WorkflowExistsError
from treadle.events import WorkflowId
from treadle.events import workflow_id as checked_workflow_id
from treadle.payloads import CodecChain, JsonConverter, encode
from treadle.runtime import Runtime, WorkflowHandle, open_runtime
from treadle.stores import Head, Store

USAGE: Final = "Usage: treadle run [OPTIONS] MODULE[:NAME] [ARGUMENTS...]"
EXAMPLES: Final = """Examples:

  treadle run orders --id order-7 order-7 4200
  treadle run shop.orders:refund --id refund-7 '{"order": "order-7", "cents": 4200}'
  treadle run orders --id order-7
"""
MAILBOX_LOOK_SECONDS: Final = 0.02
"""How often it is looked whether a start that waited has been taken; a runner takes it at once."""


def run(
    module: Annotated[str, Parameter(help="MODULE, or MODULE:NAME when it holds several workflows.")],
    /,
    *arguments: Arguments,
    id: Annotated[str | None, Parameter(show_default=False, allow_leading_hyphen=True)] = None,  # noqa: A002  # the option's name
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Run a workflow to its end and print its result as JSON; killed and run again, it goes on.

    The module is found as `python -m` finds it. All workflows and activities in it are registered, and
    everything unfinished in the store goes on beside the workflow, as long as this command runs. What the
    workflow waits for is told on stderr. Ctrl-C stops this process, not the workflow: the same command goes
    on with it. When the id belongs to a workflow already, that one is gone on with, or its result printed
    if it has ended; arguments that are given must then be those it was started with. When another process
    runs the store's workflows, that one does it, and this command waits.

    Args:
        module: where the workflow is.
        *arguments: the workflow's arguments.
        id: the workflow's id; one is made and told if left out.
        codecs: what payloads go through.
        output: how the result is printed; a table is JSON on several lines.
        store: the store; made if it does not exist.

    Returns:
        The exit code.

    Raises:
        CommandError: the module or an argument cannot be right.
        NotFoundError: there is no such module or workflow.
        FailedError: the module could not be imported.
        WorkflowExistsError: the id belongs to another workflow, or to one with other arguments.
        ViolationError: the workflow's code no longer does what its log says.
        WorkflowError: it has ended without a result, or is held.
        StoreError: the store failed.
    """
    code = load_code(module)
    workflow = code.workflow()
    values = values_of(arguments)
    if values:
        typed(workflow, values)  # refused before anything is opened
    chain = load_codecs(codecs)
    name = checked_workflow_id(f"{workflow.name}-{secrets.token_hex(4)}" if id is None else id)
    if id is None:
        note(f"workflow {name}")
    try:
        value = trio.run(partial(_run, store, code, name, values, chain))
    except BaseException as error:
        if not isinstance(first_cause(error), KeyboardInterrupt):
            raise
        again = shlex.join(["treadle", "run", module, "--id", name])
        place = "" if store == DEFAULT_STORE else f" --store {shlex.quote(store)}"
        note(f"treadle: interrupted; what is done is kept, go on with: {again}{place}")
        return INTERRUPTED
    show_value(output, value)
    return OK


def typed(workflow: Workflow, values: list[Any]) -> tuple[Any, ...]:
    """Make of plain JSON values what a workflow's annotations say.

    Args:
        workflow: the workflow.
        values: its arguments.

    Returns:
        The arguments, such as an attrs value for an object.

    Raises:
        CommandError: there are too many, or too few.
        InvalidValueError: one does not fit its annotation.
    """
    signature = workflow.shape.signature
    try:
        signature.bind(*values)
    except TypeError as error:
        # Annotations that are kept as text come in quotes.
        takes = str(signature).replace("'", "")
        raise CommandError(f"workflow {workflow.name!r} takes {takes}: {error}") from error
    args, _ = decode_arguments(workflow, encode(values), JsonConverter())
    return args


async def _run(url: str, code: Code, workflow_id: WorkflowId, values: list[Any], chain: CodecChain) -> Any:
    workflow = code.workflow()
    async with open_runtime(
        url, workflows=code.workflows, activities=code.activities, codecs=chain
    ) as runtime:
        if runtime.statistics().runner.state == "standby":
            holder = await trio.to_thread.run_sync(runner_of, runtime.store)
            note(f"{holder or 'another process'} runs the workflows of {url}; it is asked to run this one")
        handle = await _started(runtime, workflow, workflow_id, values, chain)
        return await wait_for_end(runtime, handle, chain)


async def _started(
    runtime: Runtime,
    workflow: Workflow,
    workflow_id: WorkflowId,
    values: list[Any],
    chain: CodecChain,
) -> WorkflowHandle:
    head = await _begun_head(runtime.store, workflow_id)
    if head.next_seq == 1 or head.facts is None:
        args = typed(workflow, values)
        return await runtime.start(workflow, *args, id=workflow_id, id_policy="use_existing")
    await _check_same(runtime, head, workflow, values, chain)
    note(f"workflow {workflow_id} has begun before; going on with it")
    return runtime.workflow(workflow_id)


async def _begun_head(store: Store, workflow_id: WorkflowId) -> Head:
    """Tell where a workflow stands; one whose start waits in the mailbox is let begin first."""
    while True:
        # In this order: a start that is taken between the two looks is in the log by the second.
        waiting = await store.messages(workflow_id, limit=1)
        (head,) = await store.heads([workflow_id])
        if head.next_seq > 1 or not waiting:
            return head
        await trio.sleep(MAILBOX_LOOK_SECONDS)


async def _check_same(
    runtime: Runtime, head: Head, workflow: Workflow, values: list[Any], chain: CodecChain
) -> None:
    """See that the workflow that is there is the one that is meant."""
    facts, name = head.facts, head.workflow_id
    assert facts is not None  # noqa: S101  # asked by the caller
    if facts.name != workflow.name:
        raise WorkflowExistsError(
            f"workflow {name!r} runs {facts.name!r}, not {workflow.name!r}; choose another --id",
            workflow_id=name,
        )
    if not values:
        return
    (first,) = await runtime.store.read(name, facts.run_start_seq, limit=1)
    if head.shared_seq >= first.seq:
        first, *_ = await read_run(
            runtime.store, head, chain
        )  # it was encoded for the log that it was written to
    else:
        first = decoded_event(name, first, chain)
    begun = msgspec.json.decode(first.payload, type=RunStarted)
    # A run that went on from another was given its arguments by that one, not by a command line.
    if not begun.previous_run and not _are_same(workflow, bytes(begun.args), values):
        raise WorkflowExistsError(
            f"workflow {name!r} was started with the arguments {bytes(begun.args).decode()}; leave them out"
            " to go on with it, or choose another --id",
            workflow_id=name,
        )


def _are_same(workflow: Workflow, recorded: bytes, values: list[Any]) -> bool:
    # Both as the annotations read them: 5 and 5.0 are one float, however each was written.
    converter = JsonConverter()
    try:
        args, kwargs = decode_arguments(workflow, recorded, converter)
    except InvalidValueError:
        return False
    return not kwargs and converter.encode(args) == converter.encode(typed(workflow, values))
