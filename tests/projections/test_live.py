"""A set of projections, kept up beside a runtime."""

# ruff: noqa: ARG001  # the virtual clock is asked for, not used

import json
import logging

import pytest
import trio
import trio.testing
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

from treadle import open_runtime
from treadle.errors import (
    InvalidValueError,
    ProjectionAheadError,
    ProjectionStoppedError,
    ProjectionVersionError,
    UsageError,
)
from treadle.kernel import InlineKernel
from treadle.log import PROJECTIONS
from treadle.projections import Projection, Projections


def one_of(views, name):
    return next(one for one in views.statistics() if one.name == name)


async def test_what_is_durable_is_in_the_states_once_they_have_caught_up(store, autojump_clock):
    views = Projections(count_all(), count_each(), listing())

    async with kept_up(store, views, "a", "b", "a"):
        assert views.state("count") == 3
        assert views.keys("each") == ["a", "b"]
        assert [views.state("each", key) for key in ("a", "b", "never")] == [2, 1, 0]
        assert views.state("listing") == [["a", 1], ["b", 1], ["a", 2]]


async def test_a_set_opened_again_goes_on_from_its_checkpoint_and_counts_nothing_twice(store, autojump_clock):
    for run in range(1, 4):
        views = Projections(count_all(), count_each(), listing())
        async with kept_up(store, views, "a", "b", "a"):
            assert views.state("count") == 3 * run
            assert views.state("each", "a") == 2 * run
            assert len(views.state("listing")) == 3 * run


async def test_states_are_written_after_so_many_events(store, autojump_clock):
    views = Projections(count_all(), every_events=4, every_seconds=1_000)

    async with kept_up(store, views, *"abc"):
        await trio.sleep(10)
        assert await views.stored("count") == 0
        await append_more(store, views, "d")
        assert await views.stored("count") == 4


async def append_more(store, views, *workflow_ids):
    async with open_runtime(store, kernel=InlineKernel()) as other:
        await append(other, *workflow_ids)
        await views.caught_up()
        await trio.sleep(0.1)


async def test_states_are_written_after_a_time(store, autojump_clock):
    views = Projections(count_all(), every_seconds=60)

    async with kept_up(store, views, "a", "b"):
        await trio.sleep(59)
        assert await views.stored("count") == 0
        await trio.sleep(2)
        assert await views.stored("count") == 2
        assert one_of(views, "count").written_position == 2


async def test_states_are_written_when_the_runtime_closes(store, autojump_clock):
    views = Projections(count_all(), every_seconds=1_000)

    async with kept_up(store, views, "a", "b"):
        assert await views.stored("count") == 0

    assert await views.stored("count", store=store) == 2


async def test_a_projection_is_registered_before_it_folds_anything(store, autojump_clock):
    async with opened(store, Projections(count_all(), every_seconds=1_000)):
        await trio.sleep(1)

        assert json.loads(await checkpoint_of(store, "count"))["position"] == 0


async def test_only_keys_that_changed_are_written(store, autojump_clock):
    async with kept_up(store, Projections(count_each()), "a", "b"):
        pass
    before = await store.records("treadle:projection:each:1")
    async with kept_up(store, Projections(count_each()), "b"):
        pass
    after = await store.records("treadle:projection:each:1")

    assert [before[0]] == [after[0]]
    assert before[1] != after[1]


async def test_projections_that_stand_together_share_each_read_of_the_feed(
    store, autojump_clock, monkeypatch
):
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        await append(runtime, *["a"] * 10)
    reads = []
    feed = store.feed
    monkeypatch.setattr(store, "feed", lambda after, **options: reads.append(after) or feed(after, **options))
    views = Projections(*(listing(f"listing {number}") for number in range(10)), every_events=4)

    async with opened(store, views):
        await views.caught_up()

        assert reads == [0, 4, 8]
        assert all(len(views.state(name)) == 10 for name in views.names)


async def test_one_that_is_far_behind_catches_up_and_joins_the_others(store, autojump_clock, monkeypatch):
    async with kept_up(store, Projections(listing("first")), *["a"] * 20):
        pass
    views = Projections(listing("first"), listing("second"), every_events=4)

    async with opened(store, views):
        await views.caught_up("second")
        reads = []
        feed = store.feed
        monkeypatch.setattr(
            store, "feed", lambda after, **options: reads.append(after) or feed(after, **options)
        )
        await append_more(store, views, "b")

        assert reads == [20]
        assert views.state("first") == views.state("second")


