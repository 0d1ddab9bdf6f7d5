"""Bad input gets a clear error and changes nothing: the table in docs/reference/bad-input.md, row by row.

Every row has one case here that makes the input for real and offers it. The row is held against what
happens: the error's class, what it says came, what it says to do, and that nothing changed.
"""

# Small files and short processes of the test's own; nobody else waits meanwhile.
# ruff: noqa: ASYNC220, ASYNC221, ASYNC240
from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path
from random import Random
from typing import Any

import apsw
import attrs
import pytest
import trio

import bad_care_cases
import bad_dimension_cases
import bad_history_cases
import bad_projection_cases
import bad_retention_cases
import bad_simulated_cases
import bad_workflow_cases
import bad_world_cases
import treadle
from treadle import (
    EventKind,
    NewEvent,
    Runtime,
    RuntimeConfig,
    Store,
    TreadleError,
    WorkflowEvent,
    WorkflowHandle,
    WorkflowLog,
    formats,
    open_runtime,
    open_store,
    testing,
)
from treadle.cli.importer import Importer, Tally
from treadle.cli.logs.exporting import export
from treadle.formats import ImportedLog
from treadle.formats.lines import LINE_SIZE_BYTES_MAX
from treadle.sim import Problem, SimulatedDisk
from treadle.stores import Refused, StoreOptions, Unit, sqlite
from treadle.stores.sqlite import schema, writer
from treadle.testing import InlineKernel, LogWriter

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "bad-input.md"
ROW = re.compile(
    r"^\| `(?P<id>[a-z0-9-]+)` \| (?P<input>[^|]+) \| `(?P<error>\w+)` \| `(?P<says>[^|`]+)`"
    r" \| `(?P<advice>[^|`]+)`(?: [^|`]*)? \|$",
    re.MULTILINE,
)


@attrs.frozen
class Row:
    """A row of the table: what is offered, and what must come of it."""

    id: str
    input: str
    error: str
    says: str
    advice: str


ROWS = {found["id"]: Row(**found.groupdict()) for found in ROW.finditer(PAGE.read_text())}

Case = Callable[[Path], Awaitable[list[TreadleError]]]
CASES: dict[str, Case] = {
    **bad_workflow_cases.CASES,
    **bad_history_cases.CASES,
    **bad_projection_cases.CASES,
    **bad_retention_cases.CASES,
    **bad_world_cases.CASES,
    **bad_simulated_cases.CASES,
    **bad_care_cases.CASES,
    **bad_dimension_cases.CASES,
}


def case(name: str) -> Callable[[Case], Case]:
    """Note the case of a row: it offers the input, sees that nothing changed, and gives what was raised."""

    def note(function: Case) -> Case:
        assert name not in CASES, f"two cases for {name}"
        CASES[name] = function
        return function

    return note


def test_every_row_has_one_case() -> None:
    """The table and the cases are about the same input, and no row fell through the parser."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]

    assert set(CASES) == set(ROWS)
    assert len(lines) == len(ROWS)


def test_every_error_of_the_table_is_public() -> None:
    """Whoever reads the table can catch what it names."""
    public = {*treadle.__all__, *testing.__all__}

    assert [row.id for row in ROWS.values() if row.error not in public] == []


@pytest.mark.parametrize("name", CASES)
async def test_bad_input_is_told_and_changes_nothing(name: str, tmp_path: Path) -> None:
    """The row's error is raised, says what came and what to do; the case itself sees that nothing changed."""
    row = ROWS[name]

    errors = await CASES[name](tmp_path)

    assert errors
    for error in errors:
        assert type(error).__name__ == row.error
        assert row.says in str(error)
        assert row.advice in str(error)


# -- values and batches: offered to a pure log, and to runtimes over both stores ------------------------

DAY_ONE = [
    NewEvent("workflow_started", b"{}", 100),
    NewEvent("custom", b"2", 200),
    NewEvent("custom", b"3", 300),
]
KEYS = [b"first", None, b"third"]
NAME = "order-1"


def in_log(name: str, attempt: Callable[[WorkflowLog], object]) -> None:
    """A case that a log in memory answers."""

    @case(name)
    async def run(_: Path) -> list[TreadleError]:
        log = WorkflowLog()
        log.extend(NAME, DAY_ONE)
        before = [(known, log.read(known), log.digest(known)) for known in log.workflow_ids()]
        with pytest.raises(TreadleError) as caught:
            attempt(log)

        assert before == [(known, log.read(known), log.digest(known)) for known in log.workflow_ids()]
        return [caught.value]


