"""`treadle workflow start`: begin a workflow and go away."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal

import attrs
import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import (
    CodecsOption,
    client_runtime,
    note_no_runner,
    runner_of,
    runner_record,
)
from treadle.cli.durable.modules import load_codecs
from treadle.cli.durable.values import Arguments, value_of, values_of
from treadle.cli.exits import CommandError
from treadle.cli.options import DEFAULT_STORE, OutputOption, StoreOption
from treadle.cli.output import show_facts
from treadle.payloads import CodecChain

USAGE: Final = "Usage: treadle workflow start [OPTIONS] NAME [ARGUMENTS...]"
EXAMPLES: Final = """Examples:

  treadle workflow start order order-7 4200 --id order-7
  treadle workflow start order order-7 4200 --id order-7 --signal decision --value yes
"""

IdPolicy = Literal["reject", "use_existing", "allow_when_closed"]


@attrs.frozen
class _Wish:
    name: str
    args: list[Any]
    id: str | None
    policy: IdPolicy
    signal: tuple[str, list[Any]] | None


def start(
    name: Annotated[str, Parameter(help="the name its code is registered under.")],
    /,
    *arguments: Arguments,
    id: Annotated[str | None, Parameter(show_default=False, allow_leading_hyphen=True)] = None,  # noqa: A002  # the option's name
    id_policy: IdPolicy = "reject",
    signal: Annotated[str | None, Parameter(show_default=False)] = None,
    value: Annotated[str | None, Parameter(show_default=False, allow_leading_hyphen=True)] = None,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Begin a workflow; the process that runs the store's workflows takes it from there.

    When nobody runs them now, the wish is kept and carried out by whoever does next.

    Args:
        name: which code.
        *arguments: the workflow's arguments.
        id: the workflow's id; one is drawn and told if left out.
        id_policy: what becomes of an id that is taken: an error (exit code 5), the workflow that runs under
            it, or another run when that one has ended.
        signal: the name of a signal that comes with it.
        value: the signal's value, JSON or a word; none if left out.
        codecs: what payloads go through.
        output: how the answer is printed.
        store: the store, which must exist.

    Raises:
        CommandError: an argument cannot be right.
        WorkflowExistsError: the id is taken.
        DefinitionError: the runner does not know this code.
        StoreError: the store failed.
    """
    if value is not None and signal is None:
        raise CommandError("--value is a signal's value; name the signal with --signal")
    sent = None if signal is None else (signal, [] if value is None else [value_of(value)])
    wish = _Wish(name, values_of(arguments), id, id_policy, sent)
    facts = trio.run(partial(_start, store, wish, load_codecs(codecs)))
    runner = facts["runner"]
    rows = {
        "workflow": facts["workflow_id"],
        "run": facts["run"],
        "begun": "yes" if facts["run"] is not None else "not yet: nobody runs it now",
        "runner": None if runner is None else f"process {runner['pid']} on {runner['host']}",
    }
    show_facts(output, "", facts, rows)


async def _start(url: str, wish: _Wish, chain: CodecChain) -> dict[str, Any]:
    async with client_runtime(url, chain) as runtime:
        handle = await runtime.start(
            wish.name, *wish.args, id=wish.id, id_policy=wish.policy, signal=wish.signal
        )
        holder = await trio.to_thread.run_sync(runner_of, runtime.store)
        if handle.run is None:
            note_no_runner(runtime.store, f"{handle.workflow_id} begins")
        return {
            "workflow_id": handle.workflow_id,
            "name": wish.name,
            "run": handle.run,
            "runner": runner_record(holder),
        }
