"""A workflow whose retries learn, for worlds."""

from __future__ import annotations

from treadle import activity, workflow


@activity.define(
    retry=activity.AdaptiveRetry(
        arms=(1, 5), routes=("primary", "backup"), key=lambda number: f"k{number % 2}", attempts=None
    )
)
async def fetch(number: int) -> str: ...


@workflow.define
async def fetch_all() -> list[str]:
    found: list[str] = []

    async def fetch_one(number: int) -> None:
        found.append(await workflow.activity(fetch, number))

    for _ in range(2):
        async with workflow.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(fetch_one, number)
    return found
