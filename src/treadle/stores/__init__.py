"""Where logs are kept: one contract, and a module for each kind of store.

A new store is one file in this folder and one line in `SCHEMES`.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from treadle.errors import UsageError
from treadle.kernel import Kernel, TrioKernel
from treadle.stores.contract import (
    PAGE_EVENTS,
    PAGE_WORKFLOWS,
    RECLAIM_EVENTS,
    WRITTEN,
    AuditRow,
    Batch,
    Damage,
    FeedEvent,
    Guard,
    Head,
    HeadFacts,
    LogPage,
    Message,
    Outcome,
    Record,
    Refused,
    Repeated,
    Restated,
    Store,
    StoreOptions,
    StoreStatistics,
    Taken,
    Unit,
    Written,
)
from treadle.stores.lifetimes import Begun, Branch, Cut, Graft, Seam

SCHEMES: Final = {
    "memory": "treadle.stores.memory",
    "sqlite": "treadle.stores.sqlite",
}
"""URL scheme -> module with an `open_store(options, kernel)`. Imported when asked for."""

# At least two letters, so that a drive letter is a path.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)


@asynccontextmanager
async def open_store(
    url: str | os.PathLike[str],
    *,
    kernel: Kernel | None = None,
    create: bool = True,
    read_only: bool = False,
    ignore_poison: bool = False,
) -> AsyncIterator[Store]:
    """Open a store by URL or path, and close it at the end of the block.

    Args:
        url: ``"memory:"``, ``"sqlite:orders.db"`` or a path, which means SQLite.
        kernel: through which it waits; None takes Trio's own scheduler.
        create: make the store when it does not exist; otherwise that is an error.
        read_only: refuse writes and change nothing.
        ignore_poison: open a poisoned store as well, to look at all of it; it still takes nothing.

    Yields:
        The open store.

    Raises:
        UsageError: the URL has a scheme that no store here answers to.
        StoreUnavailableError: it does not exist, or cannot be reached.
        StoreFormatError: what is there is not a store of ours, or of a newer version.
        StoreReadOnlyError: it cannot be written and `read_only` was not asked for.
        StorePoisonedError: it waits for ``treadle log verify --clear``.
        CorruptStoreError: it is damaged.
    """
    options, module = _parse(url)
    options = attrs.evolve(options, create=create, read_only=read_only, ignore_poison=ignore_poison)
    opener = importlib.import_module(module).open_store
    store: Store = await opener(options, kernel or TrioKernel())
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await store.aclose()


def _parse(url: str | os.PathLike[str]) -> tuple[StoreOptions, str]:
    given: object = os.fspath(url) if isinstance(url, os.PathLike) else url
    text = given if isinstance(given, str) else ""
    if not text.isprintable() or not text:
        # Not printable: control characters and lone surrogates, which no file of ours shall be called.
        raise UsageError(f"a store is a URL or a path, got {url!r}; try 'orders.db' or 'memory:'")
    found = _SCHEME.fullmatch(text) if isinstance(url, str) else None
    scheme, location = (found[1].lower(), found[2]) if found else ("sqlite", text)
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}:" for name in SCHEMES)
        raise UsageError(
            f"no store answers to {scheme!r}: expected one of {known} or a path, got {text!r};"
            " write ./ before a path with a colon"
        )
    if location == ":memory:":
        # SQLite's word for it; as a path it would be a file of that name.
        raise UsageError(
            f"a store in memory is called 'memory:', got {text!r}; or write ./:memory: for a file"
        )
    return StoreOptions(location.removeprefix("//"), text), SCHEMES[scheme]


__all__ = [
    "PAGE_EVENTS",
    "PAGE_WORKFLOWS",
    "RECLAIM_EVENTS",
    "SCHEMES",
    "WRITTEN",
    "AuditRow",
    "Batch",
    "Begun",
    "Branch",
    "Cut",
    "Damage",
    "FeedEvent",
    "Graft",
    "Guard",
    "Head",
    "HeadFacts",
    "LogPage",
    "Message",
    "Outcome",
    "Record",
    "Refused",
    "Repeated",
    "Restated",
    "Seam",
    "Store",
    "StoreOptions",
    "StoreStatistics",
    "Taken",
    "Unit",
    "Written",
    "open_store",
]
