"""Programs that do not know of one fault each, and the careful ones beside them.

Each shows why its fault must be survived: under it the naive program breaks its own promise in some world,
without it in none; and the careful one holds under it as well.
"""

import trio

from treadle.engine.api import activity
from treadle.engine.definitions import define_activity, define_workflow
from treadle.engine.retry import Retry
from treadle.errors import ActivityError
from treadle.sim import Violation, Workload, current_world, stand_in

EVENTS = 12


class Events(Workload):
    """A client that writes numbered events to one log; each is to be there once, in order."""

    careful = False

    def __init__(self):
        self.wrong = []

    async def clients(self, world):
        for number in range(EVENTS):
            await self.write(world, number)
            await world.kernel.sleep(3)
        world.be_calm()
        await world.kernel.sleep(100)

    async def write(self, world, number):
        """Write one event, as well as one knows how."""
        raise NotImplementedError

    async def append(self, world, number, *, key=None):
        """Ask once."""
        return await world.ask(
            world.processes[0],
            lambda runtime: runtime.workflow("a").append("custom", b"%d" % number, key=key),
        )

    async def append_by_key(self, world, number):
        """Ask until it is answered; the key makes that once."""
        key = b"%d" % number
        await world.insist(
            world.processes[0], lambda runtime: runtime.workflow("a").append("custom", key, key=key)
        )

    async def check(self, _world, store):
        found = [int(event.payload) for event in await store.read("a")]
        if found != list(range(EVENTS)):
            self.wrong.append(f"the log has {found}")
        return [Violation("once_and_in_order", "a", None, what) for what in self.wrong]


class AsksOnce(Events):
    """Believes that what is asked for happens."""

    async def write(self, world, number):
        if self.careful:
            await self.append_by_key(world, number)
        else:
            await self.append(world, number)


class AsksAgain(Events):
    """Believes that what was not answered has not happened."""

    async def write(self, world, number):
        if self.careful:
            await self.append_by_key(world, number)
        else:
            while (await self.append(world, number)).outcome != "ok":
                await world.kernel.sleep(1)


class TakesSilenceForYes(Events):
    """Asks again only after a clear no."""

    async def write(self, world, number):
        if self.careful:
            await self.append_by_key(world, number)
        else:
            while (await self.append(world, number)).outcome == "refused":
                await world.kernel.sleep(1)


class ArrivesTwice(Events):
    """Believes that what is sent once arrives once."""

    async def write(self, world, number):
        key = b"%d" % number if self.careful else None
        for _ in range(2 if world.arrives_twice() else 1):
            await self.append(world, number, key=key)


class KnowsTheOrder(Events):
    """Believes that what is sent first arrives first."""

    async def clients(self, world):
        async with trio.open_nursery() as nursery:
            for number in range(EVENTS):
                if self.careful:
                    await self.append(world, number)
                else:
                    world.kernel.spawn(nursery, self.append, world, number)
                await world.kernel.sleep(3)


class BelievesTheClock(Events):
    """Believes that time goes on."""

    async def write(self, world, number):
        await self.append_by_key(world, number)

    async def check(self, _world, store):
        events = await store.read("a")
        order = [event.seq if self.careful else event.timestamp for event in events]
        if order != sorted(order):
            return [Violation("events_by_time", "a", None, "the log's order is another than its times'")]
        return []


class HasNoPatience(Events):
    """Believes that the disk is quick: after a second it asks again."""

    async def write(self, world, number):
        answered = False
        if self.careful:
            await self.append_by_key(world, number)
            answered = True
        while not answered:
            with trio.move_on_after(1):
                answered = (await self.append(world, number)).outcome == "ok"
            await world.kernel.sleep(1)


@define_activity(name="naive.charge")
async def charge(order: str) -> None:
    """Charge a card: the outer world keeps count."""
    world = current_world()
    charged = world.workload.charged
    if order not in charged or not world.workload.careful:
        charged[order] = charged.get(order, 0) + 1
    await world.kernel.sleep(5)  # the receipt is printed


@define_workflow(name="naive.order")
async def order(name: str) -> None:
    await activity(charge, name)


@define_activity(name="naive.call", retry=Retry(attempts=1))
async def call_once() -> None:
    await stand_in(100)


@define_activity(name="naive.call_again", retry=Retry(initial_seconds=1, attempts=None))
async def call_again() -> None:
    await stand_in(100)


@define_activity(name="naive.call_in_time", start_to_close_seconds=10)
async def call_in_time() -> None:
    await stand_in(100)


@define_workflow(name="naive.caller")
async def caller(how: str) -> bool:
    called = {"once": call_once, "again": call_again, "in time": call_in_time}[how]
    try:
        await activity(called)
    except ActivityError:
        return False
    return True


class Workflows(Workload):
    """A client that begins workflows and waits for their ends."""

    careful = False
    workflows = (order, caller)
    activities = (charge, call_once, call_again, call_in_time)

    def __init__(self):
        self.charged = {}
        self.wrong = []

    async def run(self, world, workflow, argument, name):
        process = world.processes[0]
        await world.insist(
            process, lambda runtime: runtime.start(workflow, argument, id=name, id_policy="use_existing")
        )
        answer = await world.insist(process, lambda runtime: runtime.workflow(name).result())
        return answer.value

    async def check(self, _world, _store):
        return [Violation("as_ordered", "", None, what) for what in self.wrong]


class ChargesTwice(Workflows):
    """Believes that an activity runs once."""

    async def clients(self, world):
        for number in range(6):
            await self.run(world, order, f"order-{number}", f"order-{number}")
        self.wrong = [
            f"{name} was charged {count} times" for name, count in self.charged.items() if count > 1
        ]


class CallsOnce(Workflows):
    """Believes that what is called answers."""

    async def clients(self, world):
        for number in range(6):
            how = "again" if self.careful else "once"
            if not await self.run(world, caller, how, f"call-{number}"):
                self.wrong.append(f"call {number} was not answered")


class WaitsForEver(Workflows):
    """Believes that who is called hangs up."""

    async def clients(self, world):
        for number in range(6):
            begun = world.kernel.current_time()
            await self.run(world, caller, "in time" if self.careful else "once", f"call-{number}")
            if world.kernel.current_time() - begun > 120:
                self.wrong.append(f"call {number} took for ever")


BITES = {
    # fault: its rate, what else happens, who does not know of it
    "crash": (300_000, (), ChargesTwice),
    "crash_at_append": (200, (), AsksAgain),
    "restart": (300_000, (), ChargesTwice),
    "pause": (300_000, (), ChargesTwice),
    "actor_crash": (200, (), AsksOnce),
    "clock_jump": (600_000, (), BelievesTheClock),
    "slow_store": (300, (), HasNoPatience),
    "unavailable_store": (200, (), AsksOnce),
    "full_store": (600_000, (), AsksOnce),
    "unknown_written": (200, (), AsksAgain),
    "unknown_unwritten": (200, (), TakesSilenceForYes),
    "power_cut": (300_000, (), ChargesTwice),
    "disk_io_error": (600_000, (), AsksOnce),
    "disk_full": (600_000, (), AsksOnce),
    "delay": (500, (), KnowsTheOrder),
    "duplicate": (300, (), ArrivesTwice),
    "cancelled_caller": (500, ("slow_store=300",), AsksAgain),
    "activity_fails": (300, (), CallsOnce),
    "activity_twice": (300, (), ChargesTwice),
    "activity_hangs": (300, (), WaitsForEver),
}
