"""The service: what a runtime's callers ask of durable workflows, whoever runs them.

In the process of the runner a call goes straight to the instance. Everywhere else it leaves a message in the
mailbox, and the answer comes back as a record; what only the log can tell (results, status) is read from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

import attrs
import msgspec
import trio
from msgspec import Raw

from treadle.engine import (
    ActivityDefinition,
    AnswerUpdate,
    Completed,
    Failed,
    MessageKind,
    Registry,
    Rejected,
    Status,
    Update,
    WorkflowDefinition,
    encode_message,
)
from treadle.engine.arguments import decode_result, encode_arguments
from treadle.engine.failures import update_failed_error, update_rejected_error, workflow_failed_error
from treadle.engine.learning import NOTHING_KNOWN, AdaptivePolicy
from treadle.engine.marks import goes_below, view_of
from treadle.engine.messages import CancelMessage, SignalMessage
from treadle.engine.records import (
    CLOSING_KINDS,
    CancelRequest,
    UpdateCompleted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
)
from treadle.errors import (
    EventsPrunedError,
    InternalError,
    InvalidValueError,
    TreadleError,
    WorkflowCancelledError,
    WorkflowTerminatedError,
)
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.events import workflow_id as make_workflow_id
from treadle.kernel import Kernel
from treadle.payloads import Codec, CodecChain, Converter, JsonConverter
from treadle.runtime.companions import Companions, Host, Learner
from treadle.runtime.config import RuntimeConfig
from treadle.runtime.decoding import payload_of
from treadle.runtime.durable import refusing
from treadle.runtime.durable.asking import Asking
from treadle.runtime.durable.beginning_branches import last_counting, read_all
from treadle.runtime.durable.describing import RunnerStatistics, WorkflowDescription
from treadle.runtime.durable.instance import Ask, EngineProposal, Instance, Offer, Phase, StartOffer
from treadle.runtime.durable.lease import Holder, Lease, busy_error, take_lease
from treadle.runtime.durable.replies import Promise
from treadle.runtime.durable.resetting import check_resettable
from treadle.runtime.durable.runner import Runner
from treadle.runtime.durable.wire import (
    HELD,
    ID_POLICIES,
    REAPPLY,
    RUNS,
    WHAT_IF,
    AskMessage,
    Envelopes,
    HeldNote,
    IdPolicy,
    QueryMessage,
    Reapply,
    ResetMessage,
    ResumeMessage,
    StartMessage,
    UpdateMessage,
    decode_wire,
    encode_wire,
)
from treadle.runtime.following import Changes
from treadle.runtime.inbox import Proposal, closed_error
from treadle.runtime.supervisor import Supervisor
from treadle.runtime.transacting import check_not_deciding
from treadle.stores import Head, Message, Store, Unit

RunnerState: TypeAlias = Literal["none", "standby", "running", "stopped"]
WaitFor: TypeAlias = Literal["completed", "accepted"]


@attrs.frozen(slots=True)
class DurableOptions:
    """What `open_runtime` was given for durable workflows.

    Attributes:
        registry: the code known here.
        converter: values to JSON and back.
        codecs: what happens to payloads between converter and store.
        runs: whether this runtime wants to be the runner.
        standby: whether it waits for its turn when another is.
    """

    registry: Registry
    converter: Converter
    codecs: CodecChain
    runs: bool
    standby: bool

    @classmethod
    def of(
        cls,
        workflows: Iterable[WorkflowDefinition[..., Any]],
        activities: Iterable[ActivityDefinition[..., Any]],
        converter: Converter | None,
        codecs: Sequence[Codec] | CodecChain,
        *,
        standby: bool,
    ) -> DurableOptions:
        """Make them from a caller's values.

        Args:
            workflows: definitions.
            activities: definitions.
            converter: None takes the usual one.
            codecs: in the order of writing.
            standby: see the class.

        Returns:
            The options.

        Raises:
            DefinitionError: a definition is none, or two have one name.
            InvalidValueError: a codec is none, or two have one number.
        """
        used = JsonConverter() if converter is None else converter
        registry = Registry(workflows, activities, used)
        chain = codecs if isinstance(codecs, CodecChain) else CodecChain(codecs)
        runs = bool(registry.workflows or registry.activities)
        return cls(registry, used, chain, runs, standby)

    def learner(self) -> Learner | None:
        """Make what learns for the activities' retries.

        Returns:
            One for all of them; None when none of them learns.
        """
        for definition in self.registry.activities.values():
            retry = definition.options.retry
            if isinstance(retry, AdaptivePolicy) and (learner := retry.learner()) is not None:
                found: Learner = learner
                return found
        return None


class DurableService:
    """Durable workflows of one runtime.

    Args:
        store: where they are.
        kernel: through which everything waits.
        config: the limits.
        supervisor: writes units.
        changes: tells of commits.
        options: what the runtime was opened with.
        make_host: gives what a companion may use.
        failed: called with an error after which the runtime must end.

    Attributes:
        state: what this runtime is to the store's durable workflows.
        registry: the code known here.
        converter: values to JSON and back.
        envelopes: payloads of rows and records, through the codecs.
        store: where they are.
        kernel: through which everything waits.
        config: the limits.
        codecs: what happens to payloads between converter and store.
    """

    def __init__(
        self,
        store: Store,
        kernel: Kernel,
        config: RuntimeConfig,
        supervisor: Supervisor,
        changes: Changes,
        *,
        options: DurableOptions,
        make_host: Callable[[], Host],
        failed: Callable[[TreadleError], object],
    ) -> None:
        self.state: RunnerState = "none"
        self.registry = options.registry
        self.converter = options.converter
        self.store = store
        self.kernel = kernel
        self.config = config
        self._supervisor = supervisor
        self._changes = changes
        self.codecs = options.codecs
        self._runs = options.runs
        self._standby = options.standby
        self._failed = failed
        self.envelopes = Envelopes(options.codecs)
        self._asking = Asking(store, kernel, supervisor, changes, self.envelopes)
        self._learner = options.learner()
        learners = () if self._learner is None else (self._learner,)
        self._learning = Companions(make_host, kernel, learners)
        self._nursery: trio.Nursery | None = None
        self._lease: Lease | None = None
        self._runner: Runner | None = None
        self._scope = trio.CancelScope()
        self._spawned = False
        self._ended = Promise(kernel)
        self._led = Promise(kernel)

    # -- life and end --

    async def open(self) -> None:
        """Try to become the runner, if this runtime wants to be one.

        Raises:
            RunnerBusyError: another is, and this one was not to stand by.
            StoreError: the store or its lock file failed.
        """
        if not self._runs:
            return
        self.state = "standby"
        holder = await self._try_to_lead()
        if holder is not None and not self._standby:
            raise busy_error(self.store, holder)

    async def _try_to_lead(self) -> Holder | None:
        taken = await self.kernel.run_blocking(take_lease, self.store)
        if isinstance(taken, Holder):
            return taken
        self._lease = taken
        runner = Runner(
            self.store,
            self.kernel,
            self.config,
            self._supervisor,
            self._changes,
            registry=self.registry,
            converter=self.converter,
            codecs=self.codecs,
            stopped=self._stopped,
            known=self._learner or NOTHING_KNOWN,
        )
        try:
            # Before anything runs, so that the first choice is made by what was learned before the restart;
            # and not before this is the runner, because only one process keeps it up.
            await self._learning.open()
            await runner.take_over()
        except BaseException:
            self.release()
            raise
        self._runner = runner
        self.state = "running"
        self._led.give(None)
        return None

    def _stopped(self, error: TreadleError) -> None:
        self.state = "stopped"
        self._failed(error)

    def start_tasks(self, nursery: trio.Nursery) -> None:
        """Start what runs workflows, if this runtime wants to.

        Args:
            nursery: the parent of it all.
        """
        if self._runs:
            self._spawned, self._nursery = True, nursery
            self.kernel.spawn(nursery, self._run)

    async def _run(self) -> None:
        """Stand by, then run workflows, until closed."""
        try:
            with self._scope:
                while self._runner is None:
                    await self.kernel.sleep(self.config.standby_seconds)
                    await self._try_to_lead()
                assert self._nursery is not None  # noqa: S101  # who runs was spawned there
                self._learning.start(self._nursery)
                await self._runner.run()
        finally:
            self._ended.give(None)

    @trio.lowlevel.enable_ki_protection
    async def close(self) -> None:
        """Stop running workflows: attempts are cancelled, what is on its way to the store goes on."""
        runner = self._runner
        if runner is not None:
            runner.begin_close()
        self._scope.cancel()
        if self._spawned:
            with trio.CancelScope(shield=True):
                await self._ended.wait()
        if runner is not None:
            if self.state == "running":
                runner.note_closed()
            runner.fail_all(closed_error())
            self.state = "stopped"

    async def close_learning(self) -> None:
        """Write down what was learned; the runner is at rest."""
        with trio.move_on_after(self.config.close_timeout_seconds, shield=True):
            await self._learning.close()

    def release(self) -> None:
        """Let another runner take over; nothing of this one is on its way any more."""
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    async def wait_running(self) -> None:
        """Wait until this runtime is the runner.

        Raises:
            InvalidValueError: it was opened without workflows and never will be.
        """
        if not self._runs:
            raise InvalidValueError(
                "a runtime opened without workflows never runs any; give it workflows=[...]"
            )
        if self._runner is None:
            await self._led.wait()

    @property
    def _local(self) -> Runner | None:
        runner = self._runner
        return runner if runner is not None and not runner.stopping else None

    def learning(self) -> Any:
        """Tell how what retries have learned is kept up; None without such retries."""
        return next(iter(self._learning.statistics()), None)

    def statistics(self) -> RunnerStatistics:
        """Tell what the runner is doing."""
        return RunnerStatistics.of(self.state, self._runner)

    # -- start --

    async def start(
        self,
        workflow: WorkflowDefinition[..., Any] | str,
        args: Sequence[Any],
        *,
        id: str | int | None,  # noqa: A002  # the word that callers use
        id_policy: IdPolicy,
        signal: tuple[str, Sequence[Any]] | None,
    ) -> tuple[WorkflowId, int | None]:
        """Begin a workflow; see `Runtime.start`."""
        name, definition = self._code(workflow)
        workflow_id = self._new_workflow_id() if id is None else make_workflow_id(id)
        if id_policy not in ID_POLICIES:
            raise InvalidValueError(f"id_policy is one of {', '.join(ID_POLICIES)}; got {id_policy!r}")
        args_json = self._arguments(definition, args)
        sent = None if signal is None else (signal[0], self._values(signal[1]))
        runner = self._local
        if runner is not None:
            return workflow_id, await self._start_here(
                runner, workflow_id, definition, name, args_json, id_policy, sent
            )
        message = StartMessage(name, Raw(args_json), id_policy, *(_signal_fields(sent)))
        row = self._row(workflow_id, self._asking.new_id(), MessageKind.START, encode_wire(message))
        return workflow_id, await self._start_elsewhere(workflow_id, row, id_policy)

    async def _start_here(
        self,
        runner: Runner,
        workflow_id: WorkflowId,
        definition: WorkflowDefinition[..., Any] | None,
        name: str,
        args_json: bytes,
        policy: IdPolicy,
        signal: tuple[str, bytes] | None,
    ) -> int | None:
        await self.kernel.checkpoint_if_cancelled()
        if definition is None or name not in self.registry.workflows:
            # Raises, with near names.
            definition = self.registry.workflow(name)
        promise = Promise(self.kernel)
        new = workflow_id not in runner.instances
        instance = runner.instance(workflow_id)
        if new:
            # Most ids are new: try to begin, and let the store refuse it when this one is not.
            instance.phase = Phase.NEW
        runner.offer(
            instance,
            StartOffer(definition, name, args_json, runner.new_seed(), policy, signal=signal, reply=promise),
        )
        run: int = await promise.wait()
        return run or None  # 0: one that is held before its first step

    async def _start_elsewhere(self, workflow_id: WorkflowId, row: Message, policy: IdPolicy) -> int | None:
        head = await self.head(workflow_id)
        if head.next_seq > head.first_kept_seq:
            self._check_policy(head, policy)
        try:
            answer = await self._asking.ask(row)
        except refusing.NO_RUNNER:
            # Nobody is there to answer: the message waits for the next runner.
            await self._asking.put(row)
            return None
        run: int = msgspec.json.decode(answer.value or b"{}").get("run", 0)
        return run or None

    def _check_policy(self, head: Head, policy: IdPolicy) -> None:
        if head.facts is None:
            raise refusing.plain_log(head.workflow_id)
        status = Status(head.facts.status)
        if policy != ("allow_when_closed" if status.is_closed else "use_existing"):
            raise refusing.exists(head.workflow_id, status)

    def _code(
        self, workflow: WorkflowDefinition[..., Any] | str
    ) -> tuple[str, WorkflowDefinition[..., Any] | None]:
        if isinstance(workflow, WorkflowDefinition):
            return workflow.name, self.registry.workflows.get(workflow.name, workflow)
        given: object = workflow
        if not isinstance(given, str) or not given:
            raise InvalidValueError(
                f"a workflow is what workflow.define has made, or its name, got {given!r}"
            )
        return given, self.registry.workflows.get(given)

    def _arguments(self, definition: WorkflowDefinition[..., Any] | None, args: Sequence[Any]) -> bytes:
        if definition is None:
            return self._values(args)
        return encode_arguments(definition, tuple(args), {}, self.converter)

    def _values(self, values: Sequence[Any]) -> bytes:
        return self.converter.encode(list(values))

    def _new_workflow_id(self) -> WorkflowId:
        return make_workflow_id(self._asking.new_id().decode())

    def _row(self, workflow_id: WorkflowId, name: bytes, kind: MessageKind, payload: bytes) -> Message:
        return self.envelopes.row(workflow_id, name, kind, payload)

    # -- messages that only have to arrive --

    async def signal(
        self, workflow_id: WorkflowId, name: str, args: Sequence[Any], key: bytes | None
    ) -> None:
        """Send a signal; see `WorkflowHandle.signal`."""
        _check_name(name, "a signal's")
        payload = encode_message(SignalMessage(name, Raw(self._values(args))))
        await self._send(workflow_id, MessageKind.SIGNAL, payload, key)

    async def signal_row(
        self, workflow_id: WorkflowId, name: str, args: Sequence[Any], key: bytes | None
    ) -> Message:
        """Make the message of a signal that is sent with something else.

        Args:
            workflow_id: to whom.
            name: the signal's name.
            args: its values.
            key: its id; None draws one.

        Returns:
            The mailbox row.

        Raises:
            InvalidValueError: the name is none, or an argument has no JSON form.
            UsageError: nobody is there who would take it.
        """
        _check_name(name, "a signal's")
        payload = encode_message(SignalMessage(name, Raw(self._values(args))))
        await self._check_listens(workflow_id)
        return self._row(workflow_id, key or self._asking.new_id(), MessageKind.SIGNAL, payload)

    def check_outside(self, what: str) -> None:
        """Refuse a call that would go round a transaction of this runtime in which it is made.

        Args:
            what: the call, for the message.

        Raises:
            UsageError: it is made inside `decide`.
        """
        if self._supervisor.transactions:
            check_not_deciding(what)

    def hand_on(self, rows: Sequence[Message]) -> None:
        """Hand messages that are durable to the runner in this process, if it is here.

        Args:
            rows: what was written.
        """
        if self._local is not None and not self._local.stopping:
            for row in rows:
                self._local.hand_on(row)

    async def cancel(self, workflow_id: WorkflowId, reason: str) -> None:
        """Ask it to end; see `WorkflowHandle.cancel`."""
        await self._send(workflow_id, MessageKind.CANCEL, encode_message(CancelMessage(reason)), None)

    async def terminate(self, workflow_id: WorkflowId, reason: str) -> None:
        """End it; see `WorkflowHandle.terminate`."""
        await self._send(workflow_id, MessageKind.TERMINATE, encode_message(CancelMessage(reason)), None)

    async def resume(self, workflow_id: WorkflowId) -> None:
        """Try a held workflow again; see `WorkflowHandle.resume`."""
        await self._send(workflow_id, MessageKind.RESUME, encode_wire(ResumeMessage()), None)

    async def reset(self, workflow_id: WorkflowId, at: int, reapply: Reapply) -> int:
        """Go on from an earlier event; see `WorkflowHandle.reset`."""
        if reapply not in REAPPLY:
            raise InvalidValueError(f"reapply is one of {', '.join(REAPPLY)}; got {reapply!r:.60}")
        check_resettable(await self.head(workflow_id), at)
        message, runner = encode_wire(ResetMessage(at, reapply)), self._local
        if runner is None:
            row = self._row(workflow_id, self._asking.new_id(), MessageKind.RESET, message)
            answer = await self._asking.ask(row)
            seq: int = msgspec.json.decode(answer.value or b"{}").get("seq", 0)
            return seq
        promise = Promise(self.kernel)
        runner.offer(runner.instance(workflow_id), Ask("reset", promise, args_json=message))
        return int(await promise.wait())

    async def commit(self, proposal: Proposal, unit: Unit) -> None:
        """Write a unit that no runner has a part in.

        Args:
            proposal: without an actor.
            unit: what is to be written.
        """
        await self._supervisor.commit_unit(proposal, unit)
        for batch in unit.batches:
            if self._changes.anybody:
                self._changes.committed(batch.workflow_id)

    async def _send(
        self, workflow_id: WorkflowId, kind: MessageKind, payload: bytes, key: bytes | None
    ) -> None:
        await self._check_listens(workflow_id)
        row = self._row(workflow_id, key or self._asking.new_id(), kind, payload)
        runner = self._local
        if runner is None:
            await self._asking.put(row)
            return
        promise = Promise(self.kernel)

        def settled(proposal: EngineProposal) -> None:
            if proposal.error is not None:
                promise.fail(proposal.error)
                return
            promise.give(None)
            # Here, not in the sender's task: so messages are taken in the order in which they were stored.
            if not runner.stopping:
                runner.hand_on(row)

        await self._supervisor.committer.wait_room()
        if self._supervisor.closing:
            raise closed_error()
        runner.flights.send_alone(Unit(messages_put=(row,)), settled)
        await promise.wait()

    async def _check_listens(self, workflow_id: WorkflowId) -> None:
        """Refuse a message to nobody; what lives in this runner's memory needs no look."""
        runner = self._local
        instance = runner.instances.get(workflow_id) if runner is not None else None
        if (
            instance is not None
            and instance.phase in {Phase.LIVE, Phase.HELD, Phase.STRANGE}
            and instance.facts
        ):
            await self.kernel.checkpoint_if_cancelled()
            return
        head = await self.head(workflow_id)
        if head.facts is not None:
            if head.facts.details == WHAT_IF:
                raise refusing.only_played(workflow_id)
            if Status(head.facts.status).is_closed:
                raise refusing.closed(workflow_id, head.facts.status)
            return
        if head.next_seq > head.first_kept_seq:
            raise refusing.plain_log(workflow_id)
        if not await self._is_awaited(workflow_id):
            raise refusing.not_found(workflow_id)

    async def _is_awaited(self, workflow_id: WorkflowId) -> bool:
        """Tell whether something without a log will have one: its start waits, or was taken since."""
        if await self.store.messages(workflow_id, limit=1):
            return True
        return (await self.head(workflow_id)).facts is not None

    async def head(self, workflow_id: WorkflowId) -> Head:
        """Tell where a log stands.

        Args:
            workflow_id: the log.

        Returns:
            Its head.
        """
        (head,) = await self.store.heads([workflow_id])
        return head

    # -- questions --

    async def query(self, workflow_id: WorkflowId, name: str, args: Sequence[Any]) -> Any:
        """Ask its code; see `WorkflowHandle.query`."""
        _check_name(name, "a query's")
        args_json = self._values(args)
        message = QueryMessage(name, Raw(args_json))
        answer = await self._ask(
            workflow_id, Ask("query", name=name, args_json=args_json), MessageKind.QUERY, encode_wire(message)
        )
        return self.converter.decode(answer)

    async def stack(self, workflow_id: WorkflowId) -> tuple[Any, ...]:
        """Show its tasks; see `WorkflowHandle.stack`."""
        message = encode_wire(AskMessage("stack"))
        answer = await self._ask(workflow_id, Ask("stack"), MessageKind.STACK, message)
        return tuple(msgspec.json.decode(answer))

    async def describe(self, workflow_id: WorkflowId) -> WorkflowDescription:
        """Tell what it waits for; see `WorkflowHandle.describe`."""
        head = await self.head(workflow_id)
        if head.facts is None:
            raise refusing.not_found(workflow_id)
        waits: tuple[str, ...] = ()
        if head.facts.status == Status.RUNNING:
            try:
                message = encode_wire(AskMessage("describe"))
                answer = await self._ask(workflow_id, Ask("describe"), MessageKind.STACK, message)
                waits = tuple(msgspec.json.decode(answer))
            except refusing.NOT_ASKABLE as error:
                waits = (str(error),)
        return WorkflowDescription.of(head, await self._held_reason(head), waits)

    async def status(self, workflow_id: WorkflowId) -> str:
        """Tell where it stands; see `WorkflowHandle.status`."""
        head = await self.head(workflow_id)
        if head.facts is None:
            raise refusing.not_found(workflow_id)
        return Status(head.facts.status).name.lower()

    async def _held_reason(self, head: Head) -> str:
        if head.facts is None or head.facts.status != Status.HELD:
            return ""
        found = await self.store.record(HELD, head.workflow_id.encode())
        if found is None:
            return ""
        return decode_wire(self.envelopes.open(head.workflow_id, found), HeldNote).reason

    async def _ask(self, workflow_id: WorkflowId, ask: Ask, kind: MessageKind, payload: bytes) -> bytes:
        runner = self._local
        if runner is None:
            await self._check_listens(workflow_id)
            answer = await self._asking.ask(self._row(workflow_id, self._asking.new_id(), kind, payload))
            return bytes(answer.value or b"null")
        await self.kernel.checkpoint_if_cancelled()
        promise = ask.reply = Promise(self.kernel)
        runner.offer(runner.instance(workflow_id), ask)
        found: bytes = await promise.wait()
        return found

    # -- updates --

    async def update(
        self,
        workflow_id: WorkflowId,
        name: str,
        args: Sequence[Any],
        *,
        id: str | None,  # noqa: A002  # the word that callers use
        wait_for: WaitFor,
    ) -> Any:
        """Have it do something and answer; see `WorkflowHandle.update`."""
        _check_name(name, "an update's")
        if wait_for not in {"completed", "accepted"}:
            raise InvalidValueError(f"wait_for is 'completed' or 'accepted', got {wait_for!r}")
        update_id = id or self._asking.new_id().decode()
        args_json = self._values(args)
        runner = self._local
        if runner is not None:
            return await self._update_here(runner, workflow_id, Update(update_id, name, args_json), wait_for)
        return await self._update_elsewhere(workflow_id, Update(update_id, name, args_json), wait_for)

    async def _update_here(
        self, runner: Runner, workflow_id: WorkflowId, update: Update, wait_for: WaitFor
    ) -> Any:
        await self.kernel.checkpoint_if_cancelled()
        promise = Promise(self.kernel)
        accepted = promise if wait_for == "accepted" else None
        runner.offer(runner.instance(workflow_id), Offer(update, reply=promise, accepted=accepted))
        effect: AnswerUpdate | None = await promise.wait()
        if effect is None:
            return None
        return await self._outcome_of(workflow_id, update, effect)

    async def _outcome_of(self, workflow_id: WorkflowId, update: Update, effect: AnswerUpdate) -> Any:
        outcome = effect.outcome
        if outcome is None:
            return await self._logged_outcome(workflow_id, update, effect.seq)
        if type(outcome) is Completed:
            return self.converter.decode(outcome.result)
        if type(outcome) is Rejected:
            raise update_rejected_error(outcome.failure, workflow_id=workflow_id, update=update.name)
        assert type(outcome) is Failed  # noqa: S101  # the third and last
        raise update_failed_error(outcome.failure, workflow_id=workflow_id, update=update.name)

    async def _update_elsewhere(self, workflow_id: WorkflowId, update: Update, wait_for: WaitFor) -> Any:
        await self._check_listens(workflow_id)
        head = await self.head(workflow_id)
        message = UpdateMessage(update.id, update.name, Raw(update.args_json))
        row = self._row(workflow_id, self._asking.new_id(), MessageKind.UPDATE, encode_wire(message))
        answer = await self._asking.ask(row)
        seq: int = msgspec.json.decode(answer.value or b"{}").get("seq", 0)
        if wait_for == "accepted":
            return None
        if not seq:
            seq = await self._find_update_end(workflow_id, update.id, head)
        return await self._logged_outcome(workflow_id, update, seq)

    async def _find_update_end(self, workflow_id: WorkflowId, update_id: str, head: Head) -> int:
        """Follow the log until the update's UPDATE_COMPLETED; it may have been accepted long before."""
        seq = head.facts.run_start_seq if head.facts is not None else 1
        abandoned_to = await self._abandoned_to(head, seq)
        interest = self._changes.enter(workflow_id)
        try:
            while True:
                page = await self.store.read(workflow_id, seq, limit=self.config.page_events)
                for event in page:
                    seq = event.seq + 1
                    if event.kind is EventKind.UPDATE_COMPLETED:
                        if (await self._record(workflow_id, event, UpdateCompleted)).id == update_id:
                            return event.seq
                    elif event.kind in CLOSING_KINDS and event.seq > abandoned_to:
                        raise refusing.closed(workflow_id, _STATUS_BY_KIND[event.kind])
                if len(page) < self.config.page_events:
                    await self._changes.wait(interest)
        finally:
            self._changes.leave(interest)

    async def _logged_outcome(self, workflow_id: WorkflowId, update: Update, seq: int) -> Any:
        (event,) = await self.store.read(workflow_id, seq, seq, limit=1)
        completed = await self._record(workflow_id, event, UpdateCompleted)
        if completed.failure is not None:
            raise update_failed_error(completed.failure, workflow_id=workflow_id, update=update.name)
        return self.converter.decode(bytes(completed.result))

    async def _abandoned_to(self, head: Head, from_seq: int) -> int:
        """Tell the newest RESET of a run: an end before it is none any more."""
        events = await read_all(self.store, head, from_seq, head.next_seq - 1)
        return max((event.seq for event in events if event.kind is EventKind.RESET), default=0)

    async def _record(self, workflow_id: WorkflowId, event: WorkflowEvent, kind: type[Any]) -> Any:
        return msgspec.json.decode(await self._payload(workflow_id, event), type=kind)

    async def _payload(self, workflow_id: WorkflowId, event: WorkflowEvent) -> bytes:
        return await payload_of(self.store, self.codecs, workflow_id, event)

    # -- results --

    async def result(self, workflow_id: WorkflowId, run: int | None) -> Any:
        """Wait for the end; see `WorkflowHandle.result`."""
        runner = self._local
        if runner is not None:
            kind, payload, name = await self._wait_end_here(runner, workflow_id, run)
        else:
            kind, payload, name = await self._wait_end(workflow_id, run)
        return self._result_of(workflow_id, kind, payload, name)

    async def _wait_end_here(
        self, runner: Runner, workflow_id: WorkflowId, run: int | None
    ) -> tuple[EventKind, bytes, str]:
        while True:
            promise = runner.wait_closed(workflow_id)
            try:
                instance = runner.instances.get(workflow_id)
                if instance is None or not _surely_runs(instance, run):
                    found = await self._find_end(workflow_id, run)
                    if found is not None:
                        return found
                told = await promise.wait()
                if told is not None:
                    status, payload, name = told
                    return _KIND_BY_STATUS[status], payload, name
            finally:
                runner.forget_waiter(workflow_id, promise)

    async def _wait_end(self, workflow_id: WorkflowId, run: int | None) -> tuple[EventKind, bytes, str]:
        interest = self._changes.enter(workflow_id)
        try:
            while (found := await self._find_end(workflow_id, run)) is None:
                await self._changes.wait(interest)
        finally:
            self._changes.leave(interest)
        return found

    async def _find_end(
        self, workflow_id: WorkflowId, run: int | None
    ) -> tuple[EventKind, bytes, str] | None:
        head = await self.head(workflow_id)
        facts = head.facts
        if facts is None:
            is_deleted = run is not None and run < head.next_seq
            if is_deleted or (run is None and not await self._is_awaited(workflow_id)):
                raise refusing.not_found(workflow_id)
            return None
        if run is None or run >= facts.run_start_seq:
            if not Status(facts.status).is_closed:
                if facts.details == WHAT_IF:
                    raise refusing.only_played(workflow_id)
                return None
            event = await last_counting(self.store, head, head.next_seq - 1)
            return event.kind, await self._payload(workflow_id, event), facts.name
        if (seq := await self._first_end(workflow_id, run)) == 0:
            return None
        (event,) = await self.store.read(workflow_id, seq, seq, limit=1)
        return event.kind, await self._payload(workflow_id, event), facts.name

    async def _first_end(self, workflow_id: WorkflowId, run: int) -> int:
        """Find the end of a run that is not the newest: of those that went on from it, if it did."""
        seq = await self._first_left(workflow_id, run)
        while True:
            head = await self.head(workflow_id)
            try:
                events = await read_all(self.store, head, seq, head.next_seq - 1)
                break
            except EventsPrunedError:
                # Removed while it was read: what is left may go on from the same start.
                if (left := await self._first_left(workflow_id, run)) <= seq:
                    raise
                seq = left
        if goes_below(events):
            return 0  # that run was abandoned before it ended
        ends = (event.seq for event in view_of(events).events if event.kind in CLOSING_KINDS)
        return next(ends, 0)

    async def _first_left(self, workflow_id: WorkflowId, run: int) -> int:
        """Tell from which seq the end of a run is to be looked for, when its beginning may be removed."""
        head = await self.head(workflow_id)
        if run >= head.first_kept_seq:
            return run
        noted = await self.store.record(RUNS, workflow_id.encode())
        # What is kept goes on from that start: nothing between has ended.
        return head.first_kept_seq if noted is not None and int(noted) <= run else run

    def _result_of(self, workflow_id: WorkflowId, kind: EventKind, payload: bytes, name: str) -> Any:
        if kind is EventKind.WORKFLOW_COMPLETED:
            result = bytes(msgspec.json.decode(payload, type=WorkflowCompleted).result)
            definition = self.registry.workflows.get(name)
            if definition is None:
                return self.converter.decode(result)
            return decode_result(definition, result, self.converter)
        if kind is EventKind.WORKFLOW_FAILED:
            failure = msgspec.json.decode(payload, type=WorkflowFailed).failure
            raise workflow_failed_error(failure, workflow_id=workflow_id)
        if kind is EventKind.WORKFLOW_CANCELLED:
            reason = msgspec.json.decode(payload, type=WorkflowCancelled).reason
            raise WorkflowCancelledError(
                f"workflow {workflow_id!r} was cancelled{': ' if reason else ''}{reason}",
                workflow_id=workflow_id,
                reason=reason,
            )
        if kind is EventKind.WORKFLOW_TERMINATED:
            reason = msgspec.json.decode(payload, type=CancelRequest).reason
            raise WorkflowTerminatedError(
                f"workflow {workflow_id!r} was terminated{': ' if reason else ''}{reason}",
                workflow_id=workflow_id,
                reason=reason,
            )
        raise InternalError(f"workflow {workflow_id!r} ends with {kind.name}; please report it")


def _check_name(name: object, whose: str) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidValueError(f"{whose} name is a str that is not empty, got {name!r}")


def _surely_runs(instance: Instance, run: int | None) -> bool:
    """Whether what is in memory tells that this run, or one that goes on from it, has not ended."""
    if instance.facts is None or instance.phase not in {Phase.LIVE, Phase.HELD}:
        return False
    return run is None or run >= instance.facts.run_start_seq


def _signal_fields(signal: tuple[str, bytes] | None) -> tuple[Any, ...]:
    return () if signal is None else (signal[0], Raw(signal[1]))


_KIND_BY_STATUS: Final = {
    Status.COMPLETED: EventKind.WORKFLOW_COMPLETED,
    Status.FAILED: EventKind.WORKFLOW_FAILED,
    Status.CANCELLED: EventKind.WORKFLOW_CANCELLED,
    Status.TERMINATED: EventKind.WORKFLOW_TERMINATED,
}
_STATUS_BY_KIND: Final = {kind: status for status, kind in _KIND_BY_STATUS.items()}
