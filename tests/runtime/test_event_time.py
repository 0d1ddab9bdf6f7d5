"""States of the past: every bound means exactly what its definition says, on every store."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import SEEN, cut

from treadle import EventsPrunedError, InvalidValueError, NewEvent, RuntimeConfig, open_runtime
from treadle.events import TIMESTAMP_MAX, TIMESTAMP_MIN
from treadle.kernel import InlineKernel
from treadle.stores import Cut, Unit

times = st.integers(-3, 3) | st.sampled_from((TIMESTAMP_MIN, TIMESTAMP_MAX))


def seqs(state, event):
    return [*state, event.seq]


async def filled(runtime, name, stamps):
    await runtime.workflow(name).extend(NewEvent("custom", b"", stamp) for stamp in stamps)


def expected(rows, from_seq, to_seq, as_of, known_by, late):
    """The definition, word by word, over all rows of a log."""
    found = []
    for place, row in enumerate(rows):
        before_later = as_of is None or all(earlier.timestamp <= as_of for earlier in rows[: place + 1])
        if (
            from_seq <= row.seq
            and (to_seq is None or row.seq <= to_seq)
            and (as_of is None or row.timestamp <= as_of)
            and (known_by is None or row.position <= known_by)
            and (late or before_later)
        ):
            found.append(row.seq)
    return found


@pytest.mark.parametrize("page_events", [1, 2_000])
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_a_state_is_made_of_exactly_the_events_that_its_bounds_allow(page_events, data):
    """Two logs and a branch are written in turns, so that positions and seqs are not the same."""

    async def main():
        config = RuntimeConfig(page_events=page_events)
        async with open_runtime("memory:", kernel=InlineKernel(), config=config) as runtime:
            for name in data.draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=9)):
                await filled(runtime, name, data.draw(st.lists(times, min_size=1, max_size=3)))
            await filled(runtime, "a", [0])
            length = await runtime.workflow("a").stream_len()
            branch = await runtime.workflow("a").branch(at=data.draw(st.integers(1, length)), to="c")
            await branch.append("custom", timestamp=data.draw(times))
            for name in ("a", "c"):
                rows = await runtime.store.audit(name)
                bounds = {
                    "from_seq": data.draw(st.integers(1, 9)),
                    "to_seq": data.draw(st.none() | st.integers(9, 20)),
                    "as_of": data.draw(st.none() | times),
                    "known_by": data.draw(st.none() | st.integers(0, 30)),
                }
                bounds["late"] = bounds["as_of"] is None or data.draw(st.booleans())

                state = await runtime.workflow(name).replay(seqs, [], **bounds)
                assert state == expected(rows, **bounds), (name, bounds)
            del bounds["from_seq"], bounds["to_seq"]
            found = {
                one.workflow_id: (one.state, one.events)
                async for one in runtime.replay_all(seqs, list, ["a", "b", "c", "none"], **bounds)
            }
            for name in ("a", "b", "c", "none"):
                state = expected(await runtime.store.audit(name), 1, None, **bounds)
                assert found.pop(name) == (state, len(state)), (name, bounds)
            assert not found

    trio.run(main)


async def test_a_late_event_counts_by_what_is_known_today_and_not_by_what_was_known(opened):
    async with opened() as runtime:
        log = runtime.workflow("a")
        await filled(runtime, "a", [10, 20, 30])
        position = await runtime.store.position()
        await filled(runtime, "a", [15, 40])

        assert await log.replay(seqs, [], as_of=20) == [1, 2, 4]
        assert await log.replay(seqs, [], as_of=20, known_by=position) == [1, 2]
        assert await log.replay(seqs, [], as_of=20, late=False) == [1, 2]
        assert await log.replay(seqs, [], known_by=position) == [1, 2, 3]
        assert await log.replay(seqs, [], as_of=9) == []
        assert await log.replay(seqs, [], as_of=TIMESTAMP_MAX) == [1, 2, 3, 4, 5]


async def test_one_position_is_the_same_instant_in_all_logs(opened):
    async with opened() as runtime:
        for name in ("a", "b", "a"):
            await filled(runtime, name, [1])
        states = [await runtime.workflow(name).replay(seqs, [], known_by=2) for name in ("a", "b", "none")]

        assert states == [[1], [1], []]


async def test_a_removed_beginning_is_told_whatever_the_bounds(opened):
    async with opened() as runtime:
        await filled(runtime, "a", [5, 6, 7, 8])
        (head,) = await runtime.store.heads(["a"])
        await runtime.store.append([Unit(cuts=(Cut("a", head.next_seq, head.digest, 3),))])
        log = runtime.workflow("a")
        for bounds in (
            {"as_of": 7},
            {"known_by": 3},
            {"as_of": 7, "late": False},
            {"as_of": 5, "known_by": 1},
        ):
            with pytest.raises(EventsPrunedError):
                await log.replay(seqs, [], **bounds)

        assert await log.replay(seqs, [], 3, as_of=7) == [3]
        assert await log.replay(seqs, [], 3, known_by=3) == [3]


@pytest.mark.parametrize(
    "bounds",
    [
        {"as_of": 1.5},
        {"as_of": 2**63},
        {"known_by": -1},
        {"known_by": True},
        {"late": False},
        {"as_of": 1, "late": 0},
    ],
)
async def test_bounds_that_are_none_are_refused(opened, bounds):
    async with opened() as runtime:
        with pytest.raises(InvalidValueError):
            await runtime.workflow("a").replay(seqs, [], **bounds)
        with pytest.raises(InvalidValueError):
            runtime.replay_all(seqs, list, **bounds)


async def test_a_fold_is_replayed_as_recorded_in_one_log_and_in_many(opened):
    async with opened() as runtime:
        with pytest.raises(InvalidValueError, match=r"give its function .* replay\(fold.apply"):
            await runtime.workflow("a").replay(SEEN, as_of=1)
        with pytest.raises(InvalidValueError, match=r"give its function .* replay_all\(fold.apply"):
            runtime.replay_all(SEEN, known_by=1)


async def test_a_beginning_removed_between_two_pages_is_told(opened, monkeypatch):
    """By event time the store gives what is there: the state of a part must not pass for that of all."""
    async with opened(page_events=2) as runtime:
        await filled(runtime, "a", [1, 2, 3, 4, 5, 6])
        between = runtime.store.between

        async def cut_meanwhile(*args, **kwargs):
            page = await between(*args, **kwargs)
            await cut(runtime.store, "a", 5)
            return page

        monkeypatch.setattr(runtime.store, "between", cut_meanwhile)
        with pytest.raises(EventsPrunedError):
            await runtime.workflow("a").replay(seqs, [], as_of=6)
