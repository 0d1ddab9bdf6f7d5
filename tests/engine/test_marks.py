"""Branches and resets as facts of a log: replay goes on from them, at any event, inside activations too."""

from __future__ import annotations

import attrs
import pytest
from driven import CONVERTER, SEED, START_NS, Driven, folded, json, short

from treadle import CorruptStoreError, activity, workflow
from treadle.engine import (
    ActivityDone,
    ChildDone,
    Completed,
    ParentLink,
    PutMessage,
    Signal,
    Status,
    Terminate,
    TimersFired,
    terminate,
)
from treadle.engine.histories import lives_of, replay_whole
from treadle.engine.marks import goes_below, view_of
from treadle.engine.records import COMMAND_KINDS
from treadle.events import EventKind, WorkflowEvent
from treadle.log import Branched, Reset, encode_branched, encode_reset

OTHER_SEED = bytes(reversed(SEED))


@activity.define
async def charge(_what: str) -> str:
    raise NotImplementedError


@workflow.define
async def child(number: int) -> int:
    return number


@workflow.define
async def order(name: str) -> str:
    """Everything at once: two commands in one turn, a timer, a child, a signal, a patch, a new run."""
    found = []
    async with workflow.open_nursery() as nursery:
        for what in ("a", "b"):

            async def one(what=what) -> None:
                found.append(await workflow.activity(charge, what))

            nursery.start_soon(one)
    await workflow.sleep(5)
    started = workflow.start_child(child, 7)
    workflow.signal_external("shop", "began", name)
    with workflow.move_on_after(60):
        word = await workflow.signals("go").receive()
        found.append(word)
    found.append(str(await started.result()))
    if name == "first":
        await workflow.continue_as_new("second")
    found.append(await workflow.activity(charge, "last"))
    return "+".join(found)


class Played(Driven):
    """Remembers what it was given, and where its log stood."""

    def give(self, given, *, at=None):
        next_seq = self.execution.next_seq
        last = super().give(given, at=at)
        self.inputs = [*getattr(self, "inputs", []), (given, next_seq, self.now_ns)]
        return last


def played(name="first"):
    w = Played(order, name, activities=[charge], workflows=[child], paranoid=False)
    for run in range(2 if name == "first" else 1):
        for seq in list(w.execution.activities):
            w.done(json("paid"), seq)
        w.give(TimersFired(w.now_ns + 10**11), at=10 + 100 * run)
        w.give(Signal("go", json(["now"])))
        w.give(Signal("go", json(["unread"])))
        w.give(ChildDone(next(iter(w.execution.children)), Completed(json(7))))
    w.done(json("done"))
    assert w.status is Status.COMPLETED
    return w


def branched(log, at, origin="w"):
    payload = encode_branched(Branched(origin, at, "00" * 16, OTHER_SEED.hex()))
    return [*log[:at], WorkflowEvent(at + 1, START_NS, EventKind.BRANCHED, payload)]


def reset(log, at, run=1):
    payload = encode_reset(Reset(at, run, OTHER_SEED.hex()))
    return [*log, WorkflowEvent(len(log) + 1, START_NS, EventKind.RESET, payload)]


def shift(given, at, by):
    seq = getattr(given, "seq", 0)
    return attrs.evolve(given, seq=seq + by) if seq > at else given


def finish(w, log, at, workflow_id="b"):
    """The whole log of a branch or reset, when the same happens to it as to the original."""
    by = len(log) - at
    execution = w.made(workflow_id=workflow_id)
    execution.replay(log)
    lacking = execution.finish_replay()
    log = [*log, *(lacking.events if lacking else ())]
    effects = list(lacking.effects if lacking else ())
    for given, next_seq, now_ns in w.inputs[1:]:
        if next_seq <= at:
            continue
        done = execution.activate(shift(given, at, by), now_ns)
        log += done.events
        effects += done.effects
    assert execution.status is Status.COMPLETED, short(log)
    execution.evict()
    return log, effects


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_branch_at_any_event_ends_as_the_original_when_the_same_happens(name):
    w = played(name)
    for at in range(1, len(w.log) + 1):
        log, effects = finish(w, branched(w.log, at), at)
        kinds = short(log)
        assert kinds[at] == "BRANCHED"
        assert kinds[:at] + kinds[at + 1 :] == short(w.log), at
        if at < len(w.log):
            assert log[-1].payload == w.log[-1].payload
        sent = [effect for effect in effects if type(effect) is PutMessage]
        commands = [event.seq for event in log if event.kind in SENDS and event.seq > at]
        assert len(sent) == len(commands), "what the shared part has sent is not sent again"
        replay_again(w, log, "b")


SENDS = {EventKind.CHILD_SCHEDULED, EventKind.SIGNAL_SENT}


@pytest.mark.parametrize("name", ["first", "second"])
def test_a_reset_to_any_event_goes_on_from_there(name):
    w = played(name)
    for at in range(1, len(w.log)):
        run = max(event.seq for event in w.log[:at] if event.kind.name in {"WORKFLOW_STARTED", "CONTINUED"})
        log, effects = finish(w, reset(w.log, at, run), at, "w")
        kinds, before = short(log), len(w.log)
        assert kinds[:before] == short(w.log), "the abandoned stretch stays readable"
        assert kinds[:at] + kinds[before + 1 :] == short(w.log), at
        assert len({effect.message_id for effect in effects if type(effect) is PutMessage}) == len(
            [effect for effect in effects if type(effect) is PutMessage]
        )
        replay_again(w, log, "w")


