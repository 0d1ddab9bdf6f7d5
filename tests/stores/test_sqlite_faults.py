"""What the store does when the disk fails: refuse and go on, or stop for good, and tell everybody."""

import errno
import itertools
import json
import random
import re
import shutil
import subprocess
from enum import IntEnum

import apsw
import pytest
import trio
from sqlite_helpers import (
    batch_at,
    chain_is_whole,
    change,
    filled,
    head_of,
    new_head,
    opened,
    payloads_of,
    run_worker,
    unit,
)

from treadle.errors import (
    CorruptStoreError,
    OutcomeUnknownError,
    StoreFullError,
    StorePoisonedError,
    StoreUnavailableError,
)
from treadle.events import workflow_id
from treadle.kernel import TrioKernel
from treadle.sim import Problem, SimulatedDisk
from treadle.stores import Branch, Cut, HeadFacts, Message, Record, Restated, Unit, open_store
from treadle.stores.sqlite import clear_poison, writer
from treadle.stores.sqlite.faults import is_full, is_poison


@pytest.fixture
async def disk():
    """A simulated disk with a store that holds one acknowledged event."""
    with SimulatedDisk(draw=random.Random(1).random) as disk:
        async with opened("/db", vfs=disk.name) as store:
            await store.append([unit(new_head("a"), b"1")])
        yield disk


def failing(operation, file, problem):
    """Make a fault for one kind of operation on one kind of file."""
    return lambda what, where: problem if what == operation and where.endswith(file) else None


@pytest.mark.parametrize("operation", ["write", "sync"])
async def test_an_io_error_while_it_commits_poisons(disk, operation):
    """The failing call may be written; nothing is taken after it, and reads end before it."""
    async with opened("/db", vfs=disk.name) as store:
        head = await head_of(store, "a")
        disk.fault = failing(operation, "-wal", Problem.IO)
        with pytest.raises(OutcomeUnknownError, match="may or may not be written"):
            await store.append([unit(head, b"2"), unit(new_head("b"), b"1")])
        disk.fault = None

        for refused in (lambda: store.append([unit(head, b"2")]), store.raise_epoch, store.maintain):
            with pytest.raises(StorePoisonedError, match="takes nothing more"):
                await refused()
        with pytest.raises(StorePoisonedError):
            await store.change_counter()
        assert await payloads_of(store, "a") == [b"1"]
        assert (await head_of(store, "a")).next_seq == 2
        assert await store.list_workflows() == ["a"]


async def test_what_a_failed_fsync_left_visible_is_not_shown(disk):
    """The rows of the failed commit are in the file for every reader that does not know better."""
    async with opened("/db", vfs=disk.name) as store:
        await store.append([unit(await head_of(store, "a"), b"2")])
        # As it is when the commit went through and the check after it failed.
        store._health.poison("a check failed", 1)

        assert await payloads_of(store, "a") == [b"1"]
        assert (await head_of(store, "a")).next_seq == 2
        assert [event.position for event in await store.feed()] == [1]
        assert await store.between("a", 0, 2**62) == await store.read("a")
        assert len(await store.audit("a")) == 1
        assert (await store.statistics()).events == 1
        assert await store.count_workflows() == 1


async def test_a_message_behind_an_event_in_a_group_hides_no_acknowledged_event(disk):
    """Rows of other tables have numbers of their own; the last position that was answered is an event's."""
    async with opened("/db", vfs=disk.name) as store:
        for payload in (b"2", b"3"):
            await store.append([unit(await head_of(store, "a"), payload)])
        await store.append(
            [unit(await head_of(store, "a"), b"4"), Unit(messages_put=(Message("b", b"m", 0, b""),))]
        )
        disk.fault = failing("sync", "-wal", Problem.IO)
        with pytest.raises(OutcomeUnknownError):
            await store.append([unit(await head_of(store, "a"), b"5")])
        disk.fault = None

        assert await payloads_of(store, "a") == [b"1", b"2", b"3", b"4"]


