"""Drive an execution by hand, paranoid: after every input the whole log is replayed and compared.

    w = Driven(order, "A-17", activities=[charge])      # it is started
    w.done(b'"paid"')                                   # the one activity that is open has returned
    assert w.result == "paid"

`cuts` is the other half: the log cut after any of its events, replayed, gives the rest of that activation.
"""

from __future__ import annotations

import msgspec

from treadle.engine import (
    ActivityDone,
    AttemptFailed,
    CancelRequested,
    ChildDone,
    Closed,
    Completed,
    EndedByCancel,
    Execution,
    ExecutionLimits,
    Failed,
    Failure,
    HeadFold,
    Registry,
    Signal,
    Start,
    Status,
    Terminate,
    TimersFired,
    Update,
)
from treadle.engine.records import COMMAND_KINDS, RECORD_BY_KIND
from treadle.payloads import JsonConverter

SECOND = 10**9
START_NS = 1_700_000_000 * SECOND
SEED = bytes(range(16))
CONVERTER = JsonConverter()

_made = []


def evict_all():
    """Take every execution of the test out of memory: left to Python, coroutines would be closed anywhere."""
    for execution in _made:
        execution.evict()
    _made.clear()


def json(value):
    """The JSON of a value."""
    return CONVERTER.encode(value)


def record_of(event):
    """The record in an event's payload."""
    return msgspec.json.decode(event.payload, type=RECORD_BY_KIND[event.kind])


def short(events):
    """Kinds' names in order: what most tests compare."""
    return [event.kind.name for event in events]


