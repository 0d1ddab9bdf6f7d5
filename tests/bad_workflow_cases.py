"""Cases of bad input about durable workflows, for `test_bad_input.py`.

Each offers it, sees that nothing has changed, and gives what was raised.
"""

# Small files of the test's own; nobody else waits meanwhile.
# ruff: noqa: ASYNC240

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from treadle import (
    Runtime,
    Store,
    TreadleError,
    WorkflowEvent,
    WorkflowHandle,
    activity,
    open_runtime,
    workflow,
)
from treadle.payloads import Encryption, KeyRing
from treadle.testing import InlineKernel, Rehearsal, replay, run_workflow

Case = Callable[[Path], Awaitable[list[TreadleError]]]
CASES: dict[str, Case] = {}
ID = "order-1"


@attrs.frozen
class Order:
    """Something with fields."""

    order_id: str
    cents: int


# -- the code under test ---------------------------------------------------------------------------------


@activity.define(retry=activity.Retry(attempts=1))
async def charge(order: Order) -> str:
    """Take money."""
    return f"receipt of {order.order_id}"


@activity.define(retry=activity.Retry(attempts=1))
async def describe_world() -> Any:
    """Return something that has no JSON form, deep inside."""
    return {"shops": [{"name": "Aachen", "open": object()}]}


@activity.define(retry=activity.Retry(attempts=1))
async def copy_world() -> str:
    """Return far too much."""
    return "x" * 3_000_000


@activity.define
async def unregistered() -> None:
    """Not given to the runtime."""


@activity.define(name="charge")
async def other_charge(order: Order) -> str:
    """Another function under the same name."""
    return order.order_id


@workflow.define
async def order(order: Order) -> str:
    """Wait for the word, charge."""
    workflow.set_query("order", lambda: order)
    workflow.set_query("charge", lambda: workflow.uuid4())  # noqa: PLW0108  # named by the tests
    workflow.set_update("double", lambda times: times * 2, validator=_check_times)
    await workflow.signals("go").receive()
    return await workflow.activity(charge, order)


def _check_times(times: int) -> None:
    if times < 1:
        raise ValueError(f"times is 1 or more, got {times}")


@workflow.define
async def odd_results(large: bool) -> Any:  # noqa: FBT001  # arguments of workflows are plain
    """Run an activity whose result cannot be kept."""
    return await workflow.activity(copy_world if large else describe_world)


@workflow.define
async def strange_activity() -> None:
    """Call what this runtime does not know."""
    await workflow.activity(unregistered)


WORKFLOWS = (order, odd_results, strange_activity)
ACTIVITIES = (charge, describe_world, copy_world)


def opened(store: Any, **options: Any) -> Any:
    """Open a runner."""
    given = {"workflows": WORKFLOWS, "activities": ACTIVITIES, "kernel": InlineKernel(), **options}
    return open_runtime(store, **given)


async def content(store: Store) -> list[object]:
    """Tell everything a store holds that this is about."""
    rows: list[object] = list(await store.feed())
    ids = await store.list_workflows()
    rows += [(head.workflow_id, head.next_seq, head.facts) for head in await store.heads(ids)]
    return rows + await store.workflows_with_messages()


def case(name: str, function: Case) -> None:
    """Note the case of a row."""
    assert name not in CASES, f"two cases for {name}"
    CASES[name] = function


def raised(function: Callable[[], object]) -> TreadleError:
    """Tell what a call raises."""
    with pytest.raises(TreadleError) as caught:
        function()
    return caught.value


# -- definitions -----------------------------------------------------------------------------------------


def at_once(name: str, attempt: Callable[[], object]) -> None:
    """A case that a definition answers, before there is any store."""

    async def run(_: Path) -> list[TreadleError]:
        return [raised(attempt)]

    case(name, run)


def nested() -> None:
    """Define an activity inside a function."""

    @activity.define
    async def inside() -> None: ...


class Shop:
    """Something with a method."""

    async def charge(self) -> None:
        """Charge."""


def plain(order_id: str) -> str:
    """A plain function."""
    return order_id


