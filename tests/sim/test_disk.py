"""The disk as its owner uses it: names, crashes, locks, counts, bad input."""

import errno
import gc
from contextlib import suppress

import apsw
import pytest
import trio
from disk_helpers import RawFile, append, is_sound, new_disk, opened, payloads

from treadle.errors import InvalidValueError, StoreError, StoreUnavailableError, UsageError
from treadle.sim import PowerCutError, SimulatedDisk
from treadle.sim import __all__ as door
from treadle.sim.disk import BitFlip, Problem
from treadle.sim.disk import __all__ as room


def test_a_disk_has_a_name_for_as_long_as_it_lives():
    with new_disk() as one, new_disk() as two, new_disk(name="mine") as three:
        names = {one.name, two.name, three.name}

        assert len(names) == 3
        assert three.name == "mine"
        assert names <= set(apsw.vfs_names())

    assert not names & set(apsw.vfs_names())


def test_a_crash_leaves_no_name_behind():
    with new_disk() as disk:
        before = apsw.vfs_names()
        for _ in range(5):
            disk.sever()
            disk.cut_power()

        assert len(apsw.vfs_names()) == len(before)


def test_a_disk_that_is_only_dropped_is_gone():
    disk = new_disk(name="dropped")
    del disk
    gc.collect()

    assert "dropped" not in apsw.vfs_names()


async def test_several_disks_live_in_one_process():
    with new_disk(1) as one, new_disk(2) as two:
        async with opened(one) as first, opened(two) as second:
            await append(first, "a", b"one")
            await append(second, "a", b"two")
            one.sever()
            await append(first, "a", b"nowhere")
            await append(second, "a", b"there")
        async with opened(one) as first, opened(two) as second:
            assert await payloads(first, "a") == [b"one"]
            assert await payloads(second, "a") == [b"two", b"there"]


async def test_what_a_severed_process_does_has_no_effect_and_it_reads_as_before():
    """Not its writes, not its closing, not its deletions; though the next process works meanwhile."""
    with new_disk() as disk:
        async with opened(disk) as dead:
            await append(dead, "a", b"1")
            disk.sever()
            before = disk.digest()
            await append(dead, "a", b"gone")
            dead._writer._checkpoint_at = 0
            await dead.maintain()

            assert await payloads(dead, "a") == [b"1", b"gone"]
            assert disk.digest() == before

            async with opened(disk) as alive:
                await append(alive, "a", b"2")
                await append(alive, "b", b"new")
                assert await payloads(dead, "b") == []
                counted = disk.statistics()
                await dead.aclose()
                assert disk.statistics() == counted
                assert await payloads(alive, "a") == [b"1", b"2"]
        async with opened(disk) as store:
            assert await payloads(store, "a") == [b"1", b"2"]
            assert await is_sound(store, "a")


async def test_a_process_crash_keeps_what_was_not_synced():
    with new_disk() as disk:
        file = RawFile(disk)
        file.write(b"unsynced")
        disk.sever()

        assert disk.files() == {"/file": b"unsynced"}
        assert disk.durable_files() == {}

        file.write(b"nowhere!")

        assert RawFile(disk).read(8) == b"unsynced"


async def test_a_cut_from_within_an_operation_leaves_it_undone():
    """A world may sever at any instant; the operation that was about to begin does not happen."""
    with new_disk() as disk:
        file = RawFile(disk)
        disk.fault = lambda *_: disk.sever()
        file.write(b"x")
        disk.fault = None

        assert disk.files() == {"/file": b""}


def test_the_power_goes_behind_the_operation_asked_for():
    with new_disk() as disk:
        file = RawFile(disk)
        disk.cut_at = disk.operations + 2
        file.write(b"x")
        with pytest.raises(PowerCutError, match="operation 2"):
            file.sync()

        assert disk.cut_at is None
        assert disk.files() == {"/file": b"x"}
        file.write(b"y")
        assert disk.files() == {"/file": b"x"}


