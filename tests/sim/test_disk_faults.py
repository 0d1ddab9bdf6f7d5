"""Each fault of the disk bites: what has no answer to it loses, and what has one does not."""

from contextlib import suppress

import apsw
import pytest
from disk_helpers import (
    RawFile,
    append,
    insert,
    is_sound,
    new_disk,
    numbers_left,
    opened,
    payloads,
    raw_connection,
)

from treadle.errors import OutcomeUnknownError, StoreError, StoreFullError, StoreUnavailableError
from treadle.sim import PowerCutError, Problem
from treadle.sim.disk import FAULTS

BITES = {}
SEEDS = range(30)


def bites(name):
    """Register the proof of a fault."""
    return lambda proof: BITES.setdefault(name, proof)


@pytest.mark.parametrize("name", FAULTS)
async def test_fault_bites(name):
    await BITES[name]()


def test_no_proof_is_about_a_fault_that_is_not_in_the_table():
    assert set(BITES) == set(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_says_why_and_what_survives_it(name):
    assert len(FAULTS[name].reason) > 20
    assert len(FAULTS[name].survived_by) > 20


def damaged(seeds, *, then, **pragmas):
    """Count the seeds with which ten acknowledged rows are not there any more."""
    lost = 0
    for seed in seeds:
        with new_disk(seed) as disk:
            connection = raw_connection(disk, **pragmas)
            for number in range(10):
                insert(connection, number)
            then(disk)
            connection.close()
            lost += numbers_left(disk) != set(range(10))
    return lost


def cut(disk):
    disk.cut_power()


@bites("process crash")
async def without_a_log_a_crash_leaves_halves():
    """Without a journal a transaction is torn between two writes; with a log it is there or not."""

    def left_by_crashes(journal_mode):
        found = []
        for place in range(1, 12):
            with new_disk() as disk:
                connection = raw_connection(disk, journal_mode=journal_mode)
                insert(connection, 1)
                before = disk.operations
                disk.fault = lambda *_, d=disk, at=before + place: d.sever() if d.operations == at else None
                with suppress(apsw.Error):
                    insert(connection, 2)
                disk.fault = None
                connection.close()
                found.append(numbers_left(disk))
        return found

    assert None in left_by_crashes("OFF")
    with_a_log = left_by_crashes("WAL")
    assert all(left in ({1}, {1, 2}) for left in with_a_log)
    assert {1} in with_a_log
    assert {1, 2} in with_a_log


@bites("lost sector")
async def without_fsync_a_cut_loses():
    assert damaged(SEEDS, then=cut, journal_mode="WAL", synchronous="OFF") > 10
    assert damaged(SEEDS, then=cut, journal_mode="WAL", synchronous="FULL") == 0


def sectors_after_cuts(count=100):
    """A sector of b's over one of a's, cut: what may be there."""
    for seed in range(count):
        with new_disk(seed) as disk:
            file = RawFile(disk)
            file.write(b"a" * 512)
            file.sync()
            file.write(b"b" * 512)
            report = disk.cut_power()
            yield report, disk.files()["/file"]


@bites("torn sector")
async def without_a_checksum_halves_are_taken_for_wholes():
    torn = [content for report, content in sectors_after_cuts() if report.torn]

    assert torn
    assert all(content.strip(b"b").strip(b"a") == b"" for content in torn)
    assert any(set(content) == set(b"ab") for content in torn)


@bites("garbled sector")
async def without_a_checksum_rubbish_is_taken_for_data():
    garbled = [content for report, content in sectors_after_cuts() if report.garbled]

    assert garbled
    assert all(set(content) - set(b"ab") for content in garbled)


@bites("neighbour garbled")
async def without_powersafe_overwrite_synced_bytes_go_with_their_neighbours():
    def spoilt(*, powersafe_overwrite):
        count = 0
        for seed in range(100):
            with new_disk(seed, powersafe_overwrite=powersafe_overwrite) as disk:
                file = RawFile(disk)
                file.write(b"a" * 100)
                file.sync()
                file.write(b"b" * 100, 100)
                disk.cut_power()
                count += disk.files()["/file"][:100] != b"a" * 100
        return count

    assert spoilt(powersafe_overwrite=False) > 0
    assert spoilt(powersafe_overwrite=True) == 0


@bites("name undone")
async def a_journal_that_comes_back_undoes_a_commit():
    """SQLite's documentation tells of it: without EXTRA a deleted journal may be back, and is hot."""

    def lost(**pragmas):
        count = 0
        for seed in SEEDS:
            with new_disk(seed) as disk:
                connection = raw_connection(disk, **pragmas)
                connection.pragma("locking_mode", "NORMAL")
                insert(connection, 1)
                insert(connection, 2)
                cut(disk)
                connection.close()
                count += numbers_left(disk) != {1, 2}
        return count

    assert lost(journal_mode="DELETE", synchronous="FULL") > 5
    assert lost(journal_mode="DELETE", synchronous="EXTRA") == 0


@bites("truncation undone")
async def a_journal_that_is_cut_off_unsynced_undoes_a_commit():
    def truncation_lost(seed):
        with new_disk(seed) as disk:
            file = RawFile(disk)
            file.write(b"journal")
            file.sync()
            file.file.xTruncate(0)
            assert file.read(7) == b""
            report = disk.cut_power()
            assert bool(report.undone) == (disk.files()["/file"] == b"journal")
            return report.undone

    assert {truncation_lost(seed) for seed in SEEDS} == {0, 1}


@bites("lying fsync")
async def a_lying_disk_loses_what_was_acknowledged():
    lost = 0
    for seed in SEEDS:
        with new_disk(seed) as disk:
            async with opened(disk) as store:
                await append(store, "a", b"before")
                disk.lying = True
                await append(store, "a", b"acknowledged")
                disk.cut_power()
            disk.lying = False
            async with opened(disk) as store:
                lost += await payloads(store, "a") != [b"before", b"acknowledged"]

    assert lost > 5


@bites("error from fsync")
async def who_goes_on_after_a_failed_fsync_loses():
    """The next fsync says yes, and what the failed one should have saved may still vanish."""
    lost = 0
    for seed in SEEDS:
        with new_disk(seed) as disk:
            file = RawFile(disk)
            file.write(b"acknowledged")
            disk.fault = lambda operation, _: Problem.IO if operation == "sync" else None
            with pytest.raises(apsw.IOError, match="sync"):
                file.sync()
            disk.fault = None
            file.sync()
            assert file.read(12) == b"acknowledged"
            disk.cut_power()
            lost += disk.files()["/file"] != b"acknowledged"

    assert lost > 5

    with new_disk() as disk:
        async with opened(disk) as store:
            disk.fault = lambda operation, _: Problem.IO if operation == "sync" else None
            with pytest.raises(OutcomeUnknownError):
                await append(store, "a", b"1")


@bites("error from a write")
async def a_write_that_fails_may_leave_a_part():
    left = set()
    for seed in SEEDS:
        with new_disk(seed) as disk:
            file = RawFile(disk)
            disk.fault = lambda operation, _: Problem.IO if operation == "write" else None
            with pytest.raises(apsw.IOError, match="write"):
                file.write(b"x" * 1_024)
            left.add(len(disk.files()["/file"]))

    assert left == {0, 512}  # never all: a system that has taken everything says so


@bites("error from a read")
async def a_read_that_fails_is_told_and_may_be_tried_again():
    with new_disk() as disk:
        async with opened(disk) as store:
            await append(store, "a", b"x" * 20_000)
        async with opened(disk) as store:
            disk.fault = lambda operation, _: Problem.IO if operation == "read" else None
            with pytest.raises(StoreUnavailableError, match="cannot be reached"):
                await payloads(store, "a")
            disk.fault = None
            assert await payloads(store, "a") == [b"x" * 20_000]


@bites("no room")
async def a_full_disk_refuses_and_takes_again_when_there_is_room():
    with new_disk() as disk:
        async with opened(disk) as store:
            await append(store, "a", b"1")
            disk.room_bytes = sum(map(len, disk.files().values())) + 5_000
            for _ in range(3):
                with pytest.raises(StoreFullError):
                    await append(store, "a", b"x" * 50_000)
                assert await payloads(store, "a") == [b"1"]
            disk.room_bytes += 100_000
            await append(store, "a", b"x" * 50_000)
        async with opened(disk) as store:
            assert await payloads(store, "a") == [b"1", b"x" * 50_000]
            assert await is_sound(store, "a")


@bites("slow")
async def every_operation_is_reported_so_that_a_world_can_charge_time():
    with new_disk() as disk:
        async with opened(disk) as store:
            told = []
            before = disk.statistics()
            disk.report = lambda *operation: told.append(operation)
            await append(store, "a", b"1")
            disk.report = None
            after = disk.statistics()

    written = [size for operation, _, size in told if operation == "write"]
    assert sum(written) == after.written_bytes - before.written_bytes > 4_096
    assert len(written) == after.writes - before.writes
    # An event is not acknowledged before its log has been synced, however long that takes.
    assert told[-1] == ("sync", "/db-wal", 0)


@bites("flipped bit")
async def a_flipped_bit_is_seen_by_chain_or_checks():
    seen = 0
    for seed in range(60):
        with new_disk(seed) as disk:
            async with opened(disk) as store:
                for number in range(20):
                    await append(store, "a", bytes([number]) * 3_000)
            place = disk.flip_bit("/db")
            assert place.file == "/db"
            try:
                async with opened(disk) as store:
                    seen += not await is_sound(store, "a")
            except StoreError:
                seen += 1

    # A good part of a small database is empty, and nobody misses a bit there.
    assert seen > 20


async def test_a_cut_in_the_middle_of_opening_loses_nothing():
    """Whichever operation of making or of reopening a store is the last, the next process can go on."""
    for place in range(1, 60):
        with new_disk(place) as disk:
            acknowledged = []
            for life in range(2):
                disk.cut_at = disk.operations + place
                with suppress(PowerCutError):
                    async with opened(disk) as store:
                        await append(store, "a", bytes([life]))
                        acknowledged.append(bytes([life]))
                disk.cut_at = None
            async with opened(disk) as store:
                found = await payloads(store, "a")
                assert await is_sound(store, "a")

        assert [payload for payload in found if payload in acknowledged] == acknowledged


async def a_life(disk, acknowledged):
    """Make a store, append, checkpoint, append, close."""
    async with opened(disk) as store:
        for number in range(6):
            await append(store, "ab"[number % 2], bytes([number]) * 700)
            if not acknowledged["over"]:
                acknowledged["ab"[number % 2]].append(number)
            if number == 3:
                store._writer._checkpoint_at = 0
                await store.maintain()


def ending_at(disk, last, end, acknowledged):
    """Make a hook that ends the process before an operation."""

    def fault(operation, _file):
        if disk.operations == last and operation not in {"open", "read"}:
            acknowledged["over"] = True
            end(disk)

    return fault


@pytest.mark.parametrize("end", [cut, lambda disk: disk.sever()], ids=["cut", "crash"])
async def test_whatever_operation_is_the_last_nothing_acknowledged_is_lost(end):
    """Every one from the making of the store to the deletion of its log when it is closed."""
    with new_disk() as disk:
        await a_life(disk, {"a": [], "b": [], "over": False})
        operations = disk.operations
    assert operations > 60

    for last in range(1, operations + 1):
        acknowledged = {"a": [], "b": [], "over": False}
        with new_disk(last) as disk:
            disk.fault = ending_at(disk, last, end, acknowledged)
            await a_life(disk, acknowledged)
            disk.fault = None
            async with opened(disk) as store:
                for name in "ab":
                    found = [payload[0] for payload in await payloads(store, name)]

                    assert await is_sound(store, name)
                    assert found[: len(acknowledged[name])] == acknowledged[name], last


async def refused_and_there_after_a_crash(**options):
    """Let each write of an append in turn find no room, then crash; count the refused, and those there."""
    refused = there = 0
    for place in range(1, 40):
        with new_disk(place, **options) as disk:
            async with opened(disk) as store:
                await append(store, "a", b"before")
                disk.fault = failing_at(disk, disk.operations + place)
                with suppress(StoreFullError):
                    await append(store, "a", b"x" * 12_000)
                    break  # the append has fewer operations than this
                disk.fault = None
                disk.sever()
            async with opened(disk) as store:
                refused += 1
                there += await payloads(store, "a") != [b"before"]
    return refused, there


def failing_at(disk, place):
    """Make a hook that finds no room for one operation, if that is a write."""
    return lambda what, _: Problem.FULL if (disk.operations, what) == (place, "write") else None


async def test_what_a_full_disk_refuses_is_not_there_after_a_crash():
    refused, there = await refused_and_there_after_a_crash()

    assert refused >= 10
    assert there == 0


async def test_without_powersafe_overwrite_a_refused_append_may_be_there_after_a_crash():
    """SQLite fills the sector up behind the frame that commits, and what has no room is refused too late.

    The store's real files promise power-safe overwrite, and are not filled up.
    """
    _, there = await refused_and_there_after_a_crash(powersafe_overwrite=False)

    assert there > 0


# -- what a process leaves that dies over its log --


def failing_sync(disk):
    """Let each fsync fail."""
    disk.fault = lambda operation, _: Problem.IO if operation == "sync" else None


async def left_in_doubt(disk, key=None):
    """Append one event durably, and one whose fsync fails; the process ends there."""
    async with opened(disk) as store:
        await append(store, "a", b"1")
        failing_sync(disk)
        with pytest.raises(OutcomeUnknownError):
            await append(store, "a", b"2", key)
    disk.fault = None


async def test_what_is_built_on_a_log_whose_fsync_failed_is_durable_all_the_same():
    """A later fsync does not write what the system takes for written; found by worlds whose disks fail."""
    for seed in SEEDS:
        with new_disk(seed) as disk:
            await left_in_doubt(disk)
            async with opened(disk) as store:
                before = await payloads(store, "a")
                await append(store, "a", b"3")
                disk.cut_power()
            async with opened(disk) as store:
                assert [*before, b"3"] == await payloads(store, "a")
                assert await is_sound(store, "a")


@pytest.mark.parametrize("end", ["failed fsync", "killed before its fsync"])
async def test_what_was_read_of_a_log_that_a_dead_process_left_does_not_vanish(end):
    """Whoever has read it has acted on it."""
    for seed in SEEDS:
        with new_disk(seed) as disk:
            if end == "failed fsync":
                await left_in_doubt(disk)
            else:
                async with opened(disk) as store:
                    await append(store, "a", b"1")
                    disk.fault = lambda operation, _: disk.sever() if operation == "sync" else None
                    await append(store, "a", b"2")
                    disk.fault = None
            async with opened(disk) as store:
                seen = await payloads(store, "a")
                disk.cut_power()
            async with opened(disk) as store:
                assert seen == (await payloads(store, "a"))[: len(seen)]

    assert [b"1", b"2"] == seen


async def test_a_log_that_cannot_be_copied_for_want_of_room_keeps_the_store_shut():
    """Nothing is changed; with room it opens, and all is there."""
    with new_disk() as disk:
        async with opened(disk) as store:
            for number in range(30):
                await append(store, "a", bytes(3_000) + b"%d" % number)
            disk.sever()
        disk.room_bytes = sum(map(len, disk.files().values()))
        before = disk.files()
        with pytest.raises(StoreFullError, match=r"free some space, or open it with read_only=True"):
            async with opened(disk):
                raise AssertionError("opened all the same")
        assert before["/db-wal"] == disk.files()["/db-wal"]
        disk.room_bytes = None
        async with opened(disk) as store:
            assert 30 == len(await payloads(store, "a"))


async def test_a_failing_disk_keeps_a_store_shut_whose_log_it_cannot_take():
    """As unavailable, whatever else fails while the connection is closed."""
    with new_disk() as disk:
        async with opened(disk) as store:
            await append(store, "a", b"1")
            disk.sever()
        disk.fault = lambda operation, _: Problem.IO if operation in {"write", "sync"} else None
        with pytest.raises(StoreUnavailableError):
            async with opened(disk):
                raise AssertionError("opened all the same")
        disk.fault = None
        async with opened(disk) as store:
            assert [b"1"] == await payloads(store, "a")


async def unsound_after_cuts_while_it_opens(*, renews):
    """Cut the power at each operation of the first opening over a log whose fsync has failed."""
    unsound = 0
    for seed in range(5):
        for place in range(3, 24, 2):
            with new_disk(seed) as disk:
                async with opened(disk) as store:
                    for number in range(5):
                        await append(store, "a", b"%d" % number, b"key %d" % number)
                await left_in_doubt(disk, b"key")  # a page of its own, which the commit before has not
                if renews:
                    assert disk.renew_doubtful("-wal") == 1
                disk.cut_at = disk.operations + place
                with suppress(PowerCutError, StoreError):
                    async with opened(disk):
                        disk.cut_power()
                disk.cut_at = None
                try:
                    async with opened(disk) as store:
                        unsound += not await is_sound(store, "a")
                except StoreError:
                    unsound += 1
    return unsound


async def test_a_log_that_was_written_anew_is_copied_whole_or_not_at_all():
    """Half of a commit in the file and nothing in the log is what a power cut leaves of one in doubt."""
    assert await unsound_after_cuts_while_it_opens(renews=True) == 0
    assert await unsound_after_cuts_while_it_opens(renews=False) > 0
