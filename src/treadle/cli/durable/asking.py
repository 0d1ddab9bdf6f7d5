"""`treadle workflow query|result|describe|stack`: asking a workflow, wherever it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec
import trio
from cyclopts import Parameter
from cyclopts.validators import Number

from treadle.cli.durable.connecting import (
    CodecsOption,
    ModuleOption,
    asking,
    client_runtime,
    durable_head,
    held,
    runner_of,
    runner_record,
)
from treadle.cli.durable.modules import load_code, load_codecs
from treadle.cli.durable.replaying import read_run, read_workflow, replayed
from treadle.cli.durable.values import Arguments, show_value, values_of
from treadle.cli.durable.waiting import wait_for_end
from treadle.cli.durable.words import called, open_ends
from treadle.cli.exits import FailedError
from treadle.cli.notes import write_out
from treadle.cli.options import DEFAULT_STORE, OutputFormat, OutputOption, StoreOption, WorkflowArgument
from treadle.cli.output import printable, show_facts
from treadle.engine import Execution, Status
from treadle.engine.records import RunStarted
from treadle.errors import NoRunnerError, WorkflowClosedError
from treadle.formats.times import timestamp_text
from treadle.payloads import CodecChain, encode
from treadle.stores import Head

QUERY_USAGE: Final = "Usage: treadle workflow query [OPTIONS] WORKFLOW-ID NAME [ARGUMENTS...]"
QUERY_EXAMPLES: Final = """Examples:

  treadle workflow query order-7 total
  treadle workflow query order-7 total --module orders
"""
RESULT_EXAMPLES: Final = """Examples:

  treadle workflow result order-7
  treadle workflow result order-7 --timeout 60
"""
DESCRIBE_EXAMPLES: Final = """Examples:

  treadle workflow describe order-7
  treadle workflow describe order-7 --module orders -o json
"""
STACK_EXAMPLES: Final = """Examples:

  treadle workflow stack order-7
  treadle workflow stack order-7 --module orders
"""
WAITS_SHOWN_MAX: Final = 20
"""How many things a workflow waits for a table shows: more fill a screen and tell nothing more."""
_FROM_LOG: Final = "its log alone, which does not tell signals and conditions; --module MODULE does"


# -- query ---------------------------------------------------------------------------------------------


def query(
    workflow_id: WorkflowArgument,
    name: Annotated[str, Parameter(allow_leading_hyphen=False)],
    /,
    *arguments: Arguments,
    module: ModuleOption = None,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Ask a workflow something and print its answer as JSON; nothing is written to its log.

    Args:
        workflow_id: the workflow's id.
        name: which query.
        *arguments: its arguments.
        module: replay it here with the code of this module.
        codecs: what payloads go through.
        output: how the answer is printed; a table is JSON on several lines.
        store: the store.

    Raises:
        CommandError: an argument cannot be right.
        NotFoundError: there is no such workflow.
        NoRunnerError: nobody runs the store's workflows, and no module was given.
        QueryFailedError: the workflow knows no such query, or its function raised.
        StoreError: the store failed.
    """
    values, chain = values_of(arguments), load_codecs(codecs)
    if module is None:
        show_value(output, trio.run(_query, store, workflow_id, name, values, chain))
        return
    _, execution = _replayed_here(store, workflow_id, module, chain)
    try:
        show_value(output, msgspec.json.decode(execution.query(name, encode(values))))
    finally:
        execution.evict()


async def _query(url: str, workflow_id: str, name: str, values: list[Any], chain: CodecChain) -> Any:
    async with client_runtime(url, chain) as runtime:
        head = await durable_head(runtime.store, workflow_id)
        with asking():
            return await runtime.workflow(head.workflow_id).query(name, *values)


def _replayed_here(url: str, workflow_id: str, module: str, chain: CodecChain) -> tuple[Head, Execution]:
    code = load_code(module)
    head, events = trio.run(read_workflow, url, workflow_id, chain)
    facts = head.facts
    assert facts is not None  # noqa: S101  # read_workflow() gives durable ones
    if Status(facts.status).is_closed:
        how = Status(facts.status).name.lower()
        raise WorkflowClosedError(
            f"workflow {head.workflow_id!r} is {how}: there is no code of it left to look at;"
            f" `treadle workflow result {head.workflow_id}` tells how it ended",
            workflow_id=head.workflow_id,
            status=how,
        )
    return head, replayed(code, facts.name, head.workflow_id, events)