async def test_a_fold_that_raises_stops_before_that_event_and_the_others_go_on(store, autojump_clock, caplog):
    views = Projections(failing_at({b"bad"}), count_all())

    with caplog.at_level(logging.WARNING, "treadle.projections"):
        async with kept_up(store, views, "a", "b") as runtime:
            await append(runtime, "c", payload=b"bad")
            await append(runtime, "d")
            await views.caught_up("count")
            with pytest.raises(ProjectionStoppedError, match="no such thing as b'bad'") as caught:
                await views.caught_up("failing")

            assert views.state("failing") == [["a", 1], ["b", 1]]
            assert views.state("count") == 4

    failed = one_of(views, "failing")
    assert isinstance(caught.value.__cause__, ValueError)
    assert (failed.status, failed.position, failed.failed_position) == ("stopped", 2, 3)
    assert failed.failed_workflow_id == "c"
    assert "stops at position 3" in caplog.text
    assert await views.stored("failing", store=store) == [["a", 1], ["b", 1]]
    kept = json.loads(await checkpoint_of(store, "failing"))
    assert kept["position"] == 2
    assert kept["failure"]["error"] == "ValueError: no such thing as b'bad'"


async def test_a_stopped_projection_is_tried_again_on_retry_and_when_opened_again(store, autojump_clock):
    wanted = {b"bad", b"worse"}
    views = Projections(failing_at(wanted))
    async with opened(store, views) as runtime:
        for payload in (b"good", b"bad", b"worse", b"good"):
            await append(runtime, "a", payload=payload)
        await trio.sleep(1)
        assert len(views.state("failing")) == 1
        wanted.remove(b"bad")
        views.retry("failing")
        await trio.sleep(1)
        assert len(views.state("failing")) == 2
        assert one_of(views, "failing").failed_position == 3
    wanted.clear()

    views = Projections(failing_at(wanted))
    async with opened(store, views):
        await views.caught_up()
        assert len(views.state("failing")) == 4
        assert one_of(views, "failing").failure is None


async def test_a_second_process_stands_by_and_takes_over_when_one_has_gone(store, autojump_clock, caplog):
    first, second = (Projections(count_each(), listing(), every_seconds=1) for _ in range(2))
    async with opened(store, second):
        async with opened(store, first) as runtime:
            await append(runtime, "a", "b")
            await trio.sleep(5)
            states = [one_of(views, "listing").status for views in (first, second)]
            assert sorted(states) == ["following", "standby"]
            keeps, waits = (first, second) if states[0] == "following" else (second, first)
            with pytest.raises(ProjectionStoppedError, match="another process keeps it up"):
                waits.state("listing")
            assert await waits.stored("listing") == keeps.state("listing") == [["a", 1], ["b", 1]]
        assert "another process keeps this projection up" in caplog.text
        await append_to(store, "c", "a")
        await trio.sleep(60)

        assert one_of(second, "listing").status == "following"
        assert second.state("listing") == [["a", 1], ["b", 1], ["c", 1], ["a", 2]]
        assert second.state("each", "a") == 2


async def append_to(store, *workflow_ids):
    async with open_runtime(store, kernel=InlineKernel()) as other:
        await append(other, *workflow_ids)


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (listing(version=2), "kept by version 1 .* this is version 2.*treadle projection rebuild listing"),
        (listing(key=lambda event: event.workflow_id), "without keys"),
    ],
)
async def test_what_another_version_has_kept_is_told_and_left_alone(store, autojump_clock, then, words):
    async with kept_up(store, Projections(listing()), "a"):
        pass
    kept = await checkpoint_of(store, "listing")

    with pytest.raises(ProjectionVersionError, match=words) as caught:
        async with opened(store, Projections(then)):
            raise AssertionError

    assert caught.value.recorded_version == 1
    assert kept == await checkpoint_of(store, "listing")


async def test_a_checkpoint_ahead_of_the_feed_is_refused(store, autojump_clock):
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        await runtime.set_record(PROJECTIONS, b"listing", b'{"position": 7, "version": 1}')

    with pytest.raises(ProjectionAheadError, match=r"backup restored.*treadle projection rebuild") as caught:
        async with opened(store, Projections(listing())):
            raise AssertionError

    assert (caught.value.position, caught.value.store_position) == (7, 0)