def replay_again(w, log, workflow_id):
    """The whole log replays, and the events alone tell the same head facts."""
    execution = w.made(workflow_id=workflow_id)
    replay_whole(execution, log)
    assert execution.drifts == ()
    assert folded(log).problem(execution.facts()) is None
    assert execution.facts()[0] == Status.COMPLETED
    execution.evict()


def test_each_stretch_of_a_marked_log_can_be_replayed_where_it_was_cut():
    """A runner that died within a branch's first activation: what is lacking is made up, at any event."""
    w = played("second")
    for at in range(1, len(w.log)):
        log, _ = finish(w, branched(w.log, at), at)
        for cut in range(at + 1, len(log)):
            if log[cut].kind not in COMMAND_KINDS:
                continue
            end = next((n for n in range(cut, len(log)) if log[n].kind not in COMMAND_KINDS), len(log))
            execution = w.made(workflow_id="b")
            execution.replay(log[:cut])
            assert tuple(log[cut:end]) == execution.finish_replay().events
            execution.evict()


# -- what is another's --


@workflow.define
async def drawing() -> list:
    rng = workflow.random()
    first = [rng.random(), str(workflow.uuid4()), workflow.info().workflow_id]
    await workflow.signals("go").receive()
    second = [rng.random(), str(workflow.uuid4()), workflow.info().workflow_id]
    await workflow.signals("go").receive()
    return [first, second]


def test_a_branch_draws_other_chance_and_sees_its_own_id_from_there_on():
    w = Driven(drawing, paranoid=False)
    w.signal("go")
    w.signal("go")
    first, second = w.result
    for log, name in ((branched(w.log, 2), "b"), (reset(w.log, 2), "w")):
        execution = w.made(workflow_id=name)
        execution.replay(log)
        execution.finish_replay()
        log.extend(execution.activate(Signal("go", b"[]"), START_NS).events)
        mine = folded_result(log)
        assert mine[0] == first
        assert mine[1][2] == name
        assert mine[1][0] != second[0]
        assert mine[1][1] != second[1]
        again = w.made(workflow_id=name)
        replay_whole(again, log)
        again.evict()
        execution.evict()


def folded_result(log):
    return CONVERTER.decode(log[-1].payload)["result"]


def test_a_branch_of_a_child_tells_no_parent_how_it_ended():
    w = Driven(order, "second", activities=[charge], workflows=[child], parent=ParentLink("p", 3, 1))
    execution = w.made(workflow_id="b")
    log = branched(w.log, len(w.log))
    execution.replay(log)
    assert execution.finish_replay() is None
    done = execution.activate(Terminate("no"), START_NS)
    assert not any(type(effect) is PutMessage for effect in done.effects)

    held = terminate("b", log, Terminate("no"), START_NS)
    assert not any(type(effect) is PutMessage for effect in held.effects)
    assert any(
        type(effect) is PutMessage for effect in terminate("w", w.log, Terminate(""), START_NS).effects
    )
    execution.evict()


def test_children_that_began_before_are_waited_for_elsewhere_and_never_told_to_end():
    w = played("second")
    at = short(w.log).index("SIGNAL_SENT") + 1
    execution = w.made(workflow_id="b")
    execution.replay(branched(w.log, at))
    execution.finish_replay()
    (seq,) = execution.children_elsewhere
    assert w.log[seq - 1].kind is EventKind.CHILD_SCHEDULED
    done = execution.activate(Terminate("no"), START_NS)
    assert not any(type(effect) is PutMessage for effect in done.effects)
    execution.evict()


# -- what cannot be --


def test_a_reset_below_what_is_given_needs_an_earlier_beginning():
    w = played()
    run = short(w.log).index("CONTINUED")
    log = reset(w.log, 2)
    assert goes_below(log[run:])
    assert not goes_below(log)
    with pytest.raises(CorruptStoreError, match="earlier run"):
        view_of(log[run:])


@pytest.mark.parametrize("kind", [EventKind.BRANCHED, EventKind.RESET])
def test_a_mark_that_nobody_has_written_is_refused(kind):
    w = Driven(drawing, paranoid=False)
    for payload in (b"", b"{}", b'{"parent":"p","at":1,"digest":"","seed":"xy"}', b"\xff"):
        with pytest.raises(CorruptStoreError, match=kind.name):
            view_of([*w.log, WorkflowEvent(2, 0, kind, payload)])


def test_lives_are_cut_where_a_reset_has_left_them():
    """A start that was abandoned begins no life any more."""
    w = Driven(drawing, paranoid=False)
    w.give(Terminate("no"))
    start = w.log[0]
    again = WorkflowEvent(3, start.timestamp, start.kind, start.payload)
    assert [len(life) for life in lives_of([*w.log, again])] == [2, 1]
    assert [len(life) for life in lives_of(reset([*w.log, again], 1))] == [4]


def test_an_activity_that_runs_again_has_its_time_for_it():
    w = Driven(order, "second", activities=[charge], workflows=[child])
    log = branched(w.log, len(w.log))
    log[-1] = WorkflowEvent(log[-1].seq, START_NS + 99, log[-1].kind, log[-1].payload)
    execution = w.made(workflow_id="b")
    execution.replay(log)
    execution.finish_replay()
    assert {pending.scheduled_ns for pending in execution.activities.values()} == {START_NS + 99}
    execution.activate(ActivityDone(2, Completed(json("x"))), START_NS)
    execution.evict()
