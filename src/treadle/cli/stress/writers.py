"""The writers of a stress run: they repeat themselves, are cancelled, and get in each other's way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from time import monotonic_ns, perf_counter
from typing import Final

import msgspec
import trio

from treadle.cli.exits import FailedError
from treadle.cli.stress.load import Load, mark
from treadle.cli.stress.recording import Recording, mark_text
from treadle.errors import ConflictError, StoreUnavailableError, TreadleError
from treadle.events import NewEvent, WorkflowEvent
from treadle.runtime import Runtime, WorkflowHandle

WRITERS_MAX: Final = 5_000
"""How many writers are at work at once; more would only wait for the same commits and hold memory."""
SENDS_MAX: Final = 100
"""How often one batch is sent before its writer gives up: other writers were faster that many times."""
CANCEL_AFTER_SECONDS_MAX: Final = 0.004
"""About one commit: a cancelled caller is caught before, during and after its event is written."""
LOOKS_SHARE: Final = 0.1
"""Before which share of its sends a writer looks at the log, when a history is recorded."""
LOOKS_EVENTS: Final = 10
"""How much of the end it reads: enough to see what others write meanwhile, and the file stays small."""
_PAUSE_SECONDS: Final = 0.02


class Report(msgspec.Struct):
    """What the writers of one process have to tell.

    Attributes:
        acknowledged: workflow number, writer, event number and seq of each acknowledged event.
        latencies_us: how long each answered send took, in microseconds.
        duplicates: how many batches were sent again after their answer.
        cancelled: how many callers were cancelled before their answer.
        overtaken: how many sends were refused because other writers were faster, and sent again.
        broken: what a writer saw that must not be.
    """

    acknowledged: list[tuple[int, int, int, int]]
    latencies_us: list[int]
    duplicates: int = 0
    cancelled: int = 0
    overtaken: int = 0
    broken: list[tuple[str, int, str]] = []


class Writers:
    """All writers of one process.

    Args:
        runtime: where they write.
        load: what.
        process: which process this is, from 0.
        advance: told how many more events are acknowledged.
        recording: takes what is done and seen, or None.
    """

    def __init__(
        self,
        runtime: Runtime,
        load: Load,
        process: int,
        advance: Callable[[float], None],
        recording: Recording | None = None,
    ) -> None:
        self.report = Report([], [])
        self._runtime = runtime
        self._load = load
        self._advance = advance
        self._recording = recording
        self._first_writer = process * load.writers
        self._deadline = float("inf")

    async def run(self) -> Report:
        """Write the process's share of the load.

        Returns:
            What the writers have to tell.

        Raises:
            TreadleError: the store failed.
            FailedError: a batch was overtaken too many times.
        """
        load = self._load
        if load.seconds is not None:
            self._deadline = trio.current_time() + load.seconds
        # Workflow by workflow, so that writers of one log meet even when not all can work at once.
        turns = iter(product(range(load.workflows), range(load.writers)))
        failures: list[TreadleError] = []
        async with trio.open_nursery() as nursery:
            for _ in range(min(load.workflows * load.writers, WRITERS_MAX)):
                nursery.start_soon(self._work, turns, failures, nursery.cancel_scope)
        if failures:
            raise failures[0]
        return self.report

    async def _work(
        self, turns: Iterator[tuple[int, int]], failures: list[TreadleError], scope: trio.CancelScope
    ) -> None:
        try:
            for number, place in turns:
                await self._write_share(number, self._first_writer + place)
        except TreadleError as error:
            # Collected, not raised: one error of many writers is told as itself, not as a group.
            failures.append(error)
            scope.cancel()

    async def _write_share(self, number: int, writer: int) -> None:
        load, report = self._load, self.report
        name = load.name(number)
        handle = self._runtime.workflow(name)
        chance = random.Random(f"{load.seed}:{number}:{writer}")  # noqa: S311  # a seed, no secret
        sent = 0
        for events, keys in load.batches(name, writer):
            # Asked between two batches: a batch that was sent is answered, so that nothing is in doubt.
            if trio.current_time() >= self._deadline:
                return
            marks = [mark_text(number, writer, sent + place) for place in range(len(events))]
            if self._recording is not None and marks[0] in self._recording.answered:
                sent += len(events)
                continue
            written = await self._send_recorded(handle, f"w{writer}", marks, events, keys, chance)
            report.acknowledged += [
                (number, writer, sent + place, event.seq) for place, event in enumerate(written)
            ]
            sent += len(events)
            self._advance(len(events))
            if chance.random() < load.duplicates:
                await self._send_again(handle, written, events, keys, chance)

    async def _send_recorded(
        self,
        handle: WorkflowHandle,
        client: str,
        marks: list[str],
        events: list[NewEvent],
        keys: list[bytes],
        chance: random.Random,
    ) -> Sequence[WorkflowEvent]:
        recording = self._recording
        if recording is None:
            return await self._send(handle, events, keys, chance)
        if chance.random() < LOOKS_SHARE:
            await self._look(handle, client, recording)
        recording.begin(client, handle.workflow_id, marks)
        written = await self._send(handle, events, keys, chance)
        recording.end(marks, written[0].seq)
        return written

    async def _look(self, handle: WorkflowHandle, client: str, recording: Recording) -> None:
        name = handle.workflow_id
        begin = monotonic_ns()
        next_seq = await handle.next_seq()
        recording.saw(client, name, begin, next_seq=next_seq)
        first = max(1, next_seq - LOOKS_EVENTS)
        begin = monotonic_ns()
        events = await handle.read(first).list()
        number = int(name.rpartition("-")[2])
        recording.saw(
            client, name, begin, first_seq=first, marks=[mark_text(number, *mark(event)) for event in events]
        )

    async def _send(
        self, handle: WorkflowHandle, events: list[NewEvent], keys: list[bytes], chance: random.Random
    ) -> Sequence[WorkflowEvent]:
        report = self.report
        patience = chance.random() * CANCEL_AFTER_SECONDS_MAX if chance.random() < self._load.cancel else None
        for _ in range(SENDS_MAX):
            started = perf_counter()
            try:
                with trio.move_on_after(patience if patience is not None else float("inf")):
                    done = await handle.extend(events, keys=keys)
                    report.latencies_us.append(round((perf_counter() - started) * 1_000_000))
                    return done.events
                report.cancelled += 1
                patience = None
            except ConflictError:
                report.overtaken += 1
            except StoreUnavailableError:
                await trio.sleep(_PAUSE_SECONDS)
            # A batch of many is refused when its keys are known: an earlier send of it was written after all.
            # One event alone is simply sent again; its key answers.
            if len(keys) > 1 and (written := await self._find(handle, keys)):
                return written
        raise FailedError(
            f"{handle.workflow_id}: a batch was not written in {SENDS_MAX} sends; give fewer writers"
        )

    async def _find(self, handle: WorkflowHandle, keys: list[bytes]) -> list[WorkflowEvent]:
        first = await self._runtime.store.find_key(handle.workflow_id, keys[0])
        if first is None:
            return []
        return await handle.read(first.seq, first.seq + len(keys) - 1).list()

    async def _send_again(
        self,
        handle: WorkflowHandle,
        written: Sequence[WorkflowEvent],
        events: list[NewEvent],
        keys: list[bytes],
        chance: random.Random,
    ) -> None:
        self.report.duplicates += 1
        # By key where that is answered with the event, by seq otherwise and for half of the rest.
        if len(events) == 1 and chance.random() < 0.5:
            again = await handle.extend(events, keys=keys)
        else:
            again = await handle.extend(written)
        if not again.repeated or list(again.events) != list(written):
            self.report.broken.append(
                (handle.workflow_id, written[0].seq, "an acknowledged batch sent again was not recognised")
            )