async def test_what_cannot_be_read_is_refused_and_left_alone(store, autojump_clock):
    async with open_runtime(store, kernel=InlineKernel()) as runtime:
        await runtime.set_record(PROJECTIONS, b"listing", b"no JSON")

    with pytest.raises(InvalidValueError, match="begin it anew: treadle projection rebuild"):
        async with opened(store, Projections(listing())):
            raise AssertionError

    assert b"no JSON" == await checkpoint_of(store, "listing")


@pytest.mark.parametrize(
    ("projection", "words"),
    [
        (Projection("wrong", str, lambda _, __: "x" * 3_000_000), "2,0"),
        (Projection("wrong", list, lambda state, _: (*state, 1)), "would come back as"),
        (Projection("wrong", lambda: 0, lambda _, __: object()), "a value has a JSON form"),
        (Projection("wrong", str, lambda _, __: "x" * 3_000_000, key=lambda _: "k"), "key 'k'"),
        (Projection("wrong", int, lambda _, __: 1, key=lambda _: 7), "is a str of at most"),
        (Projection("wrong", int, lambda _, __: 1, key=lambda _: "x" * 300), "is a str of at most"),
        (Projection("wrong", int, lambda _, __: 1, key=lambda _: "\ud800"), "is a str of at most"),
    ],
)
async def test_a_state_that_cannot_be_kept_stops_its_projection(store, autojump_clock, projection, words):
    views = Projections(projection, count_all())
    async with opened(store, views) as runtime:
        await append(runtime, "a")
        await views.caught_up("count")
        await trio.sleep(5)
        stopped = one_of(views, "wrong")

        assert stopped.status == "stopped"
        assert words in stopped.failure
        assert (stopped.failed_position, stopped.failed_workflow_id) == (1, "a")
        assert views.state("count") == 1


@pytest.mark.parametrize("key", [None, lambda event: event.workflow_id])
async def test_the_state_from_before_one_that_cannot_be_kept_stays(store, autojump_clock, key):
    def apply(state, event):
        return object() if event.event.payload else state + 1

    views = Projections(Projection("wrong", lambda: 0, apply, key=key), every_seconds=1)
    async with kept_up(store, views, "a", "a") as runtime:
        await trio.sleep(5)
        await append(runtime, "a", payload=b"x")
        await trio.sleep(5)

        assert one_of(views, "wrong").status == "stopped"
        assert await views.stored("wrong", key and "a") == 2
        kept = json.loads(await checkpoint_of(store, "wrong"))
        assert (kept["position"], kept["failure"]["position"]) == (2, 3)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda views: views.state("unknown"), "no projection of this set"),
        (lambda views: views.state("each"), "a state for each key"),
        (lambda views: views.state("count", "a"), "no keys"),
        (lambda views: views.state("each", 7), "a state for each key"),
        (lambda views: views.keys("count"), "no keys"),
        (lambda views: views.retry("unknown"), "no projection of this set"),
    ],
)
async def test_questions_that_cannot_be_right_are_refused(store, autojump_clock, ask, words):
    views = Projections(count_all(), count_each())
    async with opened(store, views):
        with pytest.raises(InvalidValueError, match=words):
            ask(views)


async def test_a_set_that_nobody_keeps_up_says_so():
    views = Projections(count_all())
    for ask in (lambda: views.state("count"), lambda: views.retry("count")):
        with pytest.raises(ProjectionStoppedError, match="no runtime keeps it up"):
            ask()
    with pytest.raises(ProjectionStoppedError, match="no runtime keeps it up"):
        await views.caught_up()
    with pytest.raises(UsageError, match="no runtime keeps these projections up"):
        await views.stored("count")


async def test_one_set_belongs_to_one_runtime(store, autojump_clock):
    views = Projections(count_all())
    async with opened(store, views):
        with pytest.raises(UsageError, match="another runtime keeps these projections up"):
            async with opened(store, views):
                raise AssertionError
        await append_more(store, views, "a")
        assert views.state("count") == 1


