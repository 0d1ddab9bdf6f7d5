"""Over all logs: listing, counting, what is due, the feed, figures."""

from __future__ import annotations

from itertools import pairwise

from treadle.events import WorkflowId, workflow_id
from treadle.stores import HeadFacts, Store, Unit
from treadle.testing.batches import LogWriter
from treadle.testing.expecting import expect, write
from treadle.testing.store_factory import StoreFactory

# Everything that a pattern language or a careless upper bound would trip over.
_NAMES = (
    "a", "a%", "a%b", "a*", "a?", "a[b]", "a\\", "a_", "a_b", "aXb", "ab", "A", "Ab", "b", "é", "e\u0301",
    "\ud7ff", "\ue000", "\uffff", "a\uffff", "\U00010000", "\U0010ffff", "\U0010ffff\U0010ffff",
    "\U0010ffffz", "a\U0010ffff", "a\U0010ffffb", "'", '"', " ", "7", "18446744073709551615", "ß", "\u017f",
    "İ",
)  # fmt: skip


def _by_bytes(names: tuple[str, ...]) -> list[WorkflowId]:
    return [workflow_id(name) for name in sorted(names, key=str.encode)]


async def _fill(store: Store) -> list[WorkflowId]:
    await write(store, *(Unit((LogWriter.fresh(name).batch(b"x"),)) for name in _NAMES))
    return _by_bytes(_NAMES)


async def workflows_are_listed_in_byte_order(factory: StoreFactory) -> None:
    """All ids, in the order of their UTF-8 bytes, whatever script they are in."""
    async with factory.open() as store:
        expect([], await store.list_workflows(), "an empty store")
        ids = await _fill(store)
        expect(ids, await store.list_workflows(), "all ids")


async def workflows_are_listed_in_pages(factory: StoreFactory) -> None:
    """Pages join without gap or repeat, also after an id that does not exist."""
    async with factory.open() as store:
        ids = await _fill(store)
        found: list[WorkflowId] = []
        while page := await store.list_workflows(after=found[-1] if found else None, limit=4):
            expect(min(4, len(ids) - len(found)), len(page), "the size of a page")
            found += page
        expect(ids, found, "the pages together")
        missing = workflow_id("aa")
        expected = [name for name in ids if name.encode() > b"aa"]
        expect(expected, await store.list_workflows(after=missing), "after an id that does not exist")


async def prefixes_are_taken_literally(factory: StoreFactory) -> None:
    """No character of a prefix is a wildcard, none is folded, and the last code point has successors."""
    async with factory.open() as store:
        ids = await _fill(store)
        for prefix in (*_NAMES, "", "a\\%", "%", "_", "*", "[", "\U0010ffff" * 3, "\ue000x", "nothing"):
            expected = [name for name in ids if name.startswith(prefix)]
            expect(expected, await store.list_workflows(prefix=prefix), f"prefix {prefix!a}")
            expect(len(expected), await store.count_workflows(prefix=prefix), f"count of prefix {prefix!a}")
            if expected:
                page = await store.list_workflows(prefix=prefix, after=expected[0], limit=2)
                expect(expected[1:3], page, f"a page of prefix {prefix!a}")


async def pages_of_a_prefix_begin_anywhere(factory: StoreFactory) -> None:
    """`after` may lie before or behind everything with the prefix."""
    async with factory.open() as store:
        ids = await _fill(store)
        expected = [name for name in ids if name.startswith("a")]
        expect(expected, await store.list_workflows(prefix="a", after=workflow_id("A")), "after one before")
        expect([], await store.list_workflows(prefix="a", after=workflow_id("b")), "after one behind")


async def status_selects(factory: StoreFactory) -> None:
    """Only logs whose facts have the status now are listed, with prefix and pages."""
    async with factory.open() as store:
        logs = [LogWriter.fresh(f"w{number}") for number in range(8)]
        for number, log in enumerate(logs):
            facts = HeadFacts(number % 2, 1, None, "x") if number < 6 else None
            await write(store, Unit((log.batch(b"1", facts=facts),)))
        await write(store, Unit((logs[1].batch(b"2", facts=HeadFacts(0, 1, None, "x")),)))
        expect(["w0", "w1", "w2", "w4"], await store.list_workflows(status=0), "status 0")
        expect(["w3", "w5"], await store.list_workflows(status=1), "status 1")
        expect([], await store.list_workflows(status=2), "a status nobody has")
        page = await store.list_workflows(prefix="w", status=0, after=workflow_id("w1"), limit=1)
        expect(["w2"], page, "a page of status 0")


async def due_lists_the_earliest_first(factory: StoreFactory) -> None:
    """Logs that ask to be woken by then, at the latest time they asked for; bounds inclusive."""
    async with factory.open() as store:
        wake_ups = {"a": 30, "b": 10, "c": None, "d": -5, "e": 20, "f": 2**63 - 1}
        logs = {name: LogWriter.fresh(name) for name in wake_ups}
        for name, when in wake_ups.items():
            await write(store, Unit((logs[name].batch(b"1", facts=HeadFacts(1, 1, when, name)),)))
        await write(store, Unit((LogWriter.fresh("plain").batch(b"1"),)))
        expect(["d", "b", "e"], [head.workflow_id for head in await store.due(20)], "due by 20")
        expect(["d", "b"], [head.workflow_id for head in await store.due(30, limit=2)], "the first page")
        expect([], await store.due(-6), "due before all")
        await write(store, Unit((logs["d"].batch(b"2", facts=HeadFacts(1, 1, None, "d")),)))
        heads = await store.due(2**63 - 1)
        expect(["b", "e", "a", "f"], [head.workflow_id for head in heads], "after one was cleared")
        expected = (2, logs["b"].digest, HeadFacts(1, 1, 10, "b"))
        expect(expected, (heads[0].next_seq, heads[0].digest, heads[0].facts), "a due head")


