"""One workflow runs a thousand activities at once and adds their results up.

Each activity is a task of one nursery: all must end before the workflow goes on, and if one failed for good,
the others would be cancelled. How many run at the same moment is the runtime's business, not the workflow's.
"""

from __future__ import annotations

import trio

from treadle import EventKind, WorkflowExistsError, activity, open_runtime, workflow

PAGES = 1_000


@activity.define(concurrency=100)
async def count_words(page: int) -> int:
    """Fetch a page and count its words; here: make something up."""
    await trio.sleep(0.001)
    return 200 + page % 7


@workflow.define
async def census(pages: int) -> int:
    """Count the words of all pages."""
    counts = [0] * pages

    async def count(page: int) -> None:
        counts[page] = await workflow.activity(count_words, page)

    async with workflow.open_nursery() as nursery:
        for page in range(pages):
            nursery.start_soon(count, page)
    return sum(counts)


WORKFLOWS = (census,)
ACTIVITIES = (count_words,)


async def main() -> None:
    """Count, and look at what it took."""
    async with open_runtime("census.db", workflows=WORKFLOWS, activities=ACTIVITIES) as runtime:
        try:
            handle = await runtime.start(census, PAGES, id="census")
        except WorkflowExistsError:  # this program was stopped, and is run again
            handle = runtime.workflow("census")
        words = await handle.result()
        counted = [event async for event in handle.read() if event.kind is EventKind.ACTIVITY_COMPLETED]
        groups = runtime.statistics().groups_committed
    print(f"{PAGES} pages have {words} words")
    print(f"{len(counted)} results are in the log; this process has written {groups} transactions")
    assert words == sum(200 + page % 7 for page in range(PAGES))  # noqa: S101
    assert len(counted) == PAGES  # noqa: S101  # the result of each page was used once


if __name__ == "__main__":
    trio.run(main)
