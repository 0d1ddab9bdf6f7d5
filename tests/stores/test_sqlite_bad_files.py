"""Whatever is no fit store gets a sentence that says what to do, and stays as it was."""

import errno
import os

import apsw
import pytest
from sqlite_helpers import change, filled, head_of, new_head, opened, payloads_of, unit

from treadle.errors import (
    CorruptStoreError,
    StoreFormatError,
    StoreFullError,
    StorePoisonedError,
    StoreReadOnlyError,
    StoreUnavailableError,
    UsageError,
)
from treadle.events import workflow_id
from treadle.stores import Unit, open_store
from treadle.stores.sqlite import schema
from treadle.testing.batches import LogWriter
from treadle.testing.expecting import write


def empty(path):
    path.touch()


def text(path):
    path.write_text("orders, in a spreadsheet\n" * 50)


def half_a_header(path):
    path.write_bytes(b"SQLite format 3\0" + bytes(20))


def directory(path):
    path.mkdir()


def pipe(path):
    os.mkfifo(path)


def foreign(path):
    change(path, "CREATE TABLE orders (id)", "PRAGMA application_id = 7")


def unmarked(path):
    change(path, "CREATE TABLE orders (id)")


def newer(path):
    connection = apsw.Connection(str(path))
    schema.create_schema(connection)
    connection.pragma("user_version", 99)
    connection.close()


def without_version(path):
    change(path, f"PRAGMA application_id = {schema.APPLICATION_ID}")


def without_a_table(path):
    connection = apsw.Connection(str(path))
    schema.create_schema(connection)
    connection.execute("DROP TABLE mailbox")
    connection.close()


def cut_short(path):
    connection = apsw.Connection(str(path))
    schema.create_schema(connection)
    connection.close()
    os.truncate(path, path.stat().st_size - 4096)


BAD_FILES = [
    (empty, StoreFormatError, "an empty file.*delete it to let treadle make a new store"),
    (text, StoreFormatError, "not an SQLite database; give another path"),
    (half_a_header, CorruptStoreError, "cut short.*restore a backup"),
    (directory, StoreFormatError, "a directory; give the path of a file inside it"),
    (pipe, StoreFormatError, "not a regular file"),
    (foreign, StoreFormatError, "not a treadle store.*application id 0x7"),
    (unmarked, StoreFormatError, "not a treadle store"),
    (newer, StoreFormatError, "schema version 99, this treadle knows up to 4; upgrade treadle"),
    (without_version, StoreFormatError, "schema version 0 was never written"),
    (without_a_table, CorruptStoreError, "without its mailbox, mailbox_waiting.*restore a backup"),
    (cut_short, CorruptStoreError, "cut short: its header promises .* restore a backup"),
]


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize(
    ("make", "error", "words"), BAD_FILES, ids=lambda value: getattr(value, "__name__", "")
)
async def test_a_bad_file_is_refused_and_left_as_it_was(tmp_path, make, error, words, read_only):
    path = tmp_path / "store.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(error, match=words):
        async with opened(path, read_only=read_only):
            pass

    assert (path.read_bytes() if path.is_file() else None) == before


async def test_a_damaged_first_page_is_told(tmp_path):
    """A bit in the schema's page: SQLite's riddle becomes a sentence."""
    path = tmp_path / "store.db"
    await filled(path, b"p")
    content = bytearray(path.read_bytes())
    content[100:108] = b"\xff" * 8
    path.write_bytes(content)

    with pytest.raises(CorruptStoreError, match=r"treadle log verify.*restore a backup"):
        async with opened(path):
            pass


@pytest.mark.parametrize("options", [{"create": False}, {"read_only": True}])
async def test_a_missing_store_is_made_only_when_asked_for(tmp_path, options):
    with pytest.raises(StoreUnavailableError, match=r"nowhere\.db: there is no such store.*create=True"):
        async with opened(tmp_path / "nowhere.db", **options):
            pass

    assert not list(tmp_path.iterdir())


async def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(StoreUnavailableError, match=r"there is no directory .*/no; make it first"):
        async with opened(tmp_path / "no" / "store.db"):
            pass


