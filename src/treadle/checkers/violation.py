"""What a checker has to say when a promise does not hold."""

from __future__ import annotations

from typing import Final

import attrs

VIOLATIONS_MAX: Final = 100
"""How many one checker reports: a broken log of a million events breaks its promise a million times."""


@attrs.frozen(slots=True)
class Violation:
    """One broken promise, at one place.

    Attributes:
        promise: the checker's name.
        workflow_id: the log in which it shows.
        seq: the first seq that shows it, or None when it shows at none.
        message: what was expected and what was found.
    """

    promise: str
    workflow_id: str
    seq: int | None
    message: str

    def __str__(self) -> str:
        place = self.workflow_id if self.seq is None else f"{self.workflow_id} seq {self.seq}"
        return ": ".join(part for part in (self.promise, place, self.message) if part)
