"""`WorkflowLog` against the most naive log there is: a list of tuples for each workflow."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from strategies import kinds
from treadle.errors import ConflictError, SequenceGapError, StaleSequenceError
from treadle.events import NewEvent, WorkflowEvent
from treadle.log import WorkflowLog

names = st.sampled_from(("a", "b", "c"))
contents = st.tuples(st.integers(-2, 5), kinds(), st.sampled_from((b"", b"x")))
batches = st.lists(contents, min_size=1, max_size=4)


class LogMachine(RuleBasedStateMachine):
    """The model is `self.model[name]`: tuples (timestamp, kind, payload), the seq being the place."""

    def __init__(self):
        super().__init__()
        self.log = WorkflowLog()
        self.model = {"a": [], "b": [], "c": []}

    @rule(name=names, batch=batches)
    def extend_without_seqs(self, name, batch):
        appended = self.log.extend(name, [NewEvent(kind, payload, time) for time, kind, payload in batch])
        self.model[name] += batch

        assert not appended.repeated
        assert len(self.model[name]) == appended.seq

    @rule(name=names, batch=batches, offset=st.integers(-6, 3), single=st.booleans())
    def offer_with_seqs(self, name, batch, offset, single):
        stored = self.model[name]
        batch = batch[:1] if single else batch
        start = max(0, len(stored) + offset)
        overlap = stored[start : start + len(batch)]
        if batch[: len(overlap)] == overlap and start + len(batch) <= len(stored):
            expected = None
        elif start > len(stored):
            expected = SequenceGapError
        elif batch[: len(overlap)] != overlap:
            expected = ConflictError
        else:
            expected = StaleSequenceError if overlap else None
        self.offer(name, start, batch, expected)

    @rule(name=names, start=st.integers(0, 10), size=st.integers(1, 4))
    def offer_again(self, name, start, size):
        if batch := self.model[name][start : start + size]:
            self.offer(name, start, batch, None)

    def offer(self, name, start, batch, expected):
        events = [WorkflowEvent(start + place, *content) for place, content in enumerate(batch, 1)]

        def call():
            return self.log.append(name, events[0]) if len(events) == 1 else self.log.extend(name, events)

        if expected is not None:
            with pytest.raises(expected) as caught:
                call()
            assert len(self.model[name]) + 1 == caught.value.next_seq
            return
        appended = call()
        assert tuple(events) == appended.events
        assert appended.repeated == (start < len(self.model[name]))
        if not appended.repeated:
            self.model[name] += batch

    @rule(name=names, since=st.integers(-3, 6), until=st.none() | st.integers(-3, 6))
    def between(self, name, since, until):
        end = 99 if until is None else until
        expected = [n for n, (time, _, _) in enumerate(self.model[name], 1) if since <= time < end]

        assert expected == [event.seq for event in self.log.between(name, since, until)]

    @invariant()
    def same(self):
        for name, rows in self.model.items():
            expected = [WorkflowEvent(seq, *row) for seq, row in enumerate(rows, 1)]

            assert expected == self.log.read(name)
            assert len(rows) + 1 == self.log.next_seq(name)
        assert {name for name, rows in self.model.items() if rows} == set(self.log.workflow_ids())


TestLog = LogMachine.TestCase
TestLog.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
