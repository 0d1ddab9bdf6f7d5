"""Cases of bad input about what is kept of logs and removed from them, for `test_bad_input.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from treadle import (
    Fold,
    InvalidValueError,
    NewEvent,
    RetentionPolicy,
    RetentionRule,
    Runtime,
    Store,
    TreadleError,
    WorkflowHandle,
    open_runtime,
    workflow,
)
from treadle.runtime.retention import PROJECTIONS
from treadle.testing import InlineKernel

Case = Callable[[Path], Awaitable[list[TreadleError]]]
CASES: dict[str, Case] = {}
NAME = "order-1"
TOTAL: Fold[int] = Fold("total", 1, int, lambda total, event: total + len(event.payload))
OTHER: Fold[int] = Fold("other", 1, int, lambda count, _: count + 1)
PAIR: Fold[Any] = Fold("pair", 1, lambda: (1, 2), lambda pair, _: pair)


@workflow.define
async def sleeper() -> None:
    """Go on for long."""
    await workflow.sleep(1e6)


async def content(store: Store) -> list[object]:
    """Tell everything a store holds that this is about."""
    rows: list[object] = list(await store.feed())
    ids = await store.list_workflows()
    rows += [head._replace(token=None) for head in await store.heads(ids)]
    for space in ("treadle:snapshot", "treadle:baseline", PROJECTIONS):
        rows += await store.records(space)
    return rows


def in_order(
    name: str,
    attempt: Callable[[WorkflowHandle], Any],
    prepare: Callable[[Runtime, WorkflowHandle], Awaitable[object]] | None = None,
) -> None:
    """A case about a log of five events, over both stores; the next good call works."""

    async def run(folder: Path) -> list[TreadleError]:
        errors = []
        for url in ("memory:", str(folder / "store.db")):
            async with open_runtime(url, workflows=[sleeper], kernel=InlineKernel()) as runtime:
                order = runtime.workflow(NAME)
                await order.extend([NewEvent("custom", b"x")] * 5)
                if prepare is not None:
                    await prepare(runtime, order)
                before = await content(runtime.store)
                with pytest.raises(TreadleError) as caught:
                    await attempt(order)
                errors.append(caught.value)

                assert before == await content(runtime.store)
                await order.append("custom", b"x")
        return errors

    assert name not in CASES, f"two cases for {name}"
    CASES[name] = run


async def branched(_: Runtime, order: WorkflowHandle) -> None:
    """Somebody shares the beginning."""
    await order.branch(at=3, to="what-if")
    await order.baseline(TOTAL)


async def projected(runtime: Runtime, order: WorkflowHandle) -> None:
    """Somebody has not read so far."""
    await order.baseline(TOTAL)
    await runtime.set_record(PROJECTIONS, b"totals", b'{"position": 2}')


async def pruned(_: Runtime, order: WorkflowHandle) -> None:
    """The beginning has gone."""
    await order.baseline(TOTAL)
    await order.prune()


async def running(runtime: Runtime, _: WorkflowHandle) -> None:
    """A workflow goes on."""
    await runtime.start(sleeper, id="sleeper")


def sibling(order: WorkflowHandle, name: str) -> WorkflowHandle:
    """Another workflow of the same runtime."""
    return order._runtime.workflow(name)


in_order("prune-without-baseline", lambda order: order.prune(3))
in_order("prune-shared-events", lambda order: order.prune(), branched)
in_order("prune-unread-events", lambda order: order.prune(), projected)
in_order("prune-what-is-gone", lambda order: order.prune(2), pruned)
in_order("prune-into-a-run", lambda order: sibling(order, "sleeper").prune(2), running)
in_order("delete-what-runs", lambda order: sibling(order, "sleeper").delete(), running)
in_order("baseline-of-a-workflow", lambda order: sibling(order, "sleeper").baseline(TOTAL), running)
in_order("baseline-of-nothing", lambda order: sibling(order, "none").baseline(TOTAL))
in_order("baseline-without-fold", lambda order: order.baseline())
in_order("snapshot-of-a-function", lambda order: order.snapshot(len))  # type: ignore[arg-type]  # that is it
in_order("snapshot-that-changes", lambda order: order.snapshot(PAIR))
in_order("replay-with-another-fold", lambda order: order.replay(OTHER), pruned)
in_order("replay-of-what-is-gone", lambda order: order.replay(TOTAL, to_seq=2), pruned)


def at_once(name: str, attempt: Callable[[], object]) -> None:
    """A case that is refused before there is any store."""

    async def run(_: Path) -> list[TreadleError]:
        with pytest.raises(InvalidValueError) as caught:
            attempt()
        return [caught.value]

    CASES[name] = run


at_once("fold-shared-state", lambda: Fold("f", 1, {}, dict.get))  # type: ignore[arg-type]  # that is it
at_once("fold-half-a-form", lambda: Fold("f", 1, str, str.join, encode=str.encode))
at_once("retention-negative-age", lambda: RetentionRule(closed_days_max=-1))
at_once("retention-prefix-twice", lambda: RetentionPolicy([RetentionRule(), RetentionRule(cuts=False)]))
