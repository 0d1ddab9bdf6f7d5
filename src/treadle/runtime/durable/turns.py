"""Turns: what an instance does when it is its turn on the stage.

A turn takes what waits for the instance, runs its code, and ends with one unit on its way to the store, or
with nothing to write. It never waits. What happens to code that cannot go on is decided here as well: the
workflow is *held*, with the reason, and its inputs stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from treadle.engine import (
    ActivityDone,
    AnswerUpdate,
    AttemptFailed,
    CancelActivity,
    EndedByCancel,
    Execution,
    Failed,
    Rejected,
    Signal,
    Start,
    StartActivity,
    Status,
    Terminate,
    TimersFired,
    Update,
    terminate,
)
from treadle.engine.arguments import decode_arguments
from treadle.engine.failures import process_lost_failure
from treadle.errors import (
    InvalidValueError,
    TreadleError,
    WorkflowHeldError,
    WorkflowNotHereError,
)
from treadle.events import WorkflowEvent
from treadle.log import root_digest
from treadle.runtime.durable import refusing
from treadle.runtime.durable.instance import AnyOffer, Ask, Decided, Instance, Offer, Phase, StartOffer
from treadle.runtime.durable.stage import ForeignScopeError, StrayError
from treadle.runtime.durable.wire import (
    AWAITING_RESUME,
    HELD,
    REPLIES,
    Answer,
    HeldNote,
    answer_of,
)
from treadle.stores import HeadFacts, Record, Taken

if TYPE_CHECKING:  # turns are the runner's
    from treadle.runtime.durable.runner import Runner

_RESTING: Final = frozenset({Phase.HELD, Phase.STRANGE, Phase.CLOSED})
"""Phases in which a log is known and no code of it is in memory."""
_CLOSED: Final = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TERMINATED})


class Turns:
    """Takes the turns of all instances; every method is called on the stage.

    Args:
        runner: whose instances they are.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._guard = runner.stage.guard
        self._wall_time_ns = runner.kernel.wall_time_ns

    def take(self, instance: Instance) -> None:
        """Take one turn.

        Args:
            instance: whose turn it is.
        """
        instance.posted = False
        if self._runner.stopping or instance.flight is not None or instance.paused or instance.crashed:
            return
        if instance.phase in _RESTING and (ask := _reset_in(instance.offers)) is not None:
            instance.loaded = None  # the log will not end there
            self._begin_reset(instance, ask)
        elif instance.loaded is not None:
            self._awaken(instance)
        elif instance.phase is Phase.LIVE:
            self._activate(instance)
        elif instance.offers or instance.phase is Phase.CLOSED:
            self._without_code(instance)
        if instance.flight is None:
            self._runner.rested(instance)

    # -- the ordinary turn --

    def _activate(self, instance: Instance) -> None:
        execution, runner = instance.execution, self._runner
        assert execution is not None  # noqa: S101  # LIVE: its code is in memory
        offers, decided, now_ns = instance.offers, Decided(), self._wall_time_ns()
        events_max, inputs = runner.config.batch_events_max, 0
        while offers and inputs < instance.inputs_max and len(decided.events) < events_max:
            offer = offers[0]
            if type(offer) is Ask:
                if decided.writes:
                    break  # asked about what is durable, which this is not yet
                offers.pop(0)
                if offer.what == "reset":
                    self._runner.carry_out(instance, decided)
                    self._begin_reset(instance, offer)
                    return
                self._answer(instance, offer)
                if execution.is_spoilt:
                    break
                continue
            offers.pop(0)
            if type(offer) is StartOffer:
                self._meet_existing(instance, offer, decided)
                continue
            inputs += 1
            if not self._take_input(instance, execution, offer, decided, now_ns):
                return
            if execution.status is not Status.RUNNING or execution.is_spoilt:
                break
        if execution.is_spoilt:
            self._spoilt(instance, decided)
        else:
            self._send(instance, execution, decided)

    def _spoilt(self, instance: Instance, decided: Decided) -> None:
        """A query or a validator has changed what it must only look at: the code is replayed from the log."""
        self._drop_code(instance)
        if decided.events:
            # Taken once more, one at a time: the one who did it then comes alone.
            instance.offers[:0] = decided.offers
            instance.inputs_max = 1
        else:
            self._answer_foreign_updates(instance, decided)
            if decided.writes:
                self._runner.flights.send(instance, decided)
            else:
                self._runner.carry_out(instance, decided)
        self._runner.load(instance)

    def _take_input(
        self, instance: Instance, execution: Execution, offer: Any, decided: Decided, now_ns: int
    ) -> bool:
        given = offer.input
        if type(given) is AttemptFailed and not _is_news(execution, given):
            self._note(instance, offer, decided)
            return True
        if type(given) is Update and offer.reply is not None:
            instance.updates.setdefault(given.id, (given, []))[1].append(offer.reply)
        try:
            activation = self._guard(execution.activate, given, now_ns)
        except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this workflow alone
            self._trouble(instance, [*decided.offers, offer], error, alone=not decided.offers)
            return False
        before = (len(decided.events), len(decided.taken), len(decided.effects))
        if decided.events:
            decided.marks += (before,)
        if activation.fired[0]:
            events, effects = activation.fired
            decided.marks += ((before[0] + events, before[1], before[2] + effects),)
        decided.events += activation.events
        decided.effects += activation.effects
        if activation.taken:
            self._note(instance, offer, decided)
        else:
            instance.offers.insert(0, offer)
        return True

    def _note(self, instance: Instance, offer: Any, decided: Decided) -> None:
        decided.offers += (offer,)
        decided.records += offer.records
        if offer.message is not None:
            decided.taken += (Taken(instance.workflow_id, offer.message.message_id),)

    def _send(self, instance: Instance, execution: Execution, decided: Decided) -> None:
        if decided.events:
            facts = execution.facts()
            if facts != instance.facts:
                # Facts that stay as they are cost no row.
                decided.facts = HeadFacts(*facts)
        if decided.taken:
            self._answer_foreign_updates(instance, decided)
        if decided.writes:
            self._runner.flights.send(instance, decided)
            return
        self._runner.carry_out(instance, decided)
        if instance.offers:
            # As many inputs as a turn takes came to nothing, and no unit that lands will ask for the rest.
            self._runner.post(instance)

    def _answer_foreign_updates(self, instance: Instance, decided: Decided) -> None:
        """Tell askers in other processes, in the same unit, where to find their update's end."""
        asked = [
            offer
            for offer in decided.offers
            if type(offer) is Offer and type(offer.input) is Update and offer.message is not None
        ]
        if not asked:
            return
        ended = {effect.update_id: effect for effect in decided.effects if type(effect) is AnswerUpdate}
        now_ns = self._wall_time_ns()
        for offer in asked:
            assert isinstance(offer, Offer)  # noqa: S101
            assert isinstance(offer.input, Update)  # noqa: S101
            effect = ended.get(offer.input.id)
            if effect is not None and type(effect.outcome) is Rejected:
                error = refusing.rejected(instance.workflow_id, offer.input.name, effect.outcome)
                answer = answer_of(error, now_ns)
            else:
                answer = Answer(now_ns, value=refusing.raw({"seq": effect.seq if effect else 0}))
            decided.records += (self._reply_record(instance, offer, answer),)

    def _reply_record(self, instance: Instance, offer: AnyOffer, answer: Answer) -> Record:
        assert offer.message is not None  # noqa: S101  # only rows are answered by records
        key = offer.message.message_id
        return self._runner.envelopes.record(REPLIES, key, instance.workflow_id, answer)

    # -- beginning --

    def _without_code(self, instance: Instance) -> None:
        phase, runner = instance.phase, self._runner
        if phase is Phase.COLD or (phase is Phase.HELD and _wants_log(instance)):
            runner.load(instance)
        elif phase in {Phase.NEW, Phase.ABSENT, Phase.CLOSED, Phase.PLAIN, Phase.WHAT_IF}:
            self._begin_or_refuse(instance)
        elif phase in {Phase.HELD, Phase.STRANGE}:
            decided = Decided()
            self._keep(instance, decided)
            if decided.writes:
                runner.flights.send(instance, decided)

    def _begin_or_refuse(self, instance: Instance) -> None:
        """Nothing runs under this id: take a start, and turn everything else away."""
        decided = Decided()
        if instance.phase is Phase.ABSENT and self._looks_for_start(instance):
            return
        if instance.phase is Phase.CLOSED:
            # Perhaps by a unit of whose outcome nobody was told.
            self._runner.look_again(instance.workflow_id)
        while instance.offers:
            offer = instance.offers.pop(0)
            error = self._refusal(instance, offer)
            if error is not None:
                self._refuse(instance, offer, error, decided)
                continue
            if decided.writes:
                instance.offers.insert(0, offer)
                break
            assert type(offer) is StartOffer  # noqa: S101  # everything else was refused
            self._begin(instance, offer)
            return
        if decided.writes:
            self._runner.flights.send(instance, decided)

    def _looks_for_start(self, instance: Instance) -> bool:
        """See that a message which this process has put overtakes no start that another one has left."""
        if instance.has_looked or all(offer.message is None for offer in instance.offers):
            return False
        instance.has_looked = True
        instance.offers[:] = [offer for offer in instance.offers if offer.message is None]
        instance.known.clear()
        self._runner.watching.want_mail(instance)
        return True

    def _misfit(self, offer: StartOffer) -> TreadleError | None:
        """Tell what is wrong with arguments from a process that may not have the code to judge them by.

        A start here was judged by its caller. A child's parent has made its arguments with the child's own
        definition; where that has changed meanwhile, the child fails and its parent is told.
        """
        if offer.message is None or offer.parent is not None or offer.definition is None:
            return None
        try:
            self._guard(decode_arguments, offer.definition, offer.args_json, self._runner.converter)
        except InvalidValueError as error:
            return error
        except Exception:  # noqa: BLE001  # a slip in the code: it is met again, and holds the workflow
            return None
        return None

    def _refusal(self, instance: Instance, offer: AnyOffer) -> TreadleError | None:
        if type(offer) is not StartOffer:
            return refusing.nobody_there(instance)
        if offer.definition is None:
            return refusing.unknown_code(instance.workflow_id, offer.name)
        if instance.phase in {Phase.PLAIN, Phase.WHAT_IF}:
            return refusing.nobody_there(instance)
        if instance.phase is Phase.CLOSED and offer.policy != "allow_when_closed":
            assert instance.facts is not None  # noqa: S101  # what has ended has facts
            return refusing.exists(instance.workflow_id, Status(instance.facts.status))
        return self._misfit(offer)

    def _begin(self, instance: Instance, offer: StartOffer) -> None:
        runner, now_ns = self._runner, self._wall_time_ns()
        if instance.phase is Phase.NEW:
            instance.next_seq, instance.digest = 1, root_digest(instance.workflow_id)
        assert offer.definition is not None  # noqa: S101  # the pair of _refusal()
        execution = runner.execution(offer.definition, instance.workflow_id, first_seq=instance.next_seq)
        inputs: list[Any] = [Start(offer.args_json, offer.seed, offer.parent)]
        if offer.signal is not None:
            inputs.append(Signal(*offer.signal))
        decided = Decided(started=instance.next_seq)
        try:
            for given in inputs:
                activation = self._guard(execution.activate, given, now_ns)
                decided.events += activation.events
                decided.effects += activation.effects
        except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this workflow alone
            instance.execution = execution
            self._trouble(instance, [offer], error, alone=True)
            return
        decided.offers += (offer,)
        if offer.message is not None:
            decided.taken += (Taken(instance.workflow_id, offer.message.message_id),)
            answer = Answer(now_ns, value=refusing.raw({"run": decided.started}))
            if offer.parent is None:
                decided.records += (self._reply_record(instance, offer, answer),)
        decided.facts = HeadFacts(*execution.facts())
        instance.execution, instance.phase = execution, Phase.LIVE
        runner.flights.send(instance, decided)

    def _meet_existing(self, instance: Instance, offer: StartOffer, decided: Decided) -> None:
        """A start whose workflow is running already."""
        assert instance.execution is not None  # noqa: S101  # only LIVE ones get here
        if offer.policy != "use_existing":
            error = refusing.exists(instance.workflow_id, Status.RUNNING)
            self._refuse(instance, offer, error, decided)
            return
        run = instance.execution.run_start_seq
        records: tuple[Record, ...] = ()
        if offer.message is not None:
            answer = Answer(self._wall_time_ns(), value=refusing.raw({"run": run}))
            records = (self._reply_record(instance, offer, answer),)
        if offer.signal is not None:
            reply = refusing.StartedReply(offer.reply, run)
            signal = Offer(Signal(*offer.signal), offer.message, reply, records)
            instance.offers.insert(0, signal)
            return
        decided.records += records
        if offer.message is not None:
            decided.taken += (Taken(instance.workflow_id, offer.message.message_id),)
        if offer.reply is not None:
            offer.reply.give(run)

    def _meet_unrun(self, instance: Instance, offer: StartOffer, decided: Decided) -> None:
        """A start whose id belongs to a workflow that is held or not run here: it exists all the same."""
        if offer.policy != "use_existing":
            status = Status.HELD if instance.phase is Phase.HELD else Status.RUNNING
            self._refuse(instance, offer, refusing.exists(instance.workflow_id, status), decided)
            return
        run = instance.facts.run_start_seq if instance.facts is not None else 0
        if offer.message is not None:
            decided.taken += (Taken(instance.workflow_id, offer.message.message_id),)
            answer = Answer(self._wall_time_ns(), value=refusing.raw({"run": run}))
            decided.records += (self._reply_record(instance, offer, answer),)
        if offer.signal is not None:
            # No code can take it now; its sender is answered when it is durable, here in the mailbox.
            decided.put += (refusing.signal_row(instance.workflow_id, offer, self._runner.envelopes),)
            decided.offers += (offer,)
            decided.started = run
        elif offer.reply is not None:
            offer.reply.give(run)

    def _refuse(self, instance: Instance, offer: AnyOffer, error: TreadleError, decided: Decided) -> None:
        """Turn an offer away: tell who waits, keep what was sent as undelivered."""
        if offer.reply is not None:
            offer.reply.fail(error)
        message = offer.message
        if message is None:
            return
        decided.taken += (Taken(instance.workflow_id, message.message_id),)
        decided.records += refusing.notes_of(message, error, self._wall_time_ns(), self._runner.envelopes)
        back = refusing.message_back(message, error, self._runner.envelopes)
        if back is not None:
            decided.put += (back,)

    def _begin_reset(self, instance: Instance, ask: Ask) -> None:
        if ask in instance.offers:
            instance.offers.remove(ask)
        self._drop_code(instance)
        self._runner.resetting.begin(instance, ask)

    # -- reading a log again --

    def _awaken(self, instance: Instance) -> None:
        loaded, instance.loaded = instance.loaded, None
        assert loaded is not None  # noqa: S101  # the pair of take()
        if isinstance(loaded, TreadleError):
            self.hold(instance, loaded)
            return
        head, events = loaded
        if instance.phase is Phase.HELD:
            self._terminate_held(instance, events)
            return
        assert head.facts is not None  # noqa: S101  # the loader gives logs of the engine alone
        self._recognise_start(instance, events)
        definition = self._runner.registry.workflows[head.facts.name]
        # A reset may have had the log read again while code of before it was still here. Left to the garbage
        # collector, its clean-up would run at any time and in anybody's task.
        self._drop_code(instance)
        execution = self._runner.execution(definition, instance.workflow_id, first_seq=events[0].seq)
        try:
            self._guard(execution.replay, events)
            cut = self._guard(execution.finish_replay)
        except Exception as error:  # noqa: BLE001  # whatever it is, it concerns this workflow alone
            instance.execution = execution
            self._runner.note_drifts(instance, execution)
            self._trouble(instance, (), error, alone=True)
            return
        instance.execution, instance.phase = execution, Phase.LIVE
        self._runner.note_drifts(instance, execution)
        decided = Decided()
        if instance.held or (instance.facts is not None and instance.facts.status == Status.HELD):
            instance.held = ""
            decided.records += (Record(HELD, instance.workflow_id.encode(), None),)
        if cut is not None:
            decided.events += cut.events
            decided.effects += cut.effects
        if execution.facts() != instance.facts:
            # After a crash between two units of a turn they say only that somebody must look.
            decided.facts = HeadFacts(*execution.facts())
        self._take_up(instance, execution)
        self._runner.elsewhere.watch(instance, execution)
        if decided.writes:
            self._runner.flights.send(instance, decided)
        elif instance.offers:
            self._activate(instance)

    def _recognise_start(self, instance: Instance, events: Sequence[WorkflowEvent]) -> None:
        """Answer a start whose unit was written although nobody could tell: the seed is its mark."""
        for offer in list(instance.offers):
            if type(offer) is not StartOffer or offer.reply is None:
                continue
            if offer.seed.hex().encode() in events[0].payload:
                instance.offers.remove(offer)
                offer.reply.give(events[0].seq)

    def _take_up(self, instance: Instance, execution: Execution) -> None:
        """Go on with what the workflow had begun when it was last in memory, here or elsewhere."""
        runner, now_ns = self._runner, self._wall_time_ns()
        first: list[AnyOffer] = []
        ended = ended_in(instance.offers)
        for effect in execution.unfinished():
            if effect.seq in ended:
                continue  # what it has come to only waits to be written
            if type(effect) is CancelActivity:
                if not runner.attempts.cancel(instance.workflow_id, effect.seq) and effect.answer:
                    first.append(Offer(ActivityDone(effect.seq, EndedByCancel())))
            elif type(effect) is StartActivity:
                if offer := self._lost_attempt(instance, execution, effect.seq, now_ns):
                    first.append(offer)
                else:
                    runner.attempting.start(instance, effect.seq)
        instance.offers[:0] = first
        if (timer_ns := execution.next_timer_ns) is not None and timer_ns <= now_ns:
            instance.offers.append(Offer(TimersFired(now_ns)))
        runner.set_alarm(instance)

    def _lost_attempt(self, instance: Instance, execution: Execution, seq: int, now_ns: int) -> Offer | None:
        """Tell whether the attempt that should run may have died with its process."""
        runner, pending = self._runner, execution.activities[seq]
        due_ns = pending.next_due_ns or pending.scheduled_ns
        known = (instance.workflow_id, seq) in runner.attempts.known
        if instance.facts is not None and instance.facts.details == AWAITING_RESUME:
            return None  # none was made: it runs for the first time
        if known or not runner.others_crashed or due_ns > runner.since_ns:
            return None
        failure, number = process_lost_failure(), pending.attempts_failed + 1
        if pending.attempts_lost >= runner.config.lost_attempts_max:
            return Offer(ActivityDone(seq, Failed(failure), number))
        return Offer(AttemptFailed(seq, number, failure, now_ns, lost=True))

    # -- code that cannot go on --

    def _trouble(
        self, instance: Instance, offers: Sequence[AnyOffer], error: Exception, *, alone: bool
    ) -> None:
        """A turn could not be finished: hold the workflow, or find out first which input it was."""
        instance.offers[:0] = offers
        if isinstance(error, ForeignScopeError):
            self._bury_code(instance, error)
            return
        self._drop_code(instance)
        if alone:
            self.hold(instance, error)
        else:
            instance.inputs_max = 1
            self._runner.load(instance)

    def _drop_code(self, instance: Instance) -> None:
        execution, instance.execution = instance.execution, None
        if execution is not None:
            self.evict(execution)

    def _bury_code(self, instance: Instance, error: ForeignScopeError) -> None:
        """Hold a workflow whose code hangs on tasks of Trio's: it can be thrown away when they have ended."""
        execution, instance.execution = instance.execution, None
        assert execution is not None  # noqa: S101  # its code has just been called
        where = _lines_of(execution)
        self._runner.bury(execution, error.nurseries)
        self.hold(instance, refusing.foreign(instance.workflow_id, error, where))

    def evict(self, execution: Execution) -> None:
        """Throw code away; whatever it does about it, nobody hears.

        Args:
            execution: never used again.
        """
        try:
            self._guard(execution.evict)
        except Exception:  # noqa: BLE001  # code being thrown away has nothing to say any more
            self._runner.evictions_failed += 1

    def hold(self, instance: Instance, error: Exception) -> None:
        """Hold a workflow: its log is kept, its messages wait, its code does not run.

        Args:
            instance: without code.
            error: why.
        """
        runner = self._runner
        reason = _reason_of(error)
        instance.phase, instance.held, instance.retries_held = Phase.HELD, reason, False
        runner.clear_alarm(instance)
        if instance.facts is None and instance.offers[0].message is None:
            self._refuse_first(instance)
            return
        name = instance.facts.name if instance.facts is not None else _name_in(instance.offers)
        note = HeldNote(runner.kernel.wall_time_ns(), reason, runner.code_of(name), type(error).__name__)
        decided = Decided()
        key = instance.workflow_id.encode()
        decided.records += (runner.envelopes.record(HELD, key, instance.workflow_id, note),)
        if instance.facts is not None:
            decided.facts = instance.facts._replace(status=Status.HELD, wake_up_ns=None)
        runner.held[instance.workflow_id] = reason
        self._keep(instance, decided)
        runner.flights.send(instance, decided)

    def _refuse_first(self, instance: Instance) -> None:
        """A caller's start could not make its first step: nothing is left of it, the next is tried."""
        self._refuse(instance, instance.offers.pop(0), self._why_not(instance), Decided())
        instance.phase, instance.held = Phase.ABSENT, ""
        if instance.offers:
            self._runner.post(instance)

    def _keep(self, instance: Instance, decided: Decided) -> None:
        """Held, or not run here: answer who cannot wait, and keep the rest."""
        kept: list[AnyOffer] = []
        error = self._why_not(instance)
        for offer in instance.offers:
            if type(offer) is Ask and offer.what == "resume":
                self._resume(instance, offer, decided)
            elif type(offer) is Ask and offer.what == "describe":
                self._describe_without_code(instance, offer, decided)
            elif type(offer) is StartOffer and _is_taken(instance, kept):
                self._meet_unrun(instance, offer, decided)
            elif type(offer) is Ask and offer.what == "reset":
                kept.append(offer)  # next, when this is written
            elif _cannot_wait(offer):
                self._refuse(instance, offer, error, decided)
            else:
                kept.append(offer)
        instance.offers.clear()
        instance.offers.extend(kept)

    def _why_not(self, instance: Instance) -> TreadleError:
        name = instance.facts.name if instance.facts is not None else _name_in(instance.offers)
        if instance.phase is Phase.STRANGE:
            return WorkflowNotHereError(
                f"workflow {instance.workflow_id!r} runs code registered as {name!r}, which the runner was"
                " not given; register it there",
                workflow_id=instance.workflow_id,
                name=name,
            )
        reason, advice = instance.held, "mend the code, then resume it"
        reason = reason or self._runner.held.get(instance.workflow_id, "")
        if not reason and instance.facts is not None and instance.facts.details == AWAITING_RESUME:
            reason, advice = "it is a branch that waits until it is resumed", "resume it"
        return WorkflowHeldError(
            f"workflow {instance.workflow_id!r} is held: {reason}; {advice}",
            workflow_id=instance.workflow_id,
            reason=reason,
        )

    def _resume(self, instance: Instance, ask: Ask, decided: Decided) -> None:
        if instance.phase is Phase.HELD:
            instance.phase, instance.retries_held = Phase.COLD, True
            self._runner.held.pop(instance.workflow_id, None)
            self._runner.load(instance)
        self._answer_with(instance, ask, b"null", decided)

    def _terminate_held(self, instance: Instance, events: Sequence[WorkflowEvent]) -> None:
        offers = [offer for offer in instance.offers if _is_terminate(offer)]
        if not offers or instance.facts is None:
            return
        offer = offers[0]
        instance.offers.remove(offer)
        assert isinstance(offer, Offer)  # noqa: S101  # the pair of _is_terminate()
        assert isinstance(offer.input, Terminate)  # noqa: S101
        decided = Decided()
        try:
            activation = terminate(instance.workflow_id, events, offer.input, self._wall_time_ns())
        except TreadleError as error:
            self._refuse(instance, offer, error, decided)
        else:
            decided.events += activation.events
            decided.effects += activation.effects
            decided.facts = instance.facts._replace(status=Status.TERMINATED, wake_up_ns=None)
            decided.records += (Record(HELD, instance.workflow_id.encode(), None),)
            self._runner.held.pop(instance.workflow_id, None)
            self._note(instance, offer, decided)
        self._runner.flights.send(instance, decided)

    # -- questions --

    def _answer(self, instance: Instance, ask: Ask) -> None:
        execution, decided = instance.execution, Decided()
        assert execution is not None  # noqa: S101  # only LIVE ones are asked
        try:
            if ask.what == "query":
                answer = self._guard(execution.query, ask.name, ask.args_json)
            elif ask.what == "stack":
                answer = self._runner.shown(execution.stack())
            elif ask.what == "describe":
                answer = self._runner.described(instance)
            elif ask.what == "unreadable":
                raise refusing.unreadable(ask.name)
            else:
                answer = b"null"
        except ForeignScopeError as error:
            self._refuse(instance, ask, refusing.foreign(instance.workflow_id, error, "its query"), decided)
            self._bury_code(instance, error)
        except TreadleError as error:
            self._refuse(instance, ask, error, decided)
        else:
            self._answer_with(instance, ask, answer, decided)
        if decided.writes:
            self._runner.write_alone(decided)

    def _answer_with(self, instance: Instance, ask: Ask, answer: bytes, decided: Decided) -> None:
        if ask.reply is not None:
            ask.reply.give(answer)
        if ask.message is not None:
            decided.taken += (Taken(instance.workflow_id, ask.message.message_id),)
            told = Answer(self._wall_time_ns(), value=refusing.raw_json(answer))
            decided.records += (self._reply_record(instance, ask, told),)

    def _describe_without_code(self, instance: Instance, ask: Ask, decided: Decided) -> None:
        self._answer_with(instance, ask, self._runner.described(instance), decided)


