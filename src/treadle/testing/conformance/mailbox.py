"""The mailbox: each message waits once, in order, and is taken once."""

from __future__ import annotations

from treadle.errors import ConflictError
from treadle.events import workflow_id
from treadle.stores import Message, Taken, Unit
from treadle.testing.batches import LogWriter
from treadle.testing.expecting import expect, expect_refused, payloads_of, write
from treadle.testing.store_factory import StoreFactory

_A, _B = workflow_id("a"), workflow_id("b")


def _message(name: bytes, payload: bytes = b"") -> Message:
    return Message(_A, name, 7, payload)


async def messages_wait_in_the_order_put(factory: StoreFactory) -> None:
    """Over units and calls, whatever their ids; pages begin at the front."""
    async with factory.open() as store:
        names = [b"z", b"a", b"m", b"\0", b"\xff" * 255]
        await write(store, Unit(messages_put=tuple(_message(name) for name in names[:2])))
        await write(store, *(Unit(messages_put=(_message(name, b"x"),)) for name in names[2:]))
        expect(names, [message.message_id for message in await store.messages(_A)], "the order")
        expect([_message(b"z"), _message(b"a")], await store.messages(_A, limit=2), "the first page")


async def known_message_is_not_put_again(factory: StoreFactory) -> None:
    """A message put again, with whatever content, changes nothing and moves nowhere."""
    async with factory.open() as store:
        await write(store, Unit(messages_put=(_message(b"1", b"first"), _message(b"2"))))
        again = (_message(b"1", b"other"), _message(b"3"), _message(b"3", b"twice"))
        await write(store, Unit(messages_put=again))
        expected = [_message(b"1", b"first"), _message(b"2"), _message(b"3")]
        expect(expected, await store.messages(_A), "the mailbox")


async def taken_message_stays_known(factory: StoreFactory) -> None:
    """A message that was taken does not come back when its sender repeats it."""
    async with factory.open() as store:
        await write(store, Unit(messages_put=(_message(b"1"), _message(b"2"))))
        await write(store, Unit(messages_taken=(Taken(_A, b"1"),)))
        await write(store, Unit(messages_put=(_message(b"1"),)))
        expect([_message(b"2")], await store.messages(_A), "the mailbox")


async def message_is_taken_once(factory: StoreFactory) -> None:
    """Taking what was taken, or never put, refuses the unit with its batch."""
    async with factory.open() as store:
        await write(store, Unit(messages_put=(_message(b"1"),)))
        await write(store, Unit(messages_taken=(Taken(_A, b"1"),)))
        for name in (b"1", b"never put"):
            unit = Unit((LogWriter.fresh("a").batch(b"1"),), messages_taken=(Taken(_A, name),))
            error = expect_refused((await store.append([unit]))[0], ConflictError)
            expect("a", error.workflow_id, "the error's workflow")
        expect([], await payloads_of(store, "a"), "the log")


async def message_put_earlier_in_the_call_can_be_taken(factory: StoreFactory) -> None:
    """Each unit sees the mailbox as the one before it left it."""
    async with factory.open() as store:
        await write(store, Unit(messages_put=(_message(b"1"),)), Unit(messages_taken=(Taken(_A, b"1"),)))
        expect([], await store.messages(_A), "the mailbox")


async def message_ids_belong_to_their_workflow(factory: StoreFactory) -> None:
    """The same id for two workflows is two messages."""
    async with factory.open() as store:
        other = Message(_B, b"1", 0, b"other")
        await write(store, Unit(messages_put=(_message(b"1"), other)))
        await write(store, Unit(messages_taken=(Taken(_A, b"1"),)))
        expect([other], await store.messages(_B), "the other mailbox")


async def workflows_with_messages_are_listed_in_pages(factory: StoreFactory) -> None:
    """Whoever has a waiting message is listed once, with events or without, in the order of the ids."""
    async with factory.open() as store:
        ids = [workflow_id(name) for name in ("B", "a", "b", "c", "é", "\U0001f600")]
        messages = tuple(Message(name, b"%d" % place, 0, b"") for name in reversed(ids) for place in (1, 2))
        await write(store, Unit((LogWriter.fresh("c").batch(b"1"), LogWriter.fresh("d").batch(b"1"))))
        await write(store, Unit(messages_put=messages))
        await write(store, Unit(messages_taken=(Taken(ids[1], b"1"), Taken(ids[1], b"2"))))
        await write(store, Unit(messages_taken=(Taken(ids[0], b"1"),)))
        waiting = [ids[0], *ids[2:]]
        expect(waiting, await store.workflows_with_messages(), "the whole list")
        expect(waiting[:2], await store.workflows_with_messages(limit=2), "the first page")
        expect(
            waiting[2:4], await store.workflows_with_messages(after=waiting[1], limit=2), "the second page"
        )
