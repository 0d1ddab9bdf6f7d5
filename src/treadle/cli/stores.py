"""Opening the store that a command names, and finding workflows in it."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from treadle.cli.exits import NotFoundError
from treadle.cli.notes import note
from treadle.errors import StoreUnavailableError
from treadle.events import WorkflowId, workflow_id
from treadle.runtime import Runtime, RuntimeConfig, open_runtime
from treadle.stores import Store, open_store

GUESSES_AMONG_MAX: Final = 5_000
"""Among how many ids a misspelt one is looked for: enough to help, little enough not to be waited for."""


_SQLITE: Final = "sqlite:"
_MEMORY: Final = "memory:"


def path_of(url: str) -> str:
    """Tell where a store in a file lies.

    Args:
        url: the URL or path.

    Returns:
        The path.
    """
    return url[len(_SQLITE) :].removeprefix("//") if url.lower().startswith(_SQLITE) else url


@asynccontextmanager
async def reading_store(url: str, *, ignore_poison: bool = False) -> AsyncIterator[Store]:
    """Open a store that is only read; a missing one is an error and is not made.

    Args:
        url: the URL or path.
        ignore_poison: open a poisoned one as well, to look at it.

    Yields:
        The open store.

    Raises:
        StoreError: it cannot be opened.
        UsageError: the URL names no store.
    """
    async with AsyncExitStack() as stack:
        try:
            opening = open_store(url, create=False, read_only=True, ignore_poison=ignore_poison)
            store = await stack.enter_async_context(opening)
        except StoreUnavailableError as error:
            raise (no_store(url) or error) from error
        yield store


def no_store(url: str) -> StoreUnavailableError | None:
    """Word that there is no such store.

    Args:
        url: the URL or path.

    Returns:
        The error, or None when there is something.
    """
    path = Path(path_of(url))
    if path.exists():
        return None
    return StoreUnavailableError(
        f"{path.absolute()}: there is no such store; name one with --store or TREADLE_STORE, or make one:"
        " `treadle log import FILE --store PATH` or `treadle demo --store PATH`"
    )


@asynccontextmanager
async def reading_runtime(url: str) -> AsyncIterator[Runtime]:
    """Open a runtime over a store that is only read.

    Args:
        url: the URL or path.

    Yields:
        The runtime.

    Raises:
        StoreError: the store cannot be opened.
        UsageError: the URL names no store.
    """
    async with reading_store(url) as store, open_runtime(store) as runtime:
        yield runtime


@asynccontextmanager
async def writing_runtime(url: str, config: RuntimeConfig | None = None) -> AsyncIterator[Runtime]:
    """Open a runtime over a store that is written; a missing one is made.

    Args:
        url: the URL or path.
        config: the limits; None takes the defaults.

    Yields:
        The runtime.

    Raises:
        StoreError: the store cannot be opened.
        UsageError: the URL names no store.
    """
    if url.lower().startswith(_MEMORY):
        note("a memory store ends with the command: nothing of this is kept")
    async with open_runtime(url, config=config) as runtime:
        yield runtime


async def known_workflows(store: Store, names: Sequence[str], *, deleted: bool = False) -> list[WorkflowId]:
    """Make ids of names and see that each has events.

    Args:
        store: where to look.
        names: what the user wrote.
        deleted: whether a deleted one, of which only its place is kept, will do.

    Returns:
        The ids, each once, in the order written.

    Raises:
        InvalidValueError: a name is no workflow id.
        NotFoundError: one has no events; the message tells the nearest that has.
    """
    ids = list(dict.fromkeys(workflow_id(name) for name in names))
    for head in await store.heads(ids):
        if head.next_seq == 1:
            raise await not_found(store, head.workflow_id)
        if head.next_seq == head.first_kept_seq and not deleted:
            raise NotFoundError(
                f"workflow {head.workflow_id!r} was deleted from {store.url}; only its place is kept, behind"
                f" seq {head.next_seq - 1}"
            )
    return ids


async def not_found(store: Store, missing: WorkflowId) -> NotFoundError:
    """Word the error for a workflow that has no events.

    Args:
        store: where it was looked for.
        missing: the id.

    Returns:
        The error, with the nearest known ids.
    """
    ids = await store.list_workflows(limit=GUESSES_AMONG_MAX)
    ids += await store.list_workflows(prefix=missing[:3], limit=GUESSES_AMONG_MAX)
    near = difflib.get_close_matches(missing, dict.fromkeys(ids), n=3)
    guess = f"did you mean {' or '.join(repr(name) for name in near)}? " if near else ""
    return NotFoundError(
        f"no workflow {missing!r} in {store.url}; {guess}`treadle workflow list` tells all"
        if ids
        else f"no workflow {missing!r} in {store.url}, which is empty"
    )


async def chosen_workflows(
    store: Store, names: Sequence[str], prefix: str, *, hidden: bool = False
) -> AsyncGenerator[list[WorkflowId], None]:
    """Give the workflows a command is about: those named, or all that begin with a prefix.

    To be closed by whoever leaves it early (`contextlib.aclosing`).

    Args:
        store: where they are.
        names: what the user wrote; nothing for all.
        prefix: only ids that begin so, when none was named.
        hidden: hidden ones (what-if branches) as well, when none was named.

    Yields:
        Pages of ids, in the order of their UTF-8 bytes or as named.

    Raises:
        InvalidValueError: a name is no workflow id.
        NotFoundError: one that was named has no events.
    """
    if names:
        yield await known_workflows(store, names)
        return
    after: WorkflowId | None = None
    while page := await store.list_workflows(prefix=prefix, after=after, hidden=hidden):
        yield page
        after = page[-1]