def _lines_of(execution: Execution) -> str:
    """Tell where the tasks of a workflow wait, innermost lines of the user's code."""
    found: list[str] = []
    tasks = list(execution.stack())
    while tasks:
        task = tasks.pop(0)
        if task.frames:
            found.append(f"{task.frames[-1].file}:{task.frames[-1].line}")
        tasks += task.children
    return ", ".join(found)


def _is_news(execution: Execution, given: AttemptFailed) -> bool:
    pending = execution.activities.get(given.seq)
    return pending is not None and pending.attempts_failed + 1 == given.attempt


def _reason_of(error: Exception) -> str:
    if isinstance(error, WorkflowHeldError):
        return error.reason
    return str(error) if isinstance(error, TreadleError | StrayError) else f"{type(error).__name__}: {error}"


def _name_in(offers: Sequence[AnyOffer]) -> str:
    return next((offer.name for offer in offers if type(offer) is StartOffer), "")


def _is_taken(instance: Instance, kept: Sequence[AnyOffer]) -> bool:
    """Tell whether an id is in use: there is a log, or a start before this one waits for mended code."""
    return instance.facts is not None or any(type(offer) is StartOffer for offer in kept)


def _cannot_wait(offer: AnyOffer) -> bool:
    if type(offer) is Ask:
        return True
    if type(offer) is StartOffer:
        return offer.message is None
    return type(offer) is Offer and type(offer.input) is Update


def ended_in(offers: Iterable[AnyOffer]) -> set[int]:
    """Tell the activities whose attempts have ended and wait to be heard.

    Args:
        offers: what waits for an instance's turn.

    Returns:
        The seqs of their ACTIVITY_SCHEDULED.
    """
    inputs = [offer.input for offer in offers if type(offer) is Offer]
    return {given.seq for given in inputs if isinstance(given, ActivityDone | AttemptFailed)}


def _reset_in(offers: Iterable[AnyOffer]) -> Ask | None:
    return next((offer for offer in offers if type(offer) is Ask and offer.what == "reset"), None)


def _is_terminate(offer: AnyOffer) -> bool:
    return type(offer) is Offer and type(offer.input) is Terminate


def _wants_log(instance: Instance) -> bool:
    return instance.facts is not None and any(_is_terminate(offer) for offer in instance.offers)
