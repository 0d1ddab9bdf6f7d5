"""Workflows with the mistakes that replay cannot repeat."""

from __future__ import annotations

import gc
import random
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from time import time as imported_time

from treadle import activity, workflow

drawn: dict[str, float] = {"count": 0}


@activity.define
async def step(name: str) -> str:
    raise NotImplementedError


@workflow.define
async def asks_the_clock() -> str:
    return await workflow.activity(step, str(time.time()))


@workflow.define
async def asks_an_imported_clock() -> str:
    return await workflow.activity(step, str(imported_time()))


@workflow.define
async def asks_the_date() -> str:
    return await workflow.activity(step, datetime.now(UTC).isoformat())


@workflow.define
async def draws() -> str:
    return await workflow.activity(step, str(random.random()))


@workflow.define
async def chooses() -> str:
    return await workflow.activity(step, str(random.choice(range(10**9))))


@workflow.define
async def draws_an_id() -> str:
    return await workflow.activity(step, str(uuid.uuid4()))


@workflow.define
async def starts_a_thread() -> str:
    thread = threading.Thread(target=len, args=((),))
    thread.start()
    return "started"


@workflow.define
async def reads_a_file() -> str:
    return Path(__file__).read_text()  # noqa: ASYNC240  # the mistake


@workflow.define
async def swallows() -> str:
    try:
        return str(uuid.uuid4())
    except Exception:  # noqa: BLE001  # so do those who should not
        return "nothing happened"


@workflow.define
async def asks_the_clock_in_a_query() -> str:
    workflow.set_query("age", lambda: time.time())  # noqa: PLW0108  # a line of its own to be named
    return str(await workflow.signals("end").receive())


@workflow.define
async def behaves() -> list[str]:
    """Everything that is allowed."""
    workflow.logger.info("logging takes the time by itself")
    drawn_number = random.Random(7).random()
    at = datetime(2025, 1, 1, tzinfo=UTC).isoformat()
    outside = workflow.side_effect(lambda: f"{time.time()} {uuid.uuid4()} {random.random()}")
    return [str(drawn_number), at, str(workflow.random().random()), str(workflow.uuid4()), outside]


class Mortal:
    """Asks the clock when it goes."""

    def __del__(self) -> None:
        drawn["gone at"] = time.time()


@workflow.define
async def is_interrupted() -> str:
    """Python itself calls other code on top of this one."""
    mortal = Mortal()
    del mortal
    gc.collect()
    return "went on"


@workflow.define
async def counts() -> str:
    """A global that the next replay finds changed."""
    drawn["count"] += 1
    return await workflow.activity(step, f"number {drawn['count']}")


@workflow.define
async def goes_elsewhere_later() -> str:
    """Asks for the same at every replay, and waits for something else."""
    drawn["count"] += 1
    await workflow.activity(step, "same")
    return str(await workflow.signals("even" if drawn["count"] % 2 else "odd").receive())


@workflow.define
async def orders_a_set() -> list[str]:
    names = {"anna", "bert", "carl", "dora", "emil", "fred", "gina", "hans"}
    return [await workflow.activity(step, name) for name in names]


@workflow.define
async def orders_it_sorted() -> list[str]:
    names = {"anna", "bert", "carl", "dora", "emil", "fred", "gina", "hans"}
    return [await workflow.activity(step, name) for name in sorted(names)]


@workflow.define
async def waits_for_one_of_a_set() -> str:
    """The same commands everywhere; where it waits is another matter."""
    await workflow.activity(step, "same")
    names = {"anna", "bert", "carl", "dora", "emil", "fred", "gina", "hans"}
    return str(await workflow.signals(next(iter(names))).receive())


@workflow.define
async def cleans_up_wrongly() -> str:
    """Its clean-up changes what the next replay finds."""
    try:
        await workflow.sleep(10)
        await workflow.sleep(10)
    finally:
        drawn["count"] += 1
    return await workflow.activity(step, f"number {drawn['count']}")


@workflow.define
async def knows_that_it_is_replayed() -> str:
    """Goes another way when it is replayed: the same undisturbed, something else after a crash."""
    is_replayed = workflow.info().is_replaying
    await workflow.sleep(1)
    if is_replayed:
        await workflow.activity(step, "again")
    return await workflow.activity(step, "once")