async def test_two_stores_on_one_file_are_kept_apart_at_once():
    """By SQLite's own locks, and without waiting five real seconds for a lock nobody can give up."""
    with new_disk() as disk:
        async with opened(disk) as store:
            await append(store, "a", b"1")
            with pytest.raises(StoreUnavailableError, match="busy"), trio.fail_after(2):
                async with opened(disk):
                    pass
            await append(store, "a", b"2")


def test_locks_follow_sqlites_rules():
    with new_disk() as disk:
        one, two = RawFile(disk).file, RawFile(disk).file
        one.xLock(apsw.SQLITE_LOCK_SHARED)
        two.xLock(apsw.SQLITE_LOCK_SHARED)
        one.xLock(apsw.SQLITE_LOCK_RESERVED)

        assert two.xCheckReservedLock()
        for file, level in ((two, apsw.SQLITE_LOCK_RESERVED), (one, apsw.SQLITE_LOCK_EXCLUSIVE)):
            with pytest.raises(apsw.BusyError):
                file.xLock(level)

        # Who waits for all readers to leave lets no new one in.
        three = RawFile(disk).file
        with pytest.raises(apsw.BusyError):
            three.xLock(apsw.SQLITE_LOCK_SHARED)
        two.xUnlock(apsw.SQLITE_LOCK_NONE)
        one.xLock(apsw.SQLITE_LOCK_EXCLUSIVE)
        one.xClose()
        three.xLock(apsw.SQLITE_LOCK_SHARED)

        assert not three.xCheckReservedLock()


def test_a_disk_can_be_put_back_as_it_was():
    with new_disk() as disk:
        RawFile(disk).write(b"unsynced")
        kept = disk.files()
        RawFile(disk, "/more").write(b"more")
        disk.restore(kept)

        assert disk.files() == disk.durable_files() == kept


def test_the_digest_is_of_everything():
    """Contents, names, and what is durable of them."""
    seen = set()
    with new_disk() as disk:
        seen.add(disk.digest())
        file = RawFile(disk)
        seen.add(disk.digest())
        file.write(b"x")
        seen.add(disk.digest())
        file.sync()
        seen.add(disk.digest())
        disk.restore({"/other": b"x"})
        seen.add(disk.digest())

    assert len(seen) == 5


def test_a_bit_is_flipped_where_it_is_said():
    with new_disk() as disk:
        disk.restore({"/a": bytes(10), "/b": bytes(10)})
        place = disk.flip_bit()
        changed = disk.files()[place.file]

        assert changed[place.offset] == 1 << place.bit
        assert sum(map(sum, disk.files().values())) == 1 << place.bit
        assert isinstance(place, BitFlip)


def test_operations_are_counted():
    with new_disk() as disk:
        file = RawFile(disk)
        file.write(b"12345678")
        file.read(4)
        file.sync()
        file.file.xTruncate(4)
        disk._mount.xDelete("/file", True)
        counted = disk.statistics()

    assert (counted.operations, counted.opens, counted.reads, counted.writes) == (4, 1, 1, 1)
    assert (counted.syncs, counted.truncations, counted.deletions) == (1, 1, 1)
    assert (counted.read_bytes, counted.written_bytes) == (4, 8)


async def test_scratch_files_are_no_files():
    """What SQLite sorts with beside a database is never on the disk."""
    with new_disk() as disk:
        connection = apsw.Connection("/raw", vfs=disk.name)
        connection.pragma("temp_store", "FILE")
        connection.pragma("cache_size", 10)
        rows = connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
            " SELECT i, zeroblob(500) FROM n ORDER BY -i"
        )

        assert next(iter(rows))[0] == 3_000
        assert set(disk.files()) <= {"/raw"}
        assert disk.statistics().opens > 1

        connection.close()


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("read", apsw.SQLITE_IOERR_READ),
        ("write", apsw.SQLITE_IOERR_WRITE),
        ("sync", apsw.SQLITE_IOERR_FSYNC),
        ("truncate", apsw.SQLITE_IOERR_TRUNCATE),
        ("delete", apsw.SQLITE_IOERR_DELETE),
    ],
)
def test_every_operation_can_fail_and_says_which(operation, code):
    with new_disk() as disk:
        file = RawFile(disk)
        file.write(b"x")
        do = {
            "read": lambda: file.read(1),
            "write": lambda: file.write(b"y"),
            "sync": file.sync,
            "truncate": lambda: file.file.xTruncate(0),
            "delete": lambda: disk._mount.xDelete("/file", True),
        }
        asked = []
        disk.fault = lambda *what: asked.append(what) or Problem.IO
        with pytest.raises(apsw.IOError, match=operation) as caught:
            do[operation]()
        disk.fault = None

        assert caught.value.extendedresult == code
        assert asked == [(operation, "/file")]
        assert disk._mount.xGetLastError()[0] == errno.EIO
        assert disk.files() == {"/file": b"x"}


