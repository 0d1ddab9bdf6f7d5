"""Queries and validators that change what is the workflow's own: found by what a replay makes of it."""

from __future__ import annotations

from collections import deque

import attrs
import pytest

from treadle import workflow
from treadle.testing import QueryAt, ReplayDifferenceError, SignalAt, UpdateAt, run_workflow
from treadle.testing.workflows.variables import DEPTH_MAX, shown


@attrs.define
class Basket:
    items: list[str]


class Shelf:
    def __init__(self) -> None:
        self.items = ["a", "b"]


@workflow.define
async def keeps(what: str) -> int:  # noqa: C901  # one change of each kind
    """Each value has one that is changed and one that is only looked at."""
    count, items, prices = 0, ["a", "b"], {"a": 1}
    basket, shelf, names, turns = Basket(["a"]), Shelf(), {"a", "b"}, deque([1, 2])

    @workflow.query("look")
    def look() -> int:
        return count + len(items) + len(prices) + len(basket.items) + len(shelf.items) + len(names)

    @workflow.query("change")
    def change() -> int:
        nonlocal count
        if what == "nonlocal":
            count += 1
        elif what == "list":
            items.reverse()
        elif what == "dict":
            prices.clear()
        elif what == "attrs":
            basket.items.append("b")
        elif what == "object":
            shelf.items.pop()
        elif what == "set":
            names.discard("a")
        elif what == "deque":
            turns.rotate()
        return 0

    def check(number: int) -> None:
        if what == "validator":
            items.append(str(number))
        raise ValueError("no")

    @workflow.update("put", validator=check)
    def put(number: int) -> None:
        items.append(str(number))

    async with workflow.open_nursery() as nursery:
        nursery.start_soon(workflow.sleep, 100)
        await workflow.signals("go").receive()
    return len(items) + len(turns)


CHANGES = {
    "nonlocal": "count: 0 -> 1", "list": "items: list('b', 'a')", "dict": "prices: dict()",
    "attrs": "basket: Basket(items=list('a', 'b'))", "object": "shelf: Shelf(items=list('a'))",
    "set": "names: set('b')", "deque": "turns: deque(2, 1)",
}  # fmt: skip


def rehearsed(what: str, *messages, paranoid: bool = True):
    return run_workflow(keeps, what, messages=[*messages, SignalAt(20, "go")], paranoid=paranoid)


@pytest.mark.parametrize("what", CHANGES)
def test_a_query_that_changes_a_variable_is_found_and_the_variable_named(what):
    with pytest.raises(ReplayDifferenceError) as caught:
        rehearsed(what, QueryAt(10, "change"))

    words = "count: 1 -> 0" if what == "nonlocal" else CHANGES[what]
    assert words in str(caught.value)
    assert rehearsed(what, QueryAt(10, "change"), paranoid=False).answers == (0,), "nobody else can see it"


def test_a_validator_that_changes_a_variable_is_found():
    with pytest.raises(ReplayDifferenceError, match="items: list"):
        rehearsed("validator", UpdateAt(10, "put", 7))


def test_who_only_looks_is_not_accused():
    rehearsal = rehearsed("nothing", QueryAt(5, "look"), QueryAt(10, "change"), UpdateAt(11, "put", 7))

    assert (8, 0) == rehearsal.answers


class Odd:
    __slots__ = ()

    def __repr__(self) -> str:
        raise RuntimeError


def test_any_value_can_be_shown():
    """Equal values give equal texts, whatever they are made of, and none raises or goes on for ever."""
    ring: list[object] = []
    ring.append(ring)

    assert shown(ring).count("list") == DEPTH_MAX + 1
    assert shown({"b", "a"}) == shown({"a", "b"}) == "set('a', 'b')"
    assert shown(object()) == shown(object())
    assert "RuntimeError" in shown(Odd())
    assert "<function>" == shown(rehearsed)
    assert shown(Shelf()) != shown(Basket(["a", "b"]))
