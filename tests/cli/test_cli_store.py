"""`treadle store`: what is in a store, copies of it, its version, and every check there is."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import apsw
import pytest
import trio
from test_cli_verify import flip
from test_cli_verify_branches import cut, deleted, family  # noqa: F401  # a fixture

from treadle.errors import StoreUnavailableError
from treadle.runtime import open_runtime
from treadle.stores import sqlite
from treadle.stores.sqlite.diagnosing import CLOCK_EARLIEST_UNIX, diagnose


def as_version_2(path):
    """Take from a store what later versions have brought."""
    connection = apsw.Connection(str(path))
    connection.execute("DROP TABLE beginnings; DROP TABLE ranges; DROP INDEX events_by_key")
    connection.execute("CREATE UNIQUE INDEX events_by_key ON events (workflow, key) WHERE key IS NOT NULL")
    connection.pragma("user_version", 2)
    connection.close()


def wrong(treadle):
    ran = treadle("store", "doctor", "-o", "json")
    return ran.code, [found["check"] for found in ran.json if found["state"] == "wrong"]


def notices(treadle):
    ran = treadle("store", "doctor", "-o", "json")
    assert ran.code == 0
    return [found["check"] for found in ran.json if found["state"] == "notice"]


@pytest.mark.usefixtures("family")
def test_info_counts_logs_of_every_kind_and_what_is_yet_to_be_reclaimed(treadle):
    deleted("parent")
    deleted("branch-c")
    told = treadle("store", "info", "-o", "json").json

    assert (told["logs"], told["logs_deleted"], told["branches"]) == (5, 2, 3)
    assert (told["events"], told["events_unreclaimed"]) == (47, 2)
    assert (told["schema_version"], told["position"], told["poisoned"], told["runner"]) == (
        4,
        47,
        False,
        None,
    )
    assert told["pages"] * told["page_size_bytes"] == told["size_bytes"]
    assert "2 events of no log" in treadle("store", "info").out


def test_info_tells_of_a_store_of_an_older_version_and_leaves_it(treadle, store):
    as_version_2(store)
    before = store.read_bytes()

    assert treadle("store", "info", "-o", "json").json["schema_version"] == 2
    assert "treadle store migrate" in treadle("store", "info").out
    assert store.read_bytes() == before


def test_info_names_the_runner_and_a_marker(treadle, store):
    Path(f"{store}-poisoned").write_text('{"reason": "fsync failed"}')

    assert treadle("store", "info", "-o", "json").json["poisoned"] is True


@pytest.mark.parametrize("command", ["info", "doctor", "migrate"])
def test_a_store_in_memory_is_refused(treadle, command):
    assert treadle("store", command, "--store", "memory:").code == 2


def test_a_backup_is_made_while_others_write_and_verifies(treadle, tmp_path):
    async def main():
        async with open_runtime("treadle.db") as runtime:
            await runtime.workflow("w").append("custom", b"x")
            # In a thread, as another process would be: this one's writer stays open.
            ran = await trio.to_thread.run_sync(lambda: treadle("store", "backup", "copy.db", "-o", "json"))
            await runtime.workflow("w").append("custom", b"later")
            return ran

    ran = trio.run(main)
    assert (ran.code, ran.json["events"], ran.json["position"]) == (0, 1, 1)
    assert treadle("log", "verify", "--store", "copy.db").code == 0
    assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]


def test_a_backup_overwrites_nothing(treadle, store):
    before = store.read_bytes()
    Path("there.txt").write_text("mine")
    there = treadle("store", "backup", "there.txt")
    itself = treadle("store", "backup", str(store))
    nowhere = treadle("store", "backup", "no/folder/copy.db")

    assert (there.code, itself.code, nowhere.code) == (2, 2, 69)
    assert Path("there.txt").read_text() == "mine"
    assert store.read_bytes() == before


def test_migrate_says_from_which_version_to_which_and_a_dry_run_changes_nothing(treadle, store):
    as_version_2(store)
    before = store.read_bytes()
    dry = treadle("store", "migrate", "--dry-run", "-o", "json").json
    assert dry == {"from_version": 2, "to_version": 4, "migrated": False, "dry_run": True}
    assert store.read_bytes() == before

    assert treadle("store", "migrate", "-o", "json").json["migrated"] is True
    assert treadle("log", "verify").code == 0
    assert treadle("store", "migrate", "-o", "json").json["migrated"] is False


def test_a_store_of_a_newer_treadle_is_told_as_such(treadle, store):
    connection = sqlite3.connect(store)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    assert treadle("store", "migrate").code == 69
    assert "upgrade treadle" in treadle("store", "info").err
    assert wrong(treadle) == (4, ["header"])


@pytest.mark.usefixtures("store")
def test_the_doctor_finds_nothing_wrong_with_a_sound_store_and_changes_nothing(treadle, store):
    before = store.read_bytes(), sorted(store.parent.iterdir())
    assert wrong(treadle) == (0, [])
    assert notices(treadle) == []
    assert "nothing is wrong, 0 notices" in treadle("store", "doctor").out
    assert (store.read_bytes(), sorted(store.parent.iterdir())) == before


def damaged_header(store):
    with store.open("r+b") as file:
        file.write(b"not a database at all")


def damaged_index(store):
    connection = apsw.Connection(str(store))
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_schema SET sql = replace(sql, 'status)', 'name)') WHERE name = 'heads_by_status'"
    )
    connection.close()


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (lambda store: store.unlink(), "file"),
        (lambda store: (store.unlink(), store.mkdir()), "file"),
        (lambda store: store.with_name("second").hardlink_to(store), "file"),
        (lambda store: Path(f"{store}-poisoned").write_text("{}"), "poison marker"),
        (damaged_header, "header"),
        (lambda store: store.write_bytes(store.read_bytes()[:-4096]), "header"),
        (damaged_index, "structure"),
    ],
)
def test_the_doctor_names_what_is_wrong_and_says_what_to_do(treadle, store, damage, check):
    damage(store)

    assert wrong(treadle) == (4, [check])
    told = treadle("store", "doctor").out
    assert f"\n{check} (wrong): " in told
    assert "  means: " in told
    assert "  do: " in told


def test_the_doctor_tells_what_is_worth_knowing(treadle, store):
    Path(f"{store}.new-1234").write_bytes(b"")
    treadle("log", "append", "late", "custom", "--timestamp", str((int(time.time()) + 9_999) * 10**9))
    store.chmod(0o666)
    assert notices(treadle) == ["permissions", "left-over drafts", "clock"]

    store.chmod(0o644)
    Path(f"{store}.new-1234").unlink()
    deleted("late")
    assert notices(treadle) == ["clock", "space"] or notices(treadle) == ["space", "clock"]


def test_the_doctor_tells_a_log_that_was_not_put_in_its_place(treadle, store):
    """`log verify --clear` was killed while it wrote the log anew."""
    Path(f"{store}-wal-renewed").write_bytes(b"half of a log")

    assert notices(treadle) == ["left-over drafts"]
    assert f"{store.name}-wal-renewed" in treadle("store", "doctor").out


def test_the_doctor_tells_an_older_version(treadle, store):
    as_version_2(store)

    assert notices(treadle) == ["schema"]


def test_a_clock_that_was_never_set_is_wrong(store):
    found = [one.check for one in diagnose(str(store), CLOCK_EARLIEST_UNIX - 1) if one.state == "wrong"]

    assert found == ["clock"]


@pytest.mark.usefixtures("store")
def test_damage_inside_a_chain_is_left_to_verify(treadle, store):
    flip(store, b"payload 2 of order-1")

    assert wrong(treadle) == (0, [])
    assert "treadle log verify reads the chains" in treadle("store", "doctor").out


def test_a_store_in_use_is_looked_at_too(treadle):
    async def main():
        async with open_runtime("treadle.db") as runtime:
            await runtime.workflow("w").append("custom", b"x")
            return await trio.to_thread.run_sync(lambda: wrong(treadle))

    assert trio.run(main) == (0, [])


def test_a_file_that_is_inspected_may_not_be_there(tmp_path):
    with pytest.raises(StoreUnavailableError, match="no such store"):
        sqlite.inspect_file(str(tmp_path / "none.db"))


@pytest.mark.usefixtures("family")
def test_cut_logs_are_counted_until_they_are_reclaimed(treadle):
    cut("branch-c", 12)

    assert treadle("store", "info", "-o", "json").json["events_unreclaimed"] == 1
