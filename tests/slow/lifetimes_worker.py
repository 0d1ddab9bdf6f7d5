"""What the tests of killed processes let another process do with logs' lives.

``python lifetimes_worker.py one PATH DEED PLACE`` carries one deed out, and is killed before its statement
number PLACE; ``python lifetimes_worker.py many PATH SEED`` goes on for ever, with a line for all it was told.
"""

import os
import random
import signal
import sys
from itertools import count

import trio

from treadle import TreadleError, open_runtime
from treadle.stores import Cut, Unit

EACH = 7


async def fill(runtime):
    """Write what all deeds begin with: logs, branches of them, one that was cut and one that was deleted."""
    for name in ("a", "b", "cut", "gone"):
        for number in range(40):
            await runtime.workflow(name).append("custom", b"%d" % number, key=b"key-%d" % number)
    await runtime.workflow("a").branch(at=20, to="branch of a")
    await runtime.workflow("gone").branch(at=10, to="branch of gone")
    await cut(runtime, "cut", 15)
    await runtime.workflow("gone").delete()


async def branch(runtime):
    """Branch a branch."""
    await runtime.workflow("branch of a").branch(at=21, to="new")


async def transact(runtime):
    """Write two logs, having read a third."""

    async def decide(tx):
        await tx.read("cut", 15)
        await tx.append("a", "custom", b"together")
        await tx.append("b", "custom", b"together")

    await runtime.transact(decide)


async def cut(runtime, name="b", first_seq=12):
    """Take a log's beginning away."""
    (head,) = await runtime.store.heads([name])
    (outcome,) = await runtime.store.append([Unit(cuts=(Cut(name, head.next_seq, head.digest, first_seq),))])
    assert type(outcome).__name__ == "Written", outcome


async def delete(runtime):
    """Delete a log that has a branch."""
    await runtime.workflow("a").delete()


async def reclaim(runtime):
    """Remove all that no log shows."""
    while await runtime.store.reclaim(events_max=EACH):
        pass


async def compact(runtime):
    """Write all anew."""
    after = 0
    while after is not None:
        after = await runtime.store.compact(after, events_max=EACH)


async def one(path, deed, place):
    """Carry one deed out, or a part of it."""
    statements = count(1)

    def trace(*_):
        if next(statements) == int(place):
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    async with open_runtime(path) as runtime:
        runtime.store._writer.connection.exec_trace = trace
        await globals()[deed](runtime)
        runtime.store._writer.connection.exec_trace = None
    os.write(1, b"done\n")


async def many(path, seed):  # noqa: C901  # one branch for each deed
    """Do anything, again and again, and tell what was acknowledged."""
    draws, numbers = random.Random(seed), count()
    mark = f"{seed}-"

    def tell(*words):
        os.write(1, (" ".join(map(str, words)) + "\n").encode())

    async def together(tx):
        length = await tx.next_seq("twin-0")
        assert length == await tx.next_seq("twin-1")
        await tx.append("twin-0", "custom", b"twin")
        await tx.append("twin-1", "custom", b"twin")
        return length

    async with open_runtime(path) as runtime:
        tell("up")
        while True:
            name, number = f"{mark}{draws.randrange(3)}", next(numbers)
            deed = draws.randrange(8)
            try:
                if deed < 3:
                    tell("appended", name, (await runtime.workflow(name).append("custom", b"x" * 300)).seq)
                elif deed == 3:
                    at = await runtime.workflow(name).next_seq() - 1
                    await runtime.workflow(name).branch(at=at, to=f"{mark}branch-{number}")
                    tell("branched", f"{mark}branch-{number}", at)
                elif deed == 4:
                    tell("together", await runtime.transact(together))
                elif deed == 5:
                    (head,) = await runtime.store.heads([name])
                    await cut(runtime, name, draws.randint(head.first_kept_seq, head.next_seq))
                elif deed == 6:
                    await runtime.store.reclaim(events_max=EACH)
                else:
                    await runtime.store.compact(draws.randrange(number + 1), events_max=EACH)
            except (TreadleError, AssertionError) as error:
                if "InternalError" in repr(error) or "Corrupt" in repr(error):
                    raise


if __name__ == "__main__":
    trio.run(globals()[sys.argv[1]], *sys.argv[2:])