async def test_an_io_error_in_a_checkpoint_poisons(disk, monkeypatch):
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 1)
    async with opened("/db", vfs=disk.name) as store:
        store._writer._checkpoint_at = 1
        await store.append([unit(await head_of(store, "a"), b"2")])
        disk.fault = failing("write", "/db", Problem.IO)
        with pytest.raises(StorePoisonedError, match="copied the WAL into the file"):
            await store.maintain()
        with pytest.raises(StorePoisonedError):
            await store.append([unit(await head_of(store, "a"), b"3")])

        assert await payloads_of(store, "a") == [b"1", b"2"]

        disk.fault = None


QUESTIONS = {
    "read": lambda store: store.read("a"),
    "read of a branch": lambda store: store.read("b"),
    "between": lambda store: store.between("b", 0, 2**62),
    "audit": lambda store: store.audit("b"),
    "find_key": lambda store: store.find_key("b", b"k"),
    "heads": lambda store: store.heads(["a", "b"]),
    "read_many": lambda store: store.read_many(["a", "b"]),
    "feed": lambda store: store.feed(),
    "due": lambda store: store.due(2**62),
    "list_workflows": lambda store: store.list_workflows(),
    "messages": lambda store: store.messages("a"),
    "statistics": lambda store: store.statistics(),
    "check_structure": lambda store: store.check_structure(),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
async def test_a_read_that_fails_tells_of_the_disk_and_not_of_damage(disk, question):
    """Whichever of its reads fails: nothing is damaged, and the same question has its answer afterwards."""
    await with_a_branch(disk)
    for place in itertools.count(1):
        reads = itertools.count(1)
        async with opened("/db", vfs=disk.name) as store:
            disk.fault = lambda what, _, reads=reads, place=place: (
                Problem.IO if what == "read" and next(reads) == place else None
            )
            try:
                await question(store)
            except StoreUnavailableError:
                pass
            else:
                break
            finally:
                disk.fault = None
            await question(store)

    assert place > 1, "no read has failed"


async def with_a_branch(disk):
    """Let log b begin as a branch of log a."""
    async with opened("/db", vfs=disk.name) as store:
        at = (await head_of(store, "a")).digest
        begun = batch_at(new_head("b")._replace(next_seq=2, digest=at), b"2")
        await store.append([Unit((begun,), branches=(Branch("b", "a", 1, at),))])


async def test_a_full_disk_pauses_appends_and_not_reads(disk):
    async with opened("/db", vfs=disk.name) as store:
        head = await head_of(store, "a")
        disk.fault = failing("write", "-wal", Problem.FULL)
        for _ in range(3):
            with pytest.raises(StoreFullError, match="free some space"):
                await store.append([unit(head, b"2" * 5000)])
            assert await payloads_of(store, "a") == [b"1"]
        disk.fault = None
        await store.append([unit(head, b"2")])

        assert await payloads_of(store, "a") == [b"1", b"2"]


async def test_a_full_disk_in_a_checkpoint_waits_for_room(disk):
    async with opened("/db", vfs=disk.name) as store:
        store._writer._checkpoint_at = 1
        await store.append([unit(await head_of(store, "a"), b"2")])
        disk.fault = failing("write", "/db", Problem.FULL)
        await store.maintain()
        disk.fault = None
        await store.append([unit(await head_of(store, "a"), b"3")])

        assert await payloads_of(store, "a") == [b"1", b"2", b"3"]


@pytest.mark.parametrize("problem", Problem)
@pytest.mark.parametrize("operation", ["read", "write", "sync", "truncate", "delete"])
async def test_a_store_on_a_disk_that_fails_can_be_closed(disk, operation, problem):
    """What cannot be copied into the file stays in the log, and is there at the next start."""
    async with opened("/db", vfs=disk.name) as store:
        await store.append([unit(await head_of(store, "a"), b"2" * 9000)])
        disk.fault = failing(operation, "", problem)
    disk.fault = None
    async with opened("/db", vfs=disk.name) as store:
        assert await payloads_of(store, "a") == [b"1", b"2" * 9000]


async def test_an_error_of_ours_leaves_no_transaction_behind(disk, monkeypatch):
    async with opened("/db", vfs=disk.name) as store:
        head = await head_of(store, "a")
        monkeypatch.setattr("treadle.stores.sqlite.transaction.check_unit", lambda _: 1 / 0)
        with pytest.raises(Exception, match=r"unexpected ZeroDivisionError.*please report it"):
            await store.append([unit(head, b"2", token=None)])
        monkeypatch.undo()
        await store.append([unit(head, b"2")])

        assert await payloads_of(store, "a") == [b"1", b"2"]


@pytest.mark.parametrize(
    ("problem", "number", Problem.FULL),
    [
        ("WRITE", errno.ENOSPC, True),
        ("WRITE", errno.EDQUOT, True),
        ("WRITE", errno.EIO, False),
        ("FSYNC", errno.ENOSPC, False),
        ("FSYNC", errno.EDQUOT, False),
    ],
)
def test_only_a_write_without_room_is_a_full_disk(problem, number, full):
    """An fsync that finds no room has already lost what it was to write."""
    error = apsw.IOError("simulated")
    error.extendedresult = getattr(apsw, f"SQLITE_IOERR_{problem}")

    assert is_full(error, number) is full
    assert is_poison(error, committing=True)


# -- the marker, and real files ------------------------------------------------------------------------


def replace_log(path):
    """Put another file with the same content in the place of a store's log."""
    wal = path.with_name(path.name + "-wal")
    shutil.copy(wal, wal.with_suffix(".copy"))
    wal.with_suffix(".copy").rename(wal)


async def poisoned(path):
    """Poison a store on a real file: its log is replaced under it."""
    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"1")])
        replace_log(path)
        with pytest.raises(OutcomeUnknownError, match="-wal was deleted or replaced"):
            await store.append([unit(await head_of(store, "a"), b"2")])