def in_runtime(name: str, attempt: Callable[[Runtime], Any]) -> None:
    """A case that a runtime answers, the same over both stores; the next good call works."""

    @case(name)
    async def run(folder: Path) -> list[TreadleError]:
        errors = []
        for url in ("memory:", str(folder / "store.db")):
            async with open_runtime(url, kernel=InlineKernel()) as runtime:
                order = runtime.workflow(NAME)
                await order.extend(DAY_ONE, keys=KEYS)
                before = await content(runtime.store)
                with pytest.raises(TreadleError) as caught:
                    await awaited(attempt(runtime))
                errors.append(caught.value)

                assert before == await content(runtime.store)
                assert (await order.append("custom", b"4")).seq == 4
        return errors


async def awaited(value: Any) -> None:
    """Await what must be awaited."""
    if isinstance(value, Awaitable):
        await value


async def content(store: Store) -> list[object]:
    """Tell everything a store holds."""
    rows: list[object] = list(await store.feed())
    ids = await store.list_workflows()
    rows += [(head.workflow_id, head.next_seq, head.digest) for head in await store.heads(ids)]
    rows += [await store.audit(name) for name in ids]
    return rows + await store.records("xes-header")


def in_order(name: str, attempt: Callable[[WorkflowHandle], Any]) -> None:
    """A case about the workflow that has three events."""
    in_runtime(name, lambda runtime: attempt(runtime.workflow(NAME)))


for bad_name, bad_seq in {
    "seq-zero": 0,
    "seq-negative": -1,
    "seq-too-large": 2**63,
    "seq-bool": True,
    "seq-float": 4.0,
}.items():
    in_order(bad_name, lambda order, seq=bad_seq: order.append("custom", b"4", seq=seq))
in_order("seq-to-read-from", lambda order: order.read(from_seq=0).list())
in_order("seq-gap", lambda order: order.append("custom", b"9", seq=9))
in_order("seq-taken", lambda order: order.append("custom", b"another", seq=2))
in_order("seq-said-twice", lambda order: order.extend([WorkflowEvent(4, 4, "custom")], seq=5))

for bad_name, bad_time in {
    "timestamp-too-large": 2**63,
    "timestamp-too-small": -(2**63) - 1,
    "timestamp-float": 1.5,
}.items():
    in_order(bad_name, lambda order, time=bad_time: order.append("custom", timestamp=time))
in_log("timestamp-missing", lambda log: log.append(NAME, NewEvent("custom")))
in_order("timestamp-to-read-from", lambda order: order.between(0, 2**63).list())

in_order("kind-unknown-name", lambda order: order.append("order_paid"))
in_order("kind-unknown-number", lambda order: order.append(9))
in_order("kind-bool", lambda order: order.append(True))
in_order("payload-text", lambda order: order.append("custom", "text"))
in_order("payload-too-large", lambda order: order.append("custom", bytes(2 * 1024 * 1024 + 1)))

in_order("key-empty", lambda order: order.append("custom", key=b""))
in_order("key-too-long", lambda order: order.append("custom", key=bytes(65)))
in_order("key-text", lambda order: order.append("custom", key="key"))
in_order("keys-miscounted", lambda order: order.extend([NewEvent("custom")] * 2, keys=[b"one"]))
in_order("key-twice", lambda order: order.extend([NewEvent("custom")] * 2, keys=[b"one", b"one"]))
in_order("key-taken", lambda order: order.extend([NewEvent("custom")] * 2, keys=[b"new", b"third"]))

for bad_name, bad_id in {
    "id-empty": "",
    "id-too-long": "ä" * 128,
    "id-control-character": "order\n1",
    "id-lone-surrogate": "order-\udcff",
    "id-negative-number": -1,
    "id-too-large-number": 2**64,
    "id-bool": True,
}.items():
    in_runtime(bad_name, lambda runtime, value=bad_id: runtime.workflow(value).append("custom"))
in_runtime("ids-one-text", lambda runtime: runtime.replay_all(lambda state, _: state, int, "order-1"))
in_runtime("concurrency-zero", lambda runtime: runtime.replay_all(lambda s, _: s, int, concurrency=0))
in_runtime("limit-zero", lambda _: RuntimeConfig(group_events_max=0))

