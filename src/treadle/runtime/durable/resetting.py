"""Reset: a workflow goes on from an earlier event, under its own id; what came after is abandoned, not lost.

One unit does it: the RESET event, head facts that let somebody look at once, and the signals that come again
as rows of the mailbox. Before it is durable nothing has changed; afterwards every opening of the store goes
on from there. Attempts that run are cancelled, and those that are wanted again begin when they have ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Raw

from treadle.engine import MessageKind, encode_message, message_id
from treadle.engine.marks import MARK_KINDS, view_of
from treadle.engine.messages import SignalMessage
from treadle.engine.origins import decoded_events
from treadle.engine.records import SignalReceived
from treadle.errors import (
    ConflictError,
    EventsPrunedError,
    FencedError,
    SequenceGapError,
    StorePoisonedError,
    TreadleError,
    UsageError,
)
from treadle.events import EventKind, WorkflowEvent
from treadle.log import Reset, chain_digest, encode_reset
from treadle.runtime.durable import refusing
from treadle.runtime.durable.beginning_branches import STARTS, name_of_run, read_all, replay_from, status_at
from treadle.runtime.durable.flights import IN_FLIGHT_NS
from treadle.runtime.durable.instance import Ask, EngineProposal, Instance, Phase
from treadle.runtime.durable.replies import Promise
from treadle.runtime.durable.wire import (
    AWAITING_RESUME,
    HELD,
    REPLIES,
    WHAT_IF,
    Answer,
    ResetMessage,
    answer_of,
)
from treadle.runtime.inbox import closed_error
from treadle.stores import Batch, Guard, Head, HeadFacts, Message, Record, Taken, Unit

if TYPE_CHECKING:  # the runner resets
    from treadle.runtime.durable.runner import Runner

_SIGNAL: Final = EventKind.SIGNAL_RECEIVED


class Resetting:
    """Resets the runner's workflows, one task each; no turn of theirs is taken meanwhile.

    Args:
        runner: whose workflows they are.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def begin(self, instance: Instance, ask: Ask) -> None:
        """Reset a workflow; called on the stage, with no unit of its under way.

        Args:
            instance: the workflow; it takes no turn until this has come to its end.
            ask: what is wanted.
        """
        instance.crashed = True
        self._runner.clear_alarm(instance)
        self._runner.spawn(self._reset, instance, ask)

    async def _reset(self, instance: Instance, ask: Ask) -> None:
        runner = self._runner
        try:
            seq = await self._written(instance, ask)
            if seq is not None and ask.reply is not None:
                ask.reply.give(seq)
        except TreadleError as error:
            if ask.reply is not None:
                ask.reply.fail(error)
            if isinstance(error, FencedError | StorePoisonedError):
                runner.stop(error)
        finally:
            if ask.reply is not None:
                ask.reply.fail(closed_error())  # nobody else would tell whoever waits
        if not runner.stopping:
            runner.stage.post(runner.begin_anew, instance)

    async def _written(self, instance: Instance, ask: Ask) -> int | None:
        """Plan it and write it; anew where the log was cut or deleted in between, which nothing else can be.

        Returns:
            The seq of the RESET, or None when it was refused.
        """
        for left in reversed(range(self._runner.config.readmissions_max + 1)):
            plan = await self._planned(instance, ask)
            if plan is None:
                return None
            instance.phase, instance.held = Phase.COLD, ""  # also should nobody know what becomes of it
            try:
                await self._write(instance, ask, plan)
            except ConflictError:
                if not left:
                    raise
            else:
                return plan.event.seq
        return None  # pragma: no cover  # the last of them returns or raises

    async def _planned(self, instance: Instance, ask: Ask) -> _Plan | None:
        try:
            return await self._plan(instance, msgspec.json.decode(ask.args_json, type=ResetMessage))
        except TreadleError as error:
            self._refuse(instance, ask, error)
            return None

    def _refuse(self, instance: Instance, ask: Ask, error: TreadleError) -> None:
        runner = self._runner
        if ask.reply is not None:
            ask.reply.fail(error)
        if ask.message is None:
            return
        told = answer_of(error, runner.kernel.wall_time_ns())
        unit = Unit(
            messages_taken=(Taken(instance.workflow_id, ask.message.message_id),),
            records=(runner.envelopes.record(REPLIES, ask.message.message_id, instance.workflow_id, told),),
            epoch=runner.flights.epoch,
        )
        runner.flights.send_alone(unit, lambda _: None)

    # -- what it takes --

    async def _plan(self, instance: Instance, wanted: ResetMessage) -> _Plan:
        runner, at = self._runner, wanted.at
        (head,) = await runner.store.heads([instance.workflow_id])
        check_resettable(head, at)
        events = await read_all(runner.store, head, head.first_kept_seq, head.next_seq - 1)
        view = view_of(events)
        _check_counts(head, events, at)
        at = max(event.seq for event in view.events if event.seq <= at)
        status = await status_at(runner.store, head, at)
        run = max(event.seq for event in view.events if event.kind in STARTS and event.seq <= at)
        reset = Reset(at, run, runner.new_seed().hex(), wanted.reapply)
        event = WorkflowEvent(
            head.next_seq, runner.kernel.wall_time_ns(), EventKind.RESET, encode_reset(reset)
        )
        wake_up_ns = None if status.is_closed else IN_FLIGHT_NS
        replays_from = await replay_from(runner.store, runner.codecs, head, at)
        name = await name_of_run(runner.store, runner.codecs, head, run)
        kept = HeadFacts(int(status), min(run, replays_from), wake_up_ns, name)
        rows: tuple[Message, ...] = ()
        if wanted.reapply == "signals" and not status.is_closed:
            abandoned = {one.seq for one in view.events if one.kind is _SIGNAL and one.seq > at}
            rows = self._rows(instance, events, abandoned, event.seq)
        return _Plan(head, event, kept, rows)

    def _rows(
        self, instance: Instance, events: list[WorkflowEvent], seqs: set[int], reset_seq: int
    ) -> tuple[Message, ...]:
        """Make messages of signals that were taken once, under ids that no other reset makes."""
        runner, workflow_id = self._runner, instance.workflow_id
        if not seqs:
            return ()
        rows = []
        for event in decoded_events(workflow_id, events, runner.codecs):
            if event.seq in seqs:
                signal = msgspec.json.decode(event.payload, type=SignalReceived)
                payload = encode_message(SignalMessage(signal.name, Raw(bytes(signal.args))))
                name = message_id(workflow_id, reset_seq, event.seq, 0)
                rows.append(runner.envelopes.row(workflow_id, name, MessageKind.SIGNAL, payload))
        return tuple(rows)

    async def _write(self, instance: Instance, ask: Ask, plan: _Plan) -> None:
        runner, head = self._runner, plan.head
        runner.attempts.cancel_all(
            instance.workflow_id
        )  # those that are wanted again begin when these have ended
        batch = Batch(
            instance.workflow_id,
            head.digest,
            (plan.event,),
            (chain_digest(head.digest, plan.event),),
            facts=plan.facts,
        )
        taken: tuple[Taken, ...] = ()
        records: tuple[Record, ...] = (Record(HELD, instance.workflow_id.encode(), None),)
        if ask.message is not None:
            taken = (Taken(instance.workflow_id, ask.message.message_id),)
            told = Answer(runner.kernel.wall_time_ns(), value=refusing.raw({"seq": plan.event.seq}))
            records += (runner.envelopes.record(REPLIES, ask.message.message_id, instance.workflow_id, told),)
        # A deleted log stands where it stood, so that no batch tells: it would begin with a RESET of nothing.
        guard = Guard(instance.workflow_id, head.next_seq, head.digest, head.first_kept_seq)
        unit = Unit((batch,), (guard,), plan.rows, taken, records, runner.flights.epoch)
        promise = Promise(runner.kernel)

        def settled(proposal: EngineProposal) -> None:
            if proposal.error is not None:
                promise.fail(proposal.error)
            else:
                promise.give(None)

        runner.flights.send_alone(unit, settled)
        await promise.wait()
        runner.held.pop(instance.workflow_id, None)
        if runner.changes.anybody:
            runner.changes.committed(instance.workflow_id)


