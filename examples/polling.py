"""A workflow starts a job elsewhere and asks for it, less and less often, until it is done or a day is over.

The waits between are durable: the program may be stopped for an hour in the middle and asks again when it is
back. The chance in them comes from the log, so a replay waits just as long.
"""

from __future__ import annotations

from contextlib import suppress

import trio

from treadle import WorkflowExistsError, WorkflowFailedError, activity, open_runtime, workflow

DAY = 24 * 60 * 60
ASKED: dict[str, int] = {}


@activity.define
async def start_job(film: str) -> str:
    """Tell the render farm to begin; give the job's number."""
    return f"job-{film}"


@activity.define(start_to_close_seconds=10)
async def ask_job(job: str) -> str | None:
    """Ask for the result; None while there is none. Here: the fifth answer is one."""
    ASKED[job] = ASKED.get(job, 0) + 1
    return f"{job}.mp4" if ASKED[job] >= 5 else None


@activity.define
async def stop_job(job: str) -> None:
    """Tell the render farm that nobody wants it any more."""
    ASKED.pop(job, None)


@workflow.define
async def render(film: str, first_wait_seconds: float = 1.0, patience_seconds: float = DAY) -> str:
    """Render a film, or give up after a day."""
    job = await workflow.activity(start_job, film)
    try:
        with workflow.fail_after(patience_seconds):
            found = await poll(job, first_wait_seconds)
    except workflow.TooSlowError:
        await workflow.activity(stop_job, job)
        raise
    return found


async def poll(job: str, wait_seconds: float) -> str:
    """Ask until there is an answer: after 1 second, 2, 4 ... up to ten minutes, each a little more."""
    while True:
        found = await workflow.activity(ask_job, job)
        if found is not None:
            return found
        # Many workflows that began together would otherwise ask together.
        await workflow.sleep(wait_seconds * (1 + workflow.random().random() / 10))
        wait_seconds = min(2 * wait_seconds, 600)


WORKFLOWS = (render,)
ACTIVITIES = (start_job, ask_job, stop_job)


async def main() -> None:
    """Render one film, with short waits; lose patience with another."""
    async with open_runtime("films.db", workflows=WORKFLOWS, activities=ACTIVITIES) as runtime:
        with suppress(WorkflowExistsError):  # this program was stopped, and is run again
            await runtime.start(render, "short", 0.01, id="film-short")
        short = runtime.workflow("film-short")
        film = await short.result()
        print("short:", film)
        async for event in short.read():
            if event.kind.name == "TIMER_STARTED":
                print("  waited at seq", event.seq)

        with suppress(WorkflowExistsError):
            await runtime.start(render, "slow", 0.05, 0.1, id="film-slow")
        try:
            await runtime.workflow("film-slow").result()
        except WorkflowFailedError as error:
            print("slow:", error)
    assert film == "job-short.mp4"  # noqa: S101


if __name__ == "__main__":
    trio.run(main)
