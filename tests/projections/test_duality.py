"""Duality: a rebuild gives what was kept up, and where it does not, the difference is found and named."""

# ruff: noqa: ARG001  # the virtual clock is asked for, not used

import json

import pytest
import trio
from projection_samples import (
    append,
    checkpoint_of,
    count_all,
    count_each,
    failing_at,
    kept_up,
    listing,
    opened,
)

from treadle import Fold, RetentionPolicy, RetentionRule, open_runtime
from treadle.errors import EventsNeededError, InvalidValueError, ProjectionVersionError, UsageError
from treadle.kernel import InlineKernel
from treadle.log import HORIZON_KEY, HORIZON_SPACE, PROJECTIONS
from treadle.projections import Projection, Projections
from treadle.projections.kept import Shelf
from treadle.projections.removing import remove
from treadle.runtime.retention import Sweep

LOGS = ["a", "b", "a", "c", "b", "a"]


async def written(store, *projections):
    """Let projections read six events, and be written."""
    async with kept_up(store, Projections(*projections), *LOGS):
        pass


async def set_record(store, namespace, key, value):
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        await runtime.set_record(namespace, key, value)


async def tamper(store, key, **changes):
    """Change what is kept of a key of the projection 'each'."""
    space = "treadle:projection:each:1"
    kept = json.loads(await store.record(space, key))
    await set_record(store, space, key, json.dumps({**kept, **changes}).encode())


async def test_what_was_kept_up_is_what_a_rebuild_gives(store, autojump_clock):
    views = Projections(count_all(), count_each(), listing())
    async with kept_up(store, views, *LOGS):
        await trio.sleep(5)
        verdicts = await views.verify()

    assert [verdict.name for verdict in verdicts] == ["count", "each", "listing"]
    assert all(verdict.same and not verdict.differences for verdict in verdicts)
    assert [verdict.keys for verdict in verdicts] == [1, 3, 1]
    assert {(one.from_position, one.position, one.events) for one in verdicts} == {(0, 6, 6)}


@pytest.mark.parametrize(
    ("kept", "position", "seq", "words"),
    [
        # The state before b's second event: that event was lost.
        (1, 5, 2, "that before this event"),
        (0, 2, 1, "that before this event"),
        # No state that the log ever gave.
        (7, 5, 2, "none that the log gives"),
    ],
)
async def test_a_kept_state_that_is_wrong_is_named(store, autojump_clock, kept, position, seq, words):
    await written(store, count_each(), count_all())
    await tamper(store, b"b", state={"json": kept})

    each, count = await Projections(count_each(), count_all()).verify(store=store)

    assert count.same
    (difference,) = each.differences
    assert (difference.key, difference.position) == ("b", position)
    assert (difference.workflow_id, difference.seq) == ("b", seq)
    assert (difference.kept, difference.rebuilt) == (str(kept), "2")
    assert words in difference.why


async def test_a_key_that_is_lost_and_one_that_was_never_there_are_named(store, autojump_clock):
    await written(store, count_each())
    space = "treadle:projection:each:1"
    value = await store.record(space, b"c")
    await set_record(store, space, b"c", None)
    await set_record(store, space, b"d", value)

    (verdict,) = await Projections(count_each()).verify(store=store)

    found = [(one.key, one.position, one.workflow_id) for one in verdict.differences]
    assert found == [("c", 4, "c"), ("d", 4, "c")]
    assert ["no state is kept", "a state is kept"] == [
        one.why[: one.why.index(" of")] for one in verdict.differences
    ]


async def test_a_fold_that_was_changed_without_its_version_is_named(store, autojump_clock):
    await written(store, count_each())
    changed = Projection(
        "each", lambda: 0, lambda state, event: state + event.event.seq, key=lambda event: event.workflow_id
    )

    (verdict,) = await Projections(changed).verify(store=store)

    assert verdict.differing == 2
    found = [(one.key, one.position, one.workflow_id, one.kept, one.rebuilt) for one in verdict.differences]
    assert found == [("b", 5, "b", "2", "3"), ("a", 6, "a", "3", "6")]


async def test_a_fold_that_now_raises_is_named_with_its_event(store, autojump_clock):
    await written(store, Projection("failing", list, lambda state, _: [*state, ["a", 1]]))

    (verdict,) = await Projections(failing_at({b""})).verify(store=store)

    (difference,) = verdict.differences
    assert (difference.position, difference.workflow_id, difference.seq) == (1, "a", 1)
    assert "the rebuild's fold raises there: ValueError" in difference.why


