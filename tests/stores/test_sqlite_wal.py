"""The scan of the write-ahead log: damage is told, a torn tail is not, and nothing alarms falsely."""

import errno
import io
import os
import random
import time
from contextlib import closing

import apsw
import pytest
import trio
from sqlite_helpers import filled, head_of, opened, unit

from treadle.errors import CorruptStoreError, StorePoisonedError, StoreUnavailableError
from treadle.stores.sqlite import scan_wal
from treadle.stores.sqlite.wal import hidden_pages

FRAME = 4096 + 24


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """What a process that died left: the file and a WAL of 30 commits."""

    async def make(path):
        await filled(path, b"0")
        async with opened(path) as store:
            for number in range(30):
                await store.append([unit(await head_of(store, "a"), b"x" * 40 * number)])
            return path.read_bytes(), path.with_name("store.db-wal").read_bytes()

    return trio.run(make, tmp_path_factory.mktemp("crashed") / "store.db")


@pytest.fixture
def crashed(contents, tmp_path):
    """A store whose process died."""
    path = tmp_path / "store.db"
    content, wal = contents
    path.write_bytes(content)
    path.with_name("store.db-wal").write_bytes(wal)
    return path, wal


def scanned(wal):
    return scan_wal(io.BytesIO(wal))


async def test_a_sound_log_is_read_to_its_end(crashed):
    _, wal = crashed
    report = scanned(wal)

    assert report.header_sound
    assert report.commits_sound == 30
    assert report.frames_sound == report.frames_there == (len(wal) - 32) // FRAME
    assert report.bad_frame is None


async def test_every_bit_that_hides_whole_commits_is_found(crashed):
    """Wherever it lies in a frame, as long as two ends of commits lie behind it."""
    _, wal = crashed
    seed = random.Random(7)
    frames = (len(wal) - 32) // FRAME
    for _ in range(40):
        number = seed.randrange(frames - 12)
        place = 32 + number * FRAME + seed.randrange(FRAME)
        damaged = bytearray(wal)
        damaged[place] ^= 1 << seed.randrange(8)

        report = scanned(bytes(damaged))
        assert report.bad_frame == number + 1
        assert report.bad_offset == 32 + number * FRAME


async def test_a_log_cut_or_torn_anywhere_in_its_last_commit_is_fine(crashed):
    _, wal = crashed
    seed = random.Random(8)
    for _ in range(25):
        assert scanned(wal[: seed.randrange(len(wal))]).bad_frame is None
        torn = bytearray(wal)
        place = len(wal) - seed.randrange(1, 2 * FRAME)
        torn[place : place + 512] = seed.randbytes(len(torn[place : place + 512]))

        assert scanned(bytes(torn)).bad_frame is None


def ends_of_commits(wal):
    """Tell behind which frames, counted from 1, a commit ends."""
    frames = (len(wal) - 32) // FRAME
    return [n for n in range(1, frames + 1) if wal[32 + (n - 1) * FRAME :][4:8] != bytes(4)]


@pytest.fixture
def short(contents):
    """The log's first five commits, and the byte at which the last of them begins."""
    _, wal = contents
    *_, before, last = ends_of_commits(wal)[:5]
    return wal[: 32 + last * FRAME], 32 + before * FRAME


def test_every_bit_above_the_last_commit_is_found(short):
    """In each byte of each frame's header, and here and there in its page."""
    wal, last = short
    for start in range(32, last, FRAME):
        for place in (*range(24), *range(24, FRAME, 509)):
            damaged = bytearray(wal)
            damaged[start + place] ^= 1 << (start + place) % 8

            assert scanned(bytes(damaged)).bad_frame == (start - 32) // FRAME + 1, place