async def test_a_replaced_log_poisons_before_anybody_is_answered(tmp_path):
    path = tmp_path / "store.db"
    await poisoned(path)
    told = json.loads((tmp_path / "store.db-poisoned").read_text())

    assert told["acknowledged_position"] == 1
    assert "deleted or replaced" in told["reason"]
    assert "treadle log verify --clear" in told["what_to_do"]


async def test_a_marker_keeps_the_store_shut_for_every_start_until_it_is_cleared(tmp_path):
    path = tmp_path / "store.db"
    await poisoned(path)
    for options in ({}, {"read_only": True}):
        with pytest.raises(StorePoisonedError, match=r"store\.db-poisoned.*treadle log verify --clear"):
            async with opened(path, **options):
                pass

    [line] = run_worker("try_to_append", path, "a")
    assert line.startswith("StorePoisonedError")

    async with open_store(path, ignore_poison=True) as store:
        assert (await payloads_of(store, "a"))[:1] == [b"1"]
        assert await store.check_structure() == []
        with pytest.raises(StorePoisonedError):
            await store.append([unit(await head_of(store, "a"), b"3")])

    assert clear_poison(path)
    assert not clear_poison(path)

    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"3")])


async def test_clearing_writes_the_log_anew_because_the_old_one_may_be_in_doubt(tmp_path):
    """What a failed fsync has left is in the system's memory alone, and no later fsync writes it."""
    path = tmp_path / "store.db"
    await poisoned(path)
    log = path.with_name("store.db-wal")
    inode, content = log.stat().st_ino, log.read_bytes()

    assert clear_poison(path)
    assert content
    assert (log.read_bytes(), log.stat().st_ino == inode) == (content, False)
    assert not list(tmp_path.glob("*renewed*"))


async def test_a_store_that_a_process_has_open_is_not_cleared(tmp_path):
    path = tmp_path / "store.db"
    await poisoned(path)
    async with open_store(path, ignore_poison=True):
        with pytest.raises(StoreUnavailableError, match="a process still has it open"):
            clear_poison(path)

    assert clear_poison(path)


async def test_a_marker_of_another_process_stops_a_live_store(tmp_path):
    path = tmp_path / "store.db"
    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"1")])
        head = await head_of(store, "a")
        (tmp_path / "store.db-poisoned").write_text("{broken")
        with pytest.raises(StorePoisonedError, match="another process reported"):
            await store.append([unit(head, b"2")])
        with pytest.raises(StorePoisonedError):
            await store.change_counter()

        assert await payloads_of(store, "a") == [b"1"]


