"""The default store: one SQLite file, durable, shared between processes.

From the outside in: `store` (the contract's methods), `opening` (what a file must pass), `writer` (one
group after the other), `transaction` (how a group is decided), `reading` (every question as one
statement), `readers`, `checking`, `copying`, `inspecting`, `diagnosing`, `salvaging`; below
them `schema`, `files`, `wal`, `poison`, `faults`.
"""

from __future__ import annotations

from treadle.errors import UsageError
from treadle.kernel import Kernel
from treadle.stores.contract import StoreOptions
from treadle.stores.sqlite.clearing import clear_poison
from treadle.stores.sqlite.diagnosing import Diagnosis, diagnose
from treadle.stores.sqlite.files import is_held
from treadle.stores.sqlite.inspecting import FileFacts, inspect_file, schema_version
from treadle.stores.sqlite.opening import open_file, open_on_vfs
from treadle.stores.sqlite.poison import is_poisoned
from treadle.stores.sqlite.salvaging import Salvaged, salvage
from treadle.stores.sqlite.schema import SCHEMA_VERSION
from treadle.stores.sqlite.store import SqliteStore
from treadle.stores.sqlite.wal import WalReport, scan_wal


async def open_store(options: StoreOptions, kernel: Kernel, *, vfs: str | None = None) -> SqliteStore:
    """Open, or make, a store in a file.

    Args:
        options: `location` is the file's path.
        kernel: through which the store waits.
        vfs: another file system of SQLite's, registered in this process (a simulated disk); the file then
            stays locked exclusively, and nothing on the real disk is looked at.

    Returns:
        The store.

    Raises:
        UsageError: there is no path.
        StoreUnavailableError: the file or its directory does not exist or cannot be reached, or the
            SQLite library is not fit.
        StoreFormatError: the file is none of ours, empty, or of a newer version.
        StoreReadOnlyError: it cannot be written, and `read_only` was not asked for.
        StorePoisonedError: it waits for ``treadle log verify --clear``.
        CorruptStoreError: it is damaged.
    """
    if not options.location:
        raise UsageError(f"an SQLite store has a path: expected 'sqlite:orders.db', got {options.url!r}")
    await kernel.checkpoint_if_cancelled()
    if vfs is not None:
        opened = await kernel.run_blocking(open_on_vfs, options.location, vfs)
    else:
        opened = await kernel.run_blocking(open_file, options)
    return SqliteStore(opened, options.url, kernel)


__all__ = [
    "SCHEMA_VERSION",
    "Diagnosis",
    "FileFacts",
    "Salvaged",
    "SqliteStore",
    "WalReport",
    "clear_poison",
    "diagnose",
    "inspect_file",
    "is_held",
    "is_poisoned",
    "open_store",
    "salvage",
    "scan_wal",
    "schema_version",
]