async def test_a_store_needs_a_path():
    with pytest.raises(UsageError, match=r"expected 'sqlite:orders\.db'"):
        async with open_store("sqlite:"):
            pass


async def test_making_a_store_leaves_one_file(tmp_path):
    await filled(tmp_path / "store.db", b"p")

    assert [path.name for path in tmp_path.iterdir()] == ["store.db"]


async def test_a_crash_while_a_store_is_made_leaves_nothing_under_its_name(tmp_path, monkeypatch):
    def crash(connection):
        connection.execute("CREATE TABLE half (made)")
        raise KeyboardInterrupt

    monkeypatch.setattr("treadle.stores.sqlite.files.create_schema", crash)
    with pytest.raises(KeyboardInterrupt):
        async with opened(tmp_path / "store.db"):
            pass
    monkeypatch.undo()

    assert not (tmp_path / "store.db").exists()

    await filled(tmp_path / "store.db", b"p")


async def test_the_slower_of_two_makers_opens_the_file_of_the_faster(tmp_path, monkeypatch):
    path = tmp_path / "store.db"
    make = schema.create_schema

    def be_late(connection):
        make(connection)
        if not path.exists():
            other = apsw.Connection(str(path))
            make(other)
            other.execute("INSERT INTO records VALUES ('n', x'01', x'02', x'')")
            other.close()

    monkeypatch.setattr("treadle.stores.sqlite.files.create_schema", be_late)
    async with opened(path) as store:
        assert await store.record("n", b"\x01") == b"\x02"


async def test_read_only_shows_everything_and_changes_nothing(tmp_path):
    path = tmp_path / "store.db"
    await filled(path, b"p", b"q")
    before = path.stat().st_mtime_ns
    async with opened(path, read_only=True) as store:
        assert await payloads_of(store, "a") == [b"p", b"q"]
        assert [found.name for found in tmp_path.iterdir()] == ["store.db"]

        with pytest.raises(StoreReadOnlyError, match="opened read-only; open it for writing"):
            await store.append([unit(await head_of(store, "a"), b"r")])
        with pytest.raises(StoreReadOnlyError):
            await store.raise_epoch()

    assert path.stat().st_mtime_ns == before
    assert [found.name for found in tmp_path.iterdir()] == ["store.db"]


async def test_a_read_only_store_sees_what_a_later_writer_adds(tmp_path):
    """Nothing is cached across a writer that comes and goes."""
    path = tmp_path / "store.db"
    await filled(path, b"p")
    async with opened(path, read_only=True) as reader:
        assert await payloads_of(reader, "a") == [b"p"]
        await filled(path, b"q")
        assert await payloads_of(reader, "a") == [b"p", b"q"]
        async with opened(path) as writer:
            await writer.append([unit(await head_of(writer, "a"), b"r")])
            assert await payloads_of(reader, "a") == [b"p", b"q", b"r"]


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ("3.54.1", True), ("3.51.3", True), ("4.0.0", True), ("3.51.2", False), ("3.50.7", True),
        ("3.50.6", False), ("3.44.6", True), ("3.44.5", False), ("3.45.9", False), ("3.7.0", False),
        ("what", False),
    ],
)  # fmt: skip
def test_only_libraries_without_the_wal_reset_bug_are_taken(version, sound):
    if sound:
        schema.check_sqlite_version(version)
    else:
        with pytest.raises(StoreUnavailableError, match="WAL-reset bug"):
            schema.check_sqlite_version(version)


async def test_text_that_is_no_text_is_damage(tmp_path):
    """A flipped bit in a name; reading it is refused, and the check goes on behind it."""
    path = tmp_path / "store.db"
    await filled(path, b"p")
    change(path, "UPDATE workflows SET id = CAST(x'ff' AS TEXT)")
    async with opened(path) as store:
        for _ in range(2):
            with pytest.raises(CorruptStoreError, match=r"damaged \(.*utf-8.*treadle log verify"):
                await store.list_workflows()
        found = await store.check_structure()

        assert any("the name of workflow number 1 is no text" in damage.message for damage in found)
    change(path, "INSERT INTO records VALUES (CAST(x'ff' AS TEXT), x'01', x'02', x'')")
    async with opened(path) as store:
        found = await store.check_structure()

        assert any("cannot be read to its end: 'utf-8'" in damage.message for damage in found)


