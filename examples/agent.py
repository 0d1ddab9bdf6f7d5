"""An agent answers a question: a model thinks, tools work, a human is asked; all of it survives a crash.

Whatever costs money or touches the world is an activity, so its result is paid for once: after a restart the
conversation is read from the log, and only what is missing is asked for. The model here is a script, and the
tools are small; nothing needs a network.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import attrs
import trio

from treadle import (
    ActivityError,
    EventKind,
    WorkflowClosedError,
    WorkflowExistsError,
    WorkflowHandle,
    activity,
    open_runtime,
    workflow,
)


@attrs.frozen
class Call:
    """A tool that the model wants to be used."""

    tool: str
    argument: str


@attrs.frozen
class Message:
    """One turn of the conversation."""

    role: str
    text: str
    calls: tuple[Call, ...] = ()


SCRIPT = (
    Message("model", "I look both up.", (Call("search", "wheels of a lorry"), Call("search", "unicorns"))),
    Message("model", "One was not found. How many lorries are there?", (Call("ask_user", "How many?"),)),
    Message("model", "I multiply.", (Call("multiply", "18 7"),)),
    Message("model", "7 lorries have 126 wheels."),
)
PRICE_CENTS: list[int] = []


@activity.define(retry=activity.Retry(initial_seconds=1, attempts=5), start_to_close_seconds=120)
async def think(messages: list[Message]) -> Message:
    """Ask the model for its next turn; here: the script's."""
    PRICE_CENTS.append(3)
    return SCRIPT[sum(message.role == "model" for message in messages)]


@activity.define(retry=activity.Retry(initial_seconds=0.01, attempts=2))
async def search(words: str) -> str:
    """Look something up."""
    if words != "wheels of a lorry":
        raise LookupError(f"nothing about {words}")
    return "A lorry has 18 wheels."


@activity.define
async def multiply(numbers: str) -> str:
    """Multiply two numbers."""
    one, other = map(int, numbers.split())
    return str(one * other)


TOOLS: dict[str, activity.ActivityDefinition[[str], Coroutine[Any, Any, str]]] = {
    "search": search,
    "multiply": multiply,
}


async def use(call: Call) -> str:
    """Use a tool; what goes wrong is told to the model, which may know better."""
    if call.tool == "ask_user":
        return str(await workflow.signals("answer").receive())
    try:
        return await workflow.activity(TOOLS[call.tool], call.argument)
    except ActivityError as error:
        return f"failed: {error.failure_message}"


async def use_all(calls: tuple[Call, ...]) -> list[Message]:
    """Use several tools at once; their answers come in the order of the calls."""
    answers = [""] * len(calls)

    async def fill(place: int, call: Call) -> None:
        answers[place] = await use(call)

    async with workflow.open_nursery() as nursery:
        for place, call in enumerate(calls):
            nursery.start_soon(fill, place, call)
    return [Message("tool", answer) for answer in answers]


@workflow.define
async def agent(question: str, turns_max: int = 10) -> str:
    """Think and use tools in turns, until the model wants none."""
    messages = [Message("user", question)]
    workflow.set_query("messages", lambda: messages)
    for _ in range(turns_max):
        turn = await workflow.activity(think, messages)
        messages.append(turn)
        if not turn.calls:
            return turn.text
        messages += await use_all(turn.calls)
    raise RuntimeError(f"there was no answer after {turns_max} turns")


WORKFLOWS = (agent,)
ACTIVITIES = (think, search, multiply)


async def asked(handle: WorkflowHandle) -> None:
    """Wait until the model has asked the user: two turns and two searches have ended."""
    ended = 0
    async for event in handle.follow():
        ended += event.kind in {EventKind.ACTIVITY_COMPLETED, EventKind.ACTIVITY_FAILED}
        if ended == 4:
            return


async def main() -> None:
    """Ask, stop in the middle, go on, look at the conversation."""
    async with open_runtime("agent.db", workflows=WORKFLOWS, activities=ACTIVITIES) as runtime:
        try:
            handle = await runtime.start(agent, "How many wheels do our lorries have?", id="question-1")
        except WorkflowExistsError:  # this program was stopped, and is run again
            handle = runtime.workflow("question-1")
        await asked(handle)

    async with open_runtime("agent.db", workflows=WORKFLOWS, activities=ACTIVITIES) as runtime:
        handle = runtime.workflow("question-1")
        with suppress(WorkflowClosedError):  # an earlier run of this program may have come to the end
            for message in await handle.query("messages"):
                print(f"{message['role']:>5}: {message['text']}")
            await handle.signal("answer", 7, key=b"seven")  # sent twice, it is delivered once
        answer = await handle.result()
    print("answer:", answer)
    print(f"the model was paid {sum(PRICE_CENTS)} cents for {len(SCRIPT)} turns")
    assert answer == SCRIPT[-1].text  # noqa: S101
    assert len(PRICE_CENTS) <= len(SCRIPT)  # noqa: S101  # the restart has asked for no turn again


if __name__ == "__main__":
    trio.run(main)