in_order("batch-empty", lambda order: order.extend([]))
in_order("batch-too-long", lambda order: order.extend([NewEvent("custom")] * 1_001))
in_order("batch-gap", lambda order: order.extend([WorkflowEvent(seq, 0, "custom") for seq in (4, 6)]))
in_order("batch-repeat", lambda order: order.extend([WorkflowEvent(seq, 0, "custom") for seq in (4, 4)]))
in_order(
    "batch-stale",
    lambda order: order.extend([WorkflowEvent(3, 300, "custom", b"3"), WorkflowEvent(4, 400, "custom")]),
)
in_order("batch-mixed", lambda order: order.extend([NewEvent("custom"), WorkflowEvent(4, 0, "custom")]))
in_log("batch-mixed-in-memory", lambda log: log.extend(NAME, [*DAY_ONE, WorkflowEvent(4, 0, "custom")]))
in_log("event-of-another-type", lambda log: log.append(NAME, (4, 0, "custom")))


@case("batch-on-another-history")
async def decided_on_another_history(folder: Path) -> list[TreadleError]:
    """The seq fits, the digest before it does not: another process has written something else there."""
    errors: list[TreadleError] = []
    for url in ("memory:", str(folder / "store.db")):
        async with open_store(url, kernel=InlineKernel()) as store:
            await store.append([Unit((LogWriter.fresh(NAME).batch(b"1"),))])
            other = LogWriter.fresh(NAME)
            other.batch(b"something else")
            before = await content(store)
            (outcome,) = await store.append([Unit((other.batch(b"2"),))])

            assert isinstance(outcome, Refused)
            assert before == await content(store)
            errors.append(outcome.error)
    return errors


@case("runtime-closed")
async def closed_runtime(folder: Path) -> list[TreadleError]:
    """Appending and following after the block."""
    async with open_runtime(folder / "store.db", kernel=InlineKernel()) as runtime:
        order = runtime.workflow(NAME)
        await order.append("custom")
    before = files_in(folder)
    errors = [await raised(order.append("custom")), await raised(anext(order.follow()))]

    assert before == files_in(folder)
    return errors


async def raised(call: Awaitable[object]) -> TreadleError:
    """Tell what a call raises."""
    with pytest.raises(TreadleError) as caught:
        await call
    return caught.value


# -- stores: what is opened -----------------------------------------------------------------------------


def files_in(folder: Path) -> dict[str, bytes]:
    """Tell every file of a folder, byte by byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def without_traces(after: dict[str, bytes], before: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out what SQLite may make beside a file that turns out to be damaged, as long as it is empty."""
    return {
        name: data
        for name, data in after.items()
        if name in before or not (name.endswith("-shm") or (name.endswith("-wal") and not data))
    }


async def opening(url: str | Path, **options: Any) -> TreadleError:
    """Tell what opening a store raises."""
    return await raised(open_store(url, kernel=InlineKernel(), **options).__aenter__())


def at_opening(name: str, *, modes: Iterable[bool] = (False, True)) -> Callable[..., Any]:
    """A case about a path that is no usable store, opened for writing and for reading."""

    def note(make: Callable[[Path], Awaitable[None]]) -> Any:
        @case(name)
        async def run(folder: Path) -> list[TreadleError]:
            path = folder / "store.db"
            await make(path)
            before = files_in(folder)
            errors = [await opening(path, read_only=read_only) for read_only in modes]

            assert before == without_traces(files_in(folder), before)
            return errors

        return make

    return note


def of_url(name: str, url: str) -> None:
    """A case about a URL that names no store."""

    @case(name)
    async def run(folder: Path) -> list[TreadleError]:
        before = files_in(folder)
        error = await opening(url)

        assert before == files_in(folder)
        return [error]


of_url("url-unknown-scheme", "postgres:orders")
of_url("url-empty", "")
of_url("url-memory-with-a-place", "memory:orders")
of_url("url-without-a-path", "sqlite:")


@at_opening("file-missing", modes=[True])
async def missing_file(path: Path) -> None:
    """Nothing is there, and reading makes nothing."""


@case("folder-missing")
async def missing_folder(folder: Path) -> list[TreadleError]:
    """Even for writing, folders are not made up."""
    error = await opening(folder / "nowhere" / "store.db")

    assert files_in(folder) == {}
    return [error]


@at_opening("file-directory")
async def directory(path: Path) -> None:
    """A folder where a file belongs."""
    path.mkdir()


@at_opening("file-socket")
async def special_file(path: Path) -> None:
    """Something that is neither a file nor a folder."""
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket has at most 107 bytes
        try:
            listening.bind(path.name)
        finally:
            os.chdir(here)