async def everything_shown(store) -> dict[str, object]:
    """Put every question to a store that must not show what was never acknowledged."""
    a, b = workflow_id("a"), workflow_id("b")
    page = await store.read_many([a, b])
    statistics = await store.statistics()
    return {
        "heads": [head._replace(token=None) for head in await store.heads([a, b])],
        "read": await store.read(a),
        "read_many": [(workflow_id, list(events), complete) for workflow_id, events, complete in page],
        "between": await store.between(a, 0, None),
        "find_key": await store.find_key(a, b"key of b"),
        "list_workflows": await store.list_workflows(),
        "count_workflows": await store.count_workflows(),
        "feed": await store.feed(),
        "audit": await store.audit(a),
        "statistics": (statistics.workflows, statistics.events, statistics.position),
    }


@pytest.mark.parametrize("read_only", [False, True])
async def test_who_only_reads_shows_all_that_was_acknowledged_and_no_more(tmp_path, read_only):
    """Also when nothing but the marker tells of another process's failure, and its own writes are old."""
    path = tmp_path / "store.db"
    async with opened(path) as writer:
        await writer.append([unit(await head_of(writer, "a"), b"1")])
        async with opened(path, read_only=read_only) as reader:
            await writer.append([unit(await head_of(writer, "a"), b"2")])
            before = await everything_shown(reader)
            replace_log(path)
            with pytest.raises(OutcomeUnknownError):
                await writer.append(
                    [
                        unit(await head_of(writer, "a"), b"unknown", keys=(b"key of b",)),
                        unit(await head_of(writer, "b"), b"unknown"),
                    ]
                )

            assert await everything_shown(reader) == before
            assert before["statistics"] == (1, 2, 2)

            with pytest.raises(StorePoisonedError, match="another process reported"):
                await reader.change_counter()
            with pytest.raises(StorePoisonedError):
                await reader.backup(str(tmp_path / "copy.db"))


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_marker_that_cannot_be_read_hides_nothing_that_was_acknowledged(tmp_path, read_only):
    path = tmp_path / "store.db"
    async with opened(path) as writer, opened(path, read_only=read_only) as store:
        await writer.append([unit(await head_of(writer, "a"), b"1")])
        if not read_only:
            await store.append([unit(await head_of(store, "a"), b"2")])
        before = await everything_shown(store)
        (tmp_path / "store.db-poisoned").write_text("{broken")

        assert await everything_shown(store) == before

        with pytest.raises(StorePoisonedError):
            await store.change_counter()


async def test_a_deleted_file_poisons(tmp_path):
    path = tmp_path / "store.db"
    async with opened(path) as store:
        head = await head_of(store, "a")
        path.unlink()
        with pytest.raises(OutcomeUnknownError, match=r"store\.db was deleted or replaced"):
            await store.append([unit(head, b"1")])


async def test_a_replaced_file_poisons_and_is_not_touched(tmp_path):
    path, backup = tmp_path / "store.db", tmp_path / "backup.db"
    await filled(path, b"1")
    shutil.copy(path, backup)
    content = backup.read_bytes()
    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"2")])
        backup.rename(path)
        with pytest.raises(OutcomeUnknownError, match="deleted or replaced"):
            await store.append([unit(await head_of(store, "a"), b"3")])

    assert path.read_bytes() == content


async def test_a_flipped_bit_in_a_page_is_told_with_the_place(tmp_path):
    """An index that disagrees with its table: the workflow and the seq are named."""
    path = tmp_path / "store.db"
    await filled(path, b"needle-in-the-log", b"2")
    content = path.read_bytes()
    # The digest and payload of the first row are covered by the chain; its seq is what the index holds.
    place = content.index(b"needle-in-the-log")
    damaged = bytearray(content)
    damaged[place] ^= 1
    path.write_bytes(damaged)
    async with opened(path) as store:
        rows = await store.audit("a")

        assert rows[0].payload == b"oeedle-in-the-log"
        assert await store.check_structure() == []  # why there is a digest chain

    assert not chain_is_whole(rows, "a")


