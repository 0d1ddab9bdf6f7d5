"""What every format gives and takes: frozen values, one reading shape, one writing shape.

A reader is a generator over byte chunks: it yields a whole log at a time, so whoever writes what it
yields never holds half a log, and raises `FormatError` at the first thing it cannot take. Everything
yielded before the error stands. A writer is asked for bytes, so that it fits an asynchronous store.
Neither opens a file, reads a clock or waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import attrs

from treadle.events import WorkflowEvent, WorkflowId


@attrs.frozen
class ImportedLog:
    """One whole log, as a file holds it.

    Args:
        workflow_id: the workflow.
        events: its events in order; never empty, without gaps.
        line: the line of the file at which it begins, or None; two logs that differ in this alone are
            equal.
        keys: the idempotency key of each event, or None when no event has one.
        previous_digest: the digest before the first event, when the log begins above seq 1 or was a branch;
            None when the workflow id alone tells it.
    """

    workflow_id: WorkflowId
    events: tuple[WorkflowEvent, ...]
    line: int | None = attrs.field(default=None, eq=False)
    keys: tuple[bytes | None, ...] | None = None
    previous_digest: bytes | None = None


@attrs.frozen
class StoreRecord:
    """Metadata that logs cite; it is to be written before the first log that cites it.

    Args:
        namespace: whose metadata it is.
        key: its name within the namespace.
        value: its content.
    """

    namespace: str
    key: bytes
    value: bytes


class Read(Protocol):
    """The reading shape: the function ``read`` of each format's module."""

    def __call__(
        self, chunks: Iterable[bytes], *, source: str, workflow_id: str | int | None = None
    ) -> Iterator[ImportedLog | StoreRecord]:
        """Read a file.

        Args:
            chunks: the file's plain bytes, cut anywhere.
            source: its name, for messages.
            workflow_id: names the log of a format whose files hold one log without a name; None takes
                the file's stem. Formats that name their logs themselves refuse one.

        Returns:
            An iterator over logs and the records they cite, in file order.

        Raises:
            FormatError: the file is not what its format says; what was yielded before stands.
            InvalidValueError: the workflow id is not one, or the format takes none.
        """


class Writer(Protocol):
    """The writing shape: the class ``Writer`` of each format's module that can be written."""

    def begin(self, records: Iterable[StoreRecord] = ()) -> bytes:
        """Begin the file.

        Args:
            records: what the logs cite (`treadle.formats.cited` tells it of each log).

        Returns:
            The file's first bytes.

        Raises:
            FormatError: the format cannot carry these records.
        """

    def log(self, log: ImportedLog) -> bytes:
        """Write one log.

        Args:
            log: the log, whole.

        Returns:
            Its bytes.

        Raises:
            FormatError: the format cannot carry this log.
        """

    def end(self) -> bytes:
        """End the file.

        Returns:
            The file's last bytes.
        """