@at_opening("file-text")
async def text_file(path: Path) -> None:
    """Somebody's notes."""
    path.write_text("Dear diary, this is no database at all.\n" * 10)


@at_opening("file-empty")
async def empty_file(path: Path) -> None:
    """Nothing inside."""
    path.touch()


async def make_store(path: Path, events: int = 3) -> None:
    """Make a store with one workflow."""
    async with open_runtime(path, kernel=InlineKernel()) as runtime:
        await runtime.workflow(NAME).extend([NewEvent("custom", bytes(3_000), seq) for seq in range(events)])


@at_opening("file-truncated")
async def truncated_file(path: Path) -> None:
    """The last pages are gone."""
    await make_store(path)
    os.truncate(path, path.stat().st_size - 8_192)


@at_opening("file-truncated-in-its-header")
async def truncated_header(path: Path) -> None:
    """Not even the header is whole."""
    await make_store(path)
    os.truncate(path, 50)


@at_opening("file-newer")
async def newer_file(path: Path) -> None:
    """Made by a treadle that is yet to come."""
    await make_store(path)
    patch(path, 60, (99).to_bytes(4, "big"))


@at_opening("file-foreign")
async def foreign_file(path: Path) -> None:
    """Somebody else's database."""
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE cakes (name)")
    connection.close()


@at_opening("file-without-its-tables")
async def gutted_file(path: Path) -> None:
    """Ours, but for what somebody dropped."""
    await make_store(path)
    connection = apsw.Connection(str(path))
    connection.execute("DROP INDEX events_by_log")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()


@at_opening("file-first-page-damaged")
async def damaged_first_page(path: Path) -> None:
    """A bit has flipped in the page that says where everything is."""
    await make_store(path)
    patch(path, 100, bytes([path.read_bytes()[100] ^ 0x40]))


def patch(path: Path, place: int, data: bytes) -> None:
    """Overwrite some bytes of a file."""
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data)


async def make_crashed_store(path: Path) -> None:
    """Leave a store as its process does when it dies: five commits are still in the `-wal`."""
    live = path.parent / "live.db"
    async with open_runtime(live, kernel=InlineKernel()) as runtime:
        for seq in range(1, 6):
            await runtime.workflow(NAME).append("custom", b"%d" % seq, seq=seq)
        # By another process: this one would drop its own locks by closing what it copied.
        for ending in ("", "-wal"):
            subprocess.run(["cp", f"{live}{ending}", f"{path}{ending}"], check=True)
    for leftover in path.parent.glob("live.db*"):
        leftover.unlink()


@at_opening("wal-damaged")
async def damaged_wal(path: Path) -> None:
    """A bad frame with whole commits behind it, as a flipped bit leaves it; a torn tail looks different."""
    await make_crashed_store(path)
    patch(Path(f"{path}-wal"), 32 + 24 + 4_096 + 24 + 100, b"\xff\xff\xff\xff")


@at_opening("wal-header-damaged")
async def damaged_wal_header(path: Path) -> None:
    """A bit of the salt has flipped, and SQLite would take the whole log for an old one."""
    await make_crashed_store(path)
    patch(Path(f"{path}-wal"), 16, bytes([Path(f"{path}-wal").read_bytes()[16] ^ 1]))


@at_opening("wal-of-another-store", modes=[False])
async def orphaned_wal(path: Path) -> None:
    """Somebody has deleted a store file, and left its log."""
    await make_crashed_store(path)
    path.unlink()


@at_opening("backup-beside-an-old-wal")
async def backup_beside_an_old_wal(path: Path) -> None:
    """Somebody has copied a backup over a store, and left the store's log."""
    await make_crashed_store(path)
    path.unlink()
    async with open_runtime(path.parent / "live.db", kernel=InlineKernel()) as runtime:
        await runtime.workflow(NAME).append("custom", b"1", seq=1)
        await runtime.store.backup(str(path.parent / "copy.db"))
    (path.parent / "copy.db").rename(path)
    (path.parent / "live.db").unlink()


@case("file-with-two-names")
async def linked_file(folder: Path) -> list[TreadleError]:
    """Under each name SQLite would keep a log of its own."""
    path, other = folder / "store.db", folder / "other.db"
    await make_store(path)
    os.link(path, other)
    before = files_in(folder)
    errors = [await opening(name, read_only=way) for name in (path, other) for way in (False, True)]

    assert before == files_in(folder)
    return errors