async def due_comes_in_pages(factory: StoreFactory) -> None:
    """Going on after a time and an id yields every due log once, also among those of one time."""
    async with factory.open() as store:
        wake_ups = {"b": 10, "a": 10, "\U0001f600": 10, "\ufffd": 10, "c": -(2**63), "d": 11, "e": 2**63 - 1}
        for name, when in wake_ups.items():
            await write(store, Unit((LogWriter.fresh(name).batch(b"1", facts=HeadFacts(1, 1, when, "")),)))
        expected = ["c", "a", "b", "\ufffd", "\U0001f600", "d", "e"]
        found: list[tuple[int, WorkflowId]] = []
        while page := await store.due(2**63 - 1, after=found[-1] if found else None, limit=2):
            expect(min(2, len(expected) - len(found)), len(page), "the size of a page")
            found += [(wake_ups[head.workflow_id], head.workflow_id) for head in page]
        expect(expected, [name for _, name in found], "the pages together")
        rest = await store.due(11, after=(10, workflow_id("aa")))
        expect(["b", "\ufffd", "\U0001f600", "d"], [head.workflow_id for head in rest], "after none of them")
        expect([], await store.due(10, after=(11, workflow_id("a"))), "after all that are due")


async def feed_is_in_commit_order(factory: StoreFactory) -> None:
    """Every event of every log, in the order written; positions rise over calls."""
    async with factory.open() as store:
        a, b = LogWriter.fresh("a"), LogWriter.fresh("b")
        written = [b.batch(b"1", b"2"), a.batch(b"3"), b.batch(b"4"), a.batch(b"5", b"6")]
        await write(store, Unit((written[0],)), Unit((written[1],)))
        await write(store, Unit((written[2], written[3])))
        feed = await store.feed()
        expected = [(batch.workflow_id, event) for batch in written for event in batch.events]
        expect(expected, [(row.workflow_id, row.event) for row in feed], "the feed")
        positions = [row.position for row in feed]
        expect(True, positions[0] >= 1, "the first position's being 1 or more")
        expect(sorted(set(positions)), positions, "the positions' rising")


async def feed_comes_in_pages(factory: StoreFactory) -> None:
    """Going on after the last position yields every event once; behind the end there is nothing."""
    async with factory.open() as store:
        a, b = LogWriter.fresh("a"), LogWriter.fresh("b")
        for number in range(8):
            await write(store, Unit(((a, b)[number % 2].batch(b"%d" % number, b"x"),)))
        whole = await store.feed()
        found = await store.feed(limit=3)
        while page := await store.feed(found[-1].position, limit=3):
            found += page
        expect(whole, found, "the pages together")
        expect([], await store.feed(whole[-1].position), "behind the end")
        expect([], await store.feed(2**62), "far behind the end")


async def refused_units_leave_no_position_behind(factory: StoreFactory) -> None:
    """An event's position is above all earlier ones, also after refusals and an opening."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        await write(store, Unit((a.batch(b"1"),)))
        wrong = Unit((LogWriter.fresh("b").batch(b"1")._replace(digest_before=bytes(16)),))
        expect("Refused", type((await store.append([wrong]))[0]).__name__, "the outcome")
        await write(store, Unit((a.batch(b"2"),)))
        positions = [row.position for row in await store.feed()]
        expect(True, positions[0] < positions[1], "the positions' rising")


async def change_counter_shows_commits(factory: StoreFactory) -> None:
    """The counter is another one after every call that wrote."""
    async with factory.open() as store:
        a = LogWriter.fresh("a")
        seen = [await store.change_counter()]
        for _ in range(3):
            await write(store, Unit((a.batch(b"x"),)))
            seen.append(await store.change_counter())
        changed = [before != after for before, after in pairwise(seen)]
        expect([True, True, True], changed, "the counter's changing")


async def statistics_count_what_is_there(factory: StoreFactory) -> None:
    """Logs, events and the newest position; refused events are not counted."""
    async with factory.open() as store:
        empty = await store.statistics()
        expect((0, 0, 0), (empty.workflows, empty.events, empty.position), "an empty store")
        expect(store.url, empty.url, "the URL")
        await write(store, Unit((LogWriter.fresh("a").batch(b"1", b"2"), LogWriter.fresh("b").batch(b"1"))))
        figures = await store.statistics()
        newest = (await store.feed())[-1].position
        expect((2, 3, newest), (figures.workflows, figures.events, figures.position), "the figures")


async def sound_store_finds_no_damage(factory: StoreFactory) -> None:
    """The structure check is silent about a store that was only used."""
    async with factory.open() as store:
        expect([], await store.check_structure(), "the damage of an empty store")
        await _fill(store)
        expect([], await store.check_structure(), "the damage of a used store")
