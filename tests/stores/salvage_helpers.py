"""A store with something of every kind in it, and what must be true of whatever is saved of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import trio

from treadle import NewEvent, open_runtime, workflow, workflow_id
from treadle.cli.logs.salvaging import facts_of
from treadle.stores import Cut, Message, Record, Store, Taken, Unit, open_store, sqlite
from treadle.testing.batches import LogWriter

NAMES = (
    "keyed",
    "long",
    "parent",
    "branch",
    "twig",
    "short",
    "cut",
    "gone",
    "orphan",
    "again",
    "lent",
    "waits",
)


@workflow.define
async def waits() -> None:
    with workflow.move_on_after(10**6):
        await workflow.signals("go").receive()
    await workflow.signals("go").receive()


async def fill(path: str, while_open: Callable[[], object] = lambda: None) -> None:
    """Write logs of every kind: long ones, keyed ones, branches, deleted and cut ones, a durable workflow."""
    async with open_runtime(path, workflows=[waits]) as runtime:
        await runtime.start(waits, id="waits")
        for number in range(3):
            keyed = runtime.workflow("keyed")
            await keyed.append("custom", b"keyed %d" % number, key=b"key %d" % number, timestamp=number)
        long = runtime.workflow("long")
        for part in range(4):
            payloads = [b"long event %d " % n * (1 + n % 40) for n in range(40 * part, 40 * part + 40)]
            await long.extend(NewEvent("custom", payload, 7) for payload in payloads)
        await long.append("custom", b"over many pages" * 4000)
        for name in ("parent", "gone"):
            parent = runtime.workflow(name)
            await parent.extend(
                NewEvent("custom", b"event %d of %s" % (n, name.encode()), n) for n in range(60)
            )
        branch = await runtime.workflow("parent").branch(at=40, to="branch")
        await branch.extend(NewEvent("custom", b"own %d" % n, n) for n in range(9))
        await branch.branch(at=45, to="twig")
        await runtime.workflow("gone").branch(at=30, to="orphan")
        await runtime.workflow("gone").delete()
        again = runtime.workflow("again")
        await again.extend(NewEvent("custom", b"%d" % n, n) for n in range(6))
        await again.branch(at=3, to="lent")
        await again.delete()
        await again.append("custom", b"in use again", timestamp=6)
        for name in ("short", "cut"):
            await runtime.workflow(name).extend(NewEvent("custom", b"%d" % n, n) for n in range(5))
        await runtime.workflow("parent").append("custom", b"the last of parent", timestamp=99)
        store = runtime.store
        (head,) = await store.heads([workflow_id("cut")])
        to = workflow_id("short")
        messages = tuple(Message(to, b"message %d" % n, 3, b"content %d" % n) for n in range(5))
        records = tuple(Record("space", b"key %d" % n, b"value %d" % n * 50) for n in range(20))
        await store.append(
            [
                Unit(cuts=(Cut(head.workflow_id, head.next_seq, head.digest, 4),)),
                Unit(messages_put=messages, records=records),
                Unit(messages_taken=(Taken(to, b"message 0"),)),
                LogWriter.fresh("hidden").batch(b"x"),
            ]
        )
        while_open()


@attrs.frozen(repr=False)
class Contents:
    """Everything that a store shows."""

    logs: dict[str, dict[int, tuple[object, ...]]]
    heads: dict[str, tuple[object, ...]]
    keys: dict[str, dict[bytes, int]]
    messages: list[Message]
    records: list[Record]


async def contents(store: Store) -> Contents:
    """Read everything that a store shows."""
    names = [*await store.list_workflows(hidden=True), workflow_id("gone")]
    logs, keys = {}, {}
    for name in names:
        rows = await store.audit(name, limit=10**6)
        logs[str(name)] = {row.seq: row[1:6] for row in rows}
        keys[str(name)] = {row.key: row.seq for row in rows if row.key is not None}
    heads = {str(head.workflow_id): (*head[1:6], head.shared_seq) for head in await store.heads(names)}
    messages = await store.messages(workflow_id("short"))
    return Contents(logs, heads, keys, messages, await store.records("space"))


def read(path: str) -> Contents:
    """Read everything that the store in a file shows."""

    async def main() -> Contents:
        async with open_store(path) as store:
            return await contents(store)

    return trio.run(main)


def salvaged(path: str, new_path: str) -> tuple[sqlite.Salvaged, Contents]:
    """Salvage a file, verify what came of it, and read it."""
    saved = sqlite.salvage(path, new_path, facts_of)

    async def main() -> Contents:
        async with open_store(new_path) as store:
            assert await store.check_structure() == []
            return await contents(store)

    return saved, trio.run(main)


def origin(name: str) -> str:
    """Tell of which log a log of the new file is a part."""
    return name.partition("@")[0]


def lost_of(saved: sqlite.Salvaged) -> dict[str, set[int]]:
    """Tell which seqs were named as lost."""
    lost: dict[str, set[int]] = {}
    for span in saved.lost:
        lost.setdefault(span.workflow_id, set()).update(range(span.first_seq, span.last_seq + 1))
    return lost


def check_nothing_is_made_up(whole: Contents, new: Contents) -> None:
    """See that each event, key, message and record in the new file is one that was written."""
    for name, events in new.logs.items():
        if name.startswith("lost-name-"):
            written = {event for log in whole.logs.values() for event in log.values()}
            assert set(events.values()) <= written
            continue
        first_kept_seq = whole.heads[origin(name)][2]
        for seq, event in events.items():
            # What was cut away and not yet removed comes back when the row that says so is damaged.
            assert seq < first_kept_seq or whole.logs[origin(name)][seq] == event, (name, seq)
        for key, seq in new.keys[name].items():
            assert whole.keys[origin(name)][key] == seq
    assert _subset(new.records, whole.records)
    # A taken message must never come back, unless the page that said so is lost.
    assert _subset(
        new.messages, [*whole.messages, Message(workflow_id("short"), b"message 0", 3, b"content 0")]
    )


def _subset(some: Iterable[object], others: Iterable[object]) -> bool:
    known = list(others)
    return all(one in known for one in some)
