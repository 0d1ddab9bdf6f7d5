"""Asking from another process: a message in the mailbox, and its answer as a record of the store."""

from __future__ import annotations

from typing import Final

import trio

from treadle.errors import NoRunnerError
from treadle.kernel import Kernel
from treadle.runtime.durable.lease import find_holder
from treadle.runtime.durable.wire import REPLIES, Answer, Envelopes, decode_wire, error_of
from treadle.runtime.following import Changes
from treadle.runtime.inbox import Proposal
from treadle.runtime.supervisor import Supervisor
from treadle.stores import Message, Record, Store, Unit

RUNNER_LOOK_SECONDS: Final = 1.0
"""How often somebody who waits for an answer looks whether there is still a runner to give one."""


class Asking:
    """Leaves messages, and waits for answers.

    Args:
        store: whose mailbox.
        kernel: through which it waits.
        supervisor: writes units.
        changes: tells when something was committed.
        envelopes: encode and decode.
    """

    def __init__(
        self, store: Store, kernel: Kernel, supervisor: Supervisor, changes: Changes, envelopes: Envelopes
    ) -> None:
        self._store = store
        self._kernel = kernel
        self._supervisor = supervisor
        self._changes = changes
        self._envelopes = envelopes

    def new_id(self) -> bytes:
        """Draw an id for a message: 128 bits of chance."""
        draw = self._kernel.random
        return "".join(f"{int(draw() * 2**32):08x}" for _ in range(4)).encode()

    async def put(self, message: Message) -> None:
        """Leave a message; when this returns it is durable.

        Args:
            message: the row.

        Raises:
            StoreError: it was not written, or nobody knows.
        """
        await self._supervisor.commit_unit(Proposal(None), Unit(messages_put=(message,)))

    async def check_runner(self) -> None:
        """See that somebody runs this store's workflows.

        Raises:
            NoRunnerError: nobody does.
        """
        if await self._kernel.run_blocking(find_holder, self._store) is None:
            raise NoRunnerError(
                f"{self._store.url}: nobody runs this store's workflows now, so nobody can answer; open a"
                " runtime with workflows=[...] on it"
            )

    async def ask(self, message: Message) -> Answer:
        """Leave a message and wait for its answer.

        Args:
            message: the row.

        Returns:
            The answer, without an error.

        Raises:
            NoRunnerError: nobody runs this store's workflows, or no longer.
            TreadleError: the answer is an error.
        """
        await self.check_runner()
        interest = self._changes.enter(message.workflow_id)
        try:
            await self.put(message)
            while (answer := await self._fetch(message)) is None:
                with trio.move_on_after(RUNNER_LOOK_SECONDS) as scope:
                    await self._changes.wait(interest)
                if scope.cancelled_caught:
                    await self.check_runner()
        finally:
            self._changes.leave(interest)
        if answer.error:
            raise error_of(answer)
        return answer

    async def _fetch(self, message: Message) -> Answer | None:
        found = await self._store.record(REPLIES, message.message_id)
        if found is None:
            return None
        unit = Unit(records=(Record(REPLIES, message.message_id, None),))
        await self._supervisor.commit_unit(Proposal(None), unit)
        return decode_wire(self._envelopes.open(message.workflow_id, found), Answer)
