"""Two logs held against each other: the place where they part, and nothing read before it."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import EventsPrunedError, InvalidValueError, NewEvent, WorkflowNotFoundError, open_runtime
from treadle.kernel import InlineKernel
from treadle.runtime.diffing import Parting
from treadle.stores import Cut, Unit


async def filled(runtime, name, *payloads, times=()):
    events = [
        NewEvent("custom", payload, times[place] if place < len(times) else place)
        for place, payload in enumerate(payloads)
    ]
    await runtime.workflow(name).extend(events)


def counting(store, reads):
    """Note how many events and digests are read."""
    read, audit = store.read, store.audit

    async def read_counted(*args, **options):
        events = await read(*args, **options)
        reads["events"] += len(events)
        return events

    async def audit_counted(*args, **options):
        rows = await audit(*args, **options)
        reads["digests"] += len(rows)
        return rows

    store.read, store.audit = read_counted, audit_counted


async def test_what_a_branch_shares_is_passed_over_by_its_digests(opened):
    async with opened() as runtime:
        await filled(runtime, "a", *(b"%d" % n for n in range(900)))
        await runtime.workflow("a").branch(at=890, to="b")
        reads = {"events": 0, "digests": 0}
        counting(runtime.store, reads)
        diff = runtime.diff("a", "b")

        assert await diff.parting() == Parting(1, 890, 901, 892)
        assert reads["events"] == 0
        assert reads["digests"] <= 2 * 11
        rows = [row async for row in diff]
        assert [row.seq for row in rows] == list(range(891, 901))
        assert (rows[0].left.payload, rows[0].right.kind.name, rows[0].same) == (b"890", "BRANCHED", False)
        assert {row.right for row in rows[1:]} == {None}
        assert reads["events"] == 10 + 1


@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize(
    "second", [(b"x", b"y", b"z"), (b"x", b"y"), (b"x", b"Y", b"z"), (b"X",), (b"x", b"y", b"z", b"!")]
)
async def test_logs_of_different_ids_are_compared_event_by_event(opened, times, second):
    async with opened(page_events=2) as runtime:
        first = (b"x", b"y", b"z")
        await filled(runtime, "a", *first)
        await filled(runtime, "b", *second)
        same = next(
            (n for n, (one, two) in enumerate(zip(first, second, strict=False)) if one != two),
            min(3, len(second)),
        )
        parting = await runtime.diff("a", "b", times=times).parting()
        rows = [row async for row in runtime.diff("a", "b", times=times)]

        assert parting == Parting(1, same, 4, len(second) + 1)
        assert parting.differs_at == (None if first == second else same + 1)
        assert [row.seq for row in rows] == list(range(same + 1, max(3, len(second)) + 1))


async def test_events_that_differ_in_their_time_alone_may_count_as_equal(opened):
    async with opened() as runtime:
        await filled(runtime, "a", b"x", b"y", b"z")
        await filled(runtime, "b", b"x", b"y", b"!", times=(7, 8, 9))

        assert (await runtime.diff("a", "b").parting()).differs_at == 1
        assert (await runtime.diff("a", "b", times=False).parting()).differs_at == 3


def append(state, event):
    state.append(event.payload)
    return state


async def test_with_a_fold_each_side_has_its_own_state(opened):
    async with opened() as runtime:
        await filled(runtime, "a", b"1", b"2", b"3", b"4")
        await runtime.workflow("a").branch(at=2, to="b")
        states = [
            (list(row.left_state), len(row.right_state)) async for row in runtime.diff("a", "b", append, list)
        ]

        assert states == [([b"1", b"2", b"3"], 3), ([b"1", b"2", b"3", b"4"], 3)]


@given(st.lists(st.binary(max_size=2), min_size=1, max_size=8), st.data())
@settings(max_examples=25, deadline=None)
def test_the_rows_are_those_that_reading_both_logs_gives(payloads, data):
    """Whatever is a branch of what: from the first seq that differs to the longer end, nothing left out."""

    async def main():
        async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
            await filled(runtime, "a", *payloads)
            names = ["a"]
            for name in "bcd":
                parent = data.draw(st.sampled_from(names))
                length = await runtime.workflow(parent).stream_len()
                await runtime.workflow(parent).branch(at=data.draw(st.integers(1, length)), to=name)
                names.append(name)
            left, right = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
            one, two = [await runtime.workflow(name).read().list() for name in (left, right)]
            rows = [row async for row in runtime.diff(left, right)]
            same = next(
                (n for n, pair in enumerate(zip(one, two, strict=False)) if pair[0] != pair[1]),
                min(len(one), len(two)),
            )

            assert [row.left for row in rows if row.left] == one[same:]
            assert [row.right for row in rows if row.right] == two[same:]
            assert [row.same for row in rows] == [row.left == row.right for row in rows]

    trio.run(main)


async def test_of_a_log_that_lost_its_beginning_the_rest_is_compared(opened):
    async with opened() as runtime:
        await filled(runtime, "a", *(b"%d" % n for n in range(9)))
        await runtime.workflow("a").branch(at=7, to="b")
        (head,) = await runtime.store.heads(["b"])
        await runtime.store.append([Unit(cuts=(Cut("b", head.next_seq, head.digest, 5),))])

        assert await runtime.diff("a", "b").parting() == Parting(5, 7, 10, 9)
        with pytest.raises(EventsPrunedError):
            await anext(runtime.diff("a", "b", append, list))


async def test_a_log_without_events_cannot_be_compared(opened):
    async with opened() as runtime:
        await filled(runtime, "a", b"x")
        await filled(runtime, "gone", b"x")
        await runtime.workflow("gone").delete()
        for name in ("none", "gone"):
            with pytest.raises(WorkflowNotFoundError, match=name):
                await runtime.diff("a", name).parting()


@pytest.mark.parametrize(
    "arguments",
    [("", "b"), ("a", "b", append), ("a", "b", None, list), ("a", "b", 1, 2)],
)
async def test_what_cannot_be_compared_with_is_refused_at_once(opened, arguments):
    async with opened() as runtime:
        with pytest.raises(InvalidValueError):
            runtime.diff(*arguments)
        with pytest.raises(InvalidValueError):
            runtime.diff("a", "b", times=1)


async def test_a_log_and_itself_do_not_part(opened):
    async with opened() as runtime:
        await filled(runtime, "a", b"x", b"y")

        assert (await runtime.diff("a", "a").parting()).differs_at is None
        assert [row async for row in runtime.diff("a", "a")] == []