at_once("activity-lambda", lambda: activity.define(lambda: None))
at_once("activity-nested", nested)
at_once("activity-method", lambda: activity.define(Shop.charge))
at_once("workflow-not-async", lambda: workflow.define(plain))  # type: ignore[type-var]
at_once("retry-without-attempts", lambda: activity.Retry(attempts=0))
at_once("retry-without-arms", lambda: activity.AdaptiveRetry(arms=()))
at_once("retry-arm-negative", lambda: activity.AdaptiveRetry(arms=(1, -1)))
at_once("retry-arms-twice", lambda: activity.AdaptiveRetry(arms=(1, 1)))
at_once("retry-route-nameless", lambda: activity.AdaptiveRetry(arms=1, routes=("a", "")))
at_once("retry-never-forgets", lambda: activity.AdaptiveRetry(arms=1, half_life_seconds=0))
at_once("retry-is-none", lambda: activity.define(retry=3))  # type: ignore[call-overload]


def at_opening(name: str, **options: Any) -> None:
    """A case that opening a runtime answers; no file is made."""

    async def run(folder: Path) -> list[TreadleError]:
        with pytest.raises(TreadleError) as caught:
            async with opened(folder / "store.db", **options):
                raise AssertionError("it has opened")
        assert list(folder.iterdir()) == []
        return [caught.value]

    case(name, run)


at_opening("activity-registered-twice", activities=[charge, other_charge])
at_opening("activity-undefined", activities=[plain])


# -- calls to a runtime ----------------------------------------------------------------------------------


def in_runtime(
    name: str, attempt: Callable[[Runtime], Awaitable[object]], *, before: Sequence[str] = ()
) -> None:
    """A case that a runner answers, the same over both stores; nothing is written, and it goes on working."""

    async def run(folder: Path) -> list[TreadleError]:
        errors = []
        for url in ("memory:", str(folder / "store.db")):
            async with opened(url) as runtime:
                await runtime.workflow("plain").append("custom")
                handle = await runtime.start(order, Order("A-1", 1), id=ID)
                if "closed" in before:
                    await handle.signal("go")
                    await handle.result()
                stored = await content(runtime.store)
                with pytest.raises(TreadleError) as caught:
                    await attempt(runtime)
                errors.append(caught.value)

                assert stored == await content(runtime.store)
                again = await runtime.start(order, Order("A-2", 1), id="order-2")
                await again.signal("go")
                assert await again.result() == "receipt of A-2"
        return errors

    case(name, run)


def to_order(name: str, attempt: Callable[[WorkflowHandle], Awaitable[object]]) -> None:
    """A case about the order that waits."""
    in_runtime(name, lambda runtime: attempt(runtime.workflow(ID)))


in_runtime("workflow-name-unknown", lambda runtime: runtime.start("ordr", id="new"))
in_runtime("workflow-arguments-too-few", lambda runtime: runtime.start(order, id="new"))
in_runtime("workflow-arguments-misfit", lambda runtime: runtime.start(order, Order("A", "a lot"), id="new"))
in_runtime("workflow-argument-without-json", lambda runtime: runtime.start(order, Order("A", {1j}), id="new"))
in_runtime("workflow-argument-nan", lambda r: r.workflow(ID).signal("go", {"rates": [1.0, float("nan")]}))
in_runtime(
    "workflow-argument-too-large", lambda runtime: runtime.start(order, Order("A" * 3_000_000, 1), id="new")
)
in_runtime("workflow-id-in-use", lambda runtime: runtime.start(order, Order("A", 1), id=ID))
in_runtime(
    "workflow-id-used-before", lambda runtime: runtime.start(order, Order("A", 1), id=ID), before=["closed"]
)
in_runtime("workflow-id-of-a-log", lambda runtime: runtime.start(order, Order("A", 1), id="plain"))
in_runtime("activity-unknown", lambda runtime: runtime.start(strange_activity, id="new"))
in_runtime("signal-to-nobody", lambda runtime: runtime.workflow("ordr-1").signal("go"))
in_runtime("signal-to-a-log", lambda runtime: runtime.workflow("plain").signal("go"))
in_runtime("signal-after-the-end", lambda runtime: runtime.workflow(ID).signal("go"), before=["closed"])
to_order("signal-without-json", lambda order: order.signal("go", {"by": object()}))
to_order("query-unknown", lambda order: order.query("total"))
to_order("query-that-writes", lambda order: order.query("charge"))
to_order("update-unknown", lambda order: order.update("triple", 2))
to_order("update-refused", lambda order: order.update("double", 0))
to_order("append-to-a-workflow", lambda order: order.append("custom", b"{}"))


