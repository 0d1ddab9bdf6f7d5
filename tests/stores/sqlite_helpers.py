"""Small words for the tests of the SQLite store."""

import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import apsw

from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.kernel import InlineKernel
from treadle.log import chain_digest, root_digest
from treadle.stores import Batch, Head, StoreOptions
from treadle.stores.sqlite import open_store

WORKER = Path(__file__).with_name("sqlite_worker.py")


@asynccontextmanager
async def opened(path, *, kernel=None, vfs=None, **options):
    """Open a store for a block."""
    store = await open_store(StoreOptions(str(path), str(path), **options), kernel or InlineKernel(), vfs=vfs)
    try:
        yield store
    finally:
        await store.aclose()


def batch_at(head: Head, *payloads: bytes, token=None, facts=None, keys=None) -> Batch:
    """Make the batch that continues a log."""
    events, digests, digest = [], [], head.digest
    for seq, payload in enumerate(payloads, head.next_seq):
        events.append(WorkflowEvent(seq, 1_000 + seq, EventKind.CUSTOM, payload))
        digest = chain_digest(digest, events[-1])
        digests.append(digest)
    return Batch(head.workflow_id, head.digest, tuple(events), tuple(digests), keys, facts, token)


def head_after(batch: Batch) -> Head:
    """Tell where a log stands once a batch is in it."""
    return Head(batch.workflow_id, batch.events[-1].seq + 1, batch.digests[-1], token=batch.token)


def new_head(name: str) -> Head:
    """Tell where a log without events stands."""
    name = workflow_id(name)
    return Head(name, 1, root_digest(name))


def unit(head: Head, *payloads: bytes, token=..., **more) -> Batch:
    """Make the plain unit that appends to one log, with the head's own token unless another is given."""
    return batch_at(head, *payloads, token=head.token if token is ... else token, **more)


async def head_of(store, name: str) -> Head:
    """Ask where a log stands."""
    [head] = await store.heads([workflow_id(name)])
    return head


async def payloads_of(store, name: str) -> list[bytes]:
    """Read the payloads of a log."""
    return [event.payload for event in await store.read(workflow_id(name))]


async def filled(path, *payloads: bytes, name: str = "a"):
    """Make a store with one log and close it."""
    async with opened(path) as store:
        await store.append([unit(await head_of(store, name), *payloads)])


def chain_is_whole(rows, name: str) -> bool:
    """Tell whether audit rows are a gap-free chain of digests from the log's beginning."""
    digest = root_digest(workflow_id(name))
    for seq, row in enumerate(rows, 1):
        event = WorkflowEvent(row.seq, row.timestamp, row.kind, row.payload)
        digest = chain_digest(digest, event)
        if row.seq != seq or row.digest != digest:
            return False
    return True


def change(path, *statements: str) -> None:
    """Change a closed store from outside."""
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def start_worker(*arguments: object) -> subprocess.Popen:
    """Start another process on a store; spawned, never forked."""
    return subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def run_worker(*arguments: object) -> list[str]:
    """Run another process to its end; its lines."""
    process = start_worker(*arguments)
    output, _ = process.communicate(timeout=60)

    assert process.returncode == 0, output

    return output.splitlines()
