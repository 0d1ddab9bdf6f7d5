"""Workflow code that names Trio, and code that only seems to."""

import trio
from trio import CancelScope, TooSlowError, open_nursery
from trio import sleep as pause


async def opens_a_nursery():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 1)


async def takes_a_scope():
    with CancelScope():
        await pause(1)


async def sleeps_under_another_name():
    await pause(1)


async def hides_it_inside():
    async def inner():
        async with open_nursery():
            pass

    await inner()


async def only_catches():
    try:
        raise trio.Cancelled
    except (TooSlowError, trio.TooSlowError):
        pass


async def has_its_own(trio):
    await trio.sleep(1)
