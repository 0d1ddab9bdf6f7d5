"""A crash behind every append, an eviction at every wait, a replay behind every activation."""

from __future__ import annotations

import nondeterministic
import pytest
import toy_shop as shop

from treadle.errors import NondeterminismError, UsageError
from treadle.testing import (
    CancelAt,
    ReplayDifferenceError,
    SignalAt,
    TerminateAt,
    UpdateAt,
    attempts,
    crash_everywhere,
    evict_everywhere,
    hangs,
    raises,
    replay,
    returns,
    run_workflow,
)

SLOW = {
    shop.charge: attempts(raises(OSError("gone"), after_seconds=2), hangs(), returns("r-3", after_seconds=4)),
    shop.reserve: returns(1, after_seconds=3),
    shop.pack: attempts(returns("p", after_seconds=4), cleanup_seconds=2),
    shop.notify: returns(None, after_seconds=90),
    shop.poll: attempts(OSError("not yet"), OSError("not yet"), "there"),
}


def rehearsals():
    """Name, and how it is rehearsed."""
    yes = [SignalAt(1, "chatter", 1), SignalAt(2, "decision", "yes"), SignalAt(4, "chatter", 2)]
    yield "order", lambda **it: run_workflow(shop.order, "A", 7, activities=SLOW, messages=yes, **it)
    yield "order nobody decides", lambda **it: run_workflow(shop.order, "A", 7, activities=SLOW, **it)
    adds = [SignalAt(number, "add", number) for number in range(1, 8)]
    doubles = [
        UpdateAt(1, "double", 3),
        UpdateAt(2, "double", 9, id="no"),
        UpdateAt(6, "double", 1, id="two"),
    ]
    yield "counter", lambda **it: run_workflow(shop.counter, messages=[*adds, *doubles], **it)
    late = [UpdateAt(1, "double", 3), *(SignalAt(1, "add", number) for number in range(1, 9))]
    yield "signals carried over", lambda **it: run_workflow(shop.counter, messages=late, **it)
    yield (
        "cancelled while it packs",
        lambda **it: run_workflow(shop.packing, "A", activities=SLOW, messages=[CancelAt(1)], **it),
    )
    yield "abandons", lambda **it: run_workflow(shop.telling, "A", activities=SLOW, **it)
    yield "polls", lambda **it: run_workflow(shop.polling, "A", activities=SLOW, **it)
    yield "children", lambda **it: run_workflow(shop.shipping, "A", activities=SLOW, until_seconds=40, **it)
    yield (
        "scripted children",
        lambda **it: run_workflow(
            shop.shipping,
            "A",
            children={shop.parcel: returns("x", after_seconds=3)},
            absent=["warehouse"],
            **it,
        ),
    )
    yield (
        "terminated",
        lambda **it: run_workflow(shop.shipping, "A", activities=SLOW, messages=[TerminateAt(6)], **it),
    )
    yield (
        "cancelled with children",
        lambda **it: run_workflow(shop.shipping, "A", activities=SLOW, messages=[CancelAt(6)], **it),
    )
    yield "fan-out", lambda **it: run_workflow(shop.fan_out, 7, activities={shop.reserve: 2}, **it)
    yield "chance", lambda **it: run_workflow(shop.chancy, seed=5, **it)
    yield (
        "cleans up",
        lambda **it: run_workflow(
            shop.tidy,
            "A",
            activities={shop.notify: returns(None, after_seconds=5)},
            messages=[CancelAt(6)],
            **it,
        ),
    )
    yield "fails", lambda **it: run_workflow(shop.broken, **it)


CASES = pytest.mark.parametrize("rehearse", [pytest.param(run, id=name) for name, run in rehearsals()])


@CASES
def test_crash_behind_every_append_changes_nothing(rehearse):
    rehearsal = rehearse()
    report = crash_everywhere(rehearsal)

    assert rehearsal.appends == report.appends
    assert report.crashes >= 2 * report.appends


@CASES
def test_crash_behind_every_event_changes_nothing(rehearse):
    """An activation that is cut is finished before anything else happens."""
    rehearsal = rehearse()
    events = sum(map(len, rehearsal.logs.values()))

    assert events == crash_everywhere(rehearsal, batch_events_max=1, every=3).appends


