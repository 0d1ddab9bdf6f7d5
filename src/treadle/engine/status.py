"""Where a durable workflow stands: the number that its head facts carry."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Where a durable workflow stands.

    The numbers are kept beside every log's head, so they never change. `HELD` is the runner's: an
    execution never has it, because a held workflow has none.
    """

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELLED = 4
    TERMINATED = 5
    HELD = 6

    @property
    def is_closed(self) -> bool:
        """Whether nothing will happen any more."""
        return self is not Status.RUNNING and self is not Status.HELD
