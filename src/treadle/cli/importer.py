"""Writing imported logs through actors: many at once, each as one batch, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs
import trio

from treadle.cli.output import counted
from treadle.errors import (
    AdmissionError,
    EventsPrunedError,
    FormatError,
    StaleSequenceError,
    TreadleError,
    UsageError,
)
from treadle.formats import ImportedLog, StoreRecord
from treadle.log import chain_digest, root_digest
from treadle.runtime import Runtime, WorkflowHandle
from treadle.runtime.beginning import begin_log

EVENTS_A_TURN: Final = 1_024
"""After how many events whoever writes has a turn: reading alone never waits, and what is only held is lost
when the process is."""
EVENTS_IN_FLIGHT_MAX: Final = 16_384
"""Two full commit groups: one is being written while the next fills; more would only be held longer."""


@attrs.define
class Tally:
    """What an import has done so far.

    Attributes:
        files: how many files were read to their end.
        workflows_written: how many logs were written, or continued.
        workflows_already_there: how many were there, event by event.
        events_written: how many events were written.
        events_already_there: how many were there.
    """

    files: int = 0
    workflows_written: int = 0
    workflows_already_there: int = 0
    events_written: int = 0
    events_already_there: int = 0

    @property
    def wrote_nothing(self) -> bool:
        """Whether everything was there before."""
        return self.events_written == 0 and self.events_already_there > 0


class Window:
    """Bounds how many events are in flight, for one task that sends and many that finish.

    Args:
        events_max: the bound; one log that is longer goes alone.
    """

    def __init__(self, events_max: int) -> None:
        self._events_max = events_max
        self._events = 0
        self._freed = trio.Event()

    async def enter(self, events: int) -> None:
        """Wait until there is room; a checkpoint only when there is none.

        Args:
            events: how many events want to go.
        """
        while self._events and self._events + events > self._events_max:
            self._freed = trio.Event()
            await self._freed.wait()
        self._events += events

    def leave(self, events: int) -> None:
        """Give room back.

        Args:
            events: how many events have landed.
        """
        self._events -= events
        self._freed.set()


class Importer:
    """Writes what a reader yields.

    Args:
        runtime: where to; its `batch_events_max` must admit the longest log.
        tally: counts.
    """

    def __init__(self, runtime: Runtime, tally: Tally) -> None:
        self._runtime = runtime
        self._tally = tally
        self._window = Window(EVENTS_IN_FLIGHT_MAX)

    async def take(self, items: Iterator[ImportedLog | StoreRecord], source: str) -> None:
        """Write all logs and records of a file; what stands before an error is written.

        Args:
            items: what a reader yields.
            source: the file's name.

        Raises:
            TreadleError: the reader's own error, or that of the first log that could not be written, with
                what is written by then.
            OSError: the file could not be read.
        """
        failures: list[TreadleError | OSError] = []
        taken = 0
        async with trio.open_nursery() as nursery:
            while not failures:
                # Collected, not raised: what is in flight beside it is whole and goes on.
                try:
                    item = next(items, None)
                    if isinstance(item, StoreRecord):
                        await self._set_record(item, source)
                        continue
                except (TreadleError, OSError) as error:
                    failures.append(error)
                    break
                if item is None:
                    break
                await self._window.enter(len(item.events))
                self._start(nursery, item, source, failures)
                taken += len(item.events)
                if taken >= EVENTS_A_TURN:
                    taken = 0
                    await trio.lowlevel.checkpoint()
        if failures:
            raise told(failures[0], self._tally)

    # Protected from Ctrl-C, which might else fall between the coroutine's making and its start.
    @trio.lowlevel.enable_ki_protection
    def _start(
        self, nursery: trio.Nursery, log: ImportedLog, source: str, failures: list[TreadleError | OSError]
    ) -> None:
        nursery.start_soon(self._write, log, source, failures)

    async def _write(self, log: ImportedLog, source: str, failures: list[TreadleError | OSError]) -> None:
        try:
            written = await self._append(log)
        except AdmissionError as error:
            place = source if log.line is None else f"{source}:{log.line}"
            error.args = (f"{place}: {error}, or import the file into another store",)
            failures.append(error)
            return
        except TreadleError as error:
            failures.append(error)
            return
        finally:
            self._window.leave(len(log.events))
        self._tally.events_written += written
        self._tally.events_already_there += len(log.events) - written
        if written:
            self._tally.workflows_written += 1
        else:
            self._tally.workflows_already_there += 1

    async def _append(self, log: ImportedLog) -> int:
        if log.previous_digest is not None and await self._begins_here(log, log.previous_digest):
            await begin_log(self._runtime, log.workflow_id, log.events, log.previous_digest, log.keys)
            return len(log.events)
        handle = self._runtime.workflow(log.workflow_id)
        try:
            done = await handle.extend(log.events, keys=log.keys)
        except StaleSequenceError as error:
            # The log has grown since it was last imported, and what is stored equals its beginning.
            there = error.next_seq - log.events[0].seq
            keys = None if log.keys is None else log.keys[there:]
            done = await handle.extend(log.events[there:], keys=keys)
            return 0 if done.repeated else len(done.events)
        except EventsPrunedError as error:
            # Retention has removed its beginning here; its digest is kept, and vouches for the events.
            return await self._append(await self._kept_part(log, error))
        except UsageError:
            # To a durable workflow only its runner appends; a copy of what it has appended is a repeat.
            if not await _is_there(handle, log):
                raise
            return 0
        return 0 if done.repeated else len(done.events)

    async def _begins_here(self, log: ImportedLog, previous_digest: bytes) -> bool:
        """Tell whether a log is new; one that is there must be the one that the file goes on from."""
        store, first = self._runtime.store, log.events[0].seq
        (head,) = await store.heads([log.workflow_id])
        if head.next_seq == 1:
            return True
        told: bytes | None = None
        if first == head.first_kept_seq:
            told = head.digest_before
        elif first == head.next_seq:
            told = head.digest
        elif first > head.first_kept_seq:
            rows = await store.audit(log.workflow_id, first - 2, limit=1)
            told = rows[0].digest if rows and rows[0].seq == first - 1 else None
        if told is not None and told != previous_digest:
            raise _other_history(log, first)
        return False

    async def _kept_part(self, log: ImportedLog, error: EventsPrunedError) -> ImportedLog:
        (head,) = await self._runtime.store.heads([log.workflow_id])
        there = head.first_kept_seq - log.events[0].seq
        if head.first_kept_seq == head.next_seq or not 0 < there < len(log.events):
            raise error
        digest = log.previous_digest or root_digest(log.workflow_id)
        for event in log.events[:there]:
            digest = chain_digest(digest, event)
        if digest != head.digest_before:
            raise _other_history(log, head.first_kept_seq)
        keys = None if log.keys is None else log.keys[there:]
        return attrs.evolve(log, events=log.events[there:], keys=keys, previous_digest=digest)

    async def _set_record(self, record: StoreRecord, source: str) -> None:
        there = await self._runtime.store.record(record.namespace, record.key)
        if there is not None and there != record.value:
            raise FormatError(
                f"the record {record.key.hex()} of {record.namespace!a} is stored with another value;"
                " import the file into another store",
                source=source,
            )
        if there is None:
            await self._runtime.set_record(record.namespace, record.key, record.value)


def _other_history(log: ImportedLog, first_seq: int) -> FormatError:
    return FormatError(
        f"the log {log.workflow_id!a} goes on from seq {first_seq - 1} of a history that is not the one"
        " stored here; import it into another store",
        line=log.line,
    )


async def _is_there(handle: WorkflowHandle, log: ImportedLog) -> bool:
    place = 0
    async for event in handle.read(log.events[0].seq, log.events[-1].seq):
        if event != log.events[place]:
            return False
        place += 1
    return place == len(log.events)


def told(error: TreadleError | OSError, tally: Tally) -> TreadleError | OSError:
    """Add to what stopped an import what is in the store by then.

    Args:
        error: what stopped it; changed.
        tally: what was done before.

    Returns:
        The error; one of the system stays as it is.
    """
    said = str(error)
    workflows = tally.workflows_written + tally.workflows_already_there
    events = tally.events_written + tally.events_already_there
    if workflows:
        more = (
            f"in the store, whole: {counted(workflows, 'workflow')} ({counted(events, 'event')}) before it;"
            " mend it and run the import again to go on: what is there is not written twice"
        )
    else:
        more = "nothing was written"
    if isinstance(error, TreadleError) and more not in said:
        error.args = (f"{said}\n{more}",)
    return error