@CASES
def test_eviction_at_every_wait_changes_nothing(rehearse):
    assert evict_everywhere(rehearse())


@CASES
def test_replay_behind_every_activation_is_the_same(rehearse):
    assert rehearse().events == rehearse(paranoid=True).events


@CASES
def test_what_was_rehearsed_replays(rehearse):
    rehearsal = rehearse()

    assert rehearsal.status is replay(rehearsal, rehearsal.definition).status


def test_lost_attempts_are_tried():
    """Some crashes fall while an attempt runs; it is lost, and another takes its place."""
    rehearsal = dict(rehearsals())["order"]()

    assert crash_everywhere(rehearsal).losses
    assert 0 == crash_everywhere(rehearsal, lose_attempts=False).losses


def test_activation_larger_than_a_batch_is_cut():
    rehearsal = run_workflow(shop.fan_out, 1_050, activities={shop.reserve: hangs()}, until_seconds=1)
    report = crash_everywhere(rehearsal, lose_attempts=False)

    assert 1_051 == len(rehearsal.events)
    assert 2 == report.appends == rehearsal.appends


def test_only_some_crashes_may_be_tried():
    rehearsal = run_workflow(shop.fan_out, 30, activities={shop.reserve: 1})
    report = crash_everywhere(rehearsal, every=10, lose_attempts=False)

    assert (31, 3 + 3) == (report.appends, report.crashes)
    with pytest.raises(UsageError, match="every="):
        crash_everywhere(rehearsal, every=0)


def test_script_that_counts_is_asked_once():
    """A rehearsal that is run again asks the same questions and gets the same answers."""
    numbers = iter(range(1_000))
    rehearsal = run_workflow(shop.fan_out, 4, activities={shop.reserve: lambda _item: next(numbers)})

    assert 6 == rehearsal.result
    assert crash_everywhere(rehearsal).crashes
    assert 4 == next(numbers)


# -- each tool finds a planted mistake -----------------------------------------------------------------


@pytest.fixture(autouse=True)
def fresh_global():
    nondeterministic.drawn["count"] = 0


def rehearsed(definition, **options):
    return run_workflow(definition, activities={nondeterministic.step: "done"}, guard=False, **options)


@pytest.mark.parametrize(
    "definition",
    [
        nondeterministic.asks_the_clock,
        nondeterministic.draws,
        nondeterministic.draws_an_id,
        nondeterministic.counts,
    ],
)
def test_crashes_find_what_is_not_in_the_log(definition):
    rehearsal = rehearsed(definition)

    with pytest.raises((ReplayDifferenceError, NondeterminismError)) as caught:
        crash_everywhere(rehearsal)

    assert (
        "rehearsed again"
        in f"{caught.value} {caught.value.__notes__ if hasattr(caught.value, '__notes__') else ''}"
    )


@pytest.mark.parametrize(
    "definition", [nondeterministic.asks_the_clock, nondeterministic.draws, nondeterministic.counts]
)
def test_paranoia_finds_what_is_not_in_the_log(definition):
    with pytest.raises(NondeterminismError):
        rehearsed(definition, paranoid=True)


def test_paranoia_finds_code_that_waits_elsewhere():
    """Every command is the same; what it waits for is not."""
    with pytest.raises(ReplayDifferenceError, match=r"tasks: .*'odd'.*'even'"):
        rehearsed(nondeterministic.goes_elsewhere_later, paranoid=True)


def test_crashes_find_state_outside_the_log():
    """Undisturbed it is always the same."""
    rehearsal = rehearsed(nondeterministic.knows_that_it_is_replayed)
    assert rehearsal.events == rehearsed(nondeterministic.knows_that_it_is_replayed).events

    with pytest.raises(ReplayDifferenceError, match=r"behind append 1 of 3") as caught:
        crash_everywhere(rehearsal)

    assert "again" in str(caught.value)


def test_evictions_find_a_clean_up_that_is_felt():
    rehearsal = rehearsed(nondeterministic.cleans_up_wrongly)
    nondeterministic.drawn["count"] = 0

    with pytest.raises((ReplayDifferenceError, NondeterminismError)) as caught:
        evict_everywhere(rehearsal)

    assert "number" in str(caught.value)