async def test_a_file_that_cannot_be_opened_is_out_of_reach():
    with new_disk() as disk:
        disk.fault = lambda operation, _: Problem.IO if operation == "open" else None
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            async with opened(disk):
                pass


# -- bad input --


def test_a_taken_name_is_refused():
    with new_disk(name="taken"), pytest.raises(InvalidValueError, match=r"'taken'.*leave the name away"):
        new_disk(name="taken")
    for name in ("unix", ""):
        with pytest.raises(InvalidValueError, match="a name of its own"):
            new_disk(name=name)


def test_a_closed_disk_says_so():
    disk = new_disk()
    disk.close()
    disk.close()

    assert disk.closed
    for call in (disk.sever, disk.cut_power, disk.flip_bit, lambda: disk.restore({})):
        with pytest.raises(UsageError, match="closed; make another"):
            call()


def test_a_bit_of_nothing_is_refused():
    with new_disk() as disk:
        RawFile(disk).write(b"unsynced")
        disk.restore({"/there": b"x"})
        with pytest.raises(InvalidValueError, match="in /away; durable are: /there"):
            disk.flip_bit("/away")


def test_less_room_than_none_is_refused():
    with new_disk() as disk, pytest.raises(InvalidValueError, match=r"room_bytes.*got -1"):
        disk.room_bytes = -1


def test_an_unknown_problem_is_named():
    with new_disk() as disk:
        file = RawFile(disk)
        disk.fault = lambda *_: "fire"
        with pytest.raises(InvalidValueError, match="'fire'"):
            file.write(b"x")
        disk.fault = lambda *_: "full"
        with pytest.raises(apsw.FullError):
            file.write(b"x")
        disk.fault = lambda *_: Problem.FULL
        with pytest.raises(apsw.IOError):
            file.sync()


def test_the_doors_name_what_is_there():
    import treadle.sim  # noqa: PLC0415 - the doors themselves are looked at
    import treadle.sim.disk  # noqa: PLC0415

    for module, names in ((treadle.sim, door), (treadle.sim.disk, room)):
        assert [name for name in names if getattr(module, name) is None] == []
        assert set(names) <= set(dir(module))
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            module.nothing  # noqa: B018 - the look is the test
    assert treadle.sim.SimulatedDisk is SimulatedDisk


def _killed_before_the_sync(disk):
    """End the process in its next commit: written, and not yet synced."""

    def end(operation, file):
        if operation == "sync" and file.endswith("-wal"):
            disk.fault = None
            disk.sever()

    disk.fault = end


async def test_what_a_killed_writer_had_not_synced_is_durable_before_anyone_is_shown_it():
    """A process killed between write and fsync leaves its commit to the next one's recovery.

    Whoever is then told that it is there must find it there after the power has gone, too.
    """
    with SimulatedDisk(draw=lambda: 0.0) as disk:  # of what is not synced, a power cut loses everything
        async with opened(disk) as store:
            await append(store, "a", b"1")
            _killed_before_the_sync(disk)
            with suppress(StoreError):
                await append(store, "a", b"2")
        async with opened(disk) as store:
            seen = await payloads(store, "a")
            disk.cut_power()
        assert seen == [b"1", b"2"]
        async with opened(disk) as store:
            assert await payloads(store, "a") == seen