@pytest.mark.parametrize(
    ("statement", "words", "place"),
    [
        ("DELETE FROM workflows WHERE id = 'b'", "2 events belong to workflow number", (None, 1)),
        ("INSERT INTO workflows VALUES (77, 'ghost')", "known, but has no events", ("ghost", 1)),
        ("INSERT INTO heads (workflow) VALUES (99)", "a head is kept for workflow number 99", (None, 1)),
        ("INSERT INTO beginnings VALUES (1, 2, x'', 0, 0, 1, x'0000')", "below the first kept", ("a", 1)),
        ("INSERT INTO beginnings VALUES (9, 2, x'', 0, 0, 1, x'0000')", "does not fit any log", (None, None)),
        ("INSERT INTO ranges VALUES (1, 1, 1, 2, x'0000')", "does not fit any log", (None, None)),
        ("INSERT INTO ranges VALUES (1, 3, 2, 2, x'0000')", "not where it says", ("a", 2)),
        ("INSERT INTO beginnings VALUES (1, 1, x'', 0, 0, 1, x'00')", "checksum of the beginning", ("a", 1)),
        ("INSERT INTO ranges VALUES (1, 1, 1, 2, x'00')", "checksum of the shared range", ("a", 1)),
        ("UPDATE events SET key = x'' WHERE position = 1", "idempotency key does not lead", ("a", 1)),
        ("DELETE FROM settings", "the runner's epoch is None", (None, None)),
        ("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'events'", "only 3 were ever given", (None, None)),
        ("DELETE FROM sqlite_sequence", "only None were ever given out", (None, None)),
    ],
)
async def test_check_structure_names_what_does_not_hang_together(tmp_path, statement, words, place):
    path = tmp_path / "store.db"
    await filled(path, b"1", b"2", name="a")
    await filled(path, b"1", b"2", name="b")
    change(path, statement)
    async with opened(path) as store:
        found = await store.check_structure()

    assert any(words in damage.message and (damage.workflow_id, damage.seq) == place for damage in found), (
        found
    )


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (
            "UPDATE workflows SET id = 'c' WHERE id = 'a'",
            ["the workflow's id is not the one that was written"],
        ),
        ("UPDATE beginnings SET checksum = substr(checksum, 1, 8)", []),  # as an earlier treadle wrote it
    ],
)
async def test_the_name_of_a_log_that_was_cut_has_a_sum_of_its_own(tmp_path, statement, found):
    """Its digests no longer begin with its name."""
    path = tmp_path / "store.db"
    await filled(path, b"1", b"2", name="a")
    async with opened(path) as store:
        (head,) = await store.heads([workflow_id("a")])
        await store.append([Unit(cuts=(Cut(head.workflow_id, head.next_seq, head.digest, 2),))])
        while await store.reclaim():
            pass
    change(path, statement)
    async with opened(path) as store:
        assert [damage.message for damage in await store.check_structure()] == found


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE records SET value = x'77' WHERE key = x'01'", "record ('n', b'\\x01')"),
        ("UPDATE mailbox SET payload = x'77'", "message ('a', b'm')"),
        ("UPDATE heads SET wake_up_ns = 78", "head facts (1, 5)"),
        ("UPDATE settings SET value = 1 WHERE name = 'epoch'", "the runner's epoch (1)"),
        ("UPDATE settings SET value = 3 WHERE name = 'epoch_sum'", "the runner's epoch (2)"),
    ],
)
async def test_a_changed_row_outside_the_logs_is_found_by_its_checksum(tmp_path, statement, words):
    """Records, messages, head facts and the epoch hang on no digest chain: each has a sum of its own."""
    path = tmp_path / "store.db"
    async with opened(path) as store:
        facts = HeadFacts(5, 1, 77, "order")
        whole = Unit(
            (batch_at(new_head("a"), b"1", facts=facts),),
            messages_put=(Message(workflow_id("a"), b"m", 1, b"to be"),),
            records=(Record("n", b"\x01", b"v"),),
        )
        await store.append([whole])
        await store.raise_epoch()
        await store.raise_epoch()
        assert await store.check_structure() == []
    change(path, statement)
    async with opened(path) as store:
        found = await store.check_structure()

    assert any(words in damage.message and "checksum" in damage.message for damage in found), found


