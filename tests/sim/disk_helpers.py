"""Small words for the tests of the simulated disk."""

import random
from contextlib import asynccontextmanager, closing

import apsw

from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.kernel import InlineKernel
from treadle.log import chain_digest, root_digest
from treadle.sim import SimulatedDisk
from treadle.stores import Batch, StoreOptions
from treadle.stores.sqlite import open_store


def new_disk(seed=1, **options):
    """Make a disk with a seed."""
    return SimulatedDisk(draw=random.Random(seed).random, **options)


@asynccontextmanager
async def opened(disk, path="/db"):
    """Open a store on a disk for a block."""
    store = await open_store(StoreOptions(path, path), InlineKernel(), vfs=disk.name)
    try:
        yield store
    finally:
        await store.aclose()


async def append(store, name, payload, key=None):
    """Append one event."""
    [head] = await store.heads([workflow_id(name)])
    event = WorkflowEvent(head.next_seq, 1, EventKind.CUSTOM, payload)
    digests, keys = (chain_digest(head.digest, event),), None if key is None else (key,)
    await store.append([Batch(head.workflow_id, head.digest, (event,), digests, keys)])


async def payloads(store, name):
    """Read the payloads of a log."""
    return [event.payload for event in await store.read(workflow_id(name))]


async def is_sound(store, name):
    """Tell whether structure and digest chain hold."""
    digest, rows = root_digest(workflow_id(name)), await store.audit(workflow_id(name))
    for seq, row in enumerate(rows, 1):
        digest = chain_digest(digest, WorkflowEvent(row.seq, row.timestamp, row.kind, row.payload))
        if (row.seq, row.digest) != (seq, digest):
            return False
    return not await store.check_structure()


def raw_connection(disk, **pragmas):
    """Open SQLite without a store on a disk, with a table of numbers."""
    connection = apsw.Connection("/raw", vfs=disk.name)
    connection.pragma("locking_mode", "EXCLUSIVE")
    for name, value in pragmas.items():
        connection.pragma(name, value)
    connection.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER, ballast BLOB)")
    return connection


def insert(connection, number):
    """Commit a row of some pages."""
    connection.execute("INSERT INTO numbers VALUES (?, zeroblob(9000))", (number,))


def numbers_left(disk):
    """Tell what a new process finds; None when the database is damaged or gone."""
    try:
        with closing(apsw.Connection("/raw", vfs=disk.name)) as connection:
            connection.pragma("locking_mode", "EXCLUSIVE")
            if connection.pragma("integrity_check") != "ok":
                return None
            return {number for (number,) in connection.execute("SELECT n FROM numbers")}
    except apsw.Error:
        return None


class RawFile:
    """A file of the disk without SQLite, as SQLite uses one."""

    def __init__(self, disk, name="/file"):
        flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_READWRITE
        self.file = disk._mount.xOpen(name, [flags, 0])

    def write(self, data, offset=0):
        self.file.xWrite(data, offset)

    def sync(self):
        self.file.xSync(apsw.SQLITE_SYNC_FULL)

    def read(self, size, offset=0):
        return bytes(self.file.xRead(size, offset))
