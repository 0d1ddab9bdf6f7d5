"""What is salvaged of damaged files: all that is sound, nothing that was not written, and losses by name.

Each test damages a real file. The oracle is the store as it was before.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from salvage_helpers import (
    NAMES,
    Contents,
    check_nothing_is_made_up,
    facts_of,
    fill,
    lost_of,
    origin,
    read,
    salvaged,
)

from treadle import NewEvent, open_runtime
from treadle.errors import (
    CorruptStoreError,
    StoreFormatError,
    StoreUnavailableError,
    UsageError,
)
from treadle.stores import open_store, sqlite
from treadle.stores.sqlite import files

PAGE = 4096


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> tuple[Path, Contents]:
    path = tmp_path_factory.mktemp("filled") / "store.db"
    trio.run(fill, str(path))
    return path, read(str(path))


@pytest.fixture
def damaged(filled, tmp_path):
    """A copy of the store, to be damaged."""
    path = tmp_path / "damaged.db"
    shutil.copy(filled[0], path)
    return path


def pages_of(path, *kinds):
    """Tell which pages begin as b-tree pages of these kinds do."""
    content = path.read_bytes()
    places = range(PAGE, len(content), PAGE)
    return [place // PAGE for place in places if content[place] in kinds]


def of_table(path, name):
    """Tell the pages of a table or an index."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    rows = connection.execute("SELECT pageno FROM dbstat WHERE name = ? ORDER BY pageno", (name,)).fetchall()
    connection.close()
    return [number - 1 for (number,) in rows]


def zero(path, page, start=0, end=PAGE):
    with path.open("r+b") as file:
        file.seek(page * PAGE + start)
        file.write(bytes(end - start))


def events(contents):
    return {name: set(log.values()) for name, log in contents.logs.items()}


def test_of_a_sound_file_everything_comes_over_under_its_positions(filled, damaged, tmp_path):
    before = damaged.read_bytes()
    saved, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert new == filled[1]
    assert (saved.lost, saved.asides, saved.lost_names, saved.lost_logs) == ((), (), (), ())
    assert (saved.counts.keys_lost, saved.counts.facts_lost, saved.counts.messages_lost) == (0, [], 0)
    assert damaged.read_bytes() == before
    assert [path.name for path in tmp_path.glob("new.db*")] == ["new.db"]


def test_the_new_file_goes_on_where_the_old_one_stood(damaged, tmp_path):
    """Positions are never used twice, a taken message stays taken, and an older runner stays shut out."""

    async def told(path):
        async with open_store(str(path)) as store:
            return await store.position(), await store.raise_epoch(), await store.branches_of("parent")

    salvaged(str(damaged), str(tmp_path / "new.db"))
    assert trio.run(told, tmp_path / "new.db") == trio.run(told, damaged)


@pytest.mark.parametrize(
    "index",
    ["events_by_log", "events_by_key", "heads_by_status", "sqlite_autoindex_workflows_1", "mailbox_waiting"],
)
def test_a_lost_index_costs_nothing(filled, damaged, tmp_path, index):
    for page in of_table(damaged, index):
        zero(damaged, page)
    saved, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert new == filled[1]
    assert saved.lost == ()


def test_a_lost_table_of_names_costs_nothing_while_its_index_is_there(filled, damaged, tmp_path):
    for page in of_table(damaged, "workflows"):
        zero(damaged, page)
    _, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert new == filled[1]


@pytest.mark.parametrize("reclaimed", [False, True])
@pytest.mark.parametrize("ats", [(2,), (4,), (1, 4)])
def test_a_deleted_log_that_goes_on_keeps_what_branches_share_of_it(tmp_path, ats, reclaimed):
    """Those events lie below its first kept seq: it does not show them, and they are nobody else's."""
    path = str(tmp_path / "store.db")

    async def main():
        async with open_runtime(path) as runtime:
            log = runtime.workflow("log")
            await log.extend(NewEvent("custom", b"%d" % n, n) for n in range(4))
            for at in ats:
                await log.branch(at=at, to=f"branch {at}")
            await log.delete()
            while reclaimed and await runtime.store.reclaim():
                pass
            await log.append("custom", b"again")
            await log.append("custom", b"and again")
            await log.branch(at=5, to="late")

    trio.run(main)
    saved, new = salvaged(path, str(tmp_path / "new.db"))

    assert (saved.lost, saved.asides) == ((), ())
    assert new == read(path)


