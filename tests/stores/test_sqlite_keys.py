"""The index on keys refuses none of them: what does so instead, and what finds a key that is there twice."""

import pytest
from sqlite_helpers import change, opened

from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.stores import Branch, Cut, Repeated, Unit, Written
from treadle.testing.batches import LogWriter, chained
from treadle.testing.expecting import write

A, B, C = (workflow_id(name) for name in "abc")


async def branched(store, to, parent, at, key):
    """Begin a branch, and append an event of its own to it under a key."""
    [row] = await store.audit(parent, at - 1, limit=1)
    batch = chained(to, row.digest, [WorkflowEvent(at + 1, 0, EventKind.BRANCHED, b"")])
    await write(store, Unit((batch,), branches=(Branch(to, parent, at, row.digest),)))
    [head] = await store.heads([to])
    await write(store, Unit((LogWriter.at(head).batch(b"own", keys=(key,)),)))


async def deleted(store, name):
    [head] = await store.heads([name])
    await write(store, Unit(cuts=(Cut(name, head.next_seq, head.digest, head.next_seq),)))


@pytest.fixture
async def family(tmp_path):
    """A log of two events; a branch of it; a branch of that, which shares events of both."""
    async with opened(tmp_path / "store.db") as store:
        await write(store, Unit((LogWriter.fresh(A).batch(b"1", b"2", b"3", keys=(b"x", b"y", b"z")),)))
        await branched(store, B, A, 2, b"z")
        await branched(store, C, B, 4, b"c")
    return tmp_path / "store.db"


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE events SET key = x'78' WHERE workflow = 1 AND seq = 3", ("a", 3)),
        ("UPDATE events SET key = x'78' WHERE workflow = 2 AND seq = 4", ("b", 4)),
        ("UPDATE events SET key = x'7a' WHERE workflow = 3 AND seq = 6", ("c", 6)),
        ("UPDATE events SET key = NULL", None),
        ("UPDATE events SET key = x'78' WHERE workflow = 2 AND seq = 4", ("c", 4)),
    ],
)
async def test_a_key_that_names_two_events_of_one_log_is_damage(family, statement, place):
    """Its own, or one that it shares; the last: in what a branch shares of a log that was deleted."""
    async with opened(family) as store:
        assert await store.check_structure() == []
        if place == ("c", 4):
            await deleted(store, B)
    change(family, statement)
    async with opened(family) as store:
        found = await store.check_structure()

    twice = [damage for damage in found if "is that of another event of the log" in damage.message]
    assert ([] if place is None else [place]) == [(one.workflow_id, one.seq) for one in twice]


async def test_a_key_may_come_again_where_its_event_is_not_shown(family):
    async with opened(family) as store:
        for _ in range(2):
            await deleted(store, A)
            [head] = await store.heads([A])
            await write(store, Unit((LogWriter.at(head).batch(b"again", keys=(b"x",)),)))

        assert await store.check_structure() == []


@pytest.mark.parametrize("together", [True, False])
async def test_known_keys_are_seen_behind_any_number_of_tokens_that_are_good(tmp_path, together):
    """They are asked for in parts of all sizes, with events beside them that have none."""
    names = [workflow_id(f"log {number}") for number in range(23)]
    async with opened(tmp_path / "store.db") as store:
        heads = await store.heads(names)
        writers = [LogWriter.at(head) for head in heads]
        tokens = [head.token for head in heads]

        def batches(payload, keys):
            return [
                Unit((writer.batch(payload, payload, keys=(None, key), token=token),))
                for writer, token, key in zip(writers, tokens, keys, strict=True)
            ]

        first = await store.append(batches(b"1", [b"key"] * 23))
        keys = [b"key" if number == 17 else b"new" for number in range(23)]
        units = [*batches(b"2", keys)]
        calls = [units] if together else [[unit] for unit in units]
        outcomes = [outcome for call in calls for outcome in await store.append(call)]

        assert {Written} == set(map(type, first))
        assert [17] == [place for place, outcome in enumerate(outcomes) if not isinstance(outcome, Written)]
        assert await store.check_structure() == []


async def test_two_senders_of_a_key_in_one_group_write_one_event(tmp_path):
    """Also when each believes that it builds on the other one."""
    async with opened(tmp_path / "store.db") as store:
        [head] = await store.heads([A])
        writer = LogWriter.at(head)
        outcomes = await store.append(
            [writer.batch(payload, keys=(b"key",), token=head.token) for payload in (b"1", b"2")]
        )

        assert [Written, Repeated] == list(map(type, outcomes))
        assert [event.payload for event in await store.read(A)] == [b"1"]
