"""Small concurrent programs as data, and one interpreter that runs them over the driver or over Trio.

A program is a tuple of statements, a statement a tuple whose first item is its name. The interpreter asks
a namespace for everything it needs (`CancelScope`, `open_nursery`, ...), and both sides offer the same
names; so what differs between two runs differs between the two schedulers.

What a run shows: how it ended, as a tree of exception names; every mark with the task that made it and the
time, in order; and the time at the end.

Programs always end. An outermost scope ends after `LIMIT`, a shield has a deadline of its own, nobody
waits for a child while holding a condition (which would wait, shielded, for its lock).
"""

# ruff: noqa: ARG002, ARG005 -- every statement, made or run, has the same signature

import itertools
import operator
import random
import weakref
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import SimpleNamespace
from unittest.mock import patch

import trio
from driving import run_to_the_end
from hypothesis import strategies as st
from trio._core import _run as trio_run_module
from trio.testing import MockClock

from treadle.engine import driver
from treadle.engine.driver import Scheduler

LIMIT = 1000

DRIVER = driver
TRIO = SimpleNamespace(
    **{name: getattr(trio, name) for name in driver.__all__ if hasattr(trio, name)},
    checkpoint=trio.lowlevel.checkpoint,
    checkpoint_if_cancelled=trio.lowlevel.checkpoint_if_cancelled,
)

ERRORS = {"ValueError": ValueError, "KeyError": KeyError}
REMEMBERED = ContextVar("remembered", default=None)
SAME = {"MisuseError": "RuntimeError", "InvalidValueError": "ValueError"}

# -- programs as data ------------------------------------------------------------------------------------

TIMES = (1, 0, 2, 2, 3, 5)
CAUGHT = ("Exception", "Cancelled", "BaseException")
SHARED = ("semaphore", "limiter", "lock")
DEPTH_MAX = 4


class _Choices:
    """A program is decoded from bytes: one draw makes it, and shorter or smaller bytes are simpler."""

    def __init__(self, stream):
        self.stream = iter(stream)
        self.is_empty = False

    def below(self, count):
        byte = next(self.stream, None)
        self.is_empty = self.is_empty or byte is None
        return (byte or 0) % count

    def of(self, *options):
        return options[self.below(len(options))]


def _body(choose, depth):
    statements = []
    for _ in range(choose.below(5)):
        if choose.is_empty:
            break
        makers = SIMPLE if depth == DEPTH_MAX or choose.below(5) < 3 else BLOCKS
        statements.append(choose.of(*makers)(choose, depth + 1))
    return tuple(statements)


def _bodies(choose, depth):
    return tuple(_body(choose, depth) for _ in range(1 + choose.below(3)))


