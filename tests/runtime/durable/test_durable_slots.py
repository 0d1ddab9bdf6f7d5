"""Slots: bounded in all and for each activity, first come, first served."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treadle.runtime.durable.slots import Slots


def test_as_many_run_as_are_allowed():
    slots: Slots[str] = Slots(2, lambda _: True)

    assert [True, True, False, False] == [slots.take("a", None, name) for name in "wxyz"]
    assert ["y"] == list(slots.give_back("a"))
    assert ["z"] == list(slots.give_back("a"))
    assert [] == list(slots.give_back("a"))
    assert 1 == slots.running


def test_an_activity_at_its_own_limit_does_not_stop_others():
    slots: Slots[str] = Slots(3, lambda _: True)

    assert slots.take("one at a time", 1, "1")
    assert not slots.take("one at a time", 1, "2")
    assert slots.take("free", None, "3")
    assert not slots.take("one at a time", 1, "4")
    assert slots.take("free", None, "5")
    assert not slots.take("free", None, "6")
    assert ["6"] == list(slots.give_back("free")), "2 and 4 came first, but may not run yet"
    assert ["2"] == list(slots.give_back("one at a time"))


def test_who_no_longer_waits_is_passed_over():
    waiting = {"a", "b", "c"}
    slots: Slots[str] = Slots(1, waiting.__contains__)
    for name in "abc":
        slots.take("x", None, name)
    waiting.remove("b")

    assert 1 == len(slots)
    assert ["c"] == list(slots.give_back("x"))
    assert [] == list(slots.give_back("x"))
    assert 0 == slots.running


@given(
    running_max=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60),
)
def test_limits_hold_and_nobody_is_forgotten(running_max, steps):
    """Whatever comes and goes: no limit is passed, and no slot stays free while somebody may run."""
    limits = {"a": 1, "b": 2, "c": None}
    slots: Slots[tuple[str, int]] = Slots(running_max, lambda _: True)
    running: list[tuple[str, int]] = []
    queued: list[tuple[str, int]] = []
    for number, (name, comes) in enumerate(steps):
        if comes or not running:
            entry = (name, number)
            (running if slots.take(name, limits[name], entry) else queued).append(entry)
        else:
            ended = running.pop(0)
            for entry in slots.give_back(ended[0]):
                queued.remove(entry)
                running.append(entry)
        counts = {key: sum(entry[0] == key for entry in running) for key in limits}
        assert len(running) == slots.running <= running_max
        assert all(limits[key] is None or counts[key] <= limits[key] for key in limits)
        free = len(running) < running_max
        may = [e for e in queued if limits[e[0]] is None or counts[e[0]] < limits[e[0]]]
        assert not (free and may)