@at_opening("store-poisoned-before")
async def marked_file(path: Path) -> None:
    """An earlier run has met a failing disk and left its marker."""
    await make_store(path)
    Path(f"{path}-poisoned").write_text('{"reason": "an fsync failed", "acknowledged_position": 2}')


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Let file permissions count, which they do not for root."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, 65_534, -1)
    os.seteuid(65_534)
    try:
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            pytest.skip(f"{folder} lies where nobody but root may look")
        yield
    finally:
        os.seteuid(0)


def without_permission(name: str, protect: Callable[[Path], None]) -> None:
    """A case about a store that may be read and not be written."""

    @case(name)
    async def run(_: Path) -> list[TreadleError]:
        # Not below pytest's own folder, which is shut to everybody but its owner.
        with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
            folder = Path(place)
            folder.chmod(0o755)
            path = folder / "store.db"
            await make_store(path)
            stack.enter_context(as_nobody(folder))
            stack.callback(folder.chmod, 0o755)
            protect(path)
            before = files_in(folder)
            error = await opening(path)

            assert before == files_in(folder)
            async with open_store(path, kernel=InlineKernel(), read_only=True) as store:
                assert len(await store.read(treadle.workflow_id(NAME))) == 3
            return [error]


def protect_file(path: Path) -> None:
    if os.geteuid() == path.stat().st_uid:
        path.chmod(0o444)


without_permission("file-read-only", protect_file)


@case("folder-read-only")
async def protected_folder(_: Path) -> list[TreadleError]:
    """A store cannot be made where nothing may be made."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        stack.enter_context(as_nobody(folder))
        stack.callback(folder.chmod, 0o755)
        folder.chmod(0o555)
        error = await opening(folder / "store.db")

        assert files_in(folder) == {}
        return [error]


@case("sqlite-too-old")
async def old_library(folder: Path) -> list[TreadleError]:
    """A library that can lose commits is not used."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(apsw, "sqlite_lib_version", lambda: "3.50.4")
        error = await opening(folder / "store.db")

    assert files_in(folder) == {}
    return [error]


# -- stores: what happens while one is open --------------------------------------------------------------


@case("store-opened-for-reading")
async def written_read_only(folder: Path) -> list[TreadleError]:
    """Who asked not to write does not write."""
    await make_store(folder / "store.db")
    before = files_in(folder)
    async with open_store(folder / "store.db", kernel=InlineKernel(), read_only=True) as store:
        error = await raised(store.append([Unit((LogWriter.fresh("new").batch(b"1"),))]))

    assert before == files_in(folder)
    return [error]


@case("store-closed")
async def closed_store(folder: Path) -> list[TreadleError]:
    """After the block a store answers nothing."""
    async with open_store(folder / "store.db", kernel=InlineKernel()) as store:
        pass
    before = files_in(folder)
    unit = Unit((LogWriter.fresh(NAME).batch(b"1"),))
    errors = [await raised(store.append([unit])), await raised(store.heads([]))]

    assert before == files_in(folder)
    return errors