SIMPLE = (
    lambda c, _: ("mark", c.below(10)),
    lambda c, _: ("checkpoint",),
    lambda c, _: ("checkpoint_if_cancelled",),
    lambda c, _: ("sleep", c.of(*TIMES)),
    lambda c, _: ("sleep", c.of(*TIMES)),
    lambda c, _: ("sleep_until", c.of(*TIMES)),
    lambda c, _: ("cancel", c.below(4)),
    lambda c, _: ("deadline", c.below(4), c.of(1, -1, 0, 2, 3)),
    lambda c, _: ("raise", c.of(*sorted(ERRORS))),
    lambda c, _: ("set", c.below(2)),
    lambda c, _: ("wait", c.below(2)),
    lambda c, _: ("wait", c.below(2)),
    lambda c, _: ("send", c.below(3)),
    lambda c, _: ("send_nowait", c.below(3)),
    lambda c, _: ("receive", c.below(3)),
    lambda c, _: ("receive", c.below(3)),
    lambda c, _: ("receive_nowait", c.below(3)),
    lambda c, _: ("close", c.of("senders", "receivers"), c.below(3)),
    lambda c, _: ("acquire", c.of(*SHARED)),
    lambda c, _: ("release", c.of(*SHARED)),
    lambda c, _: ("notify", c.of(True, False)),
    lambda c, _: ("condition_wait",),
    lambda c, _: ("started", c.below(10)),
    lambda c, _: ("look", c.below(4)),
    lambda c, _: ("remember", c.below(10)),
    lambda c, _: ("recall",),
    lambda c, _: ("relative_deadline", c.below(4), c.of(1, 0, 2)),
    lambda c, _: ("tokens", c.of(2, 0, 1)),
)
BLOCKS = (
    lambda c, depth: ("nursery", _bodies(c, depth), _body(c, depth)),
    lambda c, depth: ("nursery", _bodies(c, depth), _body(c, depth)),
    lambda c, depth: ("start", (*_body(c, depth), ("started", 1), *_body(c, depth)), _body(c, depth)),
    lambda c, depth: ("start", _body(c, depth), _body(c, depth)),
    lambda c, depth: ("scope", c.of(None, *TIMES), False, _body(c, depth)),
    lambda c, depth: ("scope", c.of(*TIMES), True, _body(c, depth)),
    lambda c, depth: ("move_on_after", c.of(*TIMES), _body(c, depth)),
    lambda c, depth: ("fail_after", c.of(*TIMES), _body(c, depth)),
    lambda c, depth: ("shield", c.below(4), c.of(True, False), _body(c, depth)),
    lambda c, depth: ("finally", _body(c, depth), _body(c, depth)),
    lambda c, depth: ("except", c.of(*CAUGHT), _body(c, depth), _body(c, depth)),
    lambda c, depth: ("swallow", _body(c, depth)),
    lambda c, depth: ("with", c.of(*SHARED), _body(c, depth)),
    lambda c, depth: ("cancelled_before", _body(c, depth)),
    lambda c, depth: ("late", c.below(4), _body(c, depth)),
    lambda c, depth: ("read_all", c.below(3), _body(c, depth)),
)  # fmt: skip


def _program(stream):
    choose = _Choices(stream)
    return (("nursery", _bodies(choose, 1), _body(choose, 1)),)


programs = st.binary(min_size=16, max_size=200).map(_program)

# -- the interpreter ---------------------------------------------------------------------------------------


def tree(error):
    """An exception as nested tuples of names, or None."""
    if error is None:
        return None
    name = type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        return ("group", *(tree(part) for part in error.exceptions))
    return SAME.get(name, name)