@pytest.mark.parametrize("copy", ["workflows", "sqlite_autoindex_workflows_1"])
def test_of_a_names_two_copies_the_sound_one_is_used(filled, damaged, tmp_path, copy):
    """Which one that is, a log's first digest tells, or the sum of where it begins: a branch has no other."""
    content = bytearray(damaged.read_bytes())
    for page in of_table(damaged, copy):
        for name in (*NAMES, "hidden"):
            begin = content.find(name.encode(), page * PAGE, (page + 1) * PAGE)
            content[begin] ^= 1 << 1
    damaged.write_bytes(content)
    saved, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert (saved.lost_names, saved.lost_logs) == ((), ())
    assert new == filled[1]


def test_lost_head_facts_are_told_by_the_log_itself(filled, damaged, tmp_path):
    for page in of_table(damaged, "heads"):
        zero(damaged, page)
    saved, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert new.heads["waits"] == filled[1].heads["waits"]
    assert saved.counts.facts_lost == []


def test_without_both_tables_of_names_logs_are_kept_under_made_up_ones(filled, damaged, tmp_path):
    for name in ("workflows", "sqlite_autoindex_workflows_1"):
        for page in of_table(damaged, name):
            zero(damaged, page)
    saved, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    # The log of one event is gone with it: the first event of a log is proved by its id alone.
    assert len(saved.lost_names) == 12
    check_nothing_is_made_up(filled[1], new)
    assert sum(len(log) for log in new.logs.values()) > 200


@pytest.mark.parametrize("keep", [1, 2])
def test_a_header_that_is_gone_hides_nothing_but_its_page(filled, damaged, tmp_path, keep):
    zero(damaged, 0, 0, 100 * keep)
    saved, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert new == filled[1]
    assert saved.lost == ()


@pytest.mark.parametrize("part", [slice(3, 5), pytest.param(slice(None), marks=pytest.mark.slow)])
def test_each_lost_page_of_events_is_named_event_by_event(filled, damaged, tmp_path, part):
    """With the index there, what is lost is known to the last seq."""
    whole = filled[1]
    for place, page in enumerate(of_table(damaged, "events")[part]):
        shutil.copy(filled[0], damaged)
        zero(damaged, page)
        saved, new = salvaged(str(damaged), str(tmp_path / f"new{place}.db"))
        check_nothing_is_made_up(whole, new)
        lost = lost_of(saved)
        own = {name: {seq for seq in log if seq > whole.heads[name][5]} for name, log in whole.logs.items()}
        for name in set(own) - {"gone"}:
            kept = {seq for found, log in new.logs.items() if found.partition("@")[0] == name for seq in log}
            assert own[name] - kept == lost.get(name, set()) & own[name], (page, name)


def test_a_flipped_payload_costs_one_event_and_the_rest_is_kept_beside(damaged, tmp_path):
    content = damaged.read_bytes()
    needle = b"long event 70 "
    damaged.write_bytes(content.replace(needle, b"Long event 70 ", 1))
    saved, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert [(one.workflow_id, one.first_seq, one.last_seq) for one in saved.lost] == [("long", 71, 71)]
    (aside,) = saved.asides
    assert (aside.kept_as, aside.first_seq, aside.last_seq) == ("long@1", 1, 70)
    assert (min(new.logs["long"]), max(new.logs["long"])) == (72, 161)
    assert len(new.logs["long@1"]) == 70


def test_a_flip_in_what_branches_share_leaves_them_what_is_sound(damaged, tmp_path):
    content = damaged.read_bytes()
    damaged.write_bytes(content.replace(b"event 9 of parent", b"Event 9 of parent", 1))
    saved, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert lost_of(saved) == {"parent": {10}}
    assert new.heads["branch"][2] == new.heads["parent"][2] == 11
    assert set(new.logs["branch"]) == set(range(11, 51))
    assert set(new.logs["twig"]) == set(range(11, 47))
    assert set(new.logs["parent@1"]) == set(range(1, 10))


def test_a_branch_whose_beginning_is_lost_keeps_its_own_events(damaged, tmp_path):
    for name in ("beginnings", "ranges"):
        for page in of_table(damaged, name):
            zero(damaged, page)
    _, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert set(new.logs["branch"]) == set(range(41, 51))
    assert set(new.logs["twig"]) == {46}


def test_what_a_deleted_log_left_to_a_branch_is_kept_though_the_branchs_own_events_are_lost(
    damaged, tmp_path
):
    content = damaged.read_bytes()
    damaged.write_bytes(content.replace(b'"parent":"gone"', b'"parent":"gonE"'))
    saved, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    assert lost_of(saved) == {"orphan": {31}}
    assert [(one.workflow_id, one.kept_as, one.first_seq, one.last_seq) for one in saved.asides] == [
        ("orphan", "orphan@1", 1, 30)
    ]
    assert set(new.logs["orphan@1"]) == set(range(1, 31))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_file_gives_what_is_left_of_it(filled, damaged, tmp_path, share):
    content = damaged.read_bytes()
    damaged.write_bytes(content[: int(len(content) * share)])
    _, new = salvaged(str(damaged), str(tmp_path / "new.db"))

    check_nothing_is_made_up(filled[1], new)


