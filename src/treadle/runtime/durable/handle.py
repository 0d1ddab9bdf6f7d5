"""The part of a workflow's handle that is about durable workflows."""

from __future__ import annotations

from typing import Any

from treadle.events import WorkflowId, check_key
from treadle.runtime.durable.describing import WorkflowDescription
from treadle.runtime.durable.service import DurableService, WaitFor


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
        await self._durable.terminate(self.workflow_id, reason)

    async def resume(self) -> None:
        """Try it again if it is held; when this returns, the wish is durable.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended.
            StoreError: the store failed.
        """
        await self._durable.resume(self.workflow_id)

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
        return await self._durable.result(self.workflow_id, self.run)

    async def describe(self) -> WorkflowDescription:
        """Tell where it stands and what it waits for, in words.

        Returns:
            The description; what it waits for is known only while somebody runs it.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            StoreError: the store failed.
        """
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
        return await self._durable.stack(self.workflow_id)

    async def status(self) -> str:
        """Tell where it stands.

        Returns:
            ``"running"``, ``"completed"``, ``"failed"``, ``"cancelled"``, ``"terminated"`` or ``"held"``.

        Raises:
            WorkflowNotFoundError: there is no such workflow.
            StoreError: the store failed.
        """
        return await self._durable.status(self.workflow_id)