class Driven:
    """A workflow in memory with its log.

    Attributes:
        execution: the workflow.
        log: every event so far.
        last: the newest activation.
        effects: all effects so far.
        now_ns: the time of the next input.
    """

    def __init__(
        self,
        definition,
        *args,
        activities=(),
        workflows=(),
        workflow_id="w",
        limits=None,
        parent=None,
        args_json=None,
        start=True,
        paranoid=True,
    ):
        self.definition = definition
        self.workflow_id = workflow_id
        self.limits = limits or ExecutionLimits()
        self.registry = Registry([definition, *workflows], activities, CONVERTER)
        self.paranoid = paranoid
        self.execution = self.made()
        self.log = []
        self.effects = []
        self.last = None
        self.now_ns = START_NS
        if start:
            self.give(Start(args_json or json(list(args)), SEED, parent))

    def made(self, definition=None, workflow_id=None):
        execution = Execution(
            definition or self.definition,
            workflow_id or self.workflow_id,
            self.registry,
            CONVERTER,
            limits=self.limits,
        )
        _made.append(execution)
        return execution

    # -- inputs --

    def give(self, given, *, at=None):
        """Give an input, `at` seconds after the start or at the time of the last one."""
        if at is not None:
            self.now_ns = START_NS + round(at * SECOND)
        self.last = self.execution.activate(given, self.now_ns)
        self.log += self.last.events
        self.effects += self.last.effects
        if self.paranoid and not self.execution.is_spoilt:
            self.check_replay()
        return self.last

    def open(self, name=None):
        """The seq of the one open activity, or of the first one of that name."""
        found = [seq for seq, one in self.execution.activities.items() if name in {None, one.name}]
        assert found, f"no activity {name or ''} is open in {short(self.log)}"
        assert name or len(found) == 1, found
        return found[0]

    def done(self, value=None, seq=None, name=None, *, at=None):
        return self.give(ActivityDone(seq or self.open(name), Completed(json(value))), at=at)

    def fail(self, message="no", seq=None, name=None, *, kind="ValueError", attempt=1, at=None):
        outcome = Failed(Failure(kind, message))
        return self.give(ActivityDone(seq or self.open(name), outcome, attempt), at=at)

    def ended_by_cancel(self, seq=None, name=None, *, at=None):
        return self.give(ActivityDone(seq or self.open(name), EndedByCancel()), at=at)

    def attempt_failed(self, seq, attempt, *, due, at=None, lost=False):
        due_ns = START_NS + round(due * SECOND)
        return self.give(AttemptFailed(seq, attempt, Failure("ValueError", "no"), due_ns, lost), at=at)

    def fire(self, at):
        return self.give(TimersFired(START_NS + round(at * SECOND)), at=at)

    def signal(self, name, *values, at=None):
        return self.give(Signal(name, json(list(values))), at=at)

    def cancel(self, reason="", parent=None, *, at=None):
        return self.give(CancelRequested(reason, parent), at=at)

    def terminate(self, reason="", parent=None):
        return self.give(Terminate(reason, parent))

    def update(self, update_id, name, *args, at=None):
        return self.give(Update(update_id, name, json(list(args))), at=at)

    def child_done(self, value=None, seq=None, *, at=None):
        return self.give(ChildDone(seq or next(iter(self.execution.children)), Completed(json(value))), at=at)

    def child_failed(self, status="failed", seq=None, *, at=None):
        failed = Failed(Failure("ValueError", "no"))
        return self.give(ChildDone(seq or next(iter(self.execution.children)), failed, status), at=at)

    # -- what came of it --

    @property
    def status(self):
        return self.execution.status

    @property
    def result(self):
        assert self.status is Status.COMPLETED, (self.status, short(self.log), self.log[-1].payload)
        (closed,) = [effect for effect in self.effects if type(effect) is Closed]
        return msgspec.json.decode(closed.payload)["result"]

    @property
    def failure(self):
        assert self.status is Status.FAILED, (self.status, short(self.log))
        return record_of(self.log[-1]).failure

    def kinds(self):
        return short(self.log)

    def records(self, kind):
        return [record_of(event) for event in self.log if event.kind is kind]

    def put(self):
        """Messages to other workflows, as (to, kind, decoded payload)."""
        return [
            (one.workflow_id, one.kind.name, msgspec.json.decode(one.payload))
            for one in self.effects
            if hasattr(one, "message_id")
        ]

    # -- paranoia --

    def replayed(self, log=None, *, page=None, definition=None):
        """A fresh execution that has replayed the log; it lacks nothing."""
        log = self.log if log is None else log
        execution = self.made(definition)
        page = page or len(log) or 1
        for place in range(0, len(log), page):
            execution.replay(log[place : place + page])
        lacking = execution.finish_replay()
        assert lacking is None, short(lacking.events)
        return execution

    def check_replay(self):
        expected = snapshot(self.execution)
        for page in (None, 1) if len(self.log) < 60 else (None,):
            execution = self.replayed(page=page)
            assert expected == snapshot(execution)
            assert () == execution.drifts
            execution.evict()
        told = folded(self.log)
        assert facts_of(told) == self.execution.facts(), "the events alone tell the head facts"
        assert told.problem(self.execution.facts()) is None

    def check_cuts(self):
        """Cut anywhere, the log is completed to what it was up to the next input."""
        for cut in range(1, len(self.log)):
            if self.log[cut].kind not in COMMAND_KINDS:
                continue
            end = cut
            while end < len(self.log) and self.log[end].kind in COMMAND_KINDS:
                end += 1
            execution = self.made()
            execution.replay(self.log[:cut])
            lacking = execution.finish_replay()
            assert lacking is not None
            assert tuple(self.log[cut:end]) == lacking.events, cut
            execution.evict()

    def evict(self):
        self.execution.evict()
        assert self.execution.is_spoilt

    def reload(self):
        """Go on from the log alone, as after a crash."""
        self.execution.evict()
        self.execution = self.replayed()


def folded(log):
    """What a log says of its head facts, without its code."""
    fold = HeadFold()
    for event in log:
        fold.add(event)
    return fold


def facts_of(fold):
    return int(fold.status), fold.run_start_seq, fold.wake_up_ns, fold.name, b""


def snapshot(execution):
    """All that can be seen of an execution; two that have lived through the same show the same."""
    run = execution.run
    return {
        "facts": execution.facts(),
        "next_seq": execution.next_seq,
        "now": execution.now_ns,
        "size": execution.journal.run_size_bytes,
        "activities": {
            seq: (one.payload, one.state, one.attempts, one.scheduled_ns)
            for seq, one in execution.activities.items()
        },
        "timers": dict(execution.timers),
        "children": {seq: (one.id, one.state, one.parent_close) for seq, one in execution.children.items()},
        "signals": {name: list(queue.unread) for name, queue in execution.signals.items() if queue.unread},
        "updates": (sorted(run.updates_pending), run.updates_done),
        "patches": run.patches,
        "handlers": (sorted(run.queries), sorted(run.updates)),
        "cancel": (run.cancel, run.late_cancel, run.continuing),
        "stack": execution.stack(),
        "unfinished": execution.unfinished(),
        "described": execution.describe(),
        "seed": run.seed,
        "drawn": None if run._random is None else run._random.getstate(),
    }
