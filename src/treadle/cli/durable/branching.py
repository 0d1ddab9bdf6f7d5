"""`treadle workflow branch|what-if|reset`: a history gone on with from an earlier event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import CodecsOption, asking, client_runtime, durable_head
from treadle.cli.durable.modules import load_all, load_codecs
from treadle.cli.durable.values import value_of
from treadle.cli.exits import FAILED, OK, CommandError
from treadle.cli.options import (
    DEFAULT_STORE,
    WHOLE,
    OutputOption,
    StoreOption,
    WorkflowArgument,
    whole,
)
from treadle.cli.output import show_facts
from treadle.cli.stores import known_workflows
from treadle.events import check_seq
from treadle.events import workflow_id as checked_workflow_id
from treadle.payloads import CodecChain
from treadle.runtime import WhatIf
from treadle.runtime.durable.beginning_branches import BranchMode
from treadle.runtime.durable.wire import Reapply

BRANCH_EXAMPLES: Final = """Examples:

  treadle workflow branch order-7 --at 12 --to order-7-cheaper
  treadle workflow branch order-7 --at 12 --to order-8 --mode real
  treadle workflow resume order-8
  treadle workflow branch parcel-9 --at 3 --to parcel-9-again
"""
WHAT_IF_USAGE: Final = "Usage: treadle workflow what-if [OPTIONS] WORKFLOW-ID MODULE..."
WHAT_IF_EXAMPLES: Final = """Examples:

  treadle workflow what-if order-7-cheaper orders --answer 12=1900
  treadle workflow what-if order-7-cheaper orders --answer 12=1900 --answer 15='{"parcel": 4}'
  treadle workflow show order-7-cheaper
"""
RESET_EXAMPLES: Final = """Examples:

  treadle workflow reset order-7 --at 12
  treadle workflow reset order-7 --at 12 --reapply none
"""

AtOption = Annotated[int, WHOLE, Parameter(name="--at", metavar="SEQ", allow_leading_hyphen=True)]


def branch(
    workflow_id: WorkflowArgument,
    /,
    *,
    at: AtOption,
    to: Annotated[str, Parameter(metavar="ID", allow_leading_hyphen=True)],
    mode: BranchMode = "what_if",
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Begin a log that shares another one's events up to a seq, and goes on by itself.

    Nothing is copied, and the other log does not change. A branch of a durable workflow does nothing by
    itself: as what_if it is hidden, and `treadle workflow what-if` plays it in virtual time; as real it is
    held until `treadle workflow resume` lets it go on in earnest, with activities that really run.

    Args:
        workflow_id: the log whose events are shared.
        at: the last shared seq.
        to: the id of the branch, never used before.
        mode: what a branch of a durable workflow is for.
        codecs: what payloads go through.
        output: how the answer is printed.
        store: the store.

    Raises:
        InvalidValueError: a seq or an id is none.
        NotFoundError: there is no such workflow.
        SequenceGapError: its log does not reach that far.
        WorkflowExistsError: the branch's id is in use.
        StoreError: the store failed.
    """
    facts = trio.run(_branch, store, workflow_id, at, to, mode, load_codecs(codecs))
    rows = {
        "branch": facts["workflow_id"],
        "of": facts["parent"],
        "shared": f"seq 1 to {at}",
        "mode": facts["mode"],
        "goes on by": _next_step(facts),
    }
    show_facts(output, "", facts, rows)


async def _branch(
    url: str, name: str, at: int, to: str, mode: BranchMode, chain: CodecChain
) -> dict[str, Any]:
    check_seq(at)
    parent, branch_id = checked_workflow_id(name), checked_workflow_id(to)
    async with client_runtime(url, chain) as runtime:
        await known_workflows(runtime.store, [parent])
        handle = await runtime.workflow(parent).branch(at=at, to=branch_id, mode=mode)
        (head,) = await runtime.store.heads([branch_id])
        return {
            "workflow_id": branch_id,
            "parent": parent,
            "at": at,
            "next_seq": head.next_seq,
            "mode": None if head.facts is None else mode,
            "status": None if head.facts is None else await handle.status(),
        }


def _next_step(facts: dict[str, Any]) -> str | None:
    name, mode = facts["workflow_id"], facts["mode"]
    if facts["status"] not in {None, "held"}:
        return None
    if mode is None:
        return f"treadle log append {name} ..."
    return f"treadle workflow {'resume ' + name if mode == 'real' else 'what-if ' + name + ' MODULE'}"


