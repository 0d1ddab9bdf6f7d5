"""The rules for durable workflows' whole lives: each sees what breaks it, and lets pass what may be."""

import json

from treadle.checkers.delivered_once import delivered_once
from treadle.checkers.durable import Attempted, Birth, Rewind, Sent
from treadle.checkers.effects import effects
from treadle.checkers.kept import (
    Closed,
    begins_where_a_replay_can,
    newest_are_kept,
    read_before_gone,
    states_are_kept,
)
from treadle.checkers.unaltered import shares_its_parent, unaltered
from treadle.checkers.unseen import unseen
from treadle.checkers.views import pending, views
from treadle.events import EventKind, WorkflowEvent

K = EventKind


def log(*told, first=1):
    """Events of kinds, each with what its payload says."""
    return [
        WorkflowEvent(seq, 0, kind, json.dumps(payload).encode())
        for seq, (kind, payload) in enumerate(told, first)
    ]


START, TOUCH = (K.WORKFLOW_STARTED, {}), (K.ACTIVITY_SCHEDULED, {})


def done(seq, result="k"):
    return K.ACTIVITY_COMPLETED, {"seq": seq, "result": result}


def reset(at, run=1):
    return K.RESET, {"at": at, "run": run}


def branched(parent, at):
    return K.BRANCHED, {"parent": parent, "at": at}


def told(violations):
    return [(one.promise, one.workflow_id, one.seq) for one in violations]


# -- views ----------------------------------------------------------------------------------------------


def test_what_counts_behind_resets_may_end_and_what_they_abandon_may_not():
    sound = log(START, TOUCH, done(2), reset(2), done(2), TOUCH, reset(2), done(2))

    assert [] == views("a", sound)
    assert {2} == pending(sound[:4])
    for wrong, seq in [
        (log(START, TOUCH, done(2), reset(3), done(2)), 5),
        (log(START, TOUCH, TOUCH, reset(2), done(3)), 5),
        (log(START, TOUCH, done(2), done(2)), 4),
        (log(START, TOUCH, reset(1), reset(2)), 4),
        (log(START, (K.CONTINUED, {}), TOUCH, reset(3, run=1)), 4),
        (log(START, branched("p", 2)), 2),
    ]:
        assert [("views", "a", seq)] == told(views("a", wrong))


# -- effects --------------------------------------------------------------------------------------------


def test_keys_belong_to_one_activity_and_results_to_their_own():
    logs = {"a": log(START, TOUCH, TOUCH, done(2, "k2"))}
    sound = [Attempted("a", 2, "k2", 1), Attempted("a", 2, "k2", 2), Attempted("a", 3, "k3", 3)]

    assert [] == effects(sound, logs)
    assert [("effects", "a", 3)] == told(effects([*sound, Attempted("a", 3, "x", 4)], logs))
    assert ("effects", "b", 2) in told(effects([*sound, Attempted("b", 2, "k2", 4)], logs))
    assert [("effects", "a", 1)] == told(effects([*sound, Attempted("a", 1, "k1", 4)], logs))
    assert [("effects", "a", 4)] == told(effects(sound[2:], logs))


def test_a_branch_carries_out_what_was_pending_and_nothing_that_had_ended():
    shared = log(START, TOUCH, TOUCH, done(2, "p2"))
    events = [*shared, *log(branched("p", 4), first=5)]
    real, played = (Birth("b", "p", 4, mode, shared) for mode in ("real", "what_if"))
    pending_one, ended = Attempted("b", 3, "b3", 1), Attempted("b", 2, "b2", 1)

    assert [] == effects([pending_one], {"b": events}, [real])
    assert [("effects", "b", 2)] == told(effects([ended], {"b": events}, [real]))
    assert [("effects", "b", 3)] == told(effects([pending_one], {"b": events}, [played]))
    assert [("effects", "b/9", 2)] == told(effects([Attempted("b/9", 2, "x", 1)], {"b": events}, [played]))
    # A reset of the branch goes back into what it shares: what had ended runs again, under its own key.
    assert [] == effects([ended], {"b": [*events, *log(reset(3), first=6)]}, [real])