# -- result --------------------------------------------------------------------------------------------


def result(
    workflow_id: WorkflowArgument,
    /,
    *,
    timeout: Annotated[
        float | None, Parameter(show_default=False, validator=Number(gte=0), metavar="SECONDS")
    ] = None,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Wait until a workflow has ended, and print its result as JSON.

    One that has ended is read from the store; nobody has to run it. Whoever stops waiting changes nothing.

    Args:
        workflow_id: the workflow's id.
        timeout: how many seconds to wait; no limit if left out.
        codecs: what payloads go through.
        output: how the result is printed; a table is JSON on several lines.
        store: the store.

    Raises:
        NotFoundError: there is no such workflow.
        NoRunnerError: it has not ended, and nobody runs the store's workflows.
        FailedError: it has not ended in time.
        WorkflowError: it has ended without a result, or is held.
        StoreError: the store failed.
    """
    show_value(output, trio.run(_result, store, workflow_id, timeout, load_codecs(codecs)))


async def _result(url: str, name: str, timeout: float | None, chain: CodecChain) -> Any:  # noqa: ASYNC109  # the option
    async with client_runtime(url, chain) as runtime:
        head = await durable_head(runtime.store, name)
        facts, handle = head.facts, runtime.workflow(head.workflow_id)
        assert facts is not None  # noqa: S101  # durable_head() gives durable ones
        if Status(facts.status).is_closed:
            return await handle.result()
        if (why := await held(runtime.store, head, chain)) is not None:
            raise why.error(head.workflow_id)
        if await trio.to_thread.run_sync(runner_of, runtime.store) is None:
            raise NoRunnerError(
                f"workflow {head.workflow_id!r} has not ended, and nobody runs the workflows of {url} now;"
                " `treadle workflow serve MODULE` runs them"
            )
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            return await wait_for_end(runtime, handle, chain)
    raise FailedError(f"workflow {head.workflow_id!r} has not ended within {timeout:g} s; it goes on")


# -- describe ------------------------------------------------------------------------------------------


def describe(
    workflow_id: WorkflowArgument,
    /,
    *,
    module: ModuleOption = None,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Tell where a workflow stands and what it waits for, in words.

    When nobody runs it, what it waits for is read from its log: activities, timers and children are seen
    there, signals and conditions are not.

    Args:
        workflow_id: the workflow's id.
        module: replay it here with the code of this module.
        codecs: what payloads go through.
        output: how it is printed.
        store: the store.

    Raises:
        NotFoundError: there is no such workflow.
        UsageError: it is a plain log.
        StoreError: the store failed.
    """
    chain = load_codecs(codecs)
    facts = trio.run(_describe, store, workflow_id, chain, module is not None)
    if module is not None and facts["status"] in {"running", "held"}:
        _, execution = _replayed_here(store, workflow_id, module, chain)
        told = execution.describe()
        facts["waits_for"], facts["seen_by"] = list(told.waiting_for), f"replay with {module}"
        facts["signals_unread"] = told.signals_unread
        facts["queries"], facts["updates"] = list(told.queries), list(told.updates)
        execution.evict()
    show_facts(output, facts["workflow_id"], facts, _rows(facts))


async def _describe(url: str, name: str, chain: CodecChain, replays: bool) -> dict[str, Any]:  # noqa: FBT001  # handed on by position through trio.run
    async with client_runtime(url, chain) as runtime:
        head = await durable_head(runtime.store, name)
        workflow_id, facts = head.workflow_id, head.facts
        assert facts is not None  # noqa: S101  # durable_head() gives durable ones
        holder = await trio.to_thread.run_sync(runner_of, runtime.store)
        events = await read_run(runtime.store, head, chain)
        begun = msgspec.json.decode(events[0].payload, type=RunStarted)
        why = await held(runtime.store, head, chain)
        running = facts.status == Status.RUNNING
        waits: Sequence[str] = ()
        seen_by = None
        if running and holder is not None and not replays:
            waits, seen_by = (await runtime.workflow(workflow_id).describe()).waits_for, "its runner"
        elif running or why is not None:
            waits, seen_by = open_ends(events), "its log"
        return {
            "workflow_id": workflow_id,
            "status": Status(facts.status).name.lower(),
            "name": facts.name,
            "call": called(facts.name, begun.args),
            "run": facts.run_start_seq,
            "started_at": events[0].timestamp,
            "last_event_at": events[-1].timestamp,
            "events": head.next_seq - 1,
            "wake_up_at": facts.wake_up_ns or None,
            "parent": None if begun.parent is None else begun.parent.id,
            "held": None if why is None else why.reason,
            "waits_for": list(waits),
            "seen_by": seen_by,
            "messages_waiting": len(await runtime.store.messages(workflow_id)),
            "runner": runner_record(holder),
        }


def _bounded(waits: list[str]) -> list[str]:
    if len(waits) <= WAITS_SHOWN_MAX:
        return waits
    return [*waits[:WAITS_SHOWN_MAX], f"and {len(waits) - WAITS_SHOWN_MAX:,} more; -o json tells all"]


def _rows(facts: dict[str, Any]) -> dict[str, Any]:
    runner = facts["runner"]
    open_ = facts["status"] in {"running", "held"}
    rows: dict[str, Any] = {
        "status": facts["status"],
        "workflow": facts["call"],
        "started": timestamp_text(facts["started_at"]),
        "ended" if not open_ else "last event": timestamp_text(facts["last_event_at"]),
        "events": facts["events"],
        "run": f"since seq {facts['run']}" if facts["run"] > 1 else None,
        "child of": facts["parent"],
        "held because": facts["held"],
    }
    if open_:
        from_log = facts["seen_by"] == "its log"
        nothing = "nothing that its log tells" if from_log else "nothing: it is at work"
        rows["waits for"] = _bounded(facts["waits_for"]) or nothing
        rows["told by"] = _FROM_LOG if from_log else None
    for label in ("queries", "updates"):
        rows[label] = ", ".join(facts[label]) if facts.get(label) else None
    unread = facts.get("signals_unread") or {}
    rows["unread signals"] = ", ".join(f"{name}: {count}" for name, count in unread.items()) or None
    rows["messages waiting"] = facts["messages_waiting"] or None
    if open_:
        rows["runner"] = "nobody now" if runner is None else f"process {runner['pid']} on {runner['host']}"
    return rows


# -- stack ---------------------------------------------------------------------------------------------


def stack(
    workflow_id: WorkflowArgument,
    /,
    *,
    module: ModuleOption = None,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show a workflow's tasks as a tree: where each stands in the code, and what it waits for.

    Args:
        workflow_id: the workflow's id.
        module: replay it here with the code of this module.
        codecs: what payloads go through.
        output: how it is printed.
        store: the store.

    Raises:
        NotFoundError: there is no such workflow.
        WorkflowClosedError: it has ended.
        NoRunnerError: nobody runs the store's workflows, and no module was given.
        StoreError: the store failed.
    """
    chain = load_codecs(codecs)
    if module is None:
        trees = trio.run(_stack, store, workflow_id, chain)
    else:
        _, execution = _replayed_here(store, workflow_id, module, chain)
        trees = msgspec.to_builtins(execution.stack(), enc_hook=str)
        execution.evict()
    _show_stack(output, trees)


async def _stack(url: str, workflow_id: str, chain: CodecChain) -> Sequence[dict[str, Any]]:
    async with client_runtime(url, chain) as runtime:
        head = await durable_head(runtime.store, workflow_id)
        with asking():
            return await runtime.workflow(head.workflow_id).stack()


def _show_stack(output: OutputFormat, trees: Sequence[dict[str, Any]]) -> None:
    if output == "table":
        for tree in trees:
            for line in _tree_lines(tree, "", ""):
                write_out(printable(line).rstrip() + "\n")
    elif output == "json":
        write_out(encode(list(trees)).decode() + "\n")
    else:
        for tree in trees:
            write_out(encode(tree).decode() + "\n")


def _tree_lines(tree: dict[str, Any], first: str, rest: str) -> Iterator[str]:
    waits = tree["waiting_for"]
    yield f"{first}{tree['name']}{': waits for ' if waits else ''}{waits}"
    children = tree["children"]
    beside = "│ " if children else "  "
    for frame in tree["frames"]:
        yield f"{rest}{beside} {frame['function']}  {frame['file']}:{frame['line']}"
    for place, child in enumerate(children):
        last = place == len(children) - 1
        yield from _tree_lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
