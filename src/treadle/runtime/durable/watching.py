"""Watching the store: whose time comes, whose mail waits, who is held.

A workflow that sleeps costs nothing but its rows. What is due is asked for a window at a time, in pages, in
the order of their times; within the window a time and an id in memory are all that is kept. Mail of this
process is handed on by whoever puts it; mail of other processes is found because the store's change counter
moves.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from treadle.engine import (
    MessageKind,
    ParentLink,
    Status,
    Update,
    WorkflowDefinition,
    input_of,
)
from treadle.engine.messages import ChildStartMessage
from treadle.errors import CodecError, CorruptStoreError, StorePoisonedError, TreadleError
from treadle.events import WorkflowId
from treadle.runtime.durable.instance import AnyOffer, Ask, Instance, Offer, Phase, StartOffer
from treadle.runtime.durable.timetable import WALL_CLOCK_SECONDS_MAX
from treadle.runtime.durable.wire import (
    HELD,
    REPLIES,
    Answer,
    AskMessage,
    HeldNote,
    QueryMessage,
    ResetMessage,
    StartMessage,
    UpdateMessage,
    decode_wire,
)
from treadle.stores import PAGE_WORKFLOWS, Message, Record, Taken, Unit

if TYPE_CHECKING:
    from treadle.runtime.durable.runner import Runner

WINDOW_SECONDS: Final = 3_600
"""How far ahead wake-ups are kept in memory: long enough to ask rarely, short enough to keep few."""
WAKE_UPS_MAX: Final = 100_000
"""How many wake-ups one window keeps; a fuller one ends earlier."""
REPLIES_KEPT_SECONDS: Final = 3_600
"""How long an answer waits for whoever has asked."""
QUIET_SECONDS: Final = 1.0
"""How often the mail of workflows that cannot read it (held, not run here) is looked at."""
LEFT_KEPT_MAX: Final = 1_000
"""How many messages that lack a codec are told of; more of them say nothing new."""
_ANSWERED_AT_ONCE: Final = frozenset(
    {
        MessageKind.UPDATE,
        MessageKind.QUERY,
        MessageKind.STACK,
        MessageKind.RESUME,
        MessageKind.RESET,
    }
)
"""Kinds that are of no use later: who has sent them waits for the answer now."""
_ASKED: Final = _ANSWERED_AT_ONCE - {MessageKind.UPDATE}
_NANOSECONDS: Final = 1_000_000_000
_logger: Final = logging.getLogger("treadle.runtime")


class Watching:
    """Finds what there is to do.

    Args:
        runner: to which it is given.

    Attributes:
        caught_up: whether all mail that waited when the runner took over has been handed on.
    """

    def __init__(self, runner: Runner) -> None:
        self.caught_up = False
        self._runner = runner
        self._kernel = runner.kernel
        self._store = runner.store
        self._horizon_ns = 0
        self._mail_wanted: dict[WorkflowId, None] = {}
        self._mail_task: trio.lowlevel.Task | None = None
        self._scanning = False
        self._news = False
        self._look_again = inf
        self._taken_meanwhile: set[Taken] = set()
        self._left: set[bytes] = set()
        self._quiet_until: dict[WorkflowId, float] = {}
        self._digests: dict[str, str] = {}

    # -- time --

    @trio.lowlevel.enable_ki_protection
    async def watch_due(self) -> None:
        """Give the runner what is due, window after window, until cancelled."""
        await self._retry_held()
        await self._sweep_replies()
        after: tuple[int, WorkflowId] | None = None
        while True:
            now_ns = self._kernel.wall_time_ns()
            after = await self._scan_window(after, now_ns + WINDOW_SECONDS * _NANOSECONDS)
            # Half a window before its end, so that nothing is late; at once when it was cut short.
            await self._sleep_until(self._horizon_ns - WINDOW_SECONDS * _NANOSECONDS // 2)

    async def _sleep_until(self, when_ns: int) -> None:
        while (left_ns := when_ns - self._kernel.wall_time_ns()) > 0:
            seconds = left_ns / _NANOSECONDS
            if self._kernel.wall_clock_jumps:
                seconds = min(seconds, WALL_CLOCK_SECONDS_MAX)
            await self._kernel.sleep(seconds)
        await self._kernel.turn()

    async def _scan_window(
        self, after: tuple[int, WorkflowId] | None, until_ns: int
    ) -> tuple[int, WorkflowId]:
        found = 0
        while found < WAKE_UPS_MAX:
            page = await self.ask_again(self._store.due, until_ns, after=after, limit=PAGE_WORKFLOWS)
            for head in page:
                assert head.facts is not None  # noqa: S101  # what is due has facts
                assert head.facts.wake_up_ns is not None  # noqa: S101
                after = (head.facts.wake_up_ns, head.workflow_id)
                if Status(head.facts.status).is_closed or not self._runs_here(head.facts.name):
                    continue
                found += 1
                await self._wake_up(head.workflow_id, head.facts.wake_up_ns)
            if len(page) < PAGE_WORKFLOWS:
                self._horizon_ns = until_ns
                return until_ns + 1, WorkflowId("")
        assert after is not None  # noqa: S101  # a full window has a last one
        self._horizon_ns = after[0]
        return after

    def _runs_here(self, name: str) -> bool:
        return name in self._runner.registry.workflows

    async def _wake_up(self, workflow_id: WorkflowId, wake_up_ns: int) -> None:
        runner = self._runner
        if workflow_id in runner.instances:
            return
        if wake_up_ns > self._kernel.wall_time_ns():
            runner.timetable.set(workflow_id, wake_up_ns)
            return
        await runner.loading.wait_room()
        if workflow_id not in runner.instances:
            instance = runner.instance(workflow_id)
            runner.load(instance)

    def put_away(self, instance: Instance) -> None:
        """Keep, of an instance that leaves memory, only its next wake-up, if that is soon.

        Args:
            instance: without offers.
        """
        wake_up_ns = instance.facts.wake_up_ns if instance.facts is not None else None
        if wake_up_ns is not None and wake_up_ns <= self._horizon_ns:
            self._runner.timetable.set(instance.workflow_id, wake_up_ns)
        else:
            self._runner.timetable.clear(instance.workflow_id)

    # -- mail --

    def offer_of(self, message: Message) -> AnyOffer | None:
        """Make of a row what waits for an instance's turn.

        Args:
            message: the row.

        Returns:
            The offer. A row that cannot be read becomes one that is turned away. None when a codec or a key
            is missing: such a row stays for a runner that has it, unless its sender waits for an answer.
        """
        try:
            payload = self._runner.envelopes.open(message.workflow_id, message.payload)
            return self._offer_of(message, payload)
        except CodecError as error:
            if message.kind in _ANSWERED_AT_ONCE:
                return Ask("unreadable", name=str(error), message=message)
            self._leave(message, error)
            return None
        except (CorruptStoreError, msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
            return Ask("unreadable", name=str(error), message=message)

    def _leave(self, message: Message, error: CodecError) -> None:
        if message.message_id not in self._left and len(self._left) < LEFT_KEPT_MAX:
            self._left.add(message.message_id)
            _logger.warning("a message to workflow %r is left in its mailbox: %s", message.workflow_id, error)

    def _offer_of(self, message: Message, payload: bytes) -> AnyOffer:
        kind, code = message.kind, self._runner.registry.workflows.get
        if kind == MessageKind.START:
            start = decode_wire(payload, StartMessage)
            signal = None if start.signal is None else (start.signal, bytes(start.signal_args))
            return StartOffer(
                code(start.name),
                start.name,
                bytes(start.args),
                self._runner.new_seed(),
                policy=start.policy,
                signal=signal,
                message=message,
            )
        if kind == MessageKind.UPDATE:
            update = decode_wire(payload, UpdateMessage)
            return Offer(Update(update.id, update.name, bytes(update.args)), message)
        if kind in _ASKED:
            return _ask_of(message, payload)
        given = input_of(kind, payload)
        if isinstance(given, ChildStartMessage):
            return StartOffer(
                code(given.name),
                given.name,
                bytes(given.args),
                self._runner.new_seed(),
                parent=ParentLink(given.parent_id, given.parent_seq, given.parent_run),
                message=message,
            )
        return Offer(given, message)

    def taken(self, taken: Taken) -> None:
        """Note that a message is gone, for a look at the mailbox that began before.

        Args:
            taken: durable.
        """
        if self._scanning:
            self._taken_meanwhile.add(taken)

    def look(self) -> None:
        """Have all mailboxes looked at: another runtime over the same store has written something."""
        self._news = True
        self._wake()

    def want_mail(self, instance: Instance) -> None:
        """Have the mailbox of a workflow read.

        Args:
            instance: whose.
        """
        instance.wants_mail = True
        self._mail_wanted[instance.workflow_id] = None
        self._wake()

    def _wake(self) -> None:
        if self._mail_task is not None:
            task, self._mail_task = self._mail_task, None
            self._kernel.wake(task)

    @trio.lowlevel.enable_ki_protection
    async def watch_mail(self) -> None:
        """Hand on all mail that waits, and what other processes leave, until cancelled."""
        seen: int | None = None
        scan = True
        while True:
            if scan:
                self._news, self._look_again = False, inf
                await self._scan_mail()
                self.caught_up = True
            wanted, self._mail_wanted = self._mail_wanted, {}
            for workflow_id in wanted:
                await self._read_mail(workflow_id)
            if not (self._mail_wanted or self._news):
                await self._wait_for_mail()
            scan = self._news or trio.current_time() >= self._look_again
            if self._store.shared:
                counter = await self.ask_again(self._store.change_counter)
                scan, seen = scan or counter != seen, counter

    async def _wait_for_mail(self) -> None:
        poll = trio.current_time() + self._runner.config.poll_seconds if self._store.shared else inf
        with trio.move_on_at(min(poll, self._look_again)):
            self._mail_task = trio.lowlevel.current_task()
            await self._kernel.park(self._forget_mail_task)

    def _forget_mail_task(self) -> None:
        self._mail_task = None

    async def _scan_mail(self) -> None:
        after: WorkflowId | None = None
        while True:
            page = await self.ask_again(
                self._store.workflows_with_messages, after=after, limit=PAGE_WORKFLOWS
            )
            for workflow_id in page:
                if self._may_have_news(workflow_id):
                    await self._read_mail(workflow_id)
            if len(page) < PAGE_WORKFLOWS:
                return
            after = page[-1]

    def _may_have_news(self, workflow_id: WorkflowId) -> bool:
        """Not every look at the mailbox for those who cannot read their mail anyway."""
        instance = self._runner.instances.get(workflow_id)
        if instance is None or instance.phase not in {Phase.HELD, Phase.STRANGE}:
            self._quiet_until.pop(workflow_id, None)
            return True
        now, until = trio.current_time(), self._quiet_until.get(workflow_id, 0.0)
        if until > now:
            # Nothing may be committed by then that would call for another look.
            self._look_again = min(self._look_again, until)
            return False
        self._quiet_until[workflow_id] = now + QUIET_SECONDS
        return True

    async def _read_mail(self, workflow_id: WorkflowId) -> None:
        runner = self._runner
        if workflow_id not in runner.instances:
            await runner.loading.wait_room()
        self._scanning = True
        try:
            rows = await self.ask_again(self._store.messages, workflow_id)
        finally:
            self._scanning = False
            gone, self._taken_meanwhile = self._taken_meanwhile, set()
        for row in rows:
            if Taken(row.workflow_id, row.message_id) not in gone:
                runner.deliver(row)
        instance = runner.instances.get(workflow_id)
        if instance is not None and instance.wants_mail and workflow_id not in self._mail_wanted:
            # Asked for once more meanwhile: what was put since these rows were read must not be overtaken.
            instance.wants_mail = False
            instance.offers.extend(instance.behind_mail)
            instance.behind_mail.clear()
            runner.post(instance)

    # -- who is held, what is left over --

    async def _retry_held(self) -> None:
        """Try those held workflows again whose code is another one now."""
        runner, after = self._runner, None
        while True:
            page = await self.ask_again(self._store.records, HELD, after=after)
            for record in page:
                workflow_id = WorkflowId(record.key.decode())
                note = self._note_of(record, workflow_id)
                if not note.branch:
                    runner.held[workflow_id] = note.reason
                head = (await self.ask_again(self._store.heads, [workflow_id]))[0]
                name = head.facts.name if head.facts is not None else ""
                code = runner.code_of(name)
                # A branch waits for somebody who resumes it, whatever its code is.
                is_mended = bool(code) and code != note.code and not note.branch
                if head.facts is None or head.facts.status != Status.HELD or is_mended:
                    runner.held.pop(workflow_id, None)
                    await runner.loading.wait_room()
                    instance = runner.instance(workflow_id)
                    instance.retries_held = True
                    instance.held = note.reason
                    runner.load(instance)
            if len(page) < PAGE_WORKFLOWS:
                return
            after = page[-1].key

    def _note_of(self, record: Record, workflow_id: WorkflowId) -> HeldNote:
        assert record.value is not None  # noqa: S101  # records that are read have values
        try:
            return decode_wire(self._runner.envelopes.open(workflow_id, record.value), HeldNote)
        except TreadleError as error:
            return HeldNote(0, str(error), "")

    async def _sweep_replies(self) -> None:
        """Remove answers that nobody has fetched."""
        after: bytes | None = None
        limit_ns = self._kernel.wall_time_ns() - REPLIES_KEPT_SECONDS * _NANOSECONDS
        while page := await self.ask_again(self._store.records, REPLIES, after=after):
            after = page[-1].key
            old = tuple(Record(REPLIES, row.key, None) for row in page if _is_older(row, limit_ns))
            if old:
                unit = Unit(records=old, epoch=self._runner.flights.epoch)
                self._runner.flights.send_alone(unit, lambda _: None)

    async def ask_again(self, question: Any, *args: Any, **options: Any) -> Any:
        """Ask the store until it answers; a poisoned one stops the runner.

        Args:
            question: a method of the store.
            *args: handed to it.
            **options: likewise.

        Returns:
            The answer.
        """
        pause = self._runner.config.backoff_initial_seconds
        while True:
            try:
                return await question(*args, **options)
            except StorePoisonedError as error:
                self._runner.stop(error)
                await self._kernel.sleep(float("inf"))
            except TreadleError:
                await self._kernel.sleep(pause)
                pause = min(2 * pause, self._runner.config.backoff_maximum_seconds)

    def code_digest(self, definition: WorkflowDefinition[..., Any]) -> str:
        """Tell one version of a workflow's module from another: mended code is tried again.

        Args:
            definition: the workflow.

        Returns:
            A digest of its module's source, or of its own code when there is no source.
        """
        digest = self._digests.get(definition.name)
        if digest is None:
            digest = self._digests[definition.name] = _digest_of(definition)
        return digest


def _ask_of(message: Message, payload: bytes) -> Ask:
    if message.kind == MessageKind.QUERY:
        query = decode_wire(payload, QueryMessage)
        return Ask("query", name=query.name, args_json=bytes(query.args), message=message)
    if message.kind == MessageKind.STACK:
        return Ask(decode_wire(payload, AskMessage).what, message=message)
    if message.kind == MessageKind.RESET:
        decode_wire(payload, ResetMessage)  # refuses what is none
        return Ask("reset", args_json=payload, message=message)
    return Ask("resume", message=message)


def _digest_of(definition: WorkflowDefinition[..., Any]) -> str:
    function = inspect.unwrap(definition.function)
    try:
        source = Path(inspect.getfile(function)).read_bytes()
    except (OSError, TypeError):
        source = function.__code__.co_code + repr(function.__code__.co_consts).encode()
    return hashlib.blake2b(source, digest_size=16).hexdigest()


def _is_older(row: Record, limit_ns: int) -> bool:
    try:
        return row.value is None or msgspec.json.decode(row.value, type=Answer).at_ns < limit_ns
    except msgspec.DecodeError:
        return False  # encrypted: whoever holds the key may fetch it