# -- the write-ahead log --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, Contents]:
    """A store whose process was killed: all of it lies in its write-ahead log."""
    path = tmp_path_factory.mktemp("killed") / "store.db"
    copy = path.with_name("killed.db")
    trio.run(fill, str(path), lambda: [shutil.copy(f"{path}{end}", f"{copy}{end}") for end in ("", "-wal")])
    return copy, read(str(path))


@pytest.fixture
def with_wal(killed, tmp_path):
    for suffix in ("", "-wal"):
        shutil.copy(f"{killed[0]}{suffix}", tmp_path / f"damaged.db{suffix}")
    wal = tmp_path / "damaged.db-wal"
    assert wal.stat().st_size > 20 * PAGE
    return wal


def test_what_lies_in_the_write_ahead_log_alone_is_saved(killed, with_wal, tmp_path):
    before = with_wal.read_bytes()
    saved, new = salvaged(str(tmp_path / "damaged.db"), str(tmp_path / "new.db"))

    assert new == killed[1]
    assert saved.wal_is_damaged is False
    assert with_wal.read_bytes() == before


@pytest.mark.parametrize("frame", [1, 4, 9])
def test_commits_behind_a_damaged_frame_are_saved(killed, with_wal, tmp_path, frame):
    """SQLite would drop all of them; here only what that one frame held may be missing."""
    content = bytearray(with_wal.read_bytes())
    content[32 + (frame - 1) * (24 + PAGE) + 24 + 100] ^= 1
    with_wal.write_bytes(content)
    saved, new = salvaged(str(tmp_path / "damaged.db"), str(tmp_path / "new.db"))

    assert saved.wal_is_damaged is True
    check_nothing_is_made_up(killed[1], new)
    assert sum(map(len, new.logs.values())) > 0.9 * sum(map(len, killed[1].logs.values()))


def test_commits_behind_a_damaged_header_of_the_log_are_saved(killed, with_wal, tmp_path):
    content = bytearray(with_wal.read_bytes())
    content[9] ^= 1
    with_wal.write_bytes(content)
    _, new = salvaged(str(tmp_path / "damaged.db"), str(tmp_path / "new.db"))

    assert new == killed[1]