@pytest.mark.parametrize("step", [21, pytest.param(7, marks=pytest.mark.slow)])
async def test_no_flipped_bit_in_a_definition_goes_unseen(tmp_path, step):
    """SQLite itself believes every definition that it can read: a column less in an index, for one."""
    path = tmp_path / "store.db"
    await filled(path, b"1")
    sound = path.read_bytes()
    first = sound.index(b"CREATE")
    for place in range(first, sound.rindex(b"CREATE", 0, 4_096), step):
        for mask in (0x01, 0x20):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ mask]) + sound[place + 1 :])
            try:
                async with opened(path, read_only=True) as store:
                    assert await store.check_structure(), place
            except CorruptStoreError:
                continue


async def walk(page_after, limit_pages: int) -> None:
    """Ask for one page after the other, each behind the last, until there is none."""
    after = None
    for _ in range(limit_pages):
        page = await page_after(after)
        if not page:
            return
        after = page[-1]
    raise AssertionError("the pages never end")


async def test_no_flipped_bit_makes_a_listing_go_on_for_ever(tmp_path):
    """Each byte of a name, a key or a time that lies in an index changes its place in the order."""
    path = tmp_path / "store.db"
    names = [f"name-{number}" for number in range(4)]
    async with opened(path) as store:
        for number, name in enumerate(names):
            batch = unit(new_head(name), b"", facts=HeadFacts(7, 1, 0x6E616D65_0000 + number, "type"))
            message = Message(workflow_id(name), b"message", 1, b"")
            record = Record("names", name.encode(), b"")
            await store.append([Unit((batch,), messages_put=(message,), records=(record,))])
    sound = path.read_bytes()
    places = [found.start() + at for found in re.finditer(b"name", sound) for at in range(6)]
    refused = 0
    for place, mask in itertools.product(places, (0x01, 0x10, 0x40)):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ mask]) + sound[place + 1 :])
        try:
            async with opened(path, read_only=True) as store:
                for ask in (
                    lambda after: store.list_workflows(after=after, limit=2),
                    lambda after: store.list_workflows(after=after, status=7, limit=2),
                    lambda after: store.workflows_with_messages(after=after, limit=2),
                    lambda after: records_after(store, after),
                    lambda after: due_after(store, after),
                ):
                    try:
                        await walk(ask, 10)
                    except CorruptStoreError:
                        refused += 1
        except CorruptStoreError:
            refused += 1

    assert refused > 20


async def records_after(store, after: bytes | None) -> list[bytes]:
    """Read a page of records' keys."""
    return [record.key for record in await store.records("names", after=after, limit=2)]


async def due_after(store, after: tuple[int, str] | None) -> list[tuple[int, str]]:
    """Read a page of wake-up times."""
    heads = await store.due(2**62, after=after, limit=2)
    return [(head.facts.wake_up_ns, head.workflow_id) for head in heads]


class Number(IntEnum):
    SIX = 6


class Text(str):
    __slots__ = ()


async def test_a_checksum_is_that_of_the_value_whatever_class_wrote_it(tmp_path):
    """The engine writes statuses and kinds as members of an IntEnum, and SQLite gives plain numbers back."""
    async with opened(tmp_path / "store.db") as store:
        facts = HeadFacts(Number.SIX, Number.SIX, Number.SIX, Text("order"))
        whole = Unit(
            (batch_at(new_head("a"), b"1", facts=facts),),
            messages_put=(Message(workflow_id("a"), b"m", Number.SIX, b"to be"),),
            records=(Record(Text("n"), b"\x01", b"v"),),
        )
        await store.append([whole])
        head = await head_of(store, "a")
        restated = Restated(head.workflow_id, head.next_seq, head.digest, facts)
        await store.append([Unit(restated=(restated,))])
        found = await store.check_structure()

    assert found == []


