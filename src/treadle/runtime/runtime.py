"""The runtime: store, committer and supervisor, opened and closed together."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Any, Final, TypeVar, overload

import attrs
import trio

from treadle.engine import ActivityDefinition, WorkflowDefinition
from treadle.errors import InternalError, InvalidValueError, TreadleError
from treadle.events import WorkflowEvent, check_prefix, check_record
from treadle.events import workflow_id as make_workflow_id
from treadle.kernel import Kernel, TrioKernel
from treadle.log import Fold
from treadle.payloads import Codec, CodecChain, Converter
from treadle.runtime.companions import Companion, Companions, Host, check_companion
from treadle.runtime.config import RuntimeConfig
from treadle.runtime.diffing import LogDiff, check_diff
from treadle.runtime.durable.describing import RunnerStatistics
from treadle.runtime.durable.service import DurableOptions, DurableService
from treadle.runtime.durable.wire import IdPolicy
from treadle.runtime.event_time import View
from treadle.runtime.folds import of_a_fold, refuse_cut, replay_cut
from treadle.runtime.following import Changes
from treadle.runtime.handles import WorkflowHandle
from treadle.runtime.inbox import Proposal, closed_error
from treadle.runtime.reading import WorkflowIds
from treadle.runtime.replaying import ReplayAll, Replayed
from treadle.runtime.retention import Retention, RetentionPolicy, RetentionStatistics
from treadle.runtime.supervisor import Supervisor
from treadle.runtime.transacting import Transaction, transact
from treadle.stores import LogPage, Record, Store, Unit, open_store

S = TypeVar("S")
T = TypeVar("T")

CONCURRENCY_MAX: Final = 1_000
"""Pages under way at once: two million events by default, which is what memory is for, and no more."""


@attrs.frozen(slots=True)
class RuntimeStatistics:
    """What a runtime is doing, at one instant.

    Attributes:
        workflows_known: how many workflows' heads are remembered.
        actors_awake: how many actors have a task, because a message waits.
        actors_quarantined: how many workflows are shut after repeated crashes.
        crashes: how often an actor has crashed.
        groups_committed: how many transactions were made.
        events_appended: how many events they wrote.
        events_repeated: how many offered events were there already.
        proposals_returned: how often a batch was admitted again because another writer was faster.
        events_waiting: how many events are in the open group.
        committing: whether a transaction is under way.
        closing: whether the runtime takes nothing more.
        runner: what it does about durable workflows.
        retention: what it has removed.
        projections: what the projections tell that it keeps up; None without any.
        retries: how the projection stands of what its activities' retries have learned; None without such
            retries, or where another process is the runner.
    """

    workflows_known: int
    actors_awake: int
    actors_quarantined: int
    crashes: int
    groups_committed: int
    events_appended: int
    events_repeated: int
    proposals_returned: int
    events_waiting: int
    committing: bool
    closing: bool
    runner: RunnerStatistics
    retention: RetentionStatistics
    projections: Any
    retries: Any


class Runtime:
    """Actors over one store; from `open_runtime`.

    Attributes:
        store: the store, for reading beside the actors; writing goes through handles.
        config: the limits.
    """

    def __init__(
        self,
        store: Store,
        kernel: Kernel,
        config: RuntimeConfig,
        durable: DurableOptions,
        retention: RetentionPolicy | None = None,
        companions: Sequence[Companion] = (),
    ) -> None:
        self.store = store
        self.config = config
        self._kernel = kernel
        self._converter = durable.converter
        self._codecs = durable.codecs
        self._changes = Changes(store, kernel, config.poll_seconds)
        self._supervisor = Supervisor(store, kernel, config, self._changes)
        self._durable = DurableService(
            store,
            kernel,
            config,
            self._supervisor,
            self._changes,
            options=durable,
            make_host=self.host,
            failed=self._fail,
        )
        self._retention = Retention(self, retention)
        self._companions = Companions(self.host, kernel, companions)
        self._body_scope: trio.CancelScope | None = None
        self._background_scope = trio.CancelScope(shield=True)
        self._failure: TreadleError | None = None
        self._background_ended = False
        self._starter: trio.lowlevel.Task | None = None
        self._started = False

    def workflow(self, workflow_id: str | int) -> WorkflowHandle:
        """Give a handle to a workflow, without I/O, whether it has events or not.

        Args:
            workflow_id: its id; an ``int`` becomes its decimal string.

        Returns:
            The handle.

        Raises:
            InvalidValueError: the id is not one.
        """
        return WorkflowHandle(self, make_workflow_id(workflow_id))

    @overload
    def replay_all(
        self,
        apply: Fold[S],
        /,
        *,
        workflow_ids: Iterable[str | int] | None = None,
        concurrency: int = 4,
    ) -> ReplayAll[S]: ...

    @overload
    def replay_all(
        self,
        apply: Callable[[S, WorkflowEvent], S],
        make_state: Callable[..., S],
        workflow_ids: Iterable[str | int] | None = None,
        *,
        concurrency: int = 4,
        from_first_kept: bool = False,
        as_of: int | None = None,
        known_by: int | None = None,
        late: bool = True,
    ) -> ReplayAll[S]: ...

    def replay_all(
        self,
        apply: Any,
        make_state: Any = attrs.NOTHING,
        workflow_ids: Iterable[str | int] | None = None,
        *,
        concurrency: int = 4,
        from_first_kept: bool = False,
        as_of: int | None = None,
        known_by: int | None = None,
        late: bool = True,
    ) -> ReplayAll[Any]:
        """Replay many isolated workflows concurrently, and stream their states as they finish.

        With `as_of`, `known_by` and `late` they are states of the past, as from `WorkflowHandle.replay`; one
        `known_by` is the same instant in all logs. A log of which nothing is shown gives its first state.

        Args:
            apply: takes the state and the next event and returns the state after it; or a `treadle.Fold`,
                which begins at the baseline of a log whose beginning was removed.
            make_state: makes a workflow's first state; called without arguments, or with the workflow id
                when it requires one. A fold has its own.
            workflow_ids: which workflows; None for all.
            concurrency: how many pages of `page_events` events are under way at once, over as many
                workflows as fit; at least 1. More is a little faster and takes more memory.
            from_first_kept: let a function fold a log whose beginning was removed from its first kept event;
                otherwise the iterator raises `EventsPrunedError` for it, and goes on with the next log.
            as_of: only events that had happened by this event time, inclusive, in nanoseconds.
            known_by: only events that were recorded up to this position of the store, inclusive. It costs
                some twenty reads of a row for each log.
            late: whether events count that stand behind one which happened after `as_of`.

        Returns:
            An async iterator of `Replayed`; safe to leave at any time.

        Raises:
            InvalidValueError: an id is not one, `concurrency` is not a positive int, a bound is not what it
                must be, `late` is False without `as_of`, or a fold came with a first state or a bound.
        """
        self._durable.check_outside("replay_all()")
        view = View(as_of, known_by, late)
        if type(concurrency) is not int or not 1 <= concurrency <= CONCURRENCY_MAX:
            raise InvalidValueError(
                f"concurrency is an int of at least 1 and at most {CONCURRENCY_MAX}, got {concurrency!r}"
            )
        function = apply
        cut: Callable[[LogPage], Awaitable[Replayed[Any] | None]] | None = None
        if not from_first_kept:
            cut = partial(refuse_cut, self.store)
        if isinstance(apply, Fold):
            view.check_fold(apply, "replay_all(fold.apply, fold.initial, as_of=...)")
            if make_state is not attrs.NOTHING or from_first_kept:
                raise InvalidValueError(f"fold {apply.name!r} has a first state and begins where it can")
            function, make_state, cut = of_a_fold(apply), apply.initial, partial(replay_cut, self, apply)
        _check_replay(function, make_state, workflow_ids)
        chosen = None if workflow_ids is None else [make_workflow_id(value) for value in workflow_ids]
        return ReplayAll(
            self.store,
            function,
            make_state,
            chosen,
            concurrency=concurrency,
            page_events=self.config.page_events,
            cut=cut,
            view=view,
        )

    def diff(
        self,
        left: str | int,
        right: str | int,
        apply: Callable[[S, WorkflowEvent], S] | None = None,
        make_state: Callable[[], S] | None = None,
        *,
        times: bool = True,
    ) -> LogDiff[S]:
        """Compare two logs event by event and, with a fold, state by state, from where they part.

        What a branch shares with its parent is passed over without being read, except for a fold, whose
        states begin with it. ``async for row in runtime.diff(a, b): ...`` gives what stands at each seq
        from there on; ``await runtime.diff(a, b).parting()`` tells only where that is.

        Args:
            left: one workflow.
            right: the other.
            apply: takes a state and the next event and returns the state after it; None compares events
                alone.
            make_state: makes the state before the first event, once for each side.
            times: whether two events that differ in their event time alone are different.

        Returns:
            An async iterator of `DiffRow`; safe to leave at any time.

        Raises:
            InvalidValueError: an id is not one, or `apply` and `make_state` cannot be called.
        """
        self._durable.check_outside("diff()")
        check_diff(apply, make_state, times)
        names = make_workflow_id(left), make_workflow_id(right)
        return LogDiff(
            self.store, *names, apply, make_state, times=times, page_events=self.config.page_events
        )

    def workflow_ids(self, prefix: str = "") -> WorkflowIds:
        """List the workflows that have events: ``async for workflow_id in runtime.workflow_ids(): ...``.

        Args:
            prefix: only ids that begin so.

        Returns:
            An async iterator that fetches page by page; safe to leave at any time.

        Raises:
            InvalidValueError: the prefix is not a str, or not valid Unicode.
        """
        self._durable.check_outside("workflow_ids()")
        check_prefix(prefix)
        return WorkflowIds(self.store, prefix)

    async def set_record(self, namespace: str, key: bytes, value: bytes | None) -> None:
        """Set a small mutable value of the store, outside every log; durable when this returns.

        Args:
            namespace: whose record; a str of 1-255 UTF-8 bytes without control characters.
            key: which one; at most 255 bytes.
            value: its value, at most 2 MiB; None removes it.

        Raises:
            InvalidValueError: one of them is not.
            RuntimeClosedError: the runtime is closing; surely not written.
            StoreError: the store failed; its `written` says whether the value may be there.
        """
        self._durable.check_outside("set_record()")
        check_record(namespace, key, value)
        unit = Unit(records=(Record(namespace, key, value),))
        await self._supervisor.commit_unit(Proposal(None), unit)

    async def transact(
        self, decide: Callable[[Transaction], Awaitable[T]], *, attempts_max: int | None = None
    ) -> T:
        """Read several plain logs, decide, and append to several: all of it, or nothing.

        ``decide(tx)`` reads and appends through ``tx`` alone. What it appends, and the signals it sends, are
        written together, and only if every log that it has read or appended to still stands where it was
        read; otherwise it is called again, with a new ``tx``. So transactions are serializable over the
        logs they read. It may be called several times, and so must do nothing else: no effect on the
        world, no chance, nothing kept outside.

        Cancelled, what it wrote last may be written or not, but never a part of it.

        Args:
            decide: an async function of a `Transaction`; what it returns is returned.
            attempts_max: how often it is called at most, up to 100; None for one more than the config's
                `readmissions_max`.

        Returns:
            What the last call of `decide` has returned; its events are durable.

        Raises:
            ConflictError: another writer came first each time, or a key is taken; what is there now is in
                the error. Nothing was written.
            UsageError: `decide` appends to a durable workflow, or goes round ``tx`` through this runtime.
            RuntimeClosedError: the runtime is closing; nothing was written.
            StoreError: the store failed; its `written` says whether it may be there.
            Exception: whatever `decide` raises about what it has read; nothing was written.
        """
        return await transact(self, decide, attempts_max)

    def release(self, workflow_id: str | int) -> bool:
        """Let a quarantined workflow try again.

        Args:
            workflow_id: the workflow.

        Returns:
            Whether it was quarantined.

        Raises:
            InvalidValueError: the id is not one.
        """
        return self._supervisor.release(make_workflow_id(workflow_id))

    def statistics(self) -> RuntimeStatistics:
        """Tell what the runtime is doing.

        Returns:
            A frozen snapshot.
        """
        supervisor, committer = self._supervisor, self._supervisor.committer
        return RuntimeStatistics(
            workflows_known=len(supervisor.actors),
            actors_awake=len(supervisor.awake),
            actors_quarantined=len(supervisor.quarantined),
            crashes=supervisor.crashes,
            groups_committed=committer.groups_committed,
            events_appended=committer.events_appended,
            events_repeated=committer.events_repeated,
            proposals_returned=committer.proposals_returned,
            events_waiting=committer.open.events,
            committing=committer.writing is not None,
            closing=supervisor.closing,
            runner=self._durable.statistics(),
            retention=self._retention.statistics(),
            projections=next(iter(self._companions.statistics()), None),
            retries=self._durable.learning(),
        )

    def host(self) -> Host:
        """Give what a companion may use of this runtime; for tools that work beside it, such as a rebuild.

        Returns:
            A host of its own.
        """
        return Host(self.store, self._kernel, self._converter, self._codecs, self._supervisor, self._changes)

    # -- durable workflows --

    async def start(
        self,
        workflow: WorkflowDefinition[..., Any] | str,
        *args: Any,
        id: str | int | None = None,  # noqa: A002  # the word for it everywhere else
        id_policy: IdPolicy = "reject",
        signal: tuple[str, Sequence[Any]] | None = None,
    ) -> WorkflowHandle:
        """Begin a durable workflow; when this returns, that it has begun is durable.

        From a process that is not the runner the wish is left for it; when there is none, it waits for the
        next one, and only that it waits is durable.

        Cancelled, it may have begun: start it again with the same id.

        Args:
            workflow: what `workflow.define` has made, or the name its code is known by.
            *args: its arguments.
            id: its workflow id; None draws one.
            id_policy: what becomes of an id that is taken: ``"reject"`` is an error, ``"use_existing"`` gives
                the workflow that runs or is held under it, ``"allow_when_closed"`` begins again when that has
                ended.
            signal: name and values of a signal that comes with it: to the new workflow, or with
                ``"use_existing"`` to the one that runs.

        Returns:
            A handle whose `result` is that of this run and what goes on from it.

        Raises:
            WorkflowExistsError: the id is taken.
            DefinitionError: the runner does not know this code.
            InvalidValueError: an argument has no JSON form or does not fit the annotations.
            WorkflowHeldError: this start's code could not make the first step; nothing was started.
            RuntimeClosedError: the runtime is closing; nothing was started.
            StoreError: the store failed; its `written` says whether it may have begun.
        """
        self._durable.check_outside("start()")
        workflow_id, run = await self._durable.start(
            workflow, args, id=id, id_policy=id_policy, signal=signal
        )
        return WorkflowHandle(self, workflow_id, run=run)

    async def wait_running(self) -> None:
        """Wait until this runtime is the runner; for one that stands by.

        Raises:
            InvalidValueError: it was opened without workflows and never will be.
        """
        await self._durable.wait_running()

    # -- life and end; called by open_runtime --

    @trio.lowlevel.enable_ki_protection
    async def _run_background(self, body: trio.CancelScope) -> None:
        # Shielded from whoever cancels the body: what was accepted is flushed first, then _close() ends it.
        self._body_scope = body
        with self._background_scope:
            try:
                async with trio.open_nursery() as nursery:
                    self._supervisor.start(nursery)
                    self._kernel.spawn(nursery, self._changes.poll)
                    self._durable.start_tasks(nursery)
                    if self._retention.policy is not None:
                        self._kernel.spawn(nursery, self._retention.run)
                    self._companions.start(nursery)
                    self._note_started()
            except Exception as error:  # noqa: BLE001  # told to the body's owner as our bug
                self._failure = InternalError(f"the runtime's own task failed, please report: {error!r}")
                self._failure.__cause__ = error
                body.cancel()
            finally:
                # Also after Ctrl-C in one of its tasks: nobody is left who could take or write anything.
                self._supervisor.closing = self._background_ended = True

    def _fail(self, error: TreadleError) -> None:
        """End the block with an error: the runner can do nothing more."""
        if self._failure is None and not self._supervisor.closing:
            self._failure = error
            if self._body_scope is not None:
                self._body_scope.cancel()

    def _note_started(self) -> None:
        self._started = True
        if self._starter is not None:
            self._kernel.wake(self._starter)

    async def _wait_started(self) -> None:
        if not self._started:
            self._starter = trio.lowlevel.current_task()
            await self._kernel.park(lambda: setattr(self, "_starter", None))

    @trio.lowlevel.enable_ki_protection
    async def _close(self) -> None:
        try:
            # First of all: what it writes last is part of what is flushed below.
            await self._durable.close()
            if self._failure is None and not self._background_ended:
                # They have read what was committed, and write how far.
                with trio.move_on_after(self.config.close_timeout_seconds, shield=True):
                    await self._companions.close()
                await self._durable.close_learning()
        finally:
            self._supervisor.closing = True
        try:
            if self._failure is None and not self._background_ended:
                with trio.move_on_after(self.config.close_timeout_seconds, shield=True):
                    await self._supervisor.wait_quiet()
        finally:
            # Also after Ctrl-C while it waited: the shielded background would never end by itself.
            self._supervisor.committer.stopping = True
            self._background_scope.cancel()

    def _abandon_rest(self) -> None:
        self._supervisor.abandon_rest()
        self._durable.release()
        self._changes.close()
        self._changes.fail(self._failure or closed_error())


def _check_replay(apply: object, make_state: object, workflow_ids: object) -> None:
    if not callable(apply) or not callable(make_state):
        raise InvalidValueError(f"apply and make_state are called, got {apply!r} and {make_state!r}")
    # A str is an iterable of str, bytes of numbers; each letter would be taken for a workflow.
    single = isinstance(workflow_ids, str | bytes | bytearray | int)
    if workflow_ids is not None and (single or not isinstance(workflow_ids, Iterable)):
        raise InvalidValueError(f"workflow_ids is a collection of ids, got {workflow_ids!r}; use a list")


# Opening and closing are protected from Ctrl-C, or tasks might be left that never end; the block is not.
@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def open_runtime(
    store: str | os.PathLike[str] | Store,
    *,
    workflows: Iterable[WorkflowDefinition[..., Any]] = (),
    activities: Iterable[ActivityDefinition[..., Any]] = (),
    standby: bool = True,
    converter: Converter | None = None,
    codecs: Sequence[Codec] | CodecChain = (),
    config: RuntimeConfig | None = None,
    retention: RetentionPolicy | None = None,
    projections: Companion | None = None,
    kernel: Kernel | None = None,
) -> AsyncIterator[Runtime]:
    """Open a runtime over a store, and close it at the end of the block.

    With `workflows` or `activities` it is the store's runner: it goes on with everything unfinished, as
    soon as no other process is the runner. There is one at a time; everybody else sends messages.

    At the end of the block nothing new is accepted, what was accepted is written within the config's
    `close_timeout_seconds`, and the commit under way is always awaited; that holds too when the block is
    cancelled or fails. The block's own exception leaves as itself, never in a group.

    Args:
        store: a URL or path (see `open_store`), or an open store, which stays open.
        workflows: what `workflow.define` has made: the durable workflows to run here.
        activities: what `activity.define` has made: the activities they call.
        standby: when another runner is at work, wait in the background and take over when it ends;
            `runtime.statistics().runner.state` tells. Otherwise that is an error.
        converter: values of workflows to JSON and back; None takes `treadle.payloads.JsonConverter`.
        codecs: what happens to their payloads between converter and store, in the order of writing.
        config: the limits; None takes the defaults.
        retention: what is removed in the background, in small steps; None removes nothing.
        projections: what follows the feed of this store, `treadle.projections.Projections`; kept up in the
            background, and written down at the end of the block.
        kernel: through which everything waits; None takes Trio's own scheduler.

    Yields:
        The runtime.

    Raises:
        UsageError: the URL names no store.
        DefinitionError: something among `workflows` or `activities` is none, or two have one name.
        RunnerBusyError: another runner is at work, and `standby` is False.
        FencedError: another runner has taken over meanwhile; the block is cancelled.
        ProjectionVersionError: a projection was kept by another version of its fold.
        ProjectionAheadError: a projection has read further than the store reaches.
        StoreError: the store could not be opened.
        InternalError: one of the runtime's own tasks failed: our bug.
    """
    given: object = config
    if given is not None and not isinstance(given, RuntimeConfig):
        raise InvalidValueError(f"config is a RuntimeConfig, got {config!r}; RuntimeConfig(page_events=...)")
    wanted: object = retention
    if wanted is not None and not isinstance(wanted, RetentionPolicy):
        raise InvalidValueError(
            f"retention is a RetentionPolicy, got {retention!r}; RetentionPolicy(RetentionRule(...))"
        )
    if projections is not None:
        check_companion(projections)
    kernel = kernel or TrioKernel()
    durable = DurableOptions.of(workflows, activities, converter, codecs, standby=standby)
    opened: AbstractAsyncContextManager[Store]
    opened = nullcontext(store) if isinstance(store, Store) else open_store(store, kernel=kernel)
    companions = () if projections is None else (projections,)
    body_error: BaseException | None = None
    async with opened as live_store:
        runtime = Runtime(live_store, kernel, config or RuntimeConfig(), durable, retention, companions)
        try:
            runtime._changes.open()
            await runtime._durable.open()
            await runtime._companions.open()
            async with trio.open_nursery() as nursery:
                kernel.spawn(nursery, runtime._run_background, nursery.cancel_scope)
                try:
                    try:
                        await runtime._wait_started()
                        yield runtime
                    finally:
                        await runtime._close()
                except trio.Cancelled:
                    # Belongs to a scope outside, or to a failure of ours: both must see it pass.
                    raise
                except BaseException as error:  # noqa: BLE001  # raised again below, outside the nursery
                    body_error = error
        except BaseExceptionGroup as group:
            # Ctrl-C while the nursery waited for the last commit; anything else passes as it is.
            interrupt = group.subgroup(KeyboardInterrupt)
            if interrupt is None:
                raise
            body_error = _first_leaf(interrupt)
        finally:
            runtime._abandon_rest()
        if runtime._failure is not None:
            raise runtime._failure
        if body_error is not None:
            raise body_error


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
