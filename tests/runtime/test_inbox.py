"""The pieces that travel: a proposal's outcome, the inbox drained whole, errors copied for each caller."""

from __future__ import annotations

import pytest
import trio

from treadle import EventKind
from treadle.errors import ConflictError, WorkflowUnavailableError
from treadle.runtime.inbox import Inbox, Proposal, raise_own, unavailable_error


def proposal(payload: bytes) -> Proposal:
    return Proposal(None, EventKind.CUSTOM, payload)


async def test_an_inbox_is_drained_whole_and_what_came_back_goes_first(kernel):
    """Returned ones in their first order, then the channel, then senders who wait at the full channel."""
    send, receive = kernel.open_memory_channel(2)
    inbox = Inbox(send, receive)
    returned, queued, blocked = ([proposal(b"") for _ in range(2)] for _ in range(3))
    for one in queued:
        send.send_nowait(one)
    async with trio.open_nursery() as nursery:
        for one in blocked:
            nursery.start_soon(send.send, one)
            await trio.testing.wait_all_tasks_blocked()
        inbox.returned.extend(returned)

        assert inbox.drain() == [*returned, *queued, *blocked]
        assert inbox.drain() == []


async def test_an_abandoned_proposal_is_decided_without_waking_anybody(kernel):
    one = proposal(b"x")
    one.task = trio.lowlevel.current_task()
    one.abandon()
    one.decide(kernel)

    assert one.decided
    assert one.cancelled


def test_each_caller_gets_an_own_copy_of_a_shared_error():
    shared = ConflictError("why", workflow_id="a", next_seq=5, seq=3, stored="s", offered="o")
    shared.__cause__ = OSError()
    copies = []
    for _ in range(2):
        with pytest.raises(ConflictError) as caught:
            raise_own(shared)
        copies.append(caught.value)

    assert len({id(copy) for copy in [*copies, shared]}) == 3
    for copy in copies:
        assert vars(copy) == vars(shared)
        assert (copy.args, copy.__cause__) == (shared.args, shared.__cause__)
    assert shared.__traceback__ is None


def test_a_crash_is_told_with_its_cause_and_what_to_do():
    cause = ZeroDivisionError("boom")
    for quarantined, advice in ((False, "restarts"), (True, r"release\(\)")):
        error = unavailable_error("a", cause, quarantined=quarantined)
        with pytest.raises(WorkflowUnavailableError, match=f"'a' .*{advice}.*ZeroDivisionError: boom"):
            raise error
        assert error.__cause__ is cause
        assert error.workflow_id == "a"
