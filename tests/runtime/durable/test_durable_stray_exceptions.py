"""Whatever user code raises is told to whoever asked: no `SystemExit` of one workflow ends all the others."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
import trio.testing

from treadle import activity, open_runtime, workflow
from treadle.errors import (
    ActivityError,
    QueryFailedError,
    UpdateFailedError,
    UpdateRejectedError,
    WorkflowFailedError,
    WorkflowHeldError,
)
from treadle.kernel import InlineKernel


class StrangeError(BaseException):
    """Not an `Exception`, as errors of some libraries are."""


RAISED = {
    "SystemExit": lambda: SystemExit(3),
    "StrangeError": lambda: StrangeError("odd"),
    "GeneratorExit": GeneratorExit,
    "BaseExceptionGroup": lambda: BaseExceptionGroup("two", [StrangeError("odd"), ValueError("plain")]),
}
OF_ACTIVITIES = [what for what in RAISED if what != "GeneratorExit"]
"""An activity's own cannot be told from that of a coroutine which Python throws away."""


def boom(what: str) -> Any:
    """Raise what is no `Exception`."""
    error = RAISED[what]()
    raise error


@attrs.frozen
class Picky:
    """Refuses to be made, in its own way."""

    what: str = attrs.field()

    @what.validator
    def _refuse(self, _attribute: Any, what: str) -> None:
        if what in RAISED:
            boom(what)


@activity.define(retry=activity.Retry(attempts=2))
async def explode(what: str) -> None:
    boom(what)


@activity.define(retry=activity.Retry(attempts=2))
def explode_in_a_thread(what: str) -> None:
    boom(what)


@workflow.define
async def tries(what: str, thread: bool) -> int:  # noqa: FBT001  # arguments of workflows are JSON
    try:
        await workflow.activity(explode_in_a_thread if thread else explode, what)
    except ActivityError as error:
        return error.attempts
    return 0


@workflow.define
async def handles() -> str:
    workflow.set_query("query", boom)
    workflow.set_update("handler", boom)
    workflow.set_update("validator", lambda what: what, validator=boom)

    @workflow.update("argument")
    def take(picky: Picky) -> str:
        return picky.what

    return await workflow.signals("go").receive()


@workflow.define
async def predicts(what: str) -> None:
    await workflow.wait_until(lambda: boom(what))


@workflow.define
async def takes(picky: Picky) -> str:
    return picky.what


WORKFLOWS = [tries, handles, predicts, takes]
ACTIVITIES = [explode, explode_in_a_thread]


@pytest.mark.parametrize("thread", [False, True], ids=["task", "thread"])
@pytest.mark.parametrize("what", OF_ACTIVITIES)
async def test_an_activity_that_raises_it_has_failed_and_is_tried_again(autojump_clock, opened, what, thread):
    async with opened(WORKFLOWS, ACTIVITIES) as runtime:
        other = await runtime.start(handles)
        handle = await runtime.start(tries, what, thread)

        assert await handle.result() == 2

        await other.signal("go", "lives")

        assert await other.result() == "lives"


@pytest.mark.parametrize("what", RAISED)
async def test_who_asks_is_told_and_the_workflow_goes_on(autojump_clock, opened, what):
    """Queries, updates, validators, and the making of their arguments."""
    async with opened(WORKFLOWS, ACTIVITIES) as runtime:
        handle = await runtime.start(handles)
        with pytest.raises(QueryFailedError, match=f"failed: {what}"):
            await handle.query("query", what)
        with pytest.raises(UpdateRejectedError, match=f"refused update 'validator': {what}"):
            await handle.update("validator", what)
        with pytest.raises(UpdateRejectedError, match=f"refused update 'argument': {what}"):
            await handle.update("argument", {"what": what})
        if what in OF_ACTIVITIES:
            with pytest.raises(UpdateFailedError, match=what):
                await handle.update("handler", what)
        await handle.signal("go", "lives")

        assert await handle.result() == "lives"


@pytest.mark.parametrize("what", RAISED)
async def test_a_predicate_that_raises_it_fails_its_own_workflow_alone(autojump_clock, opened, what):
    async with opened(WORKFLOWS, ACTIVITIES) as runtime:
        other = await runtime.start(handles)
        handle = await runtime.start(predicts, what)
        with pytest.raises(WorkflowFailedError, match=what):
            await handle.result()
        await other.signal("go", "lives")

        assert await other.result() == "lives"


@pytest.mark.parametrize("private_names", [True, False], ids=["by a look", "by a scope"])
async def test_arguments_that_raise_it_hold_the_one_that_was_to_begin(
    autojump_clock, opened, monkeypatch, private_names
):
    """Left by another process, which does not make the arguments, they would else end every runner anew."""
    if not private_names:
        monkeypatch.setattr("treadle.runtime.durable.stage.open_on", lambda _: None)
    async with opened() as outside:
        handle = await outside.start("takes", {"what": "SystemExit"}, id="w")
    async with opened(WORKFLOWS, ACTIVITIES) as runtime:
        await trio.testing.wait_all_tasks_blocked()
        other = await runtime.start(handles)
        with pytest.raises(WorkflowHeldError, match="SystemExit: 3"):
            await runtime.workflow("w").query("anything")
        await other.signal("go", "lives")

        assert await other.result() == "lives"
        assert handle.workflow_id in runtime._durable._runner.held


@activity.define
async def interrupted() -> None:
    raise KeyboardInterrupt


@workflow.define
async def calls_interrupted() -> None:
    await workflow.activity(interrupted)


async def test_ctrl_c_inside_an_activity_ends_the_block_at_once(autojump_clock):
    """Nobody is left who could write what closing would wait for."""
    begun = trio.current_time()
    with pytest.raises(KeyboardInterrupt):
        async with open_runtime(
            "memory:", workflows=[calls_interrupted], activities=[interrupted], kernel=InlineKernel()
        ) as runtime:
            await (await runtime.start(calls_interrupted)).result()

    assert trio.current_time() - begun < 1