class Run:
    """One run of a program: its shared things and what it shows."""

    def __init__(self, api):
        self.api = api
        self.trace = []
        self.scopes = []
        self.events = [api.Event(), api.Event()]
        pairs = [api.open_memory_channel(size) for size in (0, 0, 1)]
        self.senders = [pair[0] for pair in pairs]
        self.receivers = [pair[1] for pair in pairs]
        self.lock = api.Lock()
        self.semaphore = api.Semaphore(1, max_value=2)
        self.limiter = api.CapacityLimiter(1)
        self.condition = api.Condition()
        self.nurseries = []

    def show(self, label, *what):
        self.trace.append((label, round(self.api.current_time(), 6), *what))

    async def main(self, program):
        try:
            with self.api.move_on_after(LIMIT) as scope:
                self.scopes.append(scope)
                await self.body(program, "main", self.api.TASK_STATUS_IGNORED)
        except BaseException as error:  # noqa: BLE001 -- it is what the run shows
            return tree(error), tuple(self.trace), round(self.api.current_time(), 6)
        return None, tuple(self.trace), round(self.api.current_time(), 6)

    async def body(self, statements, label, status):
        for number, statement in enumerate(statements):
            do = getattr(self, "do_" + statement[0])
            await do(f"{label}.{number}", status, *statement[1:])

    async def task(self, statements, label, task_status=None):
        try:
            await self.body(statements, label, task_status or self.api.TASK_STATUS_IGNORED)
        except BaseException as error:
            self.show(label, "ended", tree(error))
            raise
        self.show(label, "ended")

    def scope_at(self, number):
        return self.scopes[number % len(self.scopes)] if number else self.scopes[-1]

    # -- simple statements

    async def do_mark(self, label, status, number):
        self.show(label, number)

    async def do_checkpoint(self, label, status):
        await self.api.checkpoint()
        self.show(label)

    async def do_checkpoint_if_cancelled(self, label, status):
        await self.api.checkpoint_if_cancelled()
        self.show(label)

    async def do_sleep(self, label, status, seconds):
        await self.api.sleep(seconds)
        self.show(label)

    async def do_sleep_until(self, label, status, seconds):
        await self.api.sleep_until(seconds)
        self.show(label)

    async def do_cancel(self, label, status, number):
        self.scope_at(number).cancel()

    async def do_deadline(self, label, status, number, delta):
        self.scope_at(number).deadline = self.api.current_time() + delta

    async def do_look(self, label, status, number):
        scope = self.scope_at(number)
        deadline = self.api.current_effective_deadline()
        self.show(label, scope.cancel_called, scope.cancelled_caught, round(max(deadline, -1), 6))

    async def do_raise(self, label, status, name):
        raise ERRORS[name]

    async def do_set(self, label, status, number):
        self.events[number].set()

    async def do_wait(self, label, status, number):
        await self.events[number].wait()
        self.show(label)

    async def do_send(self, label, status, number):
        await self.senders[number].send(label)
        self.show(label)

    async def do_send_nowait(self, label, status, number):
        try:
            self.senders[number].send_nowait(label)
        except self.api.WouldBlock:
            self.show(label, "would block")

    async def do_receive(self, label, status, number):
        self.show(label, await self.receivers[number].receive())

    async def do_receive_nowait(self, label, status, number):
        try:
            self.show(label, self.receivers[number].receive_nowait())
        except self.api.WouldBlock:
            self.show(label, "would block")

    async def do_close(self, label, status, which, number):
        getattr(self, which)[number].close()

    async def do_acquire(self, label, status, which):
        await getattr(self, which).acquire()
        self.show(label)

    async def do_release(self, label, status, which):
        getattr(self, which).release()

    async def do_notify(self, label, status, everybody):
        async with self.condition:
            if everybody:
                self.condition.notify_all()
            else:
                self.condition.notify()

    async def do_condition_wait(self, label, status):
        async with self.condition:
            await self.condition.wait()
            self.show(label)

    async def do_remember(self, label, status, value):
        REMEMBERED.set(value)

    async def do_recall(self, label, status):
        self.show(label, REMEMBERED.get())

    async def do_relative_deadline(self, label, status, number, seconds):
        self.scope_at(number).relative_deadline = seconds

    async def do_tokens(self, label, status, number):
        self.limiter.total_tokens = number

    async def do_started(self, label, status, value):
        status.started(value)

    # -- blocks

    async def do_nursery(self, label, status, children, body):
        async with self.api.open_nursery() as nursery:
            self.scopes.append(nursery.cancel_scope)
            self.nurseries.append(nursery)
            for number, child in enumerate(children):
                nursery.start_soon(self.task, child, f"{label}/{number}")
            await self.body(body, label, status)
        self.show(label, "nursery ended")

    async def do_start(self, label, status, child, body):
        async with self.api.open_nursery() as nursery:
            self.scopes.append(nursery.cancel_scope)
            self.nurseries.append(nursery)
            self.show(label, await nursery.start(self.task, child, f"{label}/start"))
            await self.body(body, label, status)

    async def do_scope(self, label, status, seconds, shield, body):
        deadline = float("inf") if seconds is None else self.api.current_time() + seconds
        with self.api.CancelScope(deadline=deadline, shield=shield) as scope:
            self.scopes.append(scope)
            await self.body(body, label, status)
        self.show(label, scope.cancelled_caught, scope.cancel_called)

    async def do_move_on_after(self, label, status, seconds, body):
        with self.api.move_on_after(seconds) as scope:
            self.scopes.append(scope)
            await self.body(body, label, status)
        self.show(label, scope.cancelled_caught)

    async def do_fail_after(self, label, status, seconds, body):
        with self.api.fail_after(seconds) as scope:
            self.scopes.append(scope)
            await self.body(body, label, status)
        self.show(label)

    async def do_cancelled_before(self, label, status, body):
        scope = self.api.CancelScope()
        scope.cancel()
        self.scopes.append(scope)
        with scope:
            await self.body(body, label, status)
        self.show(label, scope.cancelled_caught)

    async def do_late(self, label, status, number, body):
        nursery = self.nurseries[number % len(self.nurseries)]
        nursery.start_soon(self.task, body, f"{label}/late")

    async def do_read_all(self, label, status, number, body):
        seen = 0
        async for value in self.receivers[number]:
            self.show(label, value)
            await self.body(body, label, status)
            seen += 1
            if seen == 3:
                break  # the body may send what it reads, for ever

    async def do_shield(self, label, status, number, shield, body):
        # Only what ends by itself may be shielded.
        scope = self.scope_at(number)
        if scope.deadline < LIMIT:
            scope.shield = shield
        await self.body(body, label, status)

    async def do_finally(self, label, status, body, after):
        try:
            await self.body(body, label, status)
        finally:
            self.show(label, "finally")
            await self.body(after, label + "f", status)

    async def do_except(self, label, status, name, body, after):
        kind = {"Exception": Exception, "Cancelled": self.api.Cancelled, "BaseException": BaseException}[name]
        try:
            await self.body(body, label, status)
        except kind as error:
            self.show(label, "caught", tree(error))
            await self.body(after, label + "e", status)
            if name != "Exception":
                raise

    async def do_swallow(self, label, status, body):
        try:
            await self.body(body, label, status)
        except BaseException as error:  # noqa: BLE001 -- workflow code may do this too
            self.show(label, "swallowed", tree(error))

    async def do_with(self, label, status, which, body):
        async with getattr(self, which):
            self.show(label, "in")
            await self.body(body, label, status)