def what_if(
    workflow_id: WorkflowArgument,
    module: Annotated[
        list[str], Parameter(help="modules with the code to play: the one that ran, or another.", negative="")
    ],
    /,
    *,
    answer: Annotated[
        list[str] | None,
        Parameter(
            name="--answer",
            metavar="SEQ=JSON",
            negative="",
            show_default=False,
            help="what the call of a seq comes to; again for each call.",
        ),
    ] = None,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Play a what-if branch on in virtual time, and append what happens to it.

    Activities, children and signals do not happen: what they come to is answered by --answer. It stops at the
    first call without an answer, and says which; given that answer, it goes on from there.

    Args:
        workflow_id: the branch.
        module: whose code is played.
        answer: what a call comes to.
        codecs: what payloads go through.
        output: how the answer is printed.
        store: the store.

    Returns:
        The exit code: 1 when it was stopped by a call without an answer.

    Raises:
        CommandError: an answer is none.
        NotFoundError: there is no such branch, or no such module.
        UsageError: it is no what-if branch, or there is nothing to answer.
        NondeterminismError: this code does something else than the log says.
        StoreError: the store failed.
    """
    answers = dict(map(_answer_of, answer or []))
    found = trio.run(_play, store, workflow_id, module, answers, load_codecs(codecs))
    stopped = None if found.stopped_at is None else str(found.stopped_at)
    record = {
        "workflow_id": found.workflow_id,
        "status": found.status,
        "events": len(found.events),
        "stopped_at": None if found.stopped_at is None else found.stopped_at.seq,
        "waits_for": list(found.waits_for),
    }
    rows = {
        "branch": found.workflow_id,
        "status": found.status,
        "events appended": len(found.events),
        "has no answer": stopped,
        "waits for": list(found.waits_for) or None,
    }
    show_facts(output, "", record, rows)
    return OK if stopped is None else FAILED


def _answer_of(text: str) -> tuple[int, Any]:
    seq, is_answer, value = text.partition("=")
    if not is_answer:
        raise CommandError(f"an answer is SEQ=JSON, such as 12=1900, got {text[:80]!r}")
    try:
        return whole(seq), value_of(value)
    except ValueError as error:
        raise CommandError(f"an answer is SEQ=JSON, such as 12=1900, got {text[:80]!r}: {error}") from error


async def _play(
    url: str, name: str, modules: Sequence[str], answers: dict[int, Any], chain: CodecChain
) -> WhatIf:
    code = load_all(modules)
    async with client_runtime(url, chain) as runtime:
        head = await durable_head(runtime.store, name)
        handle = runtime.workflow(head.workflow_id)
        return await handle.what_if(answers, workflows=code.workflows, activities=code.activities)


def reset(
    workflow_id: WorkflowArgument,
    /,
    *,
    at: AtOption,
    reapply: Reapply = "signals",
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Let a workflow go on from an earlier event, under its own id; one that has ended runs again.

    Its log says so, and what came after the event stays readable; the code is no longer run against it. The
    process that runs the store's workflows does it.

    Args:
        workflow_id: the workflow's id.
        at: the last event that still counts.
        reapply: what comes again of what is abandoned.
        codecs: what payloads go through.
        output: how the answer is printed.
        store: the store.

    Raises:
        InvalidValueError: a seq is none.
        NotFoundError: there is no such workflow.
        SequenceGapError: its log does not reach that far.
        NoRunnerError: nobody runs the store's workflows.
        StoreError: the store failed.
    """
    facts = trio.run(_reset, store, workflow_id, at, reapply, load_codecs(codecs))
    rows = {"workflow": facts["workflow_id"], "goes on from": f"seq {at}", "said at": f"seq {facts['seq']}"}
    show_facts(output, "", facts, rows)


async def _reset(url: str, name: str, at: int, reapply: Reapply, chain: CodecChain) -> dict[str, Any]:
    check_seq(at)
    async with client_runtime(url, chain) as runtime:
        head = await durable_head(runtime.store, name)
        with asking():
            seq = await runtime.workflow(head.workflow_id).reset(at=at, reapply=reapply)
        return {"workflow_id": head.workflow_id, "at": at, "seq": seq, "reapply": reapply}
