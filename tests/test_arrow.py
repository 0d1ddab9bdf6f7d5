"""The arrow holds: imports go down, pure rooms are pure, waits are the kernel's, one line writes."""

import pytest

from arrow import (
    FLOOR_OF,
    KERNEL_ONLY,
    against_the_arrow,
    impurities,
    is_pure,
    modules,
    raw_trio,
    room_of,
    store_appends,
)

MODULES = list(modules())
ROOMS = sorted({room_of(module) for module, _ in MODULES})


def of_room(room):
    return [(module, path.read_text(), path) for module, path in MODULES if room_of(module) == room]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_down(room):
    assert [] == [
        complaint
        for module, source, path in of_room(room)
        for complaint in against_the_arrow(module, source, is_package=path.name == "__init__.py")
    ]


@pytest.mark.parametrize("room", sorted({room_of(module) for module, _ in MODULES if is_pure(module)}))
def test_pure_rooms_and_parts_have_no_waits_clock_or_chance(room):
    assert [] == [
        complaint
        for module, source, _ in of_room(room)
        if is_pure(module)
        for complaint in impurities(module, source)
    ]


@pytest.mark.parametrize("room", sorted(KERNEL_ONLY & {*ROOMS}))
def test_waits_are_the_kernels(room):
    assert [] == [complaint for module, source, _ in of_room(room) for complaint in raw_trio(module, source)]


def test_one_line_writes():
    lines = [
        f"{module}:{line}"
        for module, path in modules()
        if room_of(module) == "runtime"
        for line in store_appends(path.read_text())
    ]

    assert 1 == len(lines), lines


def test_every_room_stands_on_a_floor():
    assert {room_of(module) for module, _ in modules()} <= set(FLOOR_OF)


# -- the checkers themselves: each sees what it is for --


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("log.admission", "from treadle.stores import Batch"),
        ("log", "import treadle.runtime.actor"),
        ("log", "from treadle import stores"),
        ("log", "from treadle import open_runtime"),
        ("log", "import treadle"),
        ("log", "def f():\n    from treadle.cli import main"),
        ("log", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from treadle.stores import Batch"),
        ("log.admission", "from ..stores import Batch"),
        ("log.admission", "from .. import stores"),
        ("stores.memory", "from treadle.formats import read"),
        ("formats.xes", "from treadle.checkers import chain"),
        ("events", "from treadle.kernel import Kernel"),
        ("errors", "from treadle.events import EventKind"),
        ("runtime", "from treadle.testing import LogWriter"),
        ("testing", "from treadle import WorkflowLog"),
        ("runtime", "from treadle.sim import SimulatedDisk"),
        ("stores.sqlite", "from treadle.sim.disk import SimulatedDisk"),
        ("sim", "from treadle.testing import WorldKernel"),
        ("sim.disk.mount", "from ...cli import main"),
        ("attic", "import os"),
    ],
)
def test_planted_import_against_the_arrow_is_seen(module, source):
    assert 1 == len(against_the_arrow(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("log.admission", "from treadle.events import EventKind"),
        ("log.admission", "from . import digests"),
        ("log.admission", "from .digests import root_digest"),
        ("runtime.actor", "from treadle.log import judge\nfrom treadle import errors"),
        ("cli.app", "from treadle import open_runtime"),
        ("sim.world", "from treadle.runtime import open_runtime"),
        ("testing.world", "from treadle.sim import SimulatedDisk"),
        ("treadle", "from treadle.runtime import open_runtime"),
        ("__main__", "from treadle.cli import main"),
        ("stores.memory", "import os, attrs"),
    ],
)
def test_import_along_the_arrow_passes(module, source):
    assert [] == against_the_arrow(module, source)


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import os.path",
        "from random import random",
        "def f():\n    import trio",
        "from uuid import uuid4",
        "from uuid import UUID, uuid4",
        "from random import Random\nx = Random()",
        "async def f(): pass",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime\ndatetime.utcnow()",
        "from datetime import date\ndate.today()",
    ],
)
def test_planted_impurity_is_seen(source):
    assert impurities("log", source)


def test_a_part_of_a_room_may_be_pure():
    assert is_pure("projections.scd")
    assert is_pure("projections.scd.sql.terms")
    assert not is_pure("projections.scdx")
    assert not is_pure("projections")


def test_seeded_numbers_and_uuid_values_are_pure():
    assert [] == impurities(
        "engine.run", "from random import Random\nfrom uuid import UUID\nx = Random(b'seed'), UUID(int=1)"
    )


def test_pure_code_passes():
    assert [] == impurities("log", "from datetime import datetime\nx = datetime.fromisoformat('2020-01-01')")


def test_only_what_the_driver_drives_may_await():
    source = "async def f(): [x async for x in await g()]"

    assert [] == impurities("engine.driver.tasks", source)
    assert impurities("engine.execution", source)
    assert impurities("engine.drivers", source)
    assert impurities("engine.driver.tasks", "import trio")


@pytest.mark.parametrize(
    "source",
    [
        "import trio\nasync def f(): await trio.sleep(1)",
        "import trio\nx = trio.Event()",
        "import trio\nx = trio.Lock",
        "import trio\nx = trio.open_memory_channel(1)",
        "import trio\nasync def f(): await trio.to_thread.run_sync(int)",
        "import trio\nasync def f(): await trio.lowlevel.checkpoint()",
        "import trio\nx = trio.lowlevel.wait_task_rescheduled",
        "import trio\ntrio.lowlevel.reschedule(t)",
        "import trio.lowlevel",
        "import trio as t",
        "from trio import sleep",
        "from trio.lowlevel import checkpoint",
        "async def f(nursery): nursery.start_soon(f)",
        "async def f(self): await self._nursery.start(f)",
    ],
)
def test_planted_wait_round_the_kernel_is_seen(source):
    assert 1 == len(raw_trio("runtime", source))


def test_what_stays_trios_own_passes():
    source = """
import trio
async def f(kernel):
    with trio.move_on_after(1), trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            kernel.spawn(nursery, f, trio.lowlevel.current_task().name)
    raise trio.WouldBlock
"""
    assert [] == raw_trio("runtime", source)


def test_calls_that_write_are_counted():
    assert [1, 2] == store_appends(
        "store.append(u)\nself._store.append(u)\nself._stored.append(1)\nlist.append(1)"
    )