# -- the two sides -----------------------------------------------------------------------------------------


def run_with_driver(program):
    """Run a program with the driver, in virtual time; what it shows."""
    scheduler = Scheduler(steps_max=20_000)
    scheduler.start_main(_main, DRIVER, program)
    run_to_the_end(scheduler)
    assert () == scheduler.stack()
    assert {} == scheduler.deadlines
    return scheduler.main_outcome.value


async def _main(api, program):
    return await Run(api).main(program)


def run_with_trio(program, seed):
    """Run a program with Trio, in virtual time and under one of its possible orders; what it shows.

    Seed 0 is first come, first served, wherever Trio's order is a coin's or an address's; seed 1 turns each
    round round; every other one shuffles each round.
    """
    with _trio_ordered_by(seed):
        return trio.run(_main, TRIO, program, clock=MockClock(autojump_threshold=0))


@contextmanager
def _trio_ordered_by(seed):
    fixed = SimpleNamespace(random=lambda: float(seed), uniform=lambda low, high: low)
    statuses = trio_run_module.CancelStatus
    with (
        patch.object(trio_run_module, "_ALLOW_DETERMINISTIC_SCHEDULING", new=seed > 1),
        patch.object(trio_run_module, "_r", new=random.Random(seed) if seed > 1 else fixed),
        patch.object(trio_run_module, "id", new=_order_of, create=True),
        patch.object(statuses, "__attrs_post_init__", new=_orderly(statuses.__attrs_post_init__)),
        patch.object(trio.Event, "__init__", new=_orderly_event),
    ):
        yield


def _order_of(thing):
    # Scopes with one deadline expire in the order of their addresses; here the outermost goes first.
    status = getattr(thing, "_cancel_status", None)
    depth = 0
    while status is not None:
        depth += 1
        status = status.parent
    return depth * 10**9 + next(_ages)


_ages = itertools.count()


def _orderly(post_init):
    """Make statuses keep tasks, and the statuses below them, in the order of the tasks' births."""
    entered_by = weakref.WeakKeyDictionary()

    def in_order(status):
        with suppress(RuntimeError):  # the first of a run belongs to no task
            entered_by[status] = trio.lowlevel.current_task()._counter
        status._tasks = _Ordered(key=operator.attrgetter("_counter"))
        status._children = _Ordered(key=lambda child: entered_by.get(child, -1))
        post_init(status)

    return in_order


def _orderly_event(event):
    event._flag = False
    event._tasks = _Ordered()


class _Ordered(dict):
    """A set that remembers in which order things came, or goes by a key."""

    def __init__(self, key=None):
        self.key = key

    def add(self, thing):
        self[thing] = None

    def remove(self, thing):
        del self[thing]

    def __iter__(self):
        return iter(sorted(super().__iter__(), key=self.key) if self.key else list(super().__iter__()))
