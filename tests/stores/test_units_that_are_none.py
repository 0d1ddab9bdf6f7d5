"""What callers may hand to a store beside units: told as theirs, whatever the store finds out first."""

import pytest
from sqlite_helpers import batch_at, new_head, opened

from treadle.errors import InvalidValueError
from treadle.events import EventKind, NewEvent, trusted_event, workflow_id
from treadle.stores import Guard, HeadFacts, Message, Record, Taken, Unit, open_store

A = workflow_id("a")
BATCH = batch_at(new_head("a"), b"1")


def with_event(*values: object):
    """Give the batch an event that was not checked when it was made."""
    return BATCH._replace(events=(trusted_event(*values),))


# Whatever they are, no store can take these; a store in memory keeps values that have no limit there.
WRONG_EVERYWHERE = {
    "nothing": None,
    "a word": "unit",
    "an id that is a number": BATCH._replace(workflow_id=7),
    "an id that is no Unicode": BATCH._replace(workflow_id="\ud800"),
    "an event without a seq": BATCH._replace(events=(NewEvent("custom"),)),
    "a guard that is a pair": Unit(guards=((1, 2),)),
    "an expected record that is none": Unit(expected=(("s", b"k"),)),
    "an expected record of a number": Unit(expected=(Record("s", 7, None),)),
    "a guard of a number": Unit(guards=(Guard(7, 1, b""),)),
    "an epoch that is a word": Unit(epoch="first"),
}
WRONG_IN_A_FILE = {
    "a key that is a word": BATCH._replace(keys=("key",)),
    "a key that is a number": BATCH._replace(keys=(7,)),
    "a digest that is a word": BATCH._replace(digests=("digest",)),
    "facts that are too few": BATCH._replace(facts=(1, 2, 3)),
    "facts of another type": BATCH._replace(facts=HeadFacts("running", 1, None, "type")),
    "facts with a number too large": BATCH._replace(facts=HeadFacts(1, 1, 2**70, "type")),
    "a message whose id is a word": Unit(messages_put=(Message(A, "id", 1, b""),)),
    "a message whose kind is a word": Unit(messages_put=(Message(A, b"id", "kind", b""),)),
    "a message whose kind is too large": Unit(messages_put=(Message(A, b"id", 2**70, b""),)),
    "a message whose payload is a word": Unit(messages_put=(Message(A, b"id", 1, "payload"),)),
    "a message that is too short": Unit(messages_put=((A, b"id"),)),
    "a message taken that is too short": Unit(messages_taken=((A,),)),
    "a record whose value is a word": Unit(records=(Record("names", b"key", "value"),)),
    "a record whose key is a word": Unit(records=(Record("names", "key", b"value"),)),
    "a record that is too short": Unit(records=(("names", b"key"),)),
    "a timestamp that is too large": with_event(1, 2**70, EventKind.CUSTOM, b""),
    "a payload that is a word": with_event(1, 1, EventKind.CUSTOM, "payload"),
}


@pytest.mark.parametrize("wrong", WRONG_EVERYWHERE.values(), ids=WRONG_EVERYWHERE)
async def test_what_is_no_unit_is_refused_by_a_store_in_memory(wrong):
    async with open_store("memory:") as store:
        with pytest.raises(InvalidValueError):
            await store.append([wrong])

        assert await store.list_workflows() == []


@pytest.mark.parametrize(
    "wrong",
    [*WRONG_EVERYWHERE.values(), *WRONG_IN_A_FILE.values()],
    ids=[*WRONG_EVERYWHERE, *WRONG_IN_A_FILE],
)
async def test_what_is_no_unit_is_neither_a_bug_nor_damage(tmp_path, wrong):
    """Nothing of the whole call is written, and the store goes on."""
    good = batch_at(new_head("good"), b"1")
    async with opened(tmp_path / "store.db") as store:
        with pytest.raises(InvalidValueError):
            await store.append([good, wrong])

        assert await store.list_workflows() == []

        await store.append([good])

        assert await store.list_workflows() == ["good"]
        assert await store.check_structure() == []


async def test_taken_rows_are_looked_at_too(tmp_path):
    async with opened(tmp_path / "store.db") as store:
        with pytest.raises(InvalidValueError):
            await store.append([Unit(messages_taken=(Taken(A, 2**70),))])


@pytest.mark.parametrize(
    "wrong",
    [
        WRONG_IN_A_FILE["a timestamp that is too large"],
        WRONG_IN_A_FILE["a digest that is a word"],
        BATCH._replace(digests=(b"short",)),
        with_event(1, 1, 2**70, b""),
        with_event(1, 1, "custom?", b""),
    ],
    ids=["timestamp", "digest", "short digest", "large kind", "kind that is a word"],
)
async def test_what_fits_no_column_leaves_a_store_in_memory_as_it_was(wrong):
    """It keeps events in columns: what one of them cannot take must not be half there."""
    good = batch_at(new_head("good"), b"1")
    async with open_store("memory:") as store:
        with pytest.raises(InvalidValueError):
            await store.append([good, wrong])

        assert await store.list_workflows() == []
        assert await store.feed() == []

        await store.append([good])

        assert [event.workflow_id for event in await store.feed()] == ["good"]
