"""Generated programs, branched and reset at every event: the turn that was cut is finished as it once was."""

from __future__ import annotations

import os

import generated
from hypothesis import HealthCheck, given, settings
from test_generated_workflows import MESSAGES, PROGRAM, rehearse

from treadle.engine.histories import replay_whole
from treadle.engine.journal import DEFAULT_LIMITS
from treadle.engine.records import COMMAND_KINDS
from treadle.events import EventKind, WorkflowEvent
from treadle.log import Branched, Reset, encode_branched, encode_reset
from treadle.payloads import JsonConverter
from treadle.testing.workflows.open_registry import Executions

STARTS = {EventKind.WORKFLOW_STARTED, EventKind.CONTINUED}
SEED = bytes(range(16)).hex()


def branch(events, at):
    payload = encode_branched(Branched("rehearsal", at, "00" * 16, SEED))
    return "b", [*events[:at], WorkflowEvent(at + 1, 0, EventKind.BRANCHED, payload)]


def reset(events, at):
    run = max(event.seq for event in events[:at] if event.kind in STARTS)
    payload = encode_reset(Reset(at, run, SEED))
    return "rehearsal", [*events, WorkflowEvent(len(events) + 1, 0, EventKind.RESET, payload)]


def left_of_the_turn(events, at):
    end = at
    while end < len(events) and events[end].kind in COMMAND_KINDS:
        end += 1
    return [event.kind for event in events[at:end]]


@settings(
    max_examples=int(os.environ.get("GENERATED", "4")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(PROGRAM, MESSAGES)
def test_the_turn_that_was_cut_is_finished_as_it_once_was(program, messages):
    """And what was made up replays: a branch or a reset is a history like any other."""
    events = rehearse(program, messages, guard=False, paranoid=False).events
    executions = Executions((), JsonConverter(), DEFAULT_LIMITS)
    for at in range(1, len(events) + 1):
        for goes_on in (branch, reset):
            name, log = goes_on(events, at)
            execution = executions.make(generated.carry_out, name)
            execution.replay(log)
            lacking = execution.finish_replay()
            made = () if lacking is None else lacking.events
            execution.evict()
            assert [event.kind for event in made] == left_of_the_turn(events, at), (at, goes_on)
            assert [event.seq for event in made] == list(range(len(log) + 1, len(log) + len(made) + 1))
            again = executions.make(generated.carry_out, name)
            replay_whole(again, [*log, *made])
            again.evict()
