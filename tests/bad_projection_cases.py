"""Cases of bad input about projections, for `test_bad_input.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    InvalidValueError,
    Projection,
    Projections,
    ProjectionStoppedError,
    Runtime,
    Store,
    TreadleError,
    open_runtime,
)
from treadle.log import PROJECTIONS
from treadle.testing import InlineKernel

Case = Callable[[Path], Awaitable[list[TreadleError]]]
CASES: dict[str, Case] = {}


def counted(name: str = "count", **options: Any) -> Projection[int]:
    """A sound projection."""
    return Projection(name, lambda: 0, lambda state, _: state + 1, **options)


def made(of: Callable[[Any], Any], **options: Any) -> Projection[Any]:
    """A projection whose state is made of each event."""
    return Projection("made", str, lambda _, event: of(event), **options)


async def content(store: Store) -> list[object]:
    """Tell everything a store holds that this is about."""
    rows: list[object] = list(await store.feed())
    for space in (PROJECTIONS, f"{PROJECTIONS}:count:1"):
        rows += await store.records(space)
    return rows


def kept(name: str, attempt: Callable[[Runtime], Awaitable[object]], value: bytes | None = None) -> None:
    """A case over a store of three events whose projection has been kept, or has this record."""

    async def run(folder: Path) -> list[TreadleError]:
        errors = []
        for url in ("memory:", str(folder / "store.db")):
            async with open_runtime(url, kernel=InlineKernel()) as runtime:
                for workflow_id in ("a", "b", "a"):
                    await runtime.workflow(workflow_id).append("custom", b"x")
                views = Projections(counted())
                async with open_runtime(runtime.store, projections=views, kernel=InlineKernel()):
                    await views.caught_up()
                if value is not None:
                    await runtime.set_record(PROJECTIONS, b"count", value)
                before = await content(runtime.store)
                with pytest.raises(TreadleError) as caught:
                    await attempt(runtime)
                errors.append(caught.value)

                assert before == await content(runtime.store)
        return errors

    CASES[name] = run


def opening(*projections: Projection[Any]) -> Callable[[Runtime], Awaitable[None]]:
    """Keep projections up over the store of a runtime."""

    async def attempt(runtime: Runtime) -> None:
        views = Projections(*projections)
        async with open_runtime(runtime.store, projections=views, kernel=InlineKernel()):
            raise AssertionError

    return attempt


def verifying(projection: Projection[Any]) -> Callable[[Runtime], Awaitable[object]]:
    """Verify a projection over the store of a runtime."""
    return lambda runtime: Projections(projection).verify(store=runtime.store)


def rebuilding(projection: Projection[Any]) -> Callable[[Runtime], Awaitable[object]]:
    """Rebuild a projection over the store of a runtime."""
    return lambda runtime: Projections(projection).rebuild(projection.name, host=runtime.host())


AHEAD = b'{"position": 7, "version": 1}'
kept("projection-of-another-version", opening(counted(version=2)))
kept("projection-verified-by-another-version", verifying(counted(version=2)))
kept("projection-with-other-keys", opening(counted(key=lambda event: event.workflow_id)))
kept("projection-ahead-of-its-store", opening(counted()), AHEAD)
kept("projection-that-is-none", opening(counted()), b"no JSON")
kept("projection-verified-and-not-kept", verifying(counted("other")))
kept("projection-rebuilt-by-a-fold-that-raises", rebuilding(Projection("count", int, lambda n, _: n["a"])))
kept("projection-rebuilt-to-a-state-without-form", rebuilding(Projection("count", int, lambda _, __: object)))


def stopped(name: str, projection: Projection[Any]) -> None:
    """A case of a state that cannot be kept: its projection stops, and what is durable stays."""

    async def run(folder: Path) -> list[TreadleError]:
        errors = []
        for url in ("memory:", str(folder / "store.db")):
            views = Projections(projection, counted(), every_events=1)
            async with open_runtime(url, projections=views, kernel=InlineKernel()) as runtime:
                await runtime.workflow("a").append("custom", b"x")
                await views.caught_up("count")
                while views.statistics()[0].status != "stopped":
                    await runtime.store.position()  # gives way
                with pytest.raises(ProjectionStoppedError) as caught:
                    views.state(projection.name, None if projection.key is None else "a")
                errors.append(caught.value)
                assert views.state("count") == 1
        return list(errors)

    CASES[name] = run


stopped("projection-of-a-state-too-large", made(lambda _: "x" * 3_000_000))
stopped(
    "projection-of-bytes-too-large",
    made(lambda _: "x" * 3_000_000, encode=lambda text: str(text).encode(), decode=bytes.decode),
)
stopped("projection-of-a-state-that-changes", made(lambda _: (1, 2)))


def at_once(name: str, attempt: Callable[[], object]) -> None:
    """A case that is refused before there is any store."""

    async def run(_: Path) -> list[TreadleError]:
        with pytest.raises(InvalidValueError) as caught:
            attempt()
        return [caught.value]

    CASES[name] = run


at_once("projection-twice-in-a-set", lambda: Projections(counted(), counted(version=2)))
at_once("projections-without-any", Projections)
at_once("projection-that-waits", lambda: Projection("waits", int, opening()))
at_once("projection-with-a-shared-state", lambda: Projection("n", {}, counted().apply))  # type: ignore[arg-type]
at_once("projections-never-written", lambda: Projections(counted(), every_events=0))