class _Plan(NamedTuple):
    """What a reset writes."""

    head: Head
    event: WorkflowEvent
    facts: HeadFacts
    rows: tuple[Message, ...]


def check_resettable(head: Head, at: int) -> None:
    """Refuse a reset that cannot be.

    Args:
        head: the workflow's.
        at: the event from which it is to go on.

    Raises:
        WorkflowNotFoundError: there is no such workflow.
        UsageError: it is a plain log, a branch that only plays, or one that was not resumed yet.
        SequenceGapError: it does not reach that far.
        EventsPrunedError: the event is no longer kept.
    """
    workflow_id = head.workflow_id
    if head.facts is None:
        has_events = head.next_seq > head.first_kept_seq
        raise refusing.plain_log(workflow_id) if has_events else refusing.not_found(workflow_id)
    if head.facts.details == WHAT_IF:
        raise refusing.only_played(workflow_id)
    if head.facts.details == AWAITING_RESUME:
        raise UsageError(
            f"{workflow_id!r} is a branch that was not resumed yet: there is nothing of its own to abandon;"
            " resume it, or branch at the other seq"
        )
    if at >= head.next_seq - 1:
        raise SequenceGapError(
            f"workflow {workflow_id!r} stands at seq {head.next_seq}: a reset goes back to an event before"
            f" its newest, got {at}; give one from {head.first_kept_seq} to {head.next_seq - 2}",
            workflow_id=workflow_id,
            next_seq=head.next_seq,
        )
    if at < head.first_kept_seq:
        raise EventsPrunedError(
            f"workflow {workflow_id!r}: seq {at} lies below the first kept seq {head.first_kept_seq}; reset"
            " to one from there on",
            workflow_id=workflow_id,
            next_seq=head.next_seq,
            first_kept_seq=head.first_kept_seq,
        )


def _check_counts(head: Head, events: list[WorkflowEvent], at: int) -> None:
    counting = {event.seq for event in view_of(events).events}
    marks = {event.seq for event in events if event.kind in MARK_KINDS}
    if at in counting or at in marks:
        return
    later = min(seq for seq in marks if seq > at)
    raise UsageError(
        f"workflow {head.workflow_id!r}: seq {at} was abandoned by the reset at seq {later}; give one that"
        " counts, or branch there"
    )