@pytest.mark.parametrize(
    ("raised", "error", "words"),
    [
        (apsw.FullError("disk full"), StoreFullError, "no room left"),
        (OSError(errno.ENOSPC, "No space left"), StoreFullError, "no room left"),
        (apsw.IOError("disk I/O error"), StoreUnavailableError, "cannot be reached"),
        (OSError(errno.EIO, "Input/output error"), StoreUnavailableError, "cannot be reached: Input/output"),
    ],
)
async def test_what_goes_wrong_while_a_store_is_made_is_worded(tmp_path, monkeypatch, raised, error, words):
    def fail(_):
        raise raised

    monkeypatch.setattr("treadle.stores.sqlite.files.create_schema", fail)
    with pytest.raises(error, match=words):
        async with opened(tmp_path / "store.db"):
            pass

    assert not list(tmp_path.iterdir())


async def test_a_path_that_leads_nowhere_is_worded(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "loop", tmp_path / ("x" * 300), tmp_path / ("x" * 250)):
        with pytest.raises(StoreUnavailableError, match=r"cannot be reached: .*check the disk and the path"):
            async with opened(path):
                pass


async def test_a_new_store_is_not_made_beside_the_log_of_another(tmp_path):
    """SQLite would play the old commits into it."""
    path, wal = tmp_path / "store.db", tmp_path / "store.db-wal"
    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"old")])
        content = wal.read_bytes()
    path.unlink()
    wal.write_bytes(content)
    with pytest.raises(StoreUnavailableError, match=r"log of another store lies there.*move it away"):
        async with opened(path):
            pass

    assert [found.name for found in tmp_path.iterdir()] == ["store.db-wal"]

    wal.unlink()
    async with opened(path) as store:
        assert await store.list_workflows() == []


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("events_later", [1, 40])
async def test_a_backup_is_not_opened_with_the_log_of_the_store_it_replaces(
    tmp_path, events_later, read_only
):
    """SQLite would play the old commits into it: all of them come back, or the file is ruined."""
    path, copy, wal = tmp_path / "store.db", tmp_path / "copy.db", tmp_path / "store.db-wal"
    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"kept")])
        await store.backup(str(copy))
        for number in range(events_later):
            await store.append([unit(new_head(f"later-{number}"), b"given up")])
        log = wal.read_bytes()
    path.write_bytes(copy.read_bytes())
    wal.write_bytes(log)
    with pytest.raises(StoreUnavailableError, match=r"store\.db-wal, is another store's.*move that log"):
        async with opened(path, read_only=read_only):
            pass

    assert (path.read_bytes(), wal.read_bytes()) == (copy.read_bytes(), log)

    wal.unlink()
    async with opened(path, read_only=read_only) as store:
        assert await store.list_workflows() == ["a"]
        assert await store.check_structure() == []


async def test_no_backup_is_made_beside_the_log_of_another_store(tmp_path):
    async with opened(tmp_path / "store.db") as store:
        (tmp_path / "copy.db-wal").write_bytes(b"")
        with pytest.raises(UsageError, match="the log of another store lies there"):
            await store.backup(str(tmp_path / "copy.db"))

        assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("kills", range(3))
async def test_a_backup_that_is_opened_and_killed_keeps_what_it_took(tmp_path, kills):
    """Its own log is not taken for another store's."""
    path, copy, wal = tmp_path / "store.db", tmp_path / "copy.db", tmp_path / "copy.db-wal"
    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"1")])
        await store.backup(str(copy))
    for _ in range(kills + 1):
        async with opened(copy) as store:
            await store.append([unit(await head_of(store, "a"), b"2")])
            left = copy.read_bytes(), wal.read_bytes()
        copy.write_bytes(left[0])
        wal.write_bytes(left[1])
    async with opened(copy) as store:
        assert len(await payloads_of(store, "a")) == kills + 2