@pytest.mark.parametrize("turns", [50, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("older", ["nothing", "an older round", "a torn commit"])
def test_a_last_commit_that_lost_any_of_its_sectors_is_no_damage(short, contents, older, turns):
    """Each sector of it may hold what was written, what lay there before, or rubbish."""
    wal, last = short
    _, longer = contents
    seed = random.Random(older)
    below = {
        "nothing": bytes(len(wal)),
        "an older round": bytes(byte ^ 0x5A for byte in longer[: len(wal)]),
        # What a commit of the same round left, that was torn in an earlier crash: the salts are the same.
        "a torn commit": wal[:last] + longer[-(len(wal) - last) :],
    }[older]
    for _ in range(turns):
        torn = bytearray(wal)
        for start in range(last - last % 512, len(wal), 512):
            there = slice(max(start, last), start + 512)
            torn[there] = seed.choice((torn, below, seed.randbytes(len(wal))))[there]
        if torn != wal:
            assert scanned(bytes(torn)).bad_frame is None


@pytest.mark.parametrize("wal", [b"", b"x" * 31, b"x" * 10_000, bytes(10_000)])
def test_what_is_no_log_is_ignored_as_sqlite_does(wal):
    assert not scanned(wal).header_sound


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_logs_begun_anew_over_older_frames_are_fine(tmp_path, page_size):
    """Old frames behind the new ones have other salts; no alarm, whatever the page size."""
    path = tmp_path / "any.db"
    connection = apsw.Connection(str(path))
    connection.pragma("page_size", page_size)
    for name, value in (("journal_mode", "WAL"), ("wal_autocheckpoint", 0)):
        connection.pragma(name, value)
    connection.execute("CREATE TABLE t (x)")
    for turn in range(4):
        for number in range(20 - 4 * turn):
            connection.execute("INSERT INTO t VALUES (?)", (bytes(number * 100),))
        report = scanned(path.with_name("any.db-wal").read_bytes())
        assert report.bad_frame is None
        assert report.commits_sound >= 20 - 4 * turn
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    connection.close()


def test_both_byte_orders_are_read():
    """A log written on a machine of the other kind, made by hand: one page, one commit."""
    for order, magic in (("little", 0x377F0682), ("big", 0x377F0683)):
        wal, checksum = b"", (0, 0)

        def add(data, checksum, order=order):
            for place in range(0, len(data), 8):
                first, second = (int.from_bytes(data[at : at + 4], order) for at in (place, place + 4))
                one = checksum[0] + first + checksum[1] & 0xFFFFFFFF
                checksum = (one, checksum[1] + second + one & 0xFFFFFFFF)
            return checksum

        head = b"".join(value.to_bytes(4, "big") for value in (magic, 3_007_000, 512, 0, 11, 22))
        checksum = add(head, checksum)
        wal = head + b"".join(value.to_bytes(4, "big") for value in checksum)
        page, frame = bytes(range(256)) * 2, (1).to_bytes(4, "big") * 2
        checksum = add(page, add(frame, checksum))
        wal += frame + head[16:24] + b"".join(value.to_bytes(4, "big") for value in checksum) + page

        assert scanned(wal).commits_sound == 1


async def test_a_damaged_log_is_not_opened_and_not_changed(crashed):
    path, wal = crashed
    damaged = bytearray(wal)
    damaged[32 + 5 * FRAME + 100] ^= 4
    path.with_name("store.db-wal").write_bytes(damaged)
    content = path.read_bytes()
    for options in ({}, {"read_only": True}):
        with pytest.raises(CorruptStoreError, match=r"frame 6 .* is damaged, and whole commits lie behind"):
            async with opened(path, **options):
                pass

    assert path.read_bytes() == content
    assert path.with_name("store.db-wal").read_bytes() == damaged


async def test_a_sound_log_of_a_dead_process_is_taken_over(crashed):
    path, _ = crashed
    async with opened(path) as store:
        assert len(await store.read("a")) == 31


async def test_a_log_in_use_is_not_scanned(crashed):
    """A second opener in this process must not judge what a writer is in the middle of."""
    path, _ = crashed
    async with opened(path) as one, opened(path) as two:
        await one.append([unit(await head_of(one, "a"), b"1")])
        await two.append([unit(await head_of(two, "a"), b"2")])


async def test_the_scan_is_quick(crashed):
    _, wal = crashed
    frames = (len(wal) - 32) // FRAME
    began = time.process_time()
    for _ in range(10):
        scanned(wal)

    # Some 50 microseconds here; ten times that would show.
    assert (time.process_time() - began) / frames / 10 < 0.000_5


@pytest.mark.parametrize("place", range(32))
async def test_a_bit_flipped_in_the_header_hides_nothing_silently(crashed, place):
    path, wal = crashed
    damaged = bytearray(wal)
    damaged[place] ^= 1 << place % 8
    path.with_name("store.db-wal").write_bytes(damaged)
    content = path.read_bytes()
    with pytest.raises(CorruptStoreError, match=r"its header .* is damaged, and whole commits lie behind it"):
        async with opened(path):
            pass

    assert path.read_bytes() == content
    assert path.with_name("store.db-wal").read_bytes() == damaged


async def test_a_damaged_header_before_a_single_commit_is_told(tmp_path):
    path = tmp_path / "store.db"
    await filled(path, b"0")
    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"1")])
        content, wal = path.read_bytes(), bytearray(path.with_name("store.db-wal").read_bytes())
    wal[9] ^= 1
    path.write_bytes(content)
    path.with_name("store.db-wal").write_bytes(wal)

    with pytest.raises(CorruptStoreError, match="its header"):
        async with opened(path):
            pass


