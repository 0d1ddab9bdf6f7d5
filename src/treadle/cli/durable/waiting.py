"""Waiting for a workflow's end, and telling meanwhile on stderr what it waits for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import trio

from treadle.cli.durable.connecting import held, runner_of
from treadle.cli.notes import note
from treadle.cli.output import printable
from treadle.payloads import CodecChain
from treadle.runtime import Runtime, WorkflowHandle

LOOK_SECONDS: Final = 0.25
"""How often a workflow in this process is looked at."""
ASK_SECONDS: Final = 1.0
"""How often one in another process is: each look is a message there and back."""
TOLD_MAX: Final = 3
"""How many things a workflow is told to wait for; `treadle workflow describe` tells all."""


class Teller:
    """Shows on stderr what a workflow waits for.

    On a terminal it is one line that changes; else a line for each change that lasts.

    Args:
        workflow_id: the workflow.
    """

    def __init__(self, workflow_id: str) -> None:
        self._workflow_id = workflow_id
        self._status: Any = None
        self._seen = ""
        self._told = ""

    def tell(self, waits: tuple[str, ...]) -> None:
        """Take what was seen now.

        Args:
            waits: what the workflow waits for, in words.
        """
        more = f"; and {len(waits) - TOLD_MAX:,} more" if len(waits) > TOLD_MAX else ""
        text = f"{self._workflow_id}: {'; '.join(waits[:TOLD_MAX]) or 'at work'}{more}"
        if self._status is not None:
            self._update(printable(text))
        elif waits and text == self._seen != self._told:
            note(printable(text))
            self._told = text
        self._seen = text

    def _update(self, text: str) -> None:
        from rich.text import Text  # noqa: PLC0415  # for those who watch

        self._status.update(Text(text, no_wrap=True, overflow="ellipsis"))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while the block runs.

        Yields:
            Nothing.
        """
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console  # noqa: PLC0415  # for those who watch
        from rich.status import Status  # noqa: PLC0415

        console = Console(stderr=True, markup=False, highlight=False)
        with Status(self._workflow_id, console=console) as status:
            self._status = status
            yield


async def wait_for_end(runtime: Runtime, handle: WorkflowHandle, codecs: CodecChain) -> Any:
    """Wait until a workflow has ended, here or elsewhere.

    Args:
        runtime: through which it is looked at.
        handle: the workflow's.
        codecs: of the store's payloads.

    Returns:
        Its result.

    Raises:
        ViolationError: it is held, because its code no longer does what its log says.
        WorkflowHeldError: it is held for another reason.
        WorkflowError: it has ended without a result.
        StoreError: the store could not be read.
    """
    teller = Teller(handle.workflow_id)
    with teller.shown():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, runtime, handle, codecs, teller)
            value = await handle.result()
            nursery.cancel_scope.cancel()
    return value


async def _watch(runtime: Runtime, handle: WorkflowHandle, codecs: CodecChain, teller: Teller) -> None:
    seen, alone = 0, False
    while True:
        here = runtime.statistics().runner.state == "running"
        await trio.sleep(LOOK_SECONDS if here else ASK_SECONDS)
        (head,) = await runtime.store.heads([handle.workflow_id])
        if (why := await held(runtime.store, head, codecs)) is not None:
            raise why.error(handle.workflow_id)
        if head.facts is None:
            continue
        if not here:
            was_alone, alone = alone, await trio.to_thread.run_sync(runner_of, runtime.store) is None
            if alone and not was_alone:
                note(f"nobody runs the workflows of {runtime.store.url} any more; waiting for who does next")
            if alone or head.next_seq == seen:
                continue
        seen = head.next_seq
        teller.tell((await handle.describe()).waits_for)
