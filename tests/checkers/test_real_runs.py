"""What clients of a real runtime record holds every promise, until something between them and it lies."""

from __future__ import annotations

import random
from itertools import count

import pytest
import trio

from treadle import AdmissionError, open_runtime
from treadle.checkers import History, Observed, Operation, Read, Write, check_history
from treadle.testing import InlineKernel

LOGS = ("order-1", "order-2")


class Recorder:
    """Clients that append, race each other for a seq, read and look, and write down what became of it."""

    def __init__(self, runtime, wrapped, seed):
        self.operations = []
        self.followers = []
        self._logs = {name: wrapped(runtime.workflow(name)) for name in LOGS}
        self._clock, self._numbers = count(), count(1)
        self._random = random.Random(seed)

    async def client(self, name):
        for _ in range(40):
            log = self._random.choice(LOGS)
            await self._random.choice((self._append, self._append, self._race, self._read, self._look))(
                name, log
            )
            await trio.lowlevel.checkpoint()

    async def follow(self):
        for name, log in self._logs.items():
            marks = tuple([event.payload.decode() async for event in log.read()])
            self.followers.append(Observed("reader", name, 1, marks))

    def _note(self, client, begin, outcome, *parts):
        reads = tuple(part for part in parts if isinstance(part, Read))
        writes = tuple(part for part in parts if isinstance(part, Write))
        end = next(self._clock)
        self.operations.append(Operation(next(self._numbers), client, begin, end, outcome, reads, writes))

    async def _append(self, client, name):
        begin, mark = next(self._clock), f"{client}.{next(self._numbers)}"
        with trio.CancelScope() as scope:
            if self._random.random() < 0.2:
                scope.cancel()
            done = await self._logs[name].append("custom", mark.encode())
            self._note(client, begin, "ok", Write(name, (mark,), done.events[0].seq))
        if scope.cancelled_caught:
            self._note(client, begin, "unknown", Write(name, (mark,)))

    async def _race(self, client, name):
        expected = await self._logs[name].next_seq()
        await trio.lowlevel.checkpoint()
        begin, mark = next(self._clock), f"{client}.{next(self._numbers)}"
        try:
            await self._logs[name].append("custom", mark.encode(), seq=expected)
        except AdmissionError as error:
            self._note(client, begin, "refused", Read(name, next_seq=error.next_seq), Write(name, (mark,)))
        else:
            self._note(client, begin, "ok", Read(name, next_seq=expected), Write(name, (mark,), expected))

    async def _read(self, client, name):
        begin = next(self._clock)
        marks = tuple([event.payload.decode() async for event in self._logs[name].read(2)])
        self._note(client, begin, "ok", Read(name, marks, 2))

    async def _look(self, client, name):
        begin = next(self._clock)
        self._note(client, begin, "ok", Read(name, next_seq=await self._logs[name].next_seq()))


async def recorded(wrapped, seed):
    async with open_runtime("memory:", kernel=InlineKernel()) as runtime:
        recorder = Recorder(runtime, wrapped, seed)
        async with trio.open_nursery() as nursery:
            for name in ("ann", "bob", "cem"):
                nursery.start_soon(recorder.client, name)
        await recorder.follow()
        logs = {
            name: [event.payload.decode() async for event in runtime.workflow(name).read()] for name in LOGS
        }
    return History(tuple(recorder.operations), logs, tuple(recorder.followers))


@pytest.mark.parametrize("seed", range(5))
async def test_a_real_run_holds_every_promise(seed):
    history = await recorded(lambda log: log, seed)

    assert {"ok", "refused", "unknown"} == {operation.outcome for operation in history.operations}
    assert [] == check_history(history)


class Wrapped:
    """A log's handle, to be lied through."""

    def __init__(self, log):
        self.log = log
        self.calls = 0
        self.last = None

    def append(self, *args, **options):
        return self.log.append(*args, **options)

    def next_seq(self):
        return self.log.next_seq()

    def read(self, from_seq=1):
        return self.log.read(from_seq)

    def often(self):
        self.calls += 1
        return self.calls % 3 == 0


class LosesAcknowledged(Wrapped):
    """Every third append is answered as the one before it was, and not made."""

    async def append(self, *args, **options):
        if self.last is not None and self.often():
            return self.last
        self.last = await self.log.append(*args, **options)
        return self.last


class AppendsTwice(Wrapped):
    """Every third append is sent again without its seq, as a retry without a key."""

    async def append(self, kind, payload, seq=None):
        done = await self.log.append(kind, payload, seq=seq)
        if self.often():
            await self.log.append(kind, payload)
        return done


class WritesWhatItRefuses(Wrapped):
    """An append that lost its race is refused, and made all the same."""

    async def append(self, kind, payload, seq=None):
        try:
            return await self.log.append(kind, payload, seq=seq)
        except AdmissionError:
            await self.log.append(kind, payload)
            raise


class LooksAtTheBeginning(Wrapped):
    """A cache that never hears of later events."""

    async def next_seq(self):
        self.first = getattr(self, "first", None) or await self.log.next_seq()
        return self.first


class SkipsAnEvent(Wrapped):
    """A page that begins one event too late."""

    def read(self, from_seq=1):
        return self.log.read(from_seq + 1)


@pytest.mark.parametrize(
    ("wrapped", "promises"),
    [
        (LosesAcknowledged, {"acknowledged_once", "linearizable", "serializable"}),
        (AppendsTwice, {"acknowledged_once", "linearizable", "serializable"}),
        (WritesWhatItRefuses, {"unacknowledged_once", "linearizable", "serializable"}),
        (LooksAtTheBeginning, {"linearizable", "serializable"}),
        (SkipsAnEvent, {"followed_order", "linearizable", "serializable"}),
    ],
)
@pytest.mark.parametrize("seed", range(5))
async def test_a_log_that_lies_is_found_out(wrapped, promises, seed):
    history = await recorded(wrapped, seed)

    assert promises <= {violation.promise for violation in check_history(history)}