async def test_a_header_torn_over_a_log_that_is_in_the_file_is_fine(crashed):
    """As a power cut leaves it when SQLite begins a log anew: nothing is missing from the file."""
    path, wal = crashed
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("SELECT count(*) FROM events").get  # noqa: B018  # opens the log
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    torn = bytearray(wal)
    torn[12:32] = bytes(20)
    path.with_name("store.db-wal").write_bytes(torn)
    async with opened(path) as store:
        assert len(await store.read("a")) == 31


@pytest.mark.parametrize("order", ["little", "big"])
def test_pages_behind_a_bad_header_are_found_in_both_byte_orders(order):
    wal, pages = log_by_hand(order)
    damaged = b"\0" * 4 + wal[4:]

    assert scanned(wal).commits_sound == 1
    assert hidden_pages(io.BytesIO(damaged), 512) == pages
    assert hidden_pages(io.BytesIO(damaged[:-1]), 512) == {}
    assert hidden_pages(io.BytesIO(damaged), 513) == {}
    assert hidden_pages(io.BytesIO(b""), 512) == {}


def log_by_hand(order):
    """Write a log of one commit of two pages, after a page that it cuts off again."""
    magic = {"little": 0x377F0682, "big": 0x377F0683}[order]

    def add(data, checksum):
        one, two = checksum
        for place in range(0, len(data), 8):
            first, second = (int.from_bytes(data[at : at + 4], order) for at in (place, place + 4))
            one = one + first + two & 0xFFFFFFFF
            two = two + second + one & 0xFFFFFFFF
        return one, two

    def big(*values):
        return b"".join(value.to_bytes(4, "big") for value in values)

    wal = big(magic, 3_007_000, 512, 0, 11, 22)
    checksum = add(wal, (0, 0))
    wal += big(*checksum)
    content = bytes(range(256)) * 2
    for page, size in ((3, 0), (1, 0), (2, 2)):
        checksum = add(content, add(big(page, size), checksum))
        wal += big(page, size, 11, 22, *checksum) + content
    return wal, {1: 32 + 536 + 24, 2: 32 + 2 * 536 + 24}


@pytest.fixture
def synced(monkeypatch):
    """The inodes that were synced, in order; SQLite's own syncs are not among them."""
    inodes = []
    really = os.fsync

    def sync(descriptor):
        inodes.append(os.fstat(descriptor).st_ino)
        really(descriptor)

    monkeypatch.setattr("os.fsync", sync)
    return inodes


@pytest.mark.parametrize("read_only", [False, True])
async def test_the_log_of_a_killed_process_is_synced_before_anything_in_it_is_shown(
    crashed, synced, read_only
):
    """It may have been killed before its own fsync; SQLite believes what it recovers and syncs nothing."""
    path, _ = crashed
    async with opened(path, read_only=read_only) as store:
        assert len(await store.read("a")) == 31
        assert path.with_name("store.db-wal").stat().st_ino in synced


async def test_a_store_without_a_log_is_opened_without_a_sync(crashed, synced):
    path, _ = crashed
    async with opened(path):
        pass
    synced.clear()
    async with opened(path) as store:
        await store.read("a")

    assert synced == []


def failing_sync(_descriptor):
    raise OSError(errno.EIO, "Input/output error")


async def test_a_log_that_cannot_be_synced_poisons_before_anything_in_it_is_shown(crashed, monkeypatch):
    """After a failed fsync the system may go on showing what it has dropped."""
    path, _ = crashed

    monkeypatch.setattr("treadle.stores.sqlite.files.os.fsync", failing_sync)
    with pytest.raises(StorePoisonedError, match="while it synced the WAL"):
        async with opened(path):
            pass
    monkeypatch.undo()
    with pytest.raises(StorePoisonedError, match="log verify --clear"):
        async with opened(path):
            pass
    async with opened(path, read_only=True, ignore_poison=True) as store:
        assert len(await store.read("a")) == 31


async def test_a_reader_that_cannot_sync_a_log_shows_nothing(crashed, monkeypatch):
    path, _ = crashed

    monkeypatch.setattr("treadle.stores.sqlite.files.os.fsync", failing_sync)
    with pytest.raises(StoreUnavailableError, match="check the disk"):
        async with opened(path, read_only=True) as store:
            await store.read("a")
