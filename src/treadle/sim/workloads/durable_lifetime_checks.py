"""What is left of durable workflows' whole lives, held against what their clients know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final

from treadle.checkers import Violation, chain, gap_free
from treadle.checkers.delivered_once import delivered_once
from treadle.checkers.durable import Rewind
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
from treadle.checkers.views import counting, views
from treadle.engine import Execution, Registry
from treadle.errors import CorruptStoreError, TreadleError
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.log import decode_folded
from treadle.payloads import JsonConverter
from treadle.sim.workloads.durable_notes import Notes
from treadle.sim.workloads.generated_checks import has_completed, result_of
from treadle.sim.workloads.known import mark_in
from treadle.sim.workloads.lifetime_checks import clean_up
from treadle.sim.workloads.retained_logs import CLOSED_MAX, MARKS
from treadle.sim.workloads.rewritten import attempts_in, rewritten, touch
from treadle.sim.world import World
from treadle.stores import PAGE_WORKFLOWS, Head, Store

Logs = Mapping[WorkflowId, Sequence[WorkflowEvent]]
_decode: Final = JsonConverter().decode
_SIGNAL: Final = "signal "
_OTHERS: Final = (_SIGNAL, "chance ", "failed ", "child failed")


async def check_durable_lifetimes(world: World, store: Store, notes: Notes) -> list[Violation]:
    """Hold every promise against what is left.

    Args:
        world: where it happened.
        store: what is left.
        notes: what all clients know together.

    Returns:
        What was broken.
    """
    names = await _all_logs(store, notes)
    heads = {head.workflow_id: head for head in await store.heads(names)}
    found, logs = await _logs(store, heads)
    for name in names:
        head = heads[name]
        told = {"lifetime": name, "digest": head.digest.hex(), "kept": head.first_kept_seq}
        world.recorder.write({**told, "events": len(logs[name])})
    durable = {name: logs[name] for name in names if heads[name].facts is not None}
    states = {name: _state_of(events) for name, events in logs.items() if heads[name].facts is None}
    violations = found + _check_durable(world, notes, durable) + _check_plain(notes, logs, states)
    for ended, told in notes.results.items():
        if logs.get(WorkflowId(ended)):
            violations += _check_result(ended, told, logs[WorkflowId(ended)], notes, states)
    for name in names:
        violations += unaltered(name, notes.seen.get(name, {}), logs[name])
    violations += read_before_gone(notes.fed, notes.own_from)
    violations += await _check_shown(store, notes, durable)
    violations += await clean_up(store)
    again, cleaned = await _logs(store, heads)
    violations += again
    violations += [
        Violation("retention", name, None, "it is another one once all was cleaned up")
        for name in names
        if cleaned[name] != logs[name]
    ]
    for damage in await store.check_structure():
        violations.append(Violation("structure", damage.workflow_id or "", damage.seq, damage.message))
    return violations


async def _all_logs(store: Store, notes: Notes) -> list[WorkflowId]:
    names: list[WorkflowId] = []
    while page := await store.list_workflows(
        after=names[-1] if names else None, hidden=True, limit=PAGE_WORKFLOWS
    ):
        names += page
    noted = [*notes.durable, *notes.played, *notes.plain]
    return names + sorted({WorkflowId(name) for name in noted} - set(names))


async def _logs(
    store: Store, heads: Mapping[WorkflowId, Head]
) -> tuple[list[Violation], dict[WorkflowId, list[WorkflowEvent]]]:
    violations: list[Violation] = []
    logs: dict[WorkflowId, list[WorkflowEvent]] = {}
    for name, head in heads.items():
        events = logs[name] = []
        try:
            while page := await store.read(name, head.first_kept_seq + len(events)):
                events += page
            rows = await store.audit(name, head.first_kept_seq - 1, limit=len(events) + 1)
        except CorruptStoreError as error:
            violations.append(Violation("retention", name, error.seq, "an event that is to be kept is gone"))
            continue
        first = head.first_kept_seq
        violations += gap_free(name, events, first_seq=first, next_seq=head.next_seq)
        violations += chain(name, rows, first_seq=first, digest_before=head.digest_before, head=head[1:3])
    return violations, logs


# -- durable workflows --


def _check_durable(world: World, notes: Notes, logs: Logs) -> list[Violation]:
    # A process that stood still while another took its place begins what it had decided on.
    rewinds = [] if "pause" in world.plan.faults else _rewinds(notes, logs)
    violations = effects(attempts_in(world), dict(logs.items()), notes.births, rewinds)
    for birth in notes.births:
        violations += shares_its_parent(birth, logs.get(WorkflowId(birth.branch), ()))
    registry = Registry([rewritten], [touch])
    for name, events in logs.items():
        if events:
            violations += views(name, events)
            violations += begins_where_a_replay_can(name, events, kind="durable")
            violations += _replays(name, events, registry, is_played=name in notes.played)
    return violations


def _rewinds(notes: Notes, logs: Logs) -> list[Rewind]:
    found = []
    for (name, seq), told_at in notes.resets.items():
        events = logs.get(WorkflowId(name), ())
        place = seq - events[0].seq if events else -1
        if 0 <= place < len(events) and events[place].kind is EventKind.RESET:
            at = _decode(events[place].payload)["at"]
            until = _until(notes.reset_asks[name], told_at)
            found.append(Rewind(name, at, seq, told_at, until, events[:place]))
    return found


def _until(asks: Sequence[tuple[float, float]], told_at: int) -> float:
    """Tell when another reset may have followed one: at once, if one was under way when that was answered."""
    later = [begin for begin, _ in asks if begin > told_at]
    under_way = any(begin < told_at < over for begin, over in asks)
    return told_at if under_way else min(later, default=inf)


def _replays(
    name: str, events: Sequence[WorkflowEvent], registry: Registry, *, is_played: bool
) -> list[Violation]:
    """Check that the code comes to where the log is, from what is kept of it."""
    execution = Execution(rewritten, name, registry, JsonConverter(), first_seq=events[0].seq)
    try:
        execution.replay(events)
        lacking = execution.finish_replay()
    except TreadleError as error:
        message = f"it does not replay: {type(error).__name__}"
        return [Violation("replay_equals_live", name, getattr(error, "seq", None), message)]
    finally:
        if not execution.status.is_closed:
            execution.evict()
    # What was cut in the middle of a turn and is only played may lack the rest of it.
    if execution.drifts or (lacking is not None and not is_played):
        return [Violation("replay_equals_live", name, None, "replay comes to another end than the log")]
    return []


def _check_result(
    name: str,
    told: Any,
    events: Sequence[WorkflowEvent],
    notes: Notes,
    states: Mapping[WorkflowId, Sequence[str] | None],
) -> list[Violation]:
    """Check what a workflow has come to: all that it has seen through runs, resets and branches."""
    view = counting(events)
    if not has_completed(view):
        message = f"it was told to have ended, and its log ends with {events[-1].kind.name}"
        return [Violation("comes_to_an_end", name, events[-1].seq, message)]
    result = result_of(view)
    violations: list[Violation] = []
    if result != told:
        violations.append(Violation("replay_equals_live", name, None, f"told {told!r}, has {result!r}"))
    own = [one for one in result if not one.startswith(_OTHERS)]
    violations += [
        Violation("effects", name, None, f"the code has seen the result {one!r} twice")
        for one in sorted({one for one in own if own.count(one) > 1})
    ]
    signals = [one.removeprefix(_SIGNAL) for one in result if one.startswith(_SIGNAL)]
    notes.meets(
        f"a signal to {name}", (sender for one in signals if (sender := one.partition(">")[0]) != one)
    )
    return violations + delivered_once(
        name,
        signals,
        notes.sent,
        {log: state for log, state in states.items() if state is not None},
        may_lack=[one.mark for one in notes.sent if one.to == name] if name in notes.lossy else (),
        family=_ancestors(name, notes),
    )


def _ancestors(name: str, notes: Notes) -> list[str]:
    parents = {birth.branch: birth.parent for birth in notes.births}
    found: list[str] = []
    while name in parents:
        name = parents[name]
        found.append(name)
    return found


# -- plain logs --


def _state_of(events: Sequence[WorkflowEvent]) -> list[str] | None:
    """Tell the marks of all events that a log has ever had; None when what is kept does not say."""
    state: list[str] = []
    if events and (events[0].seq > 1 or events[0].kind is EventKind.BASELINE):
        kept = decode_folded(events[0].payload) if events[0].kind is EventKind.BASELINE else None
        if kept is None or kept.fold != MARKS.name:
            return None
        state += _decode(bytes(kept.json))
    return state + [mark_in(event) for event in events if event.kind is not EventKind.BASELINE]


def _check_plain(
    notes: Notes, logs: Logs, states: Mapping[WorkflowId, Sequence[str] | None]
) -> list[Violation]:
    violations: list[Violation] = []
    for name in map(WorkflowId, notes.plain):
        events, state = logs[name], states.get(name)
        first_seq = notes.began.get(name, 1)
        violations += begins_where_a_replay_can(name, events, kind="plain", first_seq=first_seq)
        if name in notes.began and events:
            if state is None:
                state = [mark_in(event) for event in events if event.kind is not EventKind.BASELINE]
            if events[0].seq != first_seq:
                message = (
                    f"it began at seq {first_seq}, and begins at {events[0].seq}: no rule lets it be cut"
                )
                violations.append(Violation("retention", name, events[0].seq, message))
        if state is not None and (events or name not in notes.closed):
            violations += states_are_kept(name, state, notes.replays.get(name, ()))
            violations += _check_marks(name, state, notes)
    closed = [Closed(name, at, bool(logs[WorkflowId(name)])) for name, at in notes.closed.items()]
    return violations + newest_are_kept(closed, count_max=CLOSED_MAX)


def _check_marks(name: str, state: Sequence[str], notes: Notes) -> list[Violation]:
    there = set(state)
    lost = [mark for mark in notes.acknowledged.get(name, ()) if mark not in there]
    violations = [Violation("retention", name, None, f"{mark!r} was answered, and is gone") for mark in lost]
    violations += [
        Violation("delivered_once", name, None, f"{mark!r} was refused, and is there")
        for mark in sorted(there & notes.refused)
    ]
    return violations + [
        Violation("delivered_once", name, None, f"{mark!r} is there twice")
        for mark in sorted({mark for mark in state if state.count(mark) > 1})
    ]


async def _check_shown(store: Store, notes: Notes, logs: Logs) -> list[Violation]:
    """Check that nobody has met what is only played, nor meets it now; and that it is there all the same."""
    names: list[WorkflowId] = []
    while page := await store.list_workflows(after=names[-1] if names else None, limit=PAGE_WORKFLOWS):
        names += page
    notes.meets("the last list", names)
    played = [WorkflowId(birth.branch) for birth in notes.births if birth.branch in notes.played]
    heads = await store.heads([name for name in played if not logs.get(name)])
    # A birth without an answer may not have been; one that has left a head has lost its events.
    gone = [head.workflow_id for head in heads if head.next_seq > 1]
    violations = [Violation("retention", name, None, "it is only played, and was removed") for name in gone]
    return violations + unseen(list(notes.played), notes.shown)
