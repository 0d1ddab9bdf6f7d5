"""`treadle workflow snapshot|baseline`: states of folds, kept beside a log or in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import CodecsOption, existing_store
from treadle.cli.durable.modules import import_module, load_codecs
from treadle.cli.exits import CommandError, FailedError, NotFoundError
from treadle.cli.options import DEFAULT_STORE, OutputFormat, OutputOption, StoreOption
from treadle.cli.output import Column, Rows, progress
from treadle.cli.stores import known_workflows
from treadle.errors import TreadleError
from treadle.log import Fold
from treadle.payloads import CodecChain
from treadle.runtime import WorkflowHandle, open_runtime

SNAPSHOT_USAGE: Final = "Usage: treadle workflow snapshot WORKFLOW-ID... --fold MODULE:NAME [OPTIONS]"
SNAPSHOT_EXAMPLES: Final = """Examples:

  treadle workflow snapshot account-7 --fold shop.folds:BALANCE
"""
BASELINE_USAGE: Final = "Usage: treadle workflow baseline WORKFLOW-ID... --fold MODULE:NAME [OPTIONS]"
BASELINE_EXAMPLES: Final = """Examples:

  treadle workflow baseline account-7 --fold shop.folds:BALANCE
  treadle workflow baseline account-7 --fold shop.folds:BALANCE --fold shop.folds:ITEMS
  treadle store prune
"""
_COLUMNS: Final = (Column("seq", 12, right=True), Column("workflow", whole=True))

Workflows = Annotated[list[str], Parameter(name="WORKFLOW-ID", negative="", consume_multiple=True)]
FoldOption = Annotated[
    str,
    Parameter(name="--fold", metavar="MODULE:NAME", help="the treadle.Fold, such as shop.folds:BALANCE."),
]
FoldsOption = Annotated[
    list[str],
    Parameter(
        name="--fold",
        metavar="MODULE:NAME",
        negative="",
        help="a treadle.Fold that is to read the log from there on; may be given several times.",
    ),
]
Keep = Callable[[WorkflowHandle], Awaitable[int]]


def snapshot(
    workflow_id: Workflows,
    /,
    *,
    fold: FoldOption,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Keep a fold's state of logs, so that the next replay with it reads only what follows.

    A snapshot is a cache: lost, damaged or of another version, it is passed over, and the events are read.
    It lets nothing be removed; `treadle workflow baseline` does.

    Args:
        workflow_id: the logs.
        fold: the fold.
        codecs: what payloads go through.
        output: how the rows are printed: for each log the last seq that its state holds.
        store: the store, which must exist.

    Raises:
        CommandError: the fold is none.
        NotFoundError: there is no such workflow, module or fold.
        FailedError: the fold has raised.
        InvalidValueError: a state is too large, has no JSON form, or would come back as something else.
        StoreError: the store failed.
    """
    chosen = load_fold(fold)
    _keep(store, workflow_id, lambda handle: handle.snapshot(chosen), load_codecs(codecs), output)


def baseline(
    workflow_id: Workflows,
    /,
    *,
    fold: FoldsOption,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Append the states of folds to plain logs, so that `treadle store prune` may remove what is before.

    Give every fold that is still to read the log: one that is left out cannot begin at the baseline.

    Args:
        workflow_id: the logs.
        fold: the folds.
        codecs: what payloads go through.
        output: how the rows are printed: for each log the seq at which its baseline begins.
        store: the store, which must exist.

    Raises:
        CommandError: a fold is none.
        NotFoundError: there is no such workflow, module or fold.
        FailedError: the fold has raised.
        UsageError: it is a durable workflow.
        InvalidValueError: a state is too large, has no JSON form, or would come back as something else.
        StoreError: the store failed.
    """
    chosen = [load_fold(name) for name in fold]

    async def keep(handle: WorkflowHandle) -> int:
        return (await handle.baseline(*chosen)).events[0].seq

    _keep(store, workflow_id, keep, load_codecs(codecs), output)


def load_fold(target: str) -> Fold[Any]:
    """Import a fold.

    Args:
        target: ``MODULE:NAME``.

    Returns:
        The fold.

    Raises:
        CommandError: the target is none, or what it names is no fold.
        NotFoundError: there is no such module, or nothing of this name in it.
        FailedError: the module could not be imported.
    """
    name, _, wanted = target.partition(":")
    if not wanted:
        raise CommandError(f"a fold is named as MODULE:NAME, got {target!r}")
    value = vars(import_module(name)).get(wanted)
    if value is None:
        raise NotFoundError(f"module {name!r} holds nothing named {wanted!r}")
    if not isinstance(value, Fold):
        raise CommandError(
            f"{target} is a treadle.Fold(name, version, initial, apply), got {value!r:.80}; a function alone"
            " has no name under which its state could be kept"
        )
    return value


def _keep(url: str, names: list[str], keep: Keep, codecs: CodecChain, output: OutputFormat) -> None:
    trio.run(partial(_keep_all, url, names, keep, codecs, output))


async def _keep_all(url: str, names: list[str], keep: Keep, codecs: CodecChain, output: OutputFormat) -> None:
    async with existing_store(url) as store, open_runtime(store, codecs=codecs) as runtime:
        ids = await known_workflows(store, names)
        with Rows(output, *_COLUMNS) as rows, progress("replaying", len(ids)) as advance:
            for workflow_id in ids:
                seq = await _kept(keep, runtime.workflow(workflow_id))
                rows.add({"workflow_id": workflow_id, "seq": seq}, f"{seq:,}", workflow_id)
                advance(1)


async def _kept(keep: Keep, handle: WorkflowHandle) -> int:
    try:
        return await keep(handle)
    except TreadleError:
        raise
    except Exception as error:
        where = "; ".join(getattr(error, "__notes__", ())) or f"for workflow {handle.workflow_id!r}"
        raise FailedError(
            f"the fold has failed {where}: {type(error).__name__}: {error}; nothing was kept of this log"
        ) from error
