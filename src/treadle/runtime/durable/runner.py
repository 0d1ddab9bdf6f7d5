"""The runner: the one runtime of a store that carries out its durable workflows.

Everything it does hangs together here: instances take turns on the stage, what they decide flies to the
store, and what follows (attempts, messages, alarms, answers) is started when it has landed. No task here
belongs to a workflow; all of them are children of one nursery inside the runtime's background.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

import msgspec
import trio

from treadle.engine import (
    SEED_SIZE_BYTES,
    ActivityDone,
    AnswerUpdate,
    AttemptFailed,
    CancelActivity,
    Closed,
    EndedByCancel,
    Execution,
    Registry,
    StartActivity,
    TimersFired,
    Update,
    WorkflowDefinition,
)
from treadle.engine.learning import NOTHING_KNOWN, Known
from treadle.errors import AdmissionError, FencedError, StorePoisonedError, TreadleError
from treadle.events import WorkflowId
from treadle.kernel import Kernel
from treadle.payloads import CodecChain, Converter
from treadle.runtime.config import RuntimeConfig
from treadle.runtime.durable.attempting import Attempting
from treadle.runtime.durable.attempts import Attempt, AttemptState
from treadle.runtime.durable.elsewhere import Elsewhere
from treadle.runtime.durable.flights import Flights
from treadle.runtime.durable.instance import (
    AnyOffer,
    Decided,
    EngineProposal,
    Flight,
    Instance,
    Offer,
    Phase,
    StartOffer,
)
from treadle.runtime.durable.loading import Loading
from treadle.runtime.durable.refusing import nobody_there
from treadle.runtime.durable.replies import Promise
from treadle.runtime.durable.resetting import Resetting
from treadle.runtime.durable.stage import BURIAL_LOOKS_MAX, BURIAL_SECONDS, Stage
from treadle.runtime.durable.timetable import Timetable
from treadle.runtime.durable.turns import Turns, ended_in
from treadle.runtime.durable.watching import Watching
from treadle.runtime.durable.wire import RUNNER, Envelopes
from treadle.runtime.following import Changes
from treadle.runtime.supervisor import Supervisor
from treadle.stores import Message, Record, Store, Unit

CLOSED_KEY: Final = b"closed"
"""The record that holds the epoch of the last runner that has closed in order."""
LOOKS_MAX: Final = 16
"""How many resting instances are looked at, each time one too many is in memory, for one that may leave."""
DRIFTS_KEPT_MAX: Final = 1_000
_NOBODY: Final = (None, ())
_DRIFT: Final = "workflow %r has drifted at seq %d, %s, %s: log %s, code %s (%s); the log's value counts"
_logger: Final = logging.getLogger("treadle.runtime")


class Runner:
    """Runs the durable workflows of a store; one at a time, see `lease`.

    Args:
        store: where everything is.
        kernel: through which everything waits.
        config: the limits.
        supervisor: whose committer takes the units.
        changes: told what was committed, for followers.
        registry: the code that is known here.
        converter: values to JSON and back.
        codecs: what happens to payloads between converter and store.
        stopped: called with the error after which this runner can do nothing more.
        known: what retries have learned.
    """

    def __init__(
        self,
        store: Store,
        kernel: Kernel,
        config: RuntimeConfig,
        supervisor: Supervisor,
        changes: Changes,
        *,
        registry: Registry,
        converter: Converter,
        codecs: CodecChain,
        stopped: Callable[[TreadleError], object],
        known: Known = NOTHING_KNOWN,
    ) -> None:
        self.store = store
        self.kernel = kernel
        self.config = config
        self.registry = registry
        self.converter = converter
        self.known = known
        self.envelopes = Envelopes(codecs)
        self.stopping = False
        self.since_ns = 0
        self.others_crashed = False
        self.evictions_failed = 0
        self.codecs = codecs
        self.changes = changes
        self.instances: dict[WorkflowId, Instance] = {}
        self.resting: dict[Instance, None] = {}
        self.held: dict[WorkflowId, str] = {}
        self.drifts: dict[WorkflowId, int] = {}
        self._leaving = 0
        self._chance = b""
        self._seeds = 0
        self._ended: list[Execution] = []
        self._nursery: trio.Nursery | None = None
        self._stopped = stopped
        self._waiters: dict[WorkflowId, list[Promise]] = {}
        committer = supervisor.committer
        self.stage = Stage(
            kernel, has_room=committer.has_room, wait_room=committer.wait_room, closing=self._put_all_away
        )
        self.flights = Flights(
            committer,
            codecs,
            self.envelopes,
            batch_events_max=config.batch_events_max,
            settled=self._settled,
        )
        self.timetable: Timetable[Any] = Timetable(kernel, self._time_came)
        self.attempting = Attempting(self)
        self.attempts = self.attempting.attempts
        self.loading = Loading(
            store,
            kernel,
            codecs,
            recoveries_max=config.recoveries_max,
            page_events=config.page_events,
            runs_here=registry.workflows.__contains__,
            read=self.post,
            failed=self._not_read,
        )
        self.watching = Watching(self)
        changes.elsewhere = self.watching.look
        self.elsewhere = Elsewhere(self)
        self.resetting = Resetting(self)
        self.turns = Turns(self)

    # -- instances --

    def instance(self, workflow_id: WorkflowId) -> Instance:
        """Find or make the instance of a workflow.

        Args:
            workflow_id: the workflow.

        Returns:
            Its instance; COLD when it was not in memory.
        """
        instance = self.instances.get(workflow_id)
        if instance is None:
            instance = self.instances[workflow_id] = Instance(workflow_id)
        return instance

    def offer(self, instance: Instance, offer: AnyOffer) -> None:
        """Let something wait for an instance's next turn.

        Args:
            instance: whose.
            offer: what.
        """
        if instance.wants_mail and _is_update_here(offer):
            # Signals that returned before it was sent are in the mail.
            instance.behind_mail.append(offer)
            return
        instance.offers.append(offer)
        self.post(instance)

    def post(self, instance: Instance) -> None:
        """See that an instance gets a turn.

        Args:
            instance: with something to do.
        """
        if not instance.posted:
            instance.posted = True
            self.resting.pop(instance, None)
            self.stage.post(self.turns.take, instance)

    def load(self, instance: Instance) -> None:
        """Have a workflow's log read.

        Args:
            instance: without code.
        """
        if instance.phase is not Phase.LOADING:
            self.loading.want(instance)

    def deliver(self, message: Message) -> None:
        """Offer a row of the mailbox to its workflow, unless it has it already.

        Args:
            message: durable, and not taken as far as is known.
        """
        instance = self.instances.get(message.workflow_id)
        if instance is not None and message.message_id in instance.known:
            return
        offer = self.watching.offer_of(message)
        if offer is not None:
            instance = self.instance(message.workflow_id)
            instance.known[message.message_id] = None
            self.offer(instance, offer)

    def hand_on(self, message: Message) -> None:
        """Offer a row that this process has just put, behind all that was put before it.

        Args:
            message: durable.
        """
        instance = self.instance(message.workflow_id)
        if self.watching.caught_up and not instance.wants_mail:
            self.deliver(message)
        else:
            self.watching.want_mail(instance)

    def rested(self, instance: Instance) -> None:
        """Note that a turn has ended with nothing under way.

        Args:
            instance: whose.
        """
        if instance.recovering:
            self.loading.recovered(instance)
        if not instance.is_idle:
            return
        if instance.phase is not Phase.LIVE:
            if instance.phase is not Phase.LOADING:
                self.instances.pop(instance.workflow_id, None)
        else:
            self.resting[instance] = None
            over = len(self.instances) - self._leaving - self.config.instances_max
            if over > 0:
                self._send_away(over)

    def _send_away(self, over: int) -> None:
        for oldest in list(islice(self.resting, LOOKS_MAX)):
            del self.resting[oldest]
            if not self._may_leave(oldest):
                # Behind all others: it is looked at again when they have been.
                self.resting[oldest] = None
                continue
            self._leaving += 1
            over -= 1
            self.stage.post(self._put_away, oldest)
            if not over:
                return

    def _may_leave(self, instance: Instance) -> bool:
        """Tell whether nothing in memory hangs on an instance: attempts that wait for their time do not."""
        if instance.updates:
            return False
        return instance.workflow_id not in self.attempts.by_workflow or all(
            attempt is None or attempt.state is AttemptState.WAITING
            for attempt in self._attempts_of(instance)
        )

    def _attempts_of(self, instance: Instance) -> list[Attempt | None]:
        execution, known = instance.execution, self.attempts.known
        if execution is None:
            return []
        return [known.get((instance.workflow_id, seq)) for seq in execution.activities]

    def _put_away(self, instance: Instance) -> None:
        self._leaving -= 1
        idle = instance.is_idle and instance.phase is Phase.LIVE
        if self.stopping or not idle or not self._may_leave(instance):
            return
        for attempt in self._attempts_of(instance):
            if attempt is not None:
                self.attempts.forget(attempt)
        execution, instance.execution = instance.execution, None
        self.instances.pop(instance.workflow_id, None)
        self.watching.put_away(instance)
        if execution is not None:
            self.turns.evict(execution)

    def _evict_ended(self) -> None:
        ended, self._ended = self._ended, []
        for execution in ended:
            self.turns.evict(execution)

    def _put_all_away(self) -> None:
        # The end: code that stood still in memory must not be found by the garbage collector.
        self._evict_ended()
        for instance in list(self.instances.values()):
            execution, instance.execution = instance.execution, None
            if execution is not None:
                self.turns.evict(execution)

    def spawn(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Start a task that lives no longer than the runner.

        Args:
            function: async; lets no error out.
            *args: handed to it.
        """
        if self._nursery is not None:
            self.kernel.spawn(self._nursery, function, *args)

    def bury(self, execution: Execution, nurseries: Sequence[trio.Nursery]) -> None:
        """Throw code away that hangs on tasks of Trio's, once those have ended.

        Args:
            execution: never used again.
            nurseries: in which those tasks are.
        """
        for nursery in nurseries:
            nursery.cancel_scope.cancel()
        if self._nursery is not None:
            self.kernel.spawn(self._nursery, self._bury, execution, tuple(nurseries))

    async def _bury(self, execution: Execution, nurseries: tuple[trio.Nursery, ...]) -> None:
        # Also when the runner closes meanwhile: code that is left to the garbage collector would complain.
        with trio.CancelScope(shield=True):
            for _ in range(BURIAL_LOOKS_MAX):
                if not any(nursery.child_tasks for nursery in nurseries):
                    self.turns.evict(execution)
                    return
                await self.kernel.sleep(BURIAL_SECONDS)

    def execution(
        self, definition: WorkflowDefinition[..., Any], workflow_id: WorkflowId, *, first_seq: int
    ) -> Execution:
        """Make an execution.

        Args:
            definition: its code.
            workflow_id: its id.
            first_seq: where its run begins.

        Returns:
            The execution, without a history.
        """
        return Execution(
            definition, workflow_id, self.registry, self.converter, first_seq=first_seq, known=self.known
        )

    # -- what a unit has come to; called in the committer's task --

    def _settled(self, proposal: EngineProposal) -> None:
        flight: Flight = proposal.flight
        instance = flight.instance
        if proposal.error is not None or proposal.repeated:
            self._crashed(flight, proposal.error)
            return
        if proposal.events:
            instance.next_seq += len(proposal.events)
            instance.digest = flight.digest
        if proposal.tokens:
            instance.token = proposal.tokens[0]
        if self.changes.anybody:
            self.changes.committed(instance.workflow_id)
        if flight.left:
            flight.has_landed = True
            self.flights.go_on(flight)
            return
        decided = flight.decided
        if decided.facts is not None:
            instance.facts = decided.facts
        instance.flight = None
        instance.failures = 0
        for taken in decided.taken:
            instance.known.pop(taken.message_id, None)
            self.watching.taken(taken)
        self.carry_out(instance, decided)
        if instance.offers or instance.loaded is not None:
            self.loading.recovered(instance)
            self.post(instance)
        else:
            instance.inputs_max = self.config.batch_events_max
            self.rested(instance)

    def _crashed(self, flight: Flight, error: TreadleError | None) -> None:
        """A unit was not written, or nobody knows: begin anew from what is in the store."""
        instance = flight.instance
        if isinstance(error, FencedError | StorePoisonedError):
            # While the flight is still known, because its callers wait as well.
            self.stop(error)
            instance.flight = None
            return
        instance.flight = None
        if self.stopping:
            for offer in flight.decided.offers:
                if error is not None and offer.reply is not None:
                    offer.reply.fail(error)
            return
        # What has begun to land goes on by itself, so its callers must not hear that it was refused.
        goes_on = isinstance(error, AdmissionError) or flight.has_landed
        if goes_on:
            for offer in flight.decided.offers:
                if type(offer) is Offer:
                    offer.asks_again = True
        instance.offers[:0] = [
            offer for offer in flight.decided.offers if goes_on or not _tell_failed(offer, error)
        ]
        # What it has put may be there after all.
        for message in flight.decided.put:
            self.watching.want_mail(self.instance(message.workflow_id))
        # Its code is ahead of its log: a turn that was asked for before must not be taken with it.
        instance.crashed = True
        self.stage.post(self.begin_anew, instance, error)

    def begin_anew(self, instance: Instance, error: TreadleError | None = None) -> None:
        """Throw a workflow's code away and read its log again; called on the stage.

        Args:
            instance: the workflow.
            error: why its unit was not written; None when there is nothing to wait for.
        """
        instance.crashed = False
        execution, instance.execution = instance.execution, None
        if execution is not None:
            self.turns.evict(execution)
        # What came by the mailbox is read from there again: it may have been taken after all.
        kept = [offer for offer in instance.offers if offer.message is None]
        instance.offers.clear()
        instance.offers.extend(offer for offer in kept if not _is_update_here(offer))
        instance.known.clear()
        # Who waits for an update asks again: its end may be in the log by now.
        asked = ((update, reply) for update, replies in instance.updates.values() for reply in replies)
        again = (Offer(update, reply=reply, asks_again=True) for update, reply in asked)
        waiting = (offer for offer in kept if _is_update_here(offer))
        instance.behind_mail[:0] = [*again, *waiting]
        instance.updates.clear()
        if instance.phase is not Phase.HELD:
            instance.phase = Phase.COLD
        instance.failures += 1
        self.loading.recovered(instance)
        # At once, also when it pauses first: what comes from now on must not overtake what was dropped.
        self.watching.want_mail(instance)
        if error is None or instance.failures == 1:
            self._go_on(instance)
            return
        seconds = self.config.backoff_initial_seconds * 2.0 ** min(instance.failures - 2, 20)
        self._pause(instance, min(seconds, self.config.backoff_maximum_seconds))

    def _go_on(self, instance: Instance) -> None:
        # Read again whatever waits: what nobody knew the outcome of may be there, and has to be carried out.
        self.watching.want_mail(instance)
        if instance.phase is Phase.HELD:
            self.post(instance)
        else:
            self.load(instance)

    def _pause(self, instance: Instance, seconds: float) -> None:
        instance.paused = True
        self.timetable.set((instance,), self.kernel.wall_time_ns() + round(seconds * 1_000_000_000))

    def _not_read(self, instances: Sequence[Instance], error: TreadleError) -> None:
        if isinstance(error, StorePoisonedError):
            self.stop(error)
            return
        for instance in instances:
            self.loading.recovered(instance)
            instance.phase = Phase.COLD
            instance.failures += 1
            seconds = self.config.backoff_initial_seconds * 2.0 ** min(instance.failures - 1, 20)
            self._pause(instance, min(seconds, self.config.backoff_maximum_seconds))

    def write_alone(self, decided: Decided) -> None:
        """Write answers and refusals that change no log; should it fail, their rows are found again.

        Args:
            decided: without events and facts.
        """

        def settled(proposal: EngineProposal) -> None:
            for taken in decided.taken:
                if (instance := self.instances.get(taken.workflow_id)) is not None:
                    instance.known.pop(taken.message_id, None)
                if proposal.error is None:
                    self.watching.taken(taken)
            if isinstance(proposal.error, FencedError):
                self.stop(proposal.error)

        unit = Unit(
            messages_put=decided.put,
            messages_taken=decided.taken,
            records=decided.records,
            epoch=self.flights.epoch,
        )
        self.flights.send_alone(unit, settled)

    # -- effects: what follows once it is durable --

    def carry_out(self, instance: Instance, decided: Decided) -> None:
        """Start what a turn's activations have asked for; all of it is durable.

        Args:
            instance: whose turn it was.
            decided: what it has decided.
        """
        # Of an activation that was cut by a failed unit: what was started with its first half may have ended.
        ended = ended_in(instance.offers) if instance.offers else ()
        for effect in decided.effects:
            if isinstance(effect, StartActivity):
                if effect.seq not in ended:
                    self.attempting.start(instance, effect.seq)
            elif isinstance(effect, CancelActivity):
                self._cancel_attempt(instance, effect)
            elif isinstance(effect, AnswerUpdate):
                for reply in instance.updates.pop(effect.update_id, _NOBODY)[1]:
                    reply.give(effect)
            elif isinstance(effect, Closed):
                self._close(instance, effect)
        for offer in decided.offers:
            self._tell(instance, offer, decided)
        for message in decided.put:
            self.hand_on(message)
        self.set_alarm(instance)

    def _tell(self, instance: Instance, offer: AnyOffer, decided: Decided) -> None:
        if type(offer) is Offer:
            if type(offer.input) is AttemptFailed:
                self.attempting.start(instance, offer.input.seq)
            elif type(offer.input) is Update:
                # Its answer is an effect, which has come by now if it was turned away.
                if offer.accepted is not None:
                    offer.accepted.give(None)
            elif offer.reply is not None:
                offer.reply.give(None)
        elif offer.reply is not None:
            offer.reply.give(decided.started)

    def _cancel_attempt(self, instance: Instance, effect: CancelActivity) -> None:
        if not self.attempts.cancel(instance.workflow_id, effect.seq) and effect.answer:
            self.offer(instance, Offer(ActivityDone(effect.seq, EndedByCancel())))

    def _close(self, instance: Instance, effect: Closed) -> None:
        execution, instance.execution = instance.execution, None
        instance.phase = Phase.CLOSED
        self.attempts.cancel_all(instance.workflow_id)
        if execution is not None:
            self._ended.append(execution)
            self.stage.post(self._evict_ended)
        error = None
        for _, replies in instance.updates.values():
            for reply in replies:
                error = error or nobody_there(instance)
                reply.fail(error)
        instance.updates.clear()
        self.held.pop(instance.workflow_id, None)
        name = instance.facts.name if instance.facts is not None else ""
        for promise in self._waiters.pop(instance.workflow_id, ()):
            promise.give((effect.status, effect.payload, name))

    # -- time --

    def set_alarm(self, instance: Instance) -> None:
        """Have an instance woken when its next timer is due.

        Args:
            instance: any.
        """
        execution = instance.execution
        timer_ns = execution.next_timer_ns if execution is not None else None
        if timer_ns is not None:
            self.timetable.set(instance.workflow_id, timer_ns)
        elif instance.workflow_id in self.timetable:
            self.timetable.clear(instance.workflow_id)

    def clear_alarm(self, instance: Instance) -> None:
        """Have an instance no longer woken.

        Args:
            instance: any.
        """
        self.timetable.clear(instance.workflow_id)

    def _time_came(self, key: Any) -> None:
        if type(key) is Attempt:
            self.attempts.time_came(key)
        elif type(key) is tuple:
            (instance,) = key
            instance.paused = False
            self._go_on(instance)
        else:
            instance = self.instance(key)
            self.offer(instance, Offer(TimersFired(self.kernel.wall_time_ns())))

    # -- who waits for results --

    def wait_closed(self, workflow_id: WorkflowId) -> Promise:
        """Be told when a workflow has ended.

        Args:
            workflow_id: which.

        Returns:
            Status, payload of the event that ends it, and its name, once that is durable; None when its end
            is to be looked for in the store.
        """
        promise = Promise(self.kernel)
        self._waiters.setdefault(workflow_id, []).append(promise)
        return promise

    def look_again(self, workflow_id: WorkflowId) -> None:
        """Tell those who wait for a workflow's end to look for it in the store.

        Args:
            workflow_id: which.
        """
        for promise in self._waiters.pop(workflow_id, ()):
            promise.give(None)

    def forget_waiter(self, workflow_id: WorkflowId, promise: Promise) -> None:
        """Wait no longer.

        Args:
            workflow_id: for whom.
            promise: from `wait_closed`.
        """
        waiting = self._waiters.get(workflow_id)
        if waiting is not None and promise in waiting:
            waiting.remove(promise)
            if not waiting:
                del self._waiters[workflow_id]

    # -- for people --

    def note_drifts(self, instance: Instance, execution: Execution) -> None:
        """Tell how a workflow's code has drifted from its log, once each; the recorded values count.

        A workflow that is put away and read again says nothing new.

        Args:
            instance: whose.
            execution: just replayed.
        """
        told = self.drifts.get(instance.workflow_id, 0)
        news = [drift for drift in execution.drifts if drift.seq > told]
        for drift in news:
            _logger.warning(_DRIFT, instance.workflow_id, drift.seq, drift.kind.name, drift.field,
                            drift.logged, drift.done, drift.where)  # fmt: skip
        if news and (told or len(self.drifts) < DRIFTS_KEPT_MAX):
            self.drifts[instance.workflow_id] = news[-1].seq

    def shown(self, stack: Any) -> bytes:
        """Make task trees JSON.

        Args:
            stack: as the engine gives it.

        Returns:
            A JSON array.
        """
        return msgspec.json.encode(stack, enc_hook=str)

    def described(self, instance: Instance) -> bytes:
        """Make what a workflow waits for JSON.

        Args:
            instance: LIVE.

        Returns:
            A JSON array of lines.
        """
        execution = instance.execution
        return msgspec.json.encode(() if execution is None else execution.describe().waiting_for)

    def code_of(self, name: str) -> str:
        """Tell one version of a workflow's code from another.

        Args:
            name: the name it is registered under.

        Returns:
            A digest, or an empty string when the code is not known here.
        """
        definition = self.registry.workflows.get(name)
        return self.watching.code_digest(definition) if definition is not None else ""

    # -- life and end --

    def new_seed(self) -> bytes:
        """Draw the chance of a run."""
        # Drawn once from the kernel and spread: the operating system takes as long over each draw as a
        # workflow over a step.
        if not self._chance:
            draw = self.kernel.random
            self._chance = b"".join(int(draw() * 2**32).to_bytes(4, "big") for _ in range(8))
        self._seeds += 1
        return blake2b(self._seeds.to_bytes(8, "big"), digest_size=SEED_SIZE_BYTES, key=self._chance).digest()

    async def take_over(self) -> None:
        """Become the store's runner; the lease is held.

        Raises:
            StoreError: the store failed.
        """
        self.flights.epoch = await self.store.raise_epoch()
        self.since_ns = self.kernel.wall_time_ns()
        closed = await self.store.record(RUNNER, CLOSED_KEY)
        before = self.flights.epoch - 1
        self.others_crashed = before > 0 and closed != str(before).encode()

    async def run(self) -> None:
        """Run workflows until cancelled or stopped."""
        spawn = self.kernel.spawn
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.attempts.open(nursery)
            for part in (
                self.stage.run,
                self.loading.run,
                self.timetable.run,
                self.attempting.write_beats,
                self.watching.watch_due,
                self.watching.watch_mail,
            ):
                spawn(nursery, part)

    def begin_close(self) -> None:
        """Take nothing more; what is under way to the store goes on."""
        self.stopping = True
        self.attempts.stop()

    def note_closed(self) -> None:
        """Leave word that this runner has closed in order: no attempt of its was lost."""
        record = Record(RUNNER, CLOSED_KEY, str(self.flights.epoch).encode())
        self.flights.send_alone(Unit(records=(record,), epoch=self.flights.epoch), lambda _: None)

    def stop(self, error: TreadleError) -> None:
        """Do nothing more: this runner was overtaken, or its store is no longer to be trusted.

        Args:
            error: why.
        """
        if not self.stopping:
            self.begin_close()
            self._stopped(error)
        self.fail_all(error)

    def fail_all(self, error: TreadleError) -> None:
        """Answer everybody who still waits.

        Args:
            error: why nothing more will come.
        """
        for promises in self._waiters.values():
            for promise in promises:
                promise.fail(error)
        self._waiters.clear()
        for instance in self.instances.values():
            flying: Iterable[AnyOffer] = instance.flight.decided.offers if instance.flight else ()
            for offer in (*flying, *instance.offers, *instance.behind_mail):
                if offer.reply is not None:
                    offer.reply.fail(error)
            for _, replies in instance.updates.values():
                for reply in replies:
                    reply.fail(error)


def _tell_failed(offer: AnyOffer, error: TreadleError | None) -> bool:
    """Tell callers that wait for a start or an update what the store has said, instead of trying for ever."""
    waits = type(offer) is StartOffer or (
        type(offer) is Offer and type(offer.input) is Update and not offer.asks_again
    )
    if error is None or not waits or offer.message is not None or offer.reply is None:
        return False
    offer.reply.fail(error)
    return True


def _is_update_here(offer: AnyOffer) -> bool:
    return offer.message is None and type(offer) is Offer and type(offer.input) is Update
