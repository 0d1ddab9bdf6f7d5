"""What if: a branch is played in virtual time by answers, nothing leaves it, what happens in it is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio
from board import board, kinds
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json

from treadle import (
    NEVER,
    NO_ANSWER,
    ConflictError,
    EventKind,
    InvalidValueError,
    NondeterminismError,
    UsageError,
    WorkflowClosedError,
    WorkflowFailedError,
    WorkflowHeldError,
    WorkflowNotFoundError,
    activity,
    open_runtime,
    workflow,
)
from treadle.kernel import InlineKernel
from treadle.payloads import Encryption, KeyRing
from treadle.runtime.durable import playing
from treadle.runtime.durable.service import DurableService

KEYS = KeyRing({"k": bytes(range(64))}, current="k")


TRIO = SimpleNamespace(scope=trio.CancelScope)
"""Under a name that `workflow.define` does not warn of."""


@activity.define
async def charge(what: str, cents: int) -> str:
    board.note("charge", (what, cents))
    return f"receipt for {what}"


@workflow.define
async def packing(what: str) -> int:
    board.note("packing", what)
    return 3


@workflow.define
async def order(what: str) -> list:
    receipt = await workflow.activity(charge, what, 100)
    await workflow.sleep(30 * 24 * 3600)
    workflow.signal_external("shop", "shipped", what)
    parcels = await workflow.child(packing, what)
    return [receipt, parcels, workflow.time_ns()]


@workflow.define(name="order")
async def dearer(what: str) -> list:
    """The same order with another price."""
    receipt = await workflow.activity(charge, what, 120)
    return [receipt, 0, 0]


@workflow.define(name="order")
async def hastier(what: str) -> list:
    """The same up to the payment."""
    receipt = await workflow.activity(charge, what, 100)
    return [receipt, "at once"]


@workflow.define(name="order")
async def slips(what: str) -> None:
    await workflow.activity(charge, what, 100)
    return nothing_like_this  # noqa: F821  # a slip is what is tested


@workflow.define(name="order")
async def foreign(what: str) -> None:
    await workflow.activity(charge, what, 100)
    with TRIO.scope():
        await workflow.sleep(1)


@workflow.define
async def patient(limit: float) -> str:
    with workflow.move_on_after(limit):
        return await workflow.activity(charge, "late", 1)
    return "gave up"


@workflow.define
async def fan(count: int) -> list[str]:
    found = []

    async def one(number: int) -> None:
        try:
            found.append(await workflow.activity(charge, str(number), number))
        except Exception as error:  # noqa: BLE001
            found.append(type(error).__name__)

    async with workflow.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(one, number)
    return found


@workflow.define
async def forever() -> None:
    while True:
        await workflow.sleep(60)


@workflow.define
async def tidy(what: str) -> None:
    try:
        await workflow.sleep(60)
        await workflow.activity(charge, what, 1)
    finally:
        board.note("tidied")


CODE = (order, packing, patient, fan, forever, tidy)


async def ordered(runtime, definition=order, *args):
    handle = await runtime.start(definition, *(args or ("tea",)), id="o")
    await trio.testing.wait_all_tasks_blocked()
    return handle


@pytest.mark.parametrize("codecs", [(), (Encryption(KEYS),)], ids=["plain", "encrypted"])
async def test_a_branch_is_played_to_its_end_and_nothing_leaves_it(opened, codecs):
    async with opened(CODE, [charge], codecs=codecs) as runtime:
        original = await ordered(runtime)
        noted, digest = list(board.notes), await original.digest()
        branch = await original.branch(at=2, to="b")
        asked = []

        def answer(call):
            asked.append((call.kind, call.name, call.args, call.workflow_id))
            return {"activity": "free", "signal": None, "child": 9}[call.kind]

        found = await branch.what_if(answer)
        assert found.status == "completed"
        assert found.stopped_at is None
        assert asked == [
            ("activity", "charge", ("tea", 100), ""),
            ("signal", "shipped", ("tea",), "shop"),
            ("child", "packing", ("tea",), "b/8"),
        ]
        receipt, parcels, time_ns = await branch.result()
        assert (receipt, parcels) == ("free", 9)
        began_ns = (await original.event_at(1)).timestamp
        assert time_ns == began_ns + 30 * 24 * 3600 * 10**9
        assert board.notes == noted
        assert await original.digest() == digest
        assert await runtime.store.messages("shop") == []
        assert await runtime.workflow("b/8").stream_len() == 0
        assert await branch.status() == "completed"
        assert await branch.read(4).list() == list(found.events) or codecs
        with pytest.raises(WorkflowClosedError):
            await branch.what_if()


async def test_it_stops_at_the_first_call_without_an_answer_and_goes_on_from_there(opened):
    async with opened(CODE, [charge]) as runtime:
        original = await ordered(runtime)
        branch = await original.branch(at=2, to="b")
        stopped = await branch.what_if()
        assert (str(stopped.stopped_at), stopped.events) == ("seq 2: activity charge('tea', 100)", ())
        stopped = await branch.what_if({2: "free"})
        assert str(stopped.stopped_at) == "seq 7: signal shipped('tea') to 'shop'"
        assert await branch.status() == "held"
        again = await branch.what_if({7: None})
        assert again.stopped_at.kind == "child"
        assert again.events == ()
        done = await branch.what_if({7: None, 8: 2})
        assert done.status == "completed"
        assert await kinds(branch) == [
            "workflow_started", "activity_scheduled", "branched", "activity_completed", "timer_started",
            "timer_fired", "signal_sent", "child_scheduled", "child_completed", "workflow_completed",
        ]  # fmt: skip


async def test_errors_are_answers_too_and_time_goes_on_without_what_never_ends(opened):
    async with opened(CODE, [charge]) as runtime:
        original = await ordered(runtime)
        failing = await original.branch(at=2, to="failing")
        assert (await failing.what_if({2: ValueError("no money")})).status == "failed"
        with pytest.raises(WorkflowFailedError, match="no money"):
            await failing.result()
        waits = await runtime.start(patient, 60.0, id="p")
        slow = await waits.branch(at=1, to="slow")
        assert (await slow.what_if(lambda _: NEVER)).status == "completed"
        assert await slow.result() == "gave up"
        assert (await kinds(slow))[-4:] == [
            "timer_fired", "activity_cancel_requested", "activity_cancelled", "workflow_completed",
        ]  # fmt: skip
        last = await runtime.start(forever, id="f")
        branch = await last.branch(at=1, to="long")
        bounded = await branch.what_if(until_ns=(await branch.event_at(1)).timestamp + 10 * 60 * 10**9)
        assert (await kinds(branch)).count("timer_fired") == 10
        assert bounded.status == "running"
        await last.terminate()


async def test_other_code_replays_what_is_shared_and_tells_where_it_parts(opened):
    async with opened(CODE, [charge]) as runtime:
        original = await ordered(runtime)
        branch = await original.branch(at=2, to="b")
        with pytest.raises(NondeterminismError, match="other values"):
            await branch.what_if({2: "free"}, workflows=[dearer])
        assert await branch.stream_len() == 3
        assert (await branch.what_if({2: "free"}, workflows=[hastier])).status == "completed"
        assert await branch.result() == ["free", "at once"]
        early = await original.branch(at=1, to="early")
        assert (await early.what_if(lambda _: "ok", workflows=[dearer])).status == "completed"
    async with opened() as bare:
        other = await bare.workflow("o").branch(at=2, to="c")
        found = await other.what_if({2: "free"}, workflows=[hastier], activities=[charge])
        assert found.status == "completed", "a runtime without code plays with what it is given"


async def test_answers_that_cannot_be_are_refused_and_nothing_is_written(opened):
    async with opened(CODE, [charge]) as runtime:
        original = await ordered(runtime)
        branch = await original.branch(at=3, to="b")
        length = await branch.stream_len()
        for answers, error, words in [
            (
                {2: "x"},
                UsageError,
                "ACTIVITY_COMPLETED at seq 3 .* shared part .* branch 'o' at seq 2 to answer",
            ),
            ({1: "x"}, UsageError, "seq 1 of 'b' is WORKFLOW_STARTED"),
            ({4: "x"}, UsageError, "seq 4 of 'b' is no event that counts"),
            ({99: "x"}, UsageError, "nothing to answer at seq 99 .* Open at the end: seq 7: signal"),
            ({0: "x"}, InvalidValueError, "under the seq"),
            ({"2": "x"}, InvalidValueError, "under the seq"),
            (["x"], InvalidValueError, "a value for each seq"),
        ]:
            with pytest.raises(error, match=words):
                await branch.what_if(answers)
        with pytest.raises(InvalidValueError, match="does not fit"):
            await branch.what_if(lambda call: None if call.kind == "signal" else "three")
        with pytest.raises(UsageError, match="no what-if branch"):
            await original.what_if()
        with pytest.raises(InvalidValueError):
            await branch.what_if(until_ns="soon")
        assert await branch.stream_len() == length
        await branch.what_if({7: None, 8: 2})
        own = await branch.branch(at=8, to="deep")
        with pytest.raises(UsageError, match="branch 'b' at seq 8"):
            await (await branch.branch(at=9, to="deeper")).what_if({8: 5})
        assert (await own.what_if({8: 5})).status == "completed"
        assert (await own.result())[1] == 5


async def test_code_that_cannot_go_on_writes_nothing(opened):
    async with opened(CODE, [charge]) as runtime:
        original = await ordered(runtime)
        branch = await original.branch(at=2, to="b")

        with pytest.raises(WorkflowHeldError, match="NameError"):
            await branch.what_if({2: "x"}, workflows=[slips])

        with pytest.raises(WorkflowHeldError, match="Trio"):
            await branch.what_if({2: "x"}, workflows=[foreign])
        assert await branch.stream_len() == 3


async def test_a_branch_deleted_while_it_is_played_stays_deleted(opened, monkeypatch):
    """At the last instant before what was played is written: the store itself tells."""
    async with opened(CODE, [charge]) as runtime:
        original = await ordered(runtime)
        branch = await original.branch(at=1, to="b")
        commit = DurableService.commit

        async def deleted_before(*args):
            await branch.delete()
            await commit(*args)

        monkeypatch.setattr(DurableService, "commit", deleted_before)
        with pytest.raises(WorkflowNotFoundError):
            await branch.what_if()
        assert await runtime.store.list_workflows(prefix="b", hidden=True) == []


async def test_of_two_who_play_at_once_one_is_refused(opened):
    async with opened(CODE, [charge]) as runtime:
        original = await ordered(runtime)
        branch = await original.branch(at=2, to="b")
        refused = []

        async def play(what):
            try:
                await branch.what_if({2: what, 7: None, 8: 1})
            except (ConflictError, WorkflowClosedError) as error:
                refused.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(play, "one")
            nursery.start_soon(play, "two")
        assert len(refused) == 1
        assert (await kinds(branch)).count("workflow_completed") == 1


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 6), st.data())
def test_a_fan_out_answered_in_any_pieces_is_the_one_answered_at_once(count, data):
    """However often the play was stopped, the log is the same to the byte."""

    async def run():
        async with open_runtime(
            "memory:", workflows=CODE, activities=[charge], kernel=InlineKernel()
        ) as runtime:
            original = await runtime.start(fan, count, id="o")
            await original.result()
            once = await original.branch(at=1, to="once")
            seqs = range(3, 3 + count)
            values = {seq: ValueError("x") if seq % 3 == 0 else f"v{seq}" for seq in seqs}
            await once.what_if(values)
            often = await original.branch(at=1, to="often")
            known: set[int] = set()
            while (found := await often.what_if({seq: values[seq] for seq in known})).stopped_at is not None:
                left = sorted(set(seqs) - answered(await often.read().list()))
                known = {found.stopped_at.seq, *data.draw(st.sets(st.sampled_from(left)))}
            assert await often.result() == await once.result()
            logs = [await branch.read(3).list() for branch in (often, once)]
            assert [(event.kind, event.payload) for event in logs[0]] == [
                (event.kind, event.payload) for event in logs[1]
            ]

    trio.run(run)


def answered(events):
    ends = {EventKind.ACTIVITY_COMPLETED, EventKind.ACTIVITY_FAILED}
    return {json.decode(event.payload)["seq"] for event in events if event.kind in ends}


async def test_a_function_without_an_answer_stops_it_too(opened):
    async with opened(CODE, [charge]) as runtime:
        original = await ordered(runtime)
        branch = await original.branch(at=1, to="b")
        found = await branch.what_if(lambda _: NO_ANSWER)
        assert found.stopped_at.seq == 3
        assert found.waits_for


class _ProcessEndsError(BaseException):
    """Such as Ctrl-C, or what ends a process of a world."""


async def test_code_is_thrown_away_at_once_when_a_play_ends_in_the_middle(opened, monkeypatch):
    """Nothing is left to the garbage collector, which would run its clean-up in anybody's task."""
    async with opened(CODE, [charge]) as runtime:
        original = await ordered(runtime, tidy)
        branch = await original.branch(at=1, to="b")
        turns = []
        take = playing._Turns.take

        async def take_one(self, turn):
            turns.append(turn)
            if len(turns) > 1:
                raise _ProcessEndsError
            return await take(self, turn)

        monkeypatch.setattr(playing._Turns, "take", take_one)
        with pytest.raises(BaseExceptionGroup, match="nursery"):
            await branch.what_if()
        assert board.notes == ["tidied"]