async def test_an_unknown_kind_and_a_missing_row_are_corruption_with_a_place(tmp_path):
    path = tmp_path / "store.db"
    await filled(path, b"1", b"2", b"3")
    change(path, "UPDATE events SET kind = 9 WHERE seq = 2")
    async with opened(path) as store:

        async def read_many() -> None:
            for page in await store.read_many(["a"]):
                list(page.events)

        for read in (lambda: store.read("a"), store.feed, read_many):
            with pytest.raises(CorruptStoreError, match="stored at seq 2 is no event") as caught:
                await read()
            assert (caught.value.workflow_id, caught.value.seq) == ("a", 2)

    change(path, "DELETE FROM events WHERE seq = 2")
    async with opened(path) as store:
        with pytest.raises(CorruptStoreError, match="seq 2 is missing") as caught:
            await store.read("a")
        assert caught.value.seq == 2


@pytest.mark.slow
async def test_a_locked_store_is_busy_and_surely_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("treadle.stores.sqlite.schema.BUSY_MILLISECONDS", 20)
    path = tmp_path / "store.db"
    async with opened(path) as one, opened(path) as two:
        head = await head_of(one, "a")
        two._writer.connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match=r"busy.*nothing was written: try again"):
            await one.append([unit(head, b"1")])
        two._writer.connection.execute("ROLLBACK")
        await one.append([unit(head, b"1")])

        assert await payloads_of(two, "a") == [b"1"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one mebibyte, where mounting is permitted."""
    room = tmp_path / "room"
    room.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(room)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"needs to mount a tmpfs: {mounted.stderr.decode().strip()}")
    yield room
    subprocess.run(["umount", str(room)], check=True)


async def test_a_really_full_disk_pauses_and_resumes(small_disk):
    async with opened(small_disk / "store.db") as store:
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(600_000))
        written = 0

        async def fill():
            nonlocal written
            while written < 100:
                await store.append([unit(await head_of(store, "a"), b"x" * 20_000)])
                written += 1

        with pytest.raises(StoreFullError):
            await fill()
        assert len(await store.read("a")) == written > 0

        ballast.unlink()
        await store.append([unit(await head_of(store, "a"), b"last")])
        assert len(await store.read("a")) == written + 1


async def test_closing_waits_for_the_commit_in_flight_and_happens_once(tmp_path):
    """Who was let in is answered; who comes after is told that it is closed."""
    path = tmp_path / "store.db"
    async with opened(path, kernel=TrioKernel()) as store, trio.open_nursery() as nursery:
        outcomes = []
        heads = await store.heads([f"log-{number}" for number in range(400)])

        async def append():
            outcomes.extend(await store.append([unit(head, b"1") for head in heads]))

        nursery.start_soon(append)
        await trio.testing.wait_all_tasks_blocked()
        await store.aclose()
        await store.aclose()
        with pytest.raises(StoreUnavailableError, match="closed; open it again"):
            await store.read("a")

    assert len(outcomes) == 400


async def test_an_append_that_has_begun_is_carried_to_its_end(tmp_path):
    async with opened(tmp_path / "store.db", kernel=TrioKernel()) as store:
        heads = await store.heads([f"log-{number}" for number in range(2_000)])
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.append, [unit(head, b"1") for head in heads])
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()

        assert await store.count_workflows() in {0, 2_000}


async def test_a_backup_is_a_whole_store_and_overwrites_nothing(tmp_path):
    path, copy = tmp_path / "store.db", tmp_path / "copy.db"
    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"1", b"2", keys=(b"k", None))])
        await store.backup(str(copy))
        with pytest.raises(Exception, match="overwrites nothing"):
            await store.backup(str(copy))
        with pytest.raises(StoreUnavailableError):
            await store.backup(str(tmp_path / "no" / "copy.db"))
        await store.append([unit(await head_of(store, "a"), b"3")])
    async with opened(copy) as store:
        assert await payloads_of(store, "a") == [b"1", b"2"]
        assert await store.check_structure() == []
        assert (await store.find_key("a", b"k")).seq == 1
        await store.append([unit(await head_of(store, "a"), b"ours")])
        assert [event.position for event in await store.feed()] == [1, 2, 3]

    assert not [found for found in tmp_path.iterdir() if ".new-" in found.name]