def test_the_torn_tail_that_a_power_cut_leaves_is_no_damage(with_wal, tmp_path):
    """The last commit was never acknowledged; nothing of it is taken for written."""
    with_wal.write_bytes(with_wal.read_bytes()[: -PAGE // 2])
    saved, new = salvaged(str(tmp_path / "damaged.db"), str(tmp_path / "new.db"))

    assert saved.wal_is_damaged is False
    assert saved.lost == ()
    assert "hidden" not in new.logs
    assert new.messages == []
    assert set(new.logs["cut"]) == set(range(1, 6))  # that commit would have cut it


def test_of_a_store_whose_whole_log_is_lost_nothing_is_left(with_wal, tmp_path):
    with_wal.unlink()

    with pytest.raises(CorruptStoreError, match="nothing of a treadle store"):
        sqlite.salvage(str(tmp_path / "damaged.db"), str(tmp_path / "new.db"), facts_of)


# -- damage anywhere ------------------------------------------------------------------------------------


places = st.lists(
    st.tuples(
        st.integers(0, 1 << 20),
        st.sampled_from((1, 16, 600, PAGE)),
        st.sampled_from(("flip", "zero", "noise")),
    ),
    max_size=6,
)
cuts = st.none() | st.integers(0, 1 << 20)
"""Some stretches of the file, each flipped, zeroed or overwritten; at last it may be cut short."""


def damage(content, places, cut):
    found = bytearray(content)
    for drawn, length, kind in places:
        place = drawn % len(found)
        end = min(place + length, len(found))
        if kind == "flip":
            found[place] ^= 1 << (length % 8)
        elif kind == "zero":
            found[place:end] = bytes(end - place)
        else:
            found[place:end] = bytes((7 * n + drawn) % 256 for n in range(end - place))
    return bytes(found if cut is None else found[: cut % len(found)])


def check_any_damage(filled, tmp_path, places, cut):
    path, whole = filled
    (tmp_path / "any.db").write_bytes(damage(path.read_bytes(), places, cut))
    new_path = tmp_path / "new.db"
    new_path.unlink(missing_ok=True)
    try:
        saved, new = salvaged(str(tmp_path / "any.db"), str(new_path))
    except (CorruptStoreError, StoreFormatError):
        assert not new_path.exists()
        return
    check_nothing_is_made_up(whole, new)
    if not places and cut is None:
        assert saved.lost == ()


FAST = settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@FAST
@given(places=places, cut=cuts)
def test_whatever_is_damaged_nothing_is_made_up_and_the_result_verifies(filled, tmp_path, places, cut):
    check_any_damage(filled, tmp_path, places, cut)


@pytest.mark.slow
@settings(FAST, max_examples=600)
@given(places=places, cut=cuts)
def test_whatever_is_damaged_nothing_is_made_up_in_many_places(filled, tmp_path, places, cut):
    check_any_damage(filled, tmp_path, places, cut)


def check_one_flip(filled, tmp_path, place, bit):
    """One flipped bit costs a page at most, and whatever it costs is named: event by event, or by a count."""
    path, whole = filled
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << bit
    (tmp_path / "any.db").write_bytes(content)
    new_path = tmp_path / "new.db"
    new_path.unlink(missing_ok=True)
    saved, new = salvaged(str(tmp_path / "any.db"), str(new_path))
    check_nothing_is_made_up(whole, new)
    assert saved.lost_names == ()
    assert set(saved.lost_logs) <= {"hidden", "twig"}  # of one event each
    lost = lost_of(saved)
    for name in set(whole.logs) - {"gone"}:
        own = {seq for seq in whole.logs[name] if seq > whole.heads[name][5]}
        kept = {seq for found, log in new.logs.items() if origin(found) == name for seq in log}
        assert own - kept == lost.get(name, set()) & own - kept
    keys = {key for log in new.keys.values() for key in log}
    assert len(keys) + saved.counts.keys_lost + sum(map(len, lost.values())) >= 3
    assert len(whole.records) - len(new.records) <= saved.counts.records_lost + RECORDS_A_PAGE
    assert sum(map(len, lost.values())) <= EVENTS_A_PAGE


EVENTS_A_PAGE = 60
RECORDS_A_PAGE = 12


@FAST
@example(place=63, bit=0)  # the schema version: the next one, by its looks
@example(place=63, bit=1)
@given(place=st.integers(0, 1 << 20), bit=st.integers(0, 7))
def test_one_flipped_bit_costs_a_page_at_most_and_is_named(filled, tmp_path, place, bit):
    check_one_flip(filled, tmp_path, place, bit)


@pytest.mark.slow
@settings(FAST, max_examples=600)
@given(place=st.integers(0, 1 << 20), bit=st.integers(0, 7))
def test_one_flipped_bit_costs_a_page_at_most_and_is_named_wherever_it_is(filled, tmp_path, place, bit):
    check_one_flip(filled, tmp_path, place, bit)


# -- bad input ------------------------------------------------------------------------------------------


def test_nothing_is_written_over_anything(damaged, tmp_path):
    there = tmp_path / "there.db"
    there.write_bytes(b"mine")
    for target in (there, damaged):
        with pytest.raises(UsageError, match="overwrites nothing"):
            sqlite.salvage(str(damaged), str(target), facts_of)
    (tmp_path / "wal.db-wal").write_bytes(b"another's")
    with pytest.raises(UsageError, match="log of another store"):
        sqlite.salvage(str(damaged), str(tmp_path / "wal.db"), facts_of)

    assert there.read_bytes() == b"mine"


def test_a_store_in_use_is_left_alone(damaged, tmp_path):
    files.register(files.identity_of(str(damaged)))
    try:
        with pytest.raises(StoreUnavailableError, match="has it open"):
            sqlite.salvage(str(damaged), str(tmp_path / "new.db"), facts_of)
    finally:
        files.unregister(files.identity_of(str(damaged)))


@pytest.mark.parametrize("content", [b"", b"no store", bytes(9 * PAGE)])
def test_a_file_with_nothing_of_a_store_in_it_makes_none(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CorruptStoreError, match="nothing of a treadle store"):
        sqlite.salvage(str(tmp_path / "x"), str(tmp_path / "new.db"), facts_of)

    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("change", "words"),
    [("PRAGMA application_id = 7", "not a treadle store"), ("PRAGMA user_version = 7", "newer treadle")],
)
def test_somebody_elses_database_is_refused(damaged, tmp_path, change, words):
    connection = apsw.Connection(str(damaged))
    connection.execute(change)
    connection.close()
    with pytest.raises(StoreFormatError, match=words):
        sqlite.salvage(str(damaged), str(tmp_path / "new.db"), facts_of)


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize(("path", "new"), [("none.db", "new.db"), ("damaged.db", "no/folder/new.db")])
def test_a_place_that_is_none_is_told(tmp_path, path, new):
    with pytest.raises(StoreUnavailableError):
        sqlite.salvage(str(tmp_path / path), str(tmp_path / new), facts_of)

    assert sorted(found.name for found in tmp_path.iterdir()) == ["damaged.db"]