async def test_a_plain_state_that_is_wrong_is_named(store, autojump_clock):
    await written(store, count_all())
    kept = json.loads(await checkpoint_of(store, "count"))
    await set_record(store, PROJECTIONS, b"count", json.dumps({**kept, "state": {"json": 4}}).encode())

    (verdict,) = await Projections(count_all()).verify(store=store)

    (difference,) = verdict.differences
    assert (difference.key, difference.position, difference.workflow_id) == (None, 5, "b")


async def test_a_rebuild_puts_the_new_state_in_the_place_of_the_old_one(store, autojump_clock):
    await written(store, count_each(), listing())
    await tamper(store, b"b", state={"json": 99})
    seen = []
    views = Projections(count_each(), listing())
    async with opened(store, views) as runtime:
        assert views.state("each", "b") == 99
        rebuilt = await views.rebuild("each", progress=lambda *places: seen.append(places))
        assert [views.state("each", key) for key in "abc"] == [3, 2, 1]
        await append(runtime, "b")
        await views.caught_up()
        assert views.state("each", "b") == 3

    assert (rebuilt.from_position, rebuilt.position, rebuilt.events, rebuilt.keys) == (0, 6, 6, 3)
    assert seen == [(6, 6)]
    assert await store.records("treadle:projection:each:1") == []
    assert all(one.same for one in await views.verify(store=store))


async def test_another_version_is_rebuilt_when_it_is_asked_for(store, autojump_clock):
    await written(store, count_each())
    views = Projections(count_each(version=2))
    with pytest.raises(ProjectionVersionError):
        await views.verify(store=store)
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        await views.rebuild("each", host=runtime.host())

    async with opened(store, views):
        assert [views.state("each", key) for key in "abc"] == [3, 2, 1]


async def test_what_cannot_be_read_can_be_rebuilt(store, autojump_clock):
    await written(store, listing())
    await set_record(store, PROJECTIONS, b"listing", b"no JSON")
    views = Projections(listing())
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        await views.rebuild("listing", host=runtime.host())

    assert len(await views.stored("listing", store=store)) == 6


async def test_a_rebuild_whose_fold_raises_changes_nothing(store, autojump_clock):
    await written(store, Projection("failing", list, lambda state, _: [*state, ["a", 1]]))
    before = await checkpoint_of(store, "failing")
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        with pytest.raises(InvalidValueError, match=r"at position 1 .*nothing was changed") as caught:
            await Projections(failing_at({b""})).rebuild("failing", host=runtime.host())

    assert isinstance(caught.value.__cause__, ValueError)
    assert before == await checkpoint_of(store, "failing")


async def test_whoever_keeps_up_what_somebody_else_rebuilds_goes_on_from_that(store, autojump_clock):
    views = Projections(count_each(), every_seconds=1)
    async with kept_up(store, views, *LOGS):
        await trio.sleep(5)
        async with open_runtime(store, kernel=InlineKernel()) as other:
            await Projections(count_each()).rebuild("each", host=other.host())
            await append(other, "a")
        await trio.sleep(60)

        assert views.statistics()[0].status == "following"
        assert views.state("each", "a") == 4
    assert (await views.verify(store=store))[0].same


# -- behind the retention horizon --

TOTAL = Fold("total", 1, lambda: 0, lambda state, _: state + 1)


async def cut_logs(runtime, *workflow_ids):
    for workflow_id in workflow_ids:
        await runtime.workflow(workflow_id).baseline(TOTAL)
    policy = RetentionPolicy(RetentionRule())
    swept = await Sweep(runtime, policy).run()
    assert swept.logs_cut == len(workflow_ids)


async def test_behind_the_horizon_a_rebuild_begins_at_the_baseline_and_says_so(store, autojump_clock):
    views = Projections(count_each(), listing(), every_seconds=1)
    async with kept_up(store, views, *LOGS) as runtime:
        await trio.sleep(5)
        await cut_logs(runtime, "a", "b")
        await append(runtime, "a", "c")
        await views.caught_up()
        await trio.sleep(5)
        verdicts = await views.verify()
        assert all(one.same for one in verdicts)
        assert all(one.from_position >= 6 for one in verdicts)
        rebuilt = await views.rebuild("each")
        assert rebuilt.from_position == verdicts[0].from_position
        assert [views.state("each", key) for key in "abc"] == [4, 2, 2]
        assert (await views.verify("each"))[0].same
        # A second cut takes another baseline, and leaves the first one nowhere.
        await cut_logs(runtime, "a")
        await trio.sleep(5)
        (verdict,) = await views.verify("each")
        assert verdict.same
        assert verdict.from_position > rebuilt.from_position
        assert await store.records(f"treadle:projection:each:baseline:{rebuilt.from_position}") == []


