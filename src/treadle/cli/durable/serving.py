"""`treadle workflow serve`: run what is due, until somebody ends it."""

from __future__ import annotations

from typing import Annotated, Final

import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import CodecsOption, held, runner_of
from treadle.cli.durable.modules import Code, load_all, load_codecs
from treadle.cli.notes import note
from treadle.cli.options import DEFAULT_STORE, StoreOption
from treadle.engine import Status
from treadle.payloads import CodecChain
from treadle.runtime import Runtime, open_runtime

USAGE: Final = "Usage: treadle workflow serve [OPTIONS] MODULE..."
EXAMPLES: Final = """Examples:

  treadle workflow serve orders
  treadle workflow serve shop.orders shop.refunds --store shop.db
"""
LOOK_SECONDS: Final = 1.0
"""How often it looks whether a workflow is held that was not before."""
HELD_TOLD_MAX: Final = 20
"""How many held workflows are told one by one; more have one cause."""


def serve(
    module: Annotated[list[str], Parameter(negative="", consume_multiple=True, help="one or more MODULE.")],
    /,
    *,
    standby: Annotated[bool, Parameter(negative="--no-standby")] = True,
    codecs: CodecsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Run the store's workflows, and whatever other processes start or send, until Ctrl-C.

    One process at a time runs the workflows of a store; another one waits and takes over when the first
    ends. Workflows whose code is in none of the modules are left alone.

    Args:
        module: the modules, found as `python -m` finds them; all workflows and activities in them are run.
        standby: wait while another process runs the store's workflows; --no-standby is an error then.
        codecs: what payloads go through.
        store: the store; made if it does not exist.

    Raises:
        CommandError: a module's name is none, or the modules hold nothing.
        NotFoundError: there is no such module.
        FailedError: a module could not be imported.
        StoreError: the store failed, or another process runs its workflows and --no-standby was given.
    """
    code = load_all(module)
    chain = load_codecs(codecs)
    trio.run(_serve, store, code, chain, standby)


async def _serve(url: str, code: Code, chain: CodecChain, standby: bool) -> None:  # noqa: FBT001  # handed on by position through trio.run
    async with open_runtime(
        url, workflows=code.workflows, activities=code.activities, codecs=chain, standby=standby
    ) as runtime:
        if runtime.statistics().runner.state != "running":
            holder = await trio.to_thread.run_sync(runner_of, runtime.store)
            note(f"{holder or 'another process'} runs the workflows of {url}; standing by to take over")
            await runtime.wait_running()
        names = ", ".join(sorted(workflow.name for workflow in code.workflows)) or "none"
        note(f"running the workflows of {url}: {names}; Ctrl-C ends this")
        told: set[str] = set()
        while True:
            await trio.sleep(LOOK_SECONDS)
            await _tell_held(runtime, chain, told)


async def _tell_held(runtime: Runtime, chain: CodecChain, told: set[str]) -> None:
    if len(told) >= HELD_TOLD_MAX or runtime.statistics().runner.held <= len(told):
        return
    page = await runtime.store.list_workflows(status=Status.HELD, limit=HELD_TOLD_MAX)
    news = [name for name in page if name not in told]
    for head in await runtime.store.heads(news) if news else ():
        told.add(head.workflow_id)
        if (why := await held(runtime.store, head, chain)) is not None:
            note(f"workflow {head.workflow_id!r} is held: {why.reason}")
    if len(told) >= HELD_TOLD_MAX:
        note("more are not told one by one: `treadle workflow list --status held`")