def test_what_a_reset_has_abandoned_or_had_ended_is_not_carried_out_behind_it():
    events = log(START, TOUCH, done(2, "k2"), TOUCH, TOUCH, reset(4))
    rewind = Rewind("a", 4, 6, 10, 20, events[:5])

    def behind(seq, at):
        attempts = [Attempted("a", 2, "k2", 1), Attempted("a", seq, f"k{seq}", at)]
        return told(effects(attempts, {"a": events}, (), [rewind]))

    assert [] == behind(4, 11)
    assert [] == behind(5, 9)
    assert [] == behind(5, 21)
    assert [("effects", "a", 5)] == behind(5, 11)
    assert [("effects", "a", 2)] == behind(2, 11)


# -- signals --------------------------------------------------------------------------------------------


def test_a_signal_comes_once_and_one_of_a_transaction_if_that_was_taken():
    sent = [
        Sent("a", "ok", "ok"),
        Sent("a", "no", "refused"),
        Sent("a", "maybe", "unknown"),
        Sent("a", "tx", "unknown", "l"),
        Sent("a", "lost tx", "unknown", "l"),
        Sent("p", "p's", "ok"),
    ]
    logs = {"l": ["tx"]}

    def found(*marks, **options):
        return [one.message for one in delivered_once("a", marks, sent, logs, **options)]

    assert [] == found("ok", "tx") == found("ok", "maybe", "tx") == found("tx", may_lack=["ok"])
    assert [] == found("ok", "tx", "p's", family=["p"])
    for wrong in (["ok"], ["tx"], ["ok", "ok", "tx"], ["ok", "no", "tx"], ["ok", "tx", "lost tx"]):
        assert 1 == len(found(*wrong))
    assert 1 == len(found("ok", "tx", "p's"))


# -- retention, branches, lists -------------------------------------------------------------------------


def test_a_log_that_was_cut_begins_where_a_replay_can():
    baseline, run, other = (log((kind, {}), first=5) for kind in (K.BASELINE, K.CONTINUED, K.CUSTOM))

    assert [] == begins_where_a_replay_can("a", baseline, kind="plain")
    assert [] == begins_where_a_replay_can("a", run, kind="durable")
    assert [] == begins_where_a_replay_can("a", other, kind="plain", first_seq=5)
    for wrong, kind in ((other, "plain"), (run, "plain"), (baseline, "durable")):
        assert [("retention", "a", 5)] == told(begins_where_a_replay_can("a", wrong, kind=kind))


def test_states_grow_and_nothing_goes_unread_and_the_newest_stay():
    assert [] == states_are_kept("a", ["1", "2"], [[], ["1"], ["1", "2"]])
    assert [("retention", "a", 2)] == told(states_are_kept("a", ["1", "3"], [["1", "2"]]))
    assert [("retention", "a", 2)] == told(states_are_kept("a", ["1"], [["1", "2"]]))
    assert [] == read_before_gone({"a": [1, 2], "b": [5, 6]}, {"b": 5})
    assert [("retention", "a", 3)] == told(read_before_gone({"a": [1, 3]}, {}))
    closed = [Closed("a", 1, is_there=False), Closed("b", 2, is_there=True), Closed("c", None, is_there=True)]
    assert [] == newest_are_kept(closed, count_max=2)
    assert [("retention", "a", None)] == told(newest_are_kept(closed, count_max=3))


def test_what_was_read_stays_and_a_branch_is_its_parent_as_it_was():
    shared = log(START, TOUCH)
    events = [*shared, *log(branched("p", 2), first=3)]
    birth = Birth("b", "p", 2, "real", shared)

    assert [] == unaltered("b", {event.seq: event for event in events}, events)
    assert [("unaltered", "b", 2)] == told(unaltered("b", {2: events[0]}, events))
    assert [] == shares_its_parent(birth, events) == shares_its_parent(birth, [])
    assert [("branches", "b", 3)] == told(shares_its_parent(birth, shared))
    assert [("branches", "b", 3)] == told(
        shares_its_parent(birth, [*shared, *log(branched("q", 2), first=3)])
    )
    assert ("branches", "b", 2) in told(
        shares_its_parent(birth, [shared[0], *log(START, first=2), events[2]])
    )


def test_nobody_meets_what_is_only_played_nor_its_children():
    shown = [("a", "a list"), ("i1", "the feed"), ("i1/4", "a list"), ("i1", "the feed")]

    assert [("shown", "i1", None), ("shown", "i1/4", None)] == told(unseen(["i1"], shown))