# -- branches and resets ---------------------------------------------------------------------------------


def to_ended(name: str, attempt: Callable[[WorkflowHandle], Awaitable[object]]) -> None:
    """A case about the order that has ended, at seq 5."""
    in_runtime(name, lambda runtime: attempt(runtime.workflow(ID)), before=["closed"])


async def signalled(ended: WorkflowHandle) -> None:
    """Send something to a branch in which nothing really happens; it is hidden from what is compared."""
    branch = await ended.branch(at=4, to="b")
    await branch.signal("go")


def answered(seq: int) -> Callable[[WorkflowHandle], Awaitable[object]]:
    """Answer in a branch what stands at a seq."""

    async def play(ended: WorkflowHandle) -> None:
        branch = await ended.branch(at=4, to="b")
        await branch.what_if({seq: "receipt"})

    return play


to_ended("branch-at-nothing", lambda ended: ended.branch(at=9, to="b"))
to_ended("branch-onto-an-id-in-use", lambda ended: ended.branch(at=1, to="plain"))
to_ended("branch-mode-unknown", lambda ended: ended.branch(at=1, to="b", mode="maybe"))  # type: ignore[arg-type]
to_ended("what-if-in-earnest", lambda ended: ended.what_if())
to_ended("what-if-branch-signalled", signalled)
to_ended("what-if-answer-shared", answered(3))
to_ended("what-if-answer-to-no-call", answered(1))
to_ended("reset-to-the-end", lambda ended: ended.reset(at=5))
in_runtime("reset-of-a-log", lambda runtime: runtime.workflow("plain").reset(at=1))


async def without_runner(folder: Path) -> list[TreadleError]:
    """Ask where nobody runs anything."""
    async with opened(folder / "store.db") as runtime:
        await runtime.start(order, Order("A-1", 1), id=ID)
    async with open_runtime(folder / "store.db", kernel=InlineKernel()) as runtime:
        before = await content(runtime.store)
        with pytest.raises(TreadleError) as caught:
            await runtime.workflow(ID).query("order")
        assert before == await content(runtime.store)
    return [caught.value]


async def without_key(folder: Path) -> list[TreadleError]:
    """Read an encrypted result without the key, and with another."""
    key = Encryption(KeyRing({"2026": bytes(64)}, current="2026"))
    async with opened(folder / "store.db", codecs=[key]) as runtime:
        handle = await runtime.start(order, Order("A-1", 1), id=ID)
        await handle.signal("go")
        await handle.result()
    async with open_runtime(folder / "store.db", kernel=InlineKernel()) as runtime:
        with pytest.raises(TreadleError) as caught:
            await runtime.workflow(ID).result()
    return [caught.value]


case("query-without-a-runner", without_runner)
case("payload-without-its-key", without_key)


# -- results ---------------------------------------------------------------------------------------------


def in_result(name: str, *, large: bool) -> None:
    """A case about what an activity has returned: the workflow sees its failure, and nothing else."""

    async def run(folder: Path) -> list[TreadleError]:
        errors = []
        for url in ("memory:", str(folder / "store.db")):
            async with opened(url) as runtime:
                handle = await runtime.start(odd_results, large, id=ID)
                with pytest.raises(TreadleError) as caught:
                    await handle.result()
                errors.append(caught.value)
                assert await handle.status() == "failed"
        return errors

    case(name, run)


in_result("activity-result-without-json", large=False)
in_result("activity-result-too-large", large=True)


# -- histories and code that have parted -----------------------------------------------------------------


@activity.define
async def reserve(order_id: str) -> str:
    """First step."""
    return order_id


@activity.define
async def ship(order_id: str) -> str:
    """Last step."""
    return order_id


@activity.define
async def pack(order_id: str) -> str:
    """A step that was thought of later."""
    return order_id


