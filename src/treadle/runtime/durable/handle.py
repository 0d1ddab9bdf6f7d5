"""The part of a workflow's handle that is about durable workflows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from treadle.engine import ActivityDefinition, WorkflowDefinition
from treadle.engine.imagining import Answers
from treadle.events import WorkflowId, check_key, check_seq
from treadle.runtime.durable.describing import WorkflowDescription
from treadle.runtime.durable.playing import WhatIf, play
from treadle.runtime.durable.service import DurableService, WaitFor
from treadle.runtime.durable.wire import Reapply

_NONE: Final[Mapping[int, Any]] = MappingProxyType({})


class DurableHandle:
    """What callers do with one durable workflow, from the runner's process or any other.

    Attributes:
        workflow_id: the workflow.
        run: the seq that names the run it was given for; None for whichever is the newest.
    """

    __slots__ = ("_durable", "run", "workflow_id")

    def __init__(self, durable: DurableService, workflow_id: WorkflowId, run: int | None) -> None:
        self._durable = durable
        self.workflow_id = workflow_id
        self.run = run

    def _check_outside(self, what: str) -> None:
        self._durable.check_outside(what)

    async def signal(self, name: str, *args: Any, key: bytes | None = None) -> None:
        """Send it a signal; when this returns, the signal is durable and will be delivered.

        Signals of one sender are taken in the order in which they were sent. A workflow that is held, or
        that nobody runs now, receives as well.

        Cancelled, it may have been sent; a repeat with the same key is not delivered twice.

        Args:
            name: which one; what `workflow.signals` asks for.
            *args: its values.
            key: 1-64 bytes under which this signal is known for ever; None draws them.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended.
            InvalidValueError: a value has no JSON form.
            UsageError: the id belongs to a plain log.
            StoreError: the store failed; its `written` says whether it may have been sent.
        """
        if key is not None:
            check_key(key)
        self._check_outside("signal()")
        await self._durable.signal(self.workflow_id, name, args, key)

    async def query(self, name: str, *args: Any) -> Any:
        """Ask its code; nothing is written, and the answer shows only what is durable.

        Args:
            name: what to ask; what the workflow has registered.
            *args: arguments.

        Returns:
            The answer, as plain JSON values.

        Raises:
            QueryFailedError: the workflow knows no such query, or its function raised.
            WorkflowNotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended.
            WorkflowHeldError: its code must not run.
            WorkflowNotHereError: the runner does not know its code.
            NoRunnerError: nobody runs this store's workflows.
            StoreError: the store failed.
        """
        self._check_outside("query()")
        return await self._durable.query(self.workflow_id, name, args)

    async def update(
        self,
        name: str,
        *args: Any,
        id: str | None = None,  # noqa: A002  # the word for it everywhere else
        wait_for: WaitFor = "completed",
    ) -> Any:
        """Have it do something and answer.

        Cancelled, it may still be carried out; a repeat with the same id is answered, not done again.

        Args:
            name: what to do; what the workflow has registered.
            *args: arguments.
            id: under which this update is known; None draws one.
            wait_for: ``"completed"``, or ``"accepted"``: only until the log has it. A later call with the
                same id and ``"completed"`` waits for what becomes of it.

        Returns:
            What the handler has returned, as plain JSON values; None when only waited until accepted.

        Raises:
            UpdateRejectedError: its validator, or the lack of a handler, has turned it away.
            UpdateFailedError: its handler raised.
            WorkflowNotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended.
            WorkflowHeldError: its code must not run.
            WorkflowNotHereError: the runner does not know its code.
            NoRunnerError: nobody runs this store's workflows.
            StoreError: the store failed.
        """
        self._check_outside("update()")
        return await self._durable.update(self.workflow_id, name, args, id=id, wait_for=wait_for)

    async def cancel(self, reason: str = "") -> None:
        """Ask it to end; when this returns, the request is durable. Its code may clean up, and may complete.

        Args:
            reason: in words, for its log.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended.
            StoreError: the store failed.
        """
        self._check_outside("cancel()")
        await self._durable.cancel(self.workflow_id, reason)

    async def terminate(self, reason: str = "") -> None:
        """End it without asking its code, even one that is held; when this returns, the wish is durable.

        Args:
            reason: in words, for its log.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended.
            StoreError: the store failed.
        """
        self._check_outside("terminate()")
        await self._durable.terminate(self.workflow_id, reason)

    async def resume(self) -> None:
        """Try it again if it is held; when this returns, the wish is durable.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended.
            StoreError: the store failed.
        """
        self._check_outside("resume()")
        await self._durable.resume(self.workflow_id)

    async def what_if(
        self,
        answers: Answers = _NONE,
        *,
        workflows: Iterable[WorkflowDefinition[..., Any]] = (),
        activities: Iterable[ActivityDefinition[..., Any]] = (),
        until_ns: int | None = None,
    ) -> WhatIf:
        """Play a what-if branch on, in virtual time: its code runs, and nothing leaves it.

        What the code begins is answered by `answers`, at once and in the order in which it was begun; when
        nothing is left to answer, time passes straight to the next timer. The play ends where the workflow
        ends, where it waits for what no answer brings (a signal), or at the first call without an answer.
        What has happened is appended to the branch: it can be read, compared, and played on later.

        It needs no runner, only the code; a function that the workflow gives to `workflow.side_effect` runs.
        Cancelled, nothing or a part of it may have been appended; the next play goes on from there.

        Args:
            answers: for the seq of each call (an ACTIVITY_SCHEDULED, CHILD_SCHEDULED, SIGNAL_SENT or
                CANCEL_SENT) what it comes to, or a function of the `OpenCall`. A value is its result, an
                exception its failure, `NEVER` that it does not end. A function returns `NO_ANSWER` to stop
                there. For a signal any value means that it has arrived.
            workflows: code that counts instead of what was registered under the same name.
            activities: likewise; what they do is never run, only their signatures count.
            until_ns: no timer later than that fires, in nanoseconds since 1970.

        Returns:
            What it has come to. That a workflow fails in it is no error here.

        Raises:
            InvalidValueError: the answers are none, or one does not fit what was called.
            UsageError: it is no what-if branch, or there is nothing to answer at a seq; when it was answered
                in the shared part, the error names the seq to branch at. Or it goes on for ever.
            DefinitionError: nobody knows its code.
            NondeterminismError: this code does something else than the log says.
            WorkflowHeldError: something the code does would hold it.
            WorkflowClosedError: it has ended.
            WorkflowNotFoundError: there is no such workflow.
            ConflictError: somebody else has played it meanwhile.
            StoreError: the store failed.
        """
        self._check_outside("what_if()")
        return await play(
            self._durable,
            self.workflow_id,
            answers,
            workflows=workflows,
            activities=activities,
            until_ns=until_ns,
        )

    async def reset(self, *, at: int, reapply: Reapply = "signals") -> int:
        """Let it go on from an earlier event, under its own id; when this returns, that is durable.

        An event says so in its log (`EventKind.RESET`). What came after `at` is abandoned: it can still be
        read, and its code is no longer run against it. Attempts that run are cancelled. Activities that were
        pending at `at` run again under the key they had; those that the code begins after it are new ones.
        Children that began after it go on by themselves, and nobody waits for them. A workflow that has ended
        runs again.

        Cancelled, it may still be reset.

        Args:
            at: the last event that still counts; one before the newest, in the middle of a turn too.
            reapply: ``"signals"``: those that are abandoned come again, in their order, behind what waits in
                the mailbox; ``"none"``: they are abandoned like everything else.

        Returns:
            The seq of the event that says so.

        Raises:
            InvalidValueError: `at` is no seq, or `reapply` none of the two.
            WorkflowNotFoundError: there is no such workflow.
            UsageError: it is a plain log or a what-if branch, or `at` was abandoned before.
            SequenceGapError: `at` is its newest event, or behind it.
            EventsPrunedError: `at` is no longer kept.
            NoRunnerError: nobody runs this store's workflows.
            StoreError: the store failed; its `written` says whether it may have been reset.
        """
        check_seq(at)
        self._check_outside("reset()")
        return await self._durable.reset(self.workflow_id, at, reapply)

    async def result(self) -> Any:
        """Wait until it has ended, through every continue-as-new, and tell with what.

        Cancelling the wait changes nothing about the workflow.

        Returns:
            What its function has returned; by its annotation when the code is known here, otherwise as plain
            JSON values.

        Raises:
            WorkflowFailedError: an exception has left its function.
            WorkflowCancelledError: it has ended by cancellation.
            WorkflowTerminatedError: it was ended from outside.
            WorkflowNotFoundError: there is no such workflow.
            RuntimeClosedError: the runtime has closed.
            StoreError: the store failed.
        """
        self._check_outside("result()")
        return await self._durable.result(self.workflow_id, self.run)

    async def describe(self) -> WorkflowDescription:
        """Tell where it stands and what it waits for, in words.

        Returns:
            The description; what it waits for is known only while somebody runs it.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            StoreError: the store failed.
        """
        self._check_outside("describe()")
        return await self._durable.describe(self.workflow_id)

    async def stack(self) -> tuple[Any, ...]:
        """Show its tasks, with lines; nothing is written.

        Returns:
            Its task trees, as plain values.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended.
            WorkflowHeldError: its code must not run.
            WorkflowNotHereError: the runner does not know its code.
            NoRunnerError: nobody runs this store's workflows.
            StoreError: the store failed.
        """
        self._check_outside("stack()")
        return await self._durable.stack(self.workflow_id)

    async def status(self) -> str:
        """Tell where it stands.

        Returns:
            ``"running"``, ``"completed"``, ``"failed"``, ``"cancelled"``, ``"terminated"`` or ``"held"``.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            StoreError: the store failed.
        """
        self._check_outside("status()")
        return await self._durable.status(self.workflow_id)
