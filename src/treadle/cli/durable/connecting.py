"""Reaching the durable workflows of a store: who runs them, and what is said when nobody does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Annotated, Any, Final

import attrs
from cyclopts import Parameter

from treadle.cli.exits import ViolationError
from treadle.cli.notes import note
from treadle.cli.stores import not_found
from treadle.engine import Status
from treadle.errors import NoRunnerError, StoreUnavailableError, TreadleError, UsageError, WorkflowHeldError
from treadle.events import WorkflowId
from treadle.events import workflow_id as checked_workflow_id
from treadle.payloads import CodecChain, CodecContext
from treadle.runtime import Runtime, open_runtime
from treadle.runtime.durable.lease import Holder, find_holder
from treadle.runtime.durable.wire import HELD, HeldNote, decode_wire
from treadle.stores import Head, Store, open_store

CodecsOption = Annotated[
    str | None,
    Parameter(
        name="--codecs",
        show_default=False,
        metavar="MODULE:NAME",
        help="the list of codecs that payloads were encoded with, such as shop.settings:CODECS.",
    ),
]
ModuleOption = Annotated[
    str | None,
    Parameter(
        name="--module",
        show_default=False,
        metavar="MODULE",
        help="replay the workflow here with this module's code, read-only; no runner is asked.",
    ),
]
DIVERGED: Final = "NondeterminismError"
"""What a held workflow's note names when its code no longer does what its log says."""


@asynccontextmanager
async def existing_store(url: str, *, read_only: bool = False) -> AsyncIterator[Store]:
    """Open a store that must exist.

    Args:
        url: the URL or path.
        read_only: nothing will be written.

    Yields:
        The open store.

    Raises:
        StoreError: it cannot be opened.
        UsageError: the URL names no store.
    """
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(url, create=False, read_only=read_only))
        except StoreUnavailableError as error:
            raise StoreUnavailableError(
                f"{error}\nGive the store with --store or TREADLE_STORE;"
                " `treadle run MODULE` or `treadle workflow serve MODULE` makes one."
            ) from error
        yield store


@asynccontextmanager
async def client_runtime(url: str, codecs: CodecChain | None = None) -> AsyncIterator[Runtime]:
    """Open a runtime that runs nothing itself, and only sends messages and reads.

    Args:
        url: the store, which must exist.
        codecs: of its payloads.

    Yields:
        The runtime.

    Raises:
        StoreError: the store cannot be opened.
        UsageError: the URL names no store.
    """
    async with (
        existing_store(url) as store,
        open_runtime(store, codecs=CodecChain() if codecs is None else codecs) as runtime,
    ):
        yield runtime


# -- who runs it ---------------------------------------------------------------------------------------


def runner_of(store: Store) -> Holder | None:
    """Look who runs a store's workflows.

    Args:
        store: the store.

    Returns:
        The runner, or None when there is none.
    """
    return find_holder(store)


def runner_record(holder: Holder | None) -> dict[str, Any] | None:
    """Word a runner as part of a JSON object."""
    return None if holder is None else {"pid": holder.pid, "host": holder.host}


def note_no_runner(store: Store, then: str) -> None:
    """Say on stderr that nobody runs a store's workflows, and what becomes of a message.

    Args:
        store: the store.
        then: what happens when somebody does.
    """
    note(
        f"nobody runs the workflows of {store.url} now; {then} when somebody does:"
        " `treadle workflow serve MODULE`"
    )


@contextmanager
def asking() -> Iterator[None]:
    """Tell somebody who asks a workflow that nobody runs what to do on a command line.

    Yields:
        Nothing.

    Raises:
        NoRunnerError: nobody runs the store's workflows, or no longer.
    """
    try:
        yield
    except NoRunnerError as error:
        raise NoRunnerError(
            f"{str(error).partition(';')[0]}; `treadle workflow serve MODULE` runs them,"
            " and --module MODULE looks at a workflow without running it"
        ) from error


# -- which workflow ------------------------------------------------------------------------------------


async def durable_head(store: Store, name: str) -> Head:
    """Find a durable workflow.

    Args:
        store: where.
        name: what the user wrote.

    Returns:
        Its head, with facts.

    Raises:
        InvalidValueError: the name is no workflow id.
        NotFoundError: nothing is stored under it; near ids are told.
        UsageError: it is a plain log.
    """
    workflow_id = checked_workflow_id(name)
    (head,) = await store.heads([workflow_id])
    if head.next_seq == 1:
        if await store.messages(workflow_id, limit=1):
            raise NoRunnerError(
                f"workflow {workflow_id!r} has not begun: its start waits for somebody who runs the workflows"
                f" of {store.url}: `treadle workflow serve MODULE`"
            )
        raise await not_found(store, workflow_id)
    if head.facts is None:
        raise UsageError(
            f"{workflow_id!r} is a plain log, not a durable workflow: nothing runs it;"
            f" `treadle workflow show {workflow_id}` tells what it has come to"
        )
    return head


# -- the held ------------------------------------------------------------------------------------------


@attrs.frozen
class Held:
    """Why a workflow is held.

    Attributes:
        reason: in words.
        diverged: whether its code no longer does what its log says.
        at_ns: since when, or when it was tried last.
    """

    reason: str = ""
    diverged: bool = False
    at_ns: int = 0

    def error(self, workflow_id: WorkflowId) -> TreadleError:
        """Make the error for somebody who waits for it in vain.

        Args:
            workflow_id: the workflow.

        Returns:
            The error.
        """
        message = (
            f"workflow {workflow_id!r} is held: {self.reason}\n"
            f"Mend the code and run it again, or try it again with `treadle workflow resume {workflow_id}`."
        )
        if self.diverged:
            return ViolationError(message)
        return WorkflowHeldError(message, workflow_id=workflow_id, reason=self.reason)


async def held(store: Store, head: Head, codecs: CodecChain) -> Held | None:
    """Tell whether and why a workflow is held.

    Args:
        store: where it is.
        head: its head, with facts.
        codecs: of the store's payloads.

    Returns:
        Why, or None when it is not held.
    """
    if head.facts is None or head.facts.status != Status.HELD:
        return None
    found = await store.record(HELD, head.workflow_id.encode())
    if found is None:
        return Held("the reason is not known any more")
    plain = codecs.decode(found, CodecContext(head.workflow_id, 0))
    told = decode_wire(plain, HeldNote)
    return Held(told.reason, told.error == DIVERGED, told.at_ns)
