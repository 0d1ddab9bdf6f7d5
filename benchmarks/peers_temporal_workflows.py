"""The workflows of `peers_temporal.py`; a file of their own, since the sandbox imports it again for each."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity, workflow

TIMEOUT = timedelta(seconds=60)


@activity.defn(name="step")
async def step(value: int) -> int:
    """Do next to nothing."""
    return value + 1


@workflow.defn(name="Steps")
class Steps:
    """Each activity with the result of the one before."""

    @workflow.run
    async def run(self, steps: int) -> int:
        """Run them one by one."""
        value = 0
        for _ in range(steps):
            value = await workflow.execute_activity(step, value, start_to_close_timeout=TIMEOUT)
        return value


@workflow.defn(name="LocalSteps")
class LocalSteps:
    """The same with local activities, whose results reach the server in one go."""

    @workflow.run
    async def run(self, steps: int) -> int:
        """Run them one by one."""
        value = 0
        for _ in range(steps):
            value = await workflow.execute_local_activity(step, value, start_to_close_timeout=TIMEOUT)
        return value