async def test_behind_the_horizon_a_difference_is_found_from_the_baseline_on(store, autojump_clock):
    views = Projections(count_each(), every_seconds=1)
    async with kept_up(store, views, *LOGS) as runtime:
        await trio.sleep(5)
        await cut_logs(runtime, "a")
        await trio.sleep(5)
        await append(runtime, "a", "b")
        await views.caught_up()
    await tamper(store, b"b", state={"json": 2})

    (verdict,) = await views.verify(store=store)

    assert verdict.from_position > 0
    assert (verdict.differences[0].key, verdict.differences[0].seq) == ("b", 3)


async def test_a_rebuild_that_would_miss_events_is_refused_unless_it_is_asked_for(store, autojump_clock):
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        await append(runtime, *LOGS)
        await cut_logs(runtime, "a")
        views = Projections(count_each())
        with pytest.raises(InvalidValueError, match="retention has removed events up to position"):
            await views.rebuild("each", host=runtime.host())
        assert await checkpoint_of(store, "each") is None
        rebuilt = await views.rebuild("each", host=runtime.host(), from_kept=True)

    assert rebuilt.incomplete_to > 0
    assert await views.stored("each", "b", store=store) == 2


async def test_the_horizon_only_rises_and_rises_before_anything_is_removed(store, autojump_clock):
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        await append(runtime, *LOGS)
        assert await store.record(HORIZON_SPACE, HORIZON_KEY) is None
        await cut_logs(runtime, "a")
        first = int(await store.record(HORIZON_SPACE, HORIZON_KEY))
        await runtime.workflow("c").delete()
        second = int(await store.record(HORIZON_SPACE, HORIZON_KEY))

    assert 6 < first <= second


async def test_questions_without_a_store_or_anything_kept_are_refused(store, autojump_clock):
    views = Projections(count_all())
    with pytest.raises(UsageError, match="say of which store"):
        await views.verify()
    with pytest.raises(UsageError, match=r"give host=runtime\.host\(\)"):
        await views.rebuild("count")
    with pytest.raises(InvalidValueError, match="nothing is kept of projection 'count'"):
        await views.verify(store=store)
    with pytest.raises(InvalidValueError, match="no projection of this set"):
        await views.verify("unknown", store=store)


async def test_states_are_read_as_of_one_commit(store, autojump_clock, monkeypatch):
    """Written to in the middle of the read, they are read anew."""
    await written(store, count_each())
    records, once = store.records, []

    async def interrupted(space, **options):
        page = await records(space, **options)
        if space.startswith("treadle:projection:each") and not once:
            once.append(space)
            async with kept_up(store, Projections(count_each()), "a", "d"):
                pass
        return page

    monkeypatch.setattr(store, "records", interrupted)
    (verdict,) = await Projections(count_each()).verify(store=store)

    assert verdict.same
    assert (verdict.position, verdict.keys) == (8, 4)


async def test_retention_never_passes_what_a_real_projection_has_read(store, autojump_clock):
    """One that has stopped holds what it has not read, until it is mended or removed."""
    views = Projections(failing_at({b"bad"}), count_all())
    async with opened(store, views) as runtime:
        await append(runtime, "a", "a")
        await append(runtime, "a", payload=b"bad")
        await views.caught_up("count")
        await trio.sleep(5)
        handle = runtime.workflow("a")
        await handle.baseline(TOTAL)
        with pytest.raises(EventsNeededError, match="projection 'failing' has read up to position 2"):
            await handle.prune()
        host = runtime.host()
        assert await remove(host, Shelf(host.store, host.converter, host.codecs), "failing")
        assert await handle.prune() == 4


async def test_a_baseline_of_another_version_is_no_place_to_begin(store, autojump_clock):
    views = Projections(count_each(), every_seconds=1)
    async with kept_up(store, views, *LOGS) as runtime:
        await trio.sleep(5)
        await cut_logs(runtime, "a")
        await append(runtime, "b")
        await views.caught_up()
        await trio.sleep(5)
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        newer = Projections(count_each(version=2))
        with pytest.raises(InvalidValueError, match="the baseline that is kept is of version 1"):
            await newer.rebuild("each", host=runtime.host())
        rebuilt = await newer.rebuild("each", host=runtime.host(), from_kept=True)
        assert rebuilt.incomplete_to > 0
    # From here on it has a baseline of its own, and is vouched for from there.
    async with opened(store, newer):
        await newer.caught_up()
        await trio.sleep(5)
        (verdict,) = await newer.verify()
    assert verdict.same
    assert verdict.from_position >= rebuilt.incomplete_to