async def test_a_file_with_two_names_is_refused(tmp_path):
    path, other = tmp_path / "store.db", tmp_path / "other.db"
    await filled(path, b"p")
    os.link(path, other)
    for name in (path, other):
        with pytest.raises(StoreUnavailableError, match=r"has 2 names \(hard links\).*remove the other"):
            async with opened(name):
                pass
    other.unlink()
    os.link(path, f"{path}.new-12345678")
    # What a crash leaves while the store is made; nobody opens it under that name.
    async with opened(path) as store:
        assert await payloads_of(store, "a") == [b"p"]


async def test_the_marker_of_a_store_that_is_gone_says_how_to_begin_anew(tmp_path):
    (tmp_path / "store.db-poisoned").write_text('{"reason": "it was deleted"}')
    with pytest.raises(StorePoisonedError, match=r"or remove .*-poisoned, .*-wal and .*put a backup"):
        async with opened(tmp_path / "store.db"):
            pass


# -- migrations: version 5 does not exist yet, so one is planted --------------------------------------


@pytest.fixture
def version_5(monkeypatch):
    """A treadle whose schema has one column more."""
    migrations = {4: "ALTER TABLE records ADD COLUMN note TEXT; INSERT INTO settings VALUES ('five', 5)"}
    monkeypatch.setattr(schema, "SCHEMA_VERSION", 5)
    monkeypatch.setattr(schema, "MIGRATIONS", migrations)
    return migrations


async def test_an_older_store_becomes_a_newer_one(tmp_path, request):
    path = tmp_path / "store.db"
    await filled(path, b"p")
    request.getfixturevalue("version_5")
    async with opened(path) as store:
        assert await payloads_of(store, "a") == [b"p"]
    connection = apsw.Connection(str(path))

    assert connection.pragma("user_version") == 5
    assert connection.execute("SELECT value FROM settings WHERE name = 'five'").get == 5

    connection.close()


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_an_old_store_becomes_one_of_today_with_its_events(tmp_path, version):
    """What came later (branches and cuts, keys that come again) is made in the very words of a new file's."""
    path = tmp_path / "store.db"
    batch = LogWriter.fresh("a").batch(b"p", b"q", keys=(b"key", None))
    async with opened(path) as store:
        await write(store, Unit((batch,)))
    connection = apsw.Connection(str(path))
    connection.execute(
        "DROP INDEX events_by_key;"
        "CREATE UNIQUE INDEX events_by_key ON events (workflow, key) WHERE key IS NOT NULL"
    )
    if version < 3:
        connection.execute("DROP TABLE beginnings; DROP TABLE ranges")
    connection.pragma("user_version", version)
    connection.close()
    async with opened(path) as store:
        assert await payloads_of(store, "a") == [b"p", b"q"]
        assert await store.find_key(workflow_id("a"), b"key") == batch.events[0]
        assert await store.check_structure() == []
    connection = apsw.Connection(str(path))

    assert connection.pragma("user_version") == 4

    connection.close()


async def test_a_crash_in_the_middle_of_a_migration_leaves_the_old_version(tmp_path, request):
    path = tmp_path / "store.db"
    await filled(path, b"p")
    migrations = request.getfixturevalue("version_5")

    def crash(connection):
        connection.execute("ALTER TABLE records ADD COLUMN note TEXT")
        raise KeyboardInterrupt

    migrations[4] = crash
    with pytest.raises(KeyboardInterrupt):
        async with opened(path):
            pass
    connection = apsw.Connection(str(path))

    assert connection.pragma("user_version") == 4
    assert "note" not in connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'records'").get

    connection.close()


async def test_a_read_only_opener_does_not_migrate(tmp_path, request):
    path = tmp_path / "store.db"
    await filled(path, b"p")
    request.getfixturevalue("version_5")

    with pytest.raises(StoreFormatError, match=r"an older store .*open it once for writing"):
        async with opened(path, read_only=True):
            pass


async def test_a_version_without_a_way_on_is_told(tmp_path, request):
    path = tmp_path / "store.db"
    await filled(path, b"p")
    request.getfixturevalue("version_5").clear()

    with pytest.raises(StoreFormatError, match="no migration leads from schema version 4 to 5"):
        async with opened(path):
            pass