@workflow.define(name="shop")
async def shop(order_id: str) -> str:
    """As it ran."""
    place = await workflow.activity(reserve, order_id)
    await workflow.sleep(60)
    await workflow.activity(ship, order_id)
    return place


@workflow.define(name="shop")
async def shop_renamed(order_id: str) -> str:
    """Another activity."""
    place = await workflow.activity(pack, order_id)
    await workflow.sleep(60)
    await workflow.activity(ship, order_id)
    return place


@workflow.define(name="shop")
async def shop_argument(order_id: str) -> str:
    """Another argument."""
    place = await workflow.activity(reserve, order_id.lower())
    await workflow.sleep(60)
    await workflow.activity(ship, order_id)
    return place


@workflow.define(name="shop")
async def shop_timer(order_id: str) -> str:
    """Another time."""
    place = await workflow.activity(reserve, order_id)
    await workflow.sleep(61)
    await workflow.activity(ship, order_id)
    return place


@workflow.define(name="shop")
async def shop_order(order_id: str) -> str:
    """Another order."""
    await workflow.sleep(60)
    place = await workflow.activity(reserve, order_id)
    await workflow.activity(ship, order_id)
    return place


@workflow.define(name="shop")
async def shop_more(order_id: str) -> str:
    """One step more."""
    place = await workflow.activity(reserve, order_id)
    await workflow.sleep(60)
    await workflow.activity(ship, order_id)
    await workflow.activity(pack, order_id)
    return place


@workflow.define(name="shop")
async def shop_less(order_id: str) -> str:
    """One step less."""
    place = await workflow.activity(reserve, order_id)
    await workflow.sleep(60)
    return place


@workflow.define(name="shop")
async def shop_result(order_id: str) -> str:
    """Another result."""
    await workflow.activity(reserve, order_id)
    await workflow.sleep(60)
    await workflow.activity(ship, order_id)
    return order_id


def recorded() -> Rehearsal[Any]:
    """The history that all of these are held against."""
    return run_workflow(shop, "A-1", activities={reserve: "shelf 7", ship: "", pack: ""})


def in_code(name: str, code: Any) -> None:
    """A case about code of which one line has changed."""

    async def run(_: Path) -> list[TreadleError]:
        return [raised(lambda: replay(recorded(), code))]

    case(name, run)


in_code("code-activity-renamed", shop_renamed)
in_code("code-argument-changed", shop_argument)
in_code("code-timer-changed", shop_timer)
in_code("code-order-swapped", shop_order)
in_code("code-step-added", shop_more)
in_code("code-step-dropped", shop_less)
in_code("code-result-changed", shop_result)


def in_events(name: str, change: Callable[[list[WorkflowEvent]], list[WorkflowEvent]]) -> None:
    """A case about events that were changed with care: seqs count, and there is no file with digests."""

    async def run(_: Path) -> list[TreadleError]:
        events = list(recorded().events)
        assert replay(events, shop).events == len(events)
        changed = [
            WorkflowEvent(seq, event.timestamp, event.kind, event.payload)
            for seq, event in enumerate(change(events), 1)
        ]
        return [raised(lambda: replay(changed, shop))]

    case(name, run)


def _changed(events: list[WorkflowEvent]) -> list[WorkflowEvent]:
    second = events[1]
    payload = second.payload.replace(b"A-1", b"A-2")
    events[1] = WorkflowEvent(2, second.timestamp, second.kind, payload)
    return events


in_events("history-event-changed", _changed)
in_events("history-event-dropped", lambda events: events[:2] + events[3:])
in_events("history-events-swapped", lambda events: [events[0], events[2], events[1], *events[3:]])


def in_file(name: str, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """A case about a line of an exported file: the digests tell, before the code is asked."""

    async def run(folder: Path) -> list[TreadleError]:
        path = recorded().export(folder / "history.jsonl")
        path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
        before = path.read_bytes()
        error = raised(lambda: replay(path, shop))
        assert before == path.read_bytes()
        return [error]

    case(name, run)


in_file("history-line-changed", lambda lines: [line.replace(b"shelf 7", b"shelf 8") for line in lines])
in_file("history-line-dropped", lambda lines: lines[:3] + lines[4:])
in_file("history-lines-swapped", lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]])
