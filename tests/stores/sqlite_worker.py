"""What the tests let another process do with a store."""

import os
import sys

import trio
from sqlite_helpers import head_of, opened, unit

from treadle.errors import StoreError
from treadle.kernel import TrioKernel
from treadle.stores import Refused


async def append(path: str, payload: str, *names: str) -> None:
    """Append one event to each of some logs and leave."""
    async with opened(path) as store:
        for name in names:
            print(await store.append([unit(await head_of(store, name), payload.encode())]))  # noqa: T201


async def race(path: str, name: str, count: str, mark: str) -> None:
    """Append events to a log that others append to as well; print the seqs won."""
    async with opened(path, kernel=TrioKernel()) as store:
        won = 0
        head = await head_of(store, name)
        while won < int(count):
            [outcome] = await store.append([unit(head, mark.encode())])
            if not isinstance(outcome, Refused):
                won += 1
                print(head.next_seq, flush=True)  # noqa: T201
            head = await head_of(store, name)


async def write_until_killed(path: str, groups: str) -> None:
    """Append to many logs in groups; a line for each group that was acknowledged."""
    async with opened(path, kernel=TrioKernel()) as store:
        heads = await store.heads([f"log-{number}" for number in range(20)])
        for number in range(int(groups)):
            await store.append([unit(head, b"x" * (number % 700)) for head in heads])
            await store.maintain()
            heads = await store.heads([head.workflow_id for head in heads])
            os.write(1, f"{heads[0].next_seq}\n".encode())


async def try_to_append(path: str, name: str) -> None:
    """Print which error opening or appending meets."""
    try:
        async with opened(path) as store:
            await store.append([unit(await head_of(store, name), b"p")])
    except StoreError as error:
        print(type(error).__name__, error)  # noqa: T201


if __name__ == "__main__":
    trio.run(globals()[sys.argv[1]], *sys.argv[2:])
