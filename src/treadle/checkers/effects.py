"""The promise: what a workflow has done to the outer world is its own, and is not done again.

A branch in which nothing really happens does nothing. One that goes on in earnest carries out what was
pending where it began, and whatever it begins itself, under keys that are no other's; of all that had ended
before it was born it does nothing again. Nor does a workflow that was reset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from treadle.checkers.durable import Attempted, Birth, Rewind
from treadle.checkers.views import pending
from treadle.checkers.violation import Findings, Violation
from treadle.events import EventKind, WorkflowEvent

_decode: Final = msgspec.json.decode
Logs = Mapping[str, Sequence[WorkflowEvent]]


def effects(
    attempts: Sequence[Attempted],
    logs: Logs,
    births: Iterable[Birth] = (),
    rewinds: Iterable[Rewind] = (),
) -> list[Violation]:
    """Hold what the outer world has seen against what logs say.

    Args:
        attempts: at all activities, in any order.
        logs: of each durable workflow, all that its log keeps; branches that are only played among them.
        births: branches; what is told of one that is not there says nothing.
        rewinds: resets. Leave them out where a process may have gone on that did not know of one: it begins
            what it had decided on.

    Returns:
        A violation for each attempt that should not have been, each key that two activities have, and each
        result that is another's.
    """
    findings = Findings("effects")
    _check_keys(attempts, findings)
    of_workflow: dict[str, list[Attempted]] = {}
    for attempt in attempts:
        of_workflow.setdefault(attempt.workflow, []).append(attempt)
        _check_told(attempt, logs, findings)
    there = [birth for birth in births if logs.get(birth.branch)]
    for birth in there:
        _check_branch(birth, logs[birth.branch], of_workflow, findings)
    for rewind in rewinds:
        _check_rewind(rewind, of_workflow.get(rewind.workflow, ()), findings)
    played = {birth.branch for birth in there if birth.mode == "what_if"}
    shared = {birth.branch: birth.at for birth in there}
    for name in sorted(set(logs) - played):
        _check_results(name, logs[name], shared.get(name, 0), of_workflow.get(name, ()), findings)
    return findings.violations


def _check_keys(attempts: Sequence[Attempted], findings: Findings) -> None:
    key_of: dict[tuple[str, int], str] = {}
    whose: dict[str, tuple[str, int]] = {}
    for one in attempts:
        activity = (one.workflow, one.seq)
        if key_of.setdefault(activity, one.key) != one.key:
            message = f"two attempts at it have the keys {key_of[activity]!r} and {one.key!r}"
            findings.add(one.workflow, one.seq, message)
        if whose.setdefault(one.key, activity) != activity:
            message = f"its key {one.key!r} is that of seq {whose[one.key][1]} of {whose[one.key][0]!r}"
            findings.add(one.workflow, one.seq, message)


def _check_told(one: Attempted, logs: Logs, findings: Findings) -> None:
    """See that what is carried out had been written down; of what was cut nobody knows any more."""
    events = logs.get(one.workflow, ())
    if not events or one.seq < events[0].seq:
        return
    place = one.seq - events[0].seq
    if place >= len(events) or events[place].kind is not EventKind.ACTIVITY_SCHEDULED:
        findings.add(one.workflow, one.seq, "an activity was carried out that its log does not tell of")


def _check_branch(
    birth: Birth,
    events: Sequence[WorkflowEvent],
    of_workflow: Mapping[str, Sequence[Attempted]],
    findings: Findings,
) -> None:
    if birth.mode == "what_if":
        family = [name for name in of_workflow if name == birth.branch or name.startswith(f"{birth.branch}/")]
        for name in family:
            message = f"{birth.branch!r} is only played, and an activity was carried out for it"
            findings.add(name, of_workflow[name][0].seq, message)
        return
    if events[0].seq > birth.at:
        return  # a reset of the branch into what it shares may have gone with the rest
    may_run = pending(birth.shared)
    for event in events:
        if event.kind is EventKind.RESET:
            at = _decode(event.payload)["at"]
            may_run |= pending(one for one in events if one.seq < event.seq and one.seq <= at)
    for one in of_workflow.get(birth.branch, ()):
        if one.seq <= birth.at and one.seq not in may_run:
            message = f"it had ended before the branch began at {birth.at}, and was carried out for it again"
            findings.add(birth.branch, one.seq, message)


def _check_rewind(rewind: Rewind, attempts: Iterable[Attempted], findings: Findings) -> None:
    open_then = pending(event for event in rewind.before if event.seq <= rewind.at)
    for one in attempts:
        if not rewind.told_at < one.at < rewind.until or one.seq > rewind.seq:
            continue
        if one.seq > rewind.at:
            message = f"the reset at seq {rewind.seq} has abandoned it, and it was carried out afterwards"
            findings.add(rewind.workflow, one.seq, message)
        elif one.seq not in open_then:
            message = f"it had ended by seq {rewind.at}, and was carried out behind the reset there"
            findings.add(rewind.workflow, one.seq, message)


def _check_results(
    name: str,
    events: Sequence[WorkflowEvent],
    shared_seq: int,
    attempts: Iterable[Attempted],
    findings: Findings,
) -> None:
    """See that a log's own results are those of its own attempts, which give their keys back."""
    keys = {one.seq: one.key for one in attempts}
    for event in events:
        if event.kind is not EventKind.ACTIVITY_COMPLETED or event.seq <= shared_seq:
            continue
        told = _decode(event.payload)
        if told["result"] != keys.get(told["seq"]):
            message = f"activity {told['seq']} gave {keys.get(told['seq'])!r}, and {told['result']!r} is told"
            findings.add(name, event.seq, message)
