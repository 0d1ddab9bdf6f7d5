"""Where a history to be replayed comes from: a file of ours, a rehearsal, or events in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import attrs

from treadle import formats
from treadle.engine import is_engine_start
from treadle.engine.records import RunStarted, decode_record
from treadle.errors import UsageError
from treadle.events import WorkflowEvent
from treadle.events import workflow_id as make_workflow_id
from treadle.formats import ImportedLog

_CHUNK_SIZE_BYTES: Final = 1 << 20


@attrs.frozen
class History:
    """One durable workflow's log.

    Attributes:
        workflow_id: whose.
        events: they, without gaps.
        source: the file it was read from, or None.
        line: the line of the file at which it begins, or None.
    """

    workflow_id: str
    events: tuple[WorkflowEvent, ...] = attrs.field(repr=False)
    source: str | None = None
    line: int | None = None

    @property
    def name(self) -> str:
        """The name of its workflow."""
        return decode_record(self.events[0], RunStarted).name

    def place(self, seq: int) -> str | None:
        """Tell where in its file an event stands.

        Args:
            seq: of the event.

        Returns:
            ``file:line``, or None when there is no file.
        """
        offset = seq - self.events[0].seq
        if self.source is None or self.line is None or not 0 <= offset < len(self.events):
            return None
        return f"{self.source}:{self.line + 1 + offset}"


def write_history(path: str | os.PathLike[str], workflow_id: str, events: Sequence[WorkflowEvent]) -> Path:
    """Write one log as a JSON Lines file.

    Args:
        path: of the file; what is there is replaced.
        workflow_id: whose log.
        events: the log.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written.
    """
    found = Path(path)
    found.write_bytes(history_bytes(workflow_id, events))
    return found


def history_bytes(workflow_id: str, events: Sequence[WorkflowEvent]) -> bytes:
    """Write one log as JSON Lines.

    Args:
        workflow_id: whose log.
        events: the log.

    Returns:
        The bytes of the file.
    """
    writer = formats.writer("jsonl")
    log = ImportedLog(make_workflow_id(workflow_id), tuple(events))
    return writer.begin() + writer.log(log) + writer.end()


def read_history(given: Any, *, name: str, workflow_id: str | None) -> History:
    """Find the history that a caller means.

    Args:
        given: a path, a rehearsal, or events.
        name: of the workflow whose history is wanted.
        workflow_id: picks one log of a file that has several.

    Returns:
        The history.

    Raises:
        UsageError: there is none, or several fit.
        FormatError: the file is not what its format says: changed, cut short, or something else.
        OSError: the file cannot be read.
    """
    if isinstance(given, str | os.PathLike):
        return _picked(list(_logs(Path(given))), str(given), name, workflow_id)
    events = getattr(given, "events", given)
    if isinstance(given, History):
        return given
    if not isinstance(events, Iterable):
        raise UsageError(
            f"a history is the path of a JSON Lines file, a rehearsal or a list of events, got {given!r:.80}"
        )
    found = tuple(events)
    _check_events(found)
    return History(workflow_id or getattr(given, "workflow_id", None) or "history", found)


def _logs(path: Path) -> Iterator[History]:
    with path.open("rb") as file:
        chunks = iter(lambda: file.read(_CHUNK_SIZE_BYTES), b"")
        for log in formats.read(chunks, source=str(path), format_name="jsonl"):
            if isinstance(log, ImportedLog) and is_engine_start(log.events[0]):
                yield History(log.workflow_id, log.events, str(path), log.line)


def _picked(logs: list[History], source: str, name: str, workflow_id: str | None) -> History:
    if workflow_id is not None:
        fitting = [log for log in logs if log.workflow_id == workflow_id]
        wanted = f"the durable workflow {workflow_id!r}"
    else:
        fitting = [log for log in logs if log.name == name] or logs[:1] * (len(logs) == 1)
        wanted = f"one durable workflow of {name!r}"
    if len(fitting) == 1:
        return fitting[0]
    ids = ", ".join(repr(log.workflow_id) for log in (fitting or logs)[:10]) or "none that could be read"
    raise UsageError(
        f"{source}: expected {wanted}, got {len(fitting)}; the file's durable workflows are {ids}: name one"
        " with workflow_id=..., and export encrypted payloads decrypted"
    )


def _check_events(events: tuple[Any, ...]) -> None:
    if not events or not all(isinstance(event, WorkflowEvent) for event in events):
        raise UsageError(f"a history is a list of WorkflowEvent, got {events[:1]!r:.80}")
    if not is_engine_start(events[0]):
        raise UsageError(
            "a history begins with the WORKFLOW_STARTED or CONTINUED of a durable workflow, got"
            f" {events[0]!r:.120}; export it from its beginning, and its payloads decrypted"
        )
    for before, after in pairwise(events):
        if after.seq != before.seq + 1:
            raise UsageError(
                f"a history has no gaps: seq {before.seq + 1} follows {before.seq}, got {after.seq}; was an"
                " event lost or moved?"
            )
