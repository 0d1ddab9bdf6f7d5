"""Fixed scenarios on a simulated disk, as a program: prints a digest of all that was ever there.

`medium` needs nothing but Python and this project's source; `store` needs its dependencies as well.
"""

# Only one of the scenarios has more than Python at hand.
# ruff: noqa: PLC0415
import hashlib
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from treadle.sim.disk.medium import Medium, below

NAMES = ("/db", "/db-wal", "/other/db", "/ß")


def medium_scenario() -> str:
    """Do a thousand things to a medium, with crashes and cuts in between."""
    draw = random.Random(4).random
    medium, digest = Medium(), hashlib.blake2b(digest_size=16)
    for _ in range(1_000):
        name = NAMES[below(draw, len(NAMES))]
        stored = medium.files.get(name) or medium.make(name)
        what = below(draw, 100)
        if what < 70:
            stored.write(bytes([below(draw, 256)]) * (1 + below(draw, 1_500)), below(draw, 3_000))
        elif what < 75:
            stored.truncate(below(draw, 2_000))
        elif what < 85:
            medium.sync_file(name, stored, is_log=name.endswith("-wal"))
        elif what < 88:
            stored.fail_to_sync()
        elif what < 92:
            medium.delete(name)
        elif what < 94:
            medium.sync_directory(name)
        elif what < 96:
            medium = medium.copy()
        else:
            medium, report = medium.after_cut(draw, whole_sectors=below(draw, 2) == 0)
            digest.update(repr(tuple(report)).encode())
        digest.update(medium.digest())
    return digest.hexdigest()


def store_scenario() -> str:
    """Let a store live through crashes, cuts, errors and rot."""
    import trio

    return trio.run(_live)


async def _live() -> str:
    from treadle.errors import StoreError
    from treadle.events import EventKind, WorkflowEvent, workflow_id
    from treadle.kernel import InlineKernel
    from treadle.log import chain_digest
    from treadle.sim import PowerCutError, Problem, SimulatedDisk
    from treadle.stores import Batch, StoreOptions
    from treadle.stores.sqlite import open_store

    draw = random.Random(4).random
    digest = hashlib.blake2b(digest_size=16)
    with SimulatedDisk(draw=draw) as disk:
        for life in range(12):
            disk.cut_at = disk.operations + 20 + below(draw, 150) if life % 3 else None
            try:
                store = await open_store(StoreOptions("/db", "/db"), InlineKernel(), vfs=disk.name)
                try:
                    for _ in range(20):
                        [head] = await store.heads([workflow_id(f"log-{below(draw, 5)}")])
                        event = WorkflowEvent(head.next_seq, 1, EventKind.CUSTOM, bytes(below(draw, 900)))
                        batch = Batch(
                            head.workflow_id, head.digest, (event,), (chain_digest(head.digest, event),)
                        )
                        await store.append([batch])
                    disk.fault = lambda operation, _: Problem.IO if operation == "sync" else None
                    await store.append([batch])
                finally:
                    disk.fault = None
                    disk.sever()
                    await store.aclose()
            except PowerCutError:
                digest.update(b"cut")
            except StoreError as error:
                digest.update(type(error).__name__.encode())
            if life == 10:
                digest.update(repr(tuple(disk.flip_bit("/db"))).encode())
            digest.update(disk.digest())
        digest.update(repr(disk.statistics()).encode())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.stdout.write({"medium": medium_scenario, "store": store_scenario}[sys.argv[1]]())
