"""Cases of bad input about salvage, comparing and the past, for `test_bad_input.py`."""

# Small files of the test's own; nobody else waits meanwhile.
# ruff: noqa: ASYNC240

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import pytest
import trio

from treadle import NewEvent, Runtime, TreadleError, open_runtime
from treadle.cli.importer import Importer, Tally
from treadle.cli.logs.salvaging import facts_of
from treadle.formats import ImportedLog
from treadle.stores import sqlite
from treadle.testing import InlineKernel

Case = Callable[[Path], Awaitable[list[TreadleError]]]
CASES: dict[str, Case] = {}


def salvage_refused(
    name: str, prepare: Callable[[Path], object], path: str = "a.db", new: str = "b.db"
) -> None:
    """A case that salvages a folder's file, and leaves the folder as it was."""

    async def run(folder: Path) -> list[TreadleError]:
        prepare(folder)
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        with pytest.raises(TreadleError) as caught:
            await trio.to_thread.run_sync(sqlite.salvage, str(folder / path), str(folder / new), facts_of)

        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
        return [caught.value]

    CASES[name] = run


def foreign(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "a.db"))
    connection.execute("CREATE TABLE ours (x); PRAGMA application_id = 7")
    connection.close()


salvage_refused(
    "salvage-onto-a-file", lambda folder: [(folder / name).write_bytes(b"x") for name in ("a.db", "b.db")]
)
salvage_refused("salvage-onto-itself", lambda folder: (folder / "a.db").write_bytes(b"x"), new="a.db")
salvage_refused("salvage-of-nothing", lambda _: None)
salvage_refused("salvage-of-no-store", lambda folder: (folder / "a.db").write_bytes(bytes(9_000)))
salvage_refused("salvage-of-somebody-elses", foreign)


def reading_refused(name: str, attempt: Callable[[Runtime], Awaitable[object]]) -> None:
    """A case that asks a runtime over a log of three events, and changes nothing."""

    async def run(_: Path) -> list[TreadleError]:
        async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
            await runtime.workflow("a").extend(NewEvent("custom", b"%d" % n, n) for n in range(3))
            before = await runtime.store.position()
            with pytest.raises(TreadleError) as caught:
                await attempt(runtime)

            assert await runtime.store.position() == before
            return [caught.value]

    CASES[name] = run


def count(state: int, _: object) -> int:
    return state + 1


async def half_a_fold(runtime: Runtime) -> None:
    runtime.diff("a", "a", count)


async def deleted_again(runtime: Runtime) -> None:
    log = runtime.workflow("a")
    events = tuple(await log.read().list())
    await log.delete()
    await Importer(runtime, Tally()).take(iter([ImportedLog(log.workflow_id, events)]), "a.jsonl")


reading_refused("diff-of-a-log-without-events", lambda runtime: runtime.diff("a", "b").parting())
reading_refused("diff-with-half-a-fold", half_a_fold)
reading_refused(
    "past-late-without-a-time", lambda runtime: runtime.workflow("a").replay(count, 0, late=False)
)
reading_refused("past-position-negative", lambda runtime: runtime.workflow("a").replay(count, 0, known_by=-1))
reading_refused("past-time-as-float", lambda runtime: runtime.workflow("a").replay(count, 0, as_of=1.5))  # type: ignore[arg-type]
reading_refused("import-of-a-deleted-log", deleted_again)