@case("store-busy")
async def busy_store(folder: Path) -> list[TreadleError]:
    """Another process keeps the file locked, longer than a store waits."""
    path = folder / "store.db"
    await make_store(path)
    locked = (
        f"import apsw, sys; connection = apsw.Connection({str(path)!r});"
        "connection.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()"
    )
    with pytest.MonkeyPatch.context() as patched:
        for module in (schema, writer):
            patched.setattr(module, "BUSY_MILLISECONDS", 50)
        async with open_runtime(path, kernel=InlineKernel()) as runtime:
            before = await content(runtime.store)
            with subprocess.Popen(
                [sys.executable, "-c", locked], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as other:
                assert other.stdin is not None
                assert other.stdout is not None
                other.stdout.readline()
                error = await raised(runtime.workflow(NAME).append("custom", b"4"))

                assert before == await content(runtime.store)
                other.stdin.close()
            assert (await runtime.workflow(NAME).append("custom", b"4")).seq == 4
    return [error]


def over(name: str, target: str) -> None:
    """A case about an export over a file that is somebody's store."""

    @case(name)
    async def run(folder: Path) -> list[TreadleError]:
        path = folder / "store.db"
        await make_store(path)
        await make_store(folder / "other.db")
        before = files_in(folder)
        with pytest.raises(TreadleError) as caught:
            export(format="jsonl", file=str(folder / target), force=True, store=str(path))

        assert before == files_in(folder)
        return [caught.value]


over("export-over-its-store", "store.db")
over("export-over-a-database", "other.db")


@case("export-of-damage")
async def export_of_damage(folder: Path) -> list[TreadleError]:
    """A bit has flipped in a payload at rest; the file's own chain must not make it look as written."""
    path = folder / "store.db"
    async with open_runtime(path, kernel=InlineKernel()) as runtime:
        await runtime.workflow(NAME).extend([NewEvent("custom", b"as it was written", 1)] * 3)
    patch(path, path.read_bytes().index(b"as it was written"), b"A")
    before = files_in(folder)
    errors = []
    for name in ("all.jsonl", "all.xes.gz"):
        with pytest.raises(TreadleError) as caught:
            await trio.to_thread.run_sync(partial(export, file=str(folder / name), store=str(path)))
        errors.append(caught.value)

    assert before == files_in(folder)
    return errors


@case("backup-over-something")
async def backup_over_something(folder: Path) -> list[TreadleError]:
    """A backup overwrites nothing."""
    (folder / "copy.db").write_text("precious")
    async with open_store(folder / "store.db", kernel=InlineKernel()) as store:
        error = await raised(store.backup(str(folder / "copy.db")))

    assert (folder / "copy.db").read_text() == "precious"
    return [error]


@case("backup-of-memory")
async def backup_of_memory(folder: Path) -> list[TreadleError]:
    """What is in memory has no file to copy."""
    async with open_store("memory:", kernel=InlineKernel()) as store:
        error = await raised(store.backup(str(folder / "copy.db")))

    assert files_in(folder) == {}
    return [error]


def simulated_disk() -> SimulatedDisk:
    """Make a disk that is well until it is told to fail."""
    return SimulatedDisk(draw=Random(1).random)


@contextmanager
def failing(disk: SimulatedDisk, operation: str, problem: Problem) -> Iterator[None]:
    """Let a disk fail for a while."""
    disk.fault = lambda asked, _: problem if asked == operation else None
    try:
        yield
    finally:
        disk.fault = None


def on_failing_disk(name: str, operation: str, problem: Problem, *, goes_on: bool) -> None:
    """A case about a disk that fails while an event is written."""

    @case(name)
    async def run(_: Path) -> list[TreadleError]:
        with simulated_disk() as disk:
            kernel = InlineKernel()
            options = StoreOptions("store.db", "sqlite:store.db")
            store = await sqlite.open_store(options, kernel, vfs=disk.name)
            async with open_runtime(store, kernel=kernel) as runtime:
                order = runtime.workflow(NAME)
                await order.append("custom", b"1")
                before = [event async for event in order.read()]
                with failing(disk, operation, problem):
                    error = await raised(order.append("custom", b"2", seq=2))

                # Reads go on, and show what was acknowledged; the disk is well again, but is it trusted?
                assert before == [event async for event in order.read()]
                if goes_on:
                    assert (await order.append("custom", b"2", seq=2)).repeated is False
                else:
                    assert isinstance(
                        await raised(order.append("custom", b"2", seq=2)), treadle.StorePoisonedError
                    )
                    assert before == [event async for event in order.read()]
            await store.aclose()
        return [error]


on_failing_disk("disk-full", "write", Problem.FULL, goes_on=True)
on_failing_disk("disk-write-error", "write", Problem.IO, goes_on=False)
on_failing_disk("disk-fsync-error", "sync", Problem.IO, goes_on=False)


@case("store-poisoned")
async def poisoned_store(_: Path) -> list[TreadleError]:
    """After an I/O error appends, followers and the runner's take-over all end with the same error."""
    with simulated_disk() as disk:
        kernel = InlineKernel()
        options = StoreOptions("store.db", "sqlite:store.db")
        store = await sqlite.open_store(options, kernel, vfs=disk.name)
        async with open_runtime(store, kernel=kernel) as runtime:
            order = runtime.workflow(NAME)
            await order.append("custom", b"1")
            with failing(disk, "sync", Problem.IO):
                await raised(order.append("custom", b"2"))
            before = [event async for event in order.read()]
            errors = [
                await raised(order.append("custom", b"2")),
                await raised(runtime.workflow("another").append("custom")),
                await raised(anext(order.follow(2))),
                await raised(store.raise_epoch()),
            ]

            assert before == [event async for event in order.read()]
        await store.aclose()
    return errors


def under_a_live_store(name: str, disturb: Callable[[Path], object]) -> None:
    """A case about files that are taken away while they are open."""

    @case(name)
    async def run(folder: Path) -> list[TreadleError]:
        path = folder / "store.db"
        async with open_runtime(path, kernel=InlineKernel()) as runtime:
            order = runtime.workflow(NAME)
            await order.append("custom", b"1")
            disturb(path)
            left = {name: data for name, data in files_in(folder).items() if name == path.name}
            error = await raised(order.append("custom", b"2", seq=2))

            assert isinstance(await raised(order.append("custom", b"2")), treadle.StorePoisonedError)
        after = files_in(folder)

        assert left == {name: data for name, data in after.items() if name == path.name}
        assert "store.db-poisoned" in after
        return [error]


def replace(path: Path) -> None:
    (path.parent / "other").write_bytes(b"something else")
    (path.parent / "other").replace(path)


def delete_wal(path: Path) -> None:
    Path(f"{path}-wal").unlink()


under_a_live_store("file-deleted-under-a-live-store", Path.unlink)
under_a_live_store("file-replaced-under-a-live-store", replace)
under_a_live_store("wal-deleted-under-a-live-store", delete_wal)


# -- other people's files --------------------------------------------------------------------------------

XES_HEAD = '<?xml version="1.0"?>\n<log>\n'
ORDER = '<trace><string key="concept:name" value="order-2"/><event/></trace>\n'


def xes(*traces: str) -> bytes:
    return f"{XES_HEAD}{''.join(traces)}</log>".encode()


def trace(inside: str) -> str:
    return f'<trace><string key="concept:name" value="order-2"/><event>{inside}</event></trace>\n'


def history(*ids: int, **changes: Any) -> bytes:
    kinds = repeat("WorkflowExecutionStarted")
    events = [
        {"eventId": number, "eventType": kind, "eventTime": "2020-07-30T00:30:02Z", **changes}
        for number, kind in zip(ids, kinds, strict=False)
    ]
    return json.dumps({"events": events}).encode()


def json_lines(*events: WorkflowEvent) -> list[bytes]:
    log = ImportedLog(
        treadle.workflow_id("order-2"),
        events or tuple(WorkflowEvent(seq, seq, "custom", b"x") for seq in (1, 2, 3)),
    )
    return formats.writer("jsonl").log(log).splitlines(keepends=True)


def imported(name: str, file: str, chunks: bytes | Callable[[], Iterable[bytes]], **options: Any) -> None:
    """A case about a file: nothing of it is written, and what was there before stays."""

    @case(name)
    async def run(_: Path) -> list[TreadleError]:
        async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
            await runtime.workflow(NAME).extend(DAY_ONE)
            before = await content(runtime.store)
            importer = Importer(runtime, Tally())
            data = [chunks] if isinstance(chunks, bytes) else chunks()
            error = await raised(importer.take(formats.read(data, source=file, **options), file))

            assert before == [row for row in await content(runtime.store) if not is_header(row)]
            return [error]


def is_header(row: object) -> bool:
    # The header of an XES file is metadata that no log cites yet: it may stand, and a re-run finds it.
    return isinstance(row, treadle.stores.Record)


PACKED = gzip.compress(xes(ORDER))

imported("import-empty", "orders.xes", b"")
imported("import-unknown-format", "orders.bin", b"\x7fELF\x02\x01\x01")
imported("import-unknown-format-name", "orders.xes", xes(ORDER), format_name="csv")
imported("import-id-for-named-logs", "orders.xes", xes(ORDER), workflow_id="order-9")
imported("gzip-truncated", "orders.xes.gz", PACKED[:-10])
imported("gzip-damaged", "orders.xes.gz", PACKED[:30] + b"\xff\xff\xff" + PACKED[33:])
imported("gzip-with-a-tail", "orders.json.gz", gzip.compress(history(1)) + b"more")

imported("xes-malformed", "orders.xes", xes("<trace><event></trace>"))
imported("xes-cut-short", "orders.xes", xes(ORDER)[:-20])
imported(
    "xes-entity-bomb",
    "orders.xes",
    b'<!DOCTYPE log [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><log>&b;</log>',
)
imported("xes-another-root", "orders.xes", b"<html/>")
imported("xes-unknown-element", "orders.xes", xes(trace("<bool key='a' value='b'/>")))
imported("xes-without-a-name", "orders.xes", xes("<trace><event/></trace>"))
imported("xes-bad-date", "orders.xes", xes(trace('<date key="time:timestamp" value="31.12.2020"/>')))
imported(
    "xes-date-out-of-range",
    "orders.xes",
    xes(trace('<date key="time:timestamp" value="9999-01-01T00:00:00Z"/>')),
)
imported(
    "xes-date-as-text",
    "orders.xes",
    xes(trace('<string key="time:timestamp" value="2020-01-01T00:00:00Z"/>')),
)
imported("xes-nested-too-deep", "orders.xes", xes(trace("<string key='a' value='b'>" * 101)))
imported("xes-event-too-large", "orders.xes", xes(trace(f"<string key='a' value='{'x' * 2_100_000}'/>")))


@case("xes-name-twice")
async def trace_twice(_: Path) -> list[TreadleError]:
    """The first trace of a name is whole and stands; the second is refused, and nothing behind it comes."""
    async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
        tally = Tally()
        data = xes(ORDER, ORDER, ORDER.replace("order-2", "order-3"))
        importing = Importer(runtime, tally).take(formats.read([data], source="orders.xes"), "orders.xes")
        error = await raised(importing)

        assert await runtime.store.list_workflows() == ["order-2"]
        assert (await runtime.workflow("order-2").stream_len(), tally.workflows_written) == (2, 1)
        return [error]


imported("history-no-json", "order-2.json", b'{"events": [}')
imported("history-of-another-shape", "order-2.json", b'{"orders": []}')
imported("history-empty", "order-2.json", history())
imported("history-a-list-of-numbers", "order-2.json", b"[1, 2, 3]")
imported("history-not-a-number", "order-2.json", b'{"events": [{"eventId": NaN}]}')
imported("history-a-name-twice", "order-2.json", b'{"events": [{"eventId": 1, "eventId": 2}]}')
imported("history-a-page", "order-2.json", b'{"events": [], "nextPageToken": "abc"}')
imported("history-id-gap", "order-2.json", history(1, 2, 5))
imported("history-id-twice", "order-2.json", history(1, 2, 2))
imported("history-id-missing", "order-2.json", b'{"events": [{"eventType": "TimerFired"}]}')
imported("history-bad-date", "order-2.json", history(1, eventTime="yesterday"))

LINES = json_lines()
imported("lines-of-another-shape", "orders.jsonl", b'{"order": 2}\n')
imported(
    "lines-changed",
    "orders.jsonl",
    b"".join(LINES).replace(b'"seq":2,"timestamp":2', b'"seq":2,"timestamp":9'),
)
imported("lines-lost", "orders.jsonl", b"".join(LINES[:2] + LINES[3:]))
imported("lines-cut-short", "orders.jsonl", b"".join(LINES[:3]))
imported("lines-without-a-log", "orders.jsonl", LINES[1])
imported("lines-newer", "orders.jsonl", b"".join(LINES).replace(b'"version":1', b'"version":2'))
imported("lines-renamed", "orders.jsonl", b"".join(LINES).replace(b'"order-2"', b'"order-3"'))
imported(
    "lines-with-another-field", "orders.jsonl", b"".join(LINES).replace(b'"order-2"', b'"order-2", "a": 1')
)
CONTINUATION = ImportedLog(
    treadle.workflow_id(NAME), (WorkflowEvent(4, 400, "custom"),), previous_digest=bytes(16)
)
imported("lines-of-another-history", "orders.jsonl", formats.writer("jsonl").log(CONTINUATION))
imported("import-conflict", "order-1.json", history(1))

LONG_LINE_SIZE_BYTES = 200 * 1024 * 1024


@case("line-of-200-megabytes")
async def long_line(_: Path) -> list[TreadleError]:
    """A line without end is refused when it passes the limit: the rest is neither held nor read."""
    read_bytes = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read_bytes
        yield b'{"line":"log","workflow_id":"'
        for piece in repeat(bytes(64 * 1024).replace(b"\0", b"x"), LONG_LINE_SIZE_BYTES // (64 * 1024)):
            read_bytes += len(piece)
            yield piece

    async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
        importer = Importer(runtime, Tally())
        error = await raised(importer.take(formats.read(chunks(), source="a.jsonl"), "a.jsonl"))

        assert read_bytes < LINE_SIZE_BYTES_MAX + 1024 * 1024
        assert await runtime.store.list_workflows() == []
    return [error]


def test_kinds_have_not_grown_behind_the_table() -> None:
    """The row about an unknown number stays true."""
    assert 9 not in set(EventKind)