async def test_whoever_waits_when_the_runtime_closes_is_told(store, autojump_clock, monkeypatch):
    views = Projections(count_all())
    told = []

    async def wait():
        try:
            await views.caught_up()
        except ProjectionStoppedError as error:
            told.append(str(error))

    async with trio.open_nursery() as nursery:
        async with opened(store, views) as runtime:
            await trio.sleep(1)
            monkeypatch.setattr(views._loop, "_round", no_round)
            await append(runtime, "a")
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
        await trio.testing.wait_all_tasks_blocked()

    assert len(told) == 1
    assert "no runtime keeps it up" in told[0]


async def no_round():
    await trio.lowlevel.checkpoint()
    return False


async def test_what_is_no_companion_is_refused(store, autojump_clock):
    with pytest.raises(InvalidValueError, match="keeps companions going"):
        async with open_runtime(store, projections=[count_all()]):
            raise AssertionError


async def test_one_that_stands_in_the_middle_of_a_page_takes_the_rest_of_it(store, autojump_clock):
    async with kept_up(store, Projections(listing("first")), "a", "a"):
        pass
    await append_to(store, *"bcde")
    views = Projections(listing("first"), listing("second"), every_events=4)

    async with opened(store, views):
        await views.caught_up()

        assert views.state("first") == views.state("second")
        assert len(views.state("first")) == 6


def raising_once(broken, function):
    """A function of the user's that raises as soon as something is in `broken`."""

    def raising(value):
        if broken:
            raise KeyError(*broken)
        return function(value)

    return raising


@pytest.mark.parametrize("which", ["initial", "encode", "decode"])
async def test_whatever_a_function_of_the_users_raises_stops_its_projection_alone(
    store, autojump_clock, which, caplog
):
    """Also while a fold that has raised is folded again up to where it did."""
    broken = []

    def apply(state, event):
        if event.event.payload == b"bad":
            broken.append(which)
            raise ValueError("the fold")
        return state + 1

    functions = {"encode": lambda state: b"%d" % state, "decode": int, "initial": lambda _: 0}
    functions[which] = raising_once(broken, functions[which])
    initial = functions.pop("initial")
    fragile = Projection("fragile", lambda: initial(None), apply, **functions)
    views = Projections(fragile, count_all())
    async with opened(store, views) as runtime:
        await append(runtime, "a", "b")
        await views.caught_up()
        await trio.sleep(5)
        await append(runtime, "a", payload=b"bad")
        await views.caught_up("count")
        await append(runtime, "a")
        await views.caught_up("count")

        assert [one.status for one in views.statistics()] == ["stopped", "following"]
        if which != "encode":  # what it has raised is told instead
            assert views.statistics()[0].failed_position == 3
            views.retry("fragile")
            await views.caught_up("count")
            await trio.sleep(5)
            assert "KeyError" in views.statistics()[0].failure
            with pytest.raises(InvalidValueError, match=r"projection 'fragile'.* KeyError"):
                async with opened(store, Projections(fragile)):
                    pass


async def test_an_encode_that_raises_is_told_by_verify_and_rebuild(store, autojump_clock):
    broken = []
    encode = raising_once(broken, lambda state: b"%d" % state)
    views = Projections(Projection("fragile", int, lambda state, _: state + 1, encode=encode, decode=int))
    async with opened(store, views) as runtime:
        await append(runtime, "a", "b")
        await views.caught_up()
        await trio.sleep(5)
        broken.append("now")

        (verdict,) = await views.verify()
        assert "KeyError" in verdict.differences[0].why
        with pytest.raises(InvalidValueError, match=r"projection 'fragile'.*KeyError"):
            await views.rebuild("fragile")


async def test_what_no_event_has_stopped_names_none(store, autojump_clock):
    views = Projections(Projection("each", int, lambda n, _: n + 1), every_seconds=1)
    async with opened(store, views) as runtime:
        await append(runtime, "a")
        await views.caught_up()
        newer = Projection("each", int, lambda n, _: n + 1, version=2)
        await Projections(newer).rebuild("each", host=runtime.host())
        await append(runtime, "a")
        await trio.sleep(5)

        (stands,) = views.statistics()
        assert (stands.status, stands.failed_position, stands.failed_workflow_id) == ("stopped", None, None)
        assert "ProjectionVersionError" in stands.failure
        with pytest.raises(ProjectionStoppedError, match=r"stopped at position \d+: Proj"):
            views.state("each")
