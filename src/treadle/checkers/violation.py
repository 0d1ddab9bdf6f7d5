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
        anomaly: the name it has in the literature, such as ``G-single``, or None.
    """

    promise: str
    workflow_id: str
    seq: int | None
    message: str
    anomaly: str | None = None

    def __str__(self) -> str:
        place = self.workflow_id if self.seq is None else f"{self.workflow_id} seq {self.seq}"
        named = self.message if self.anomaly is None else f"{self.anomaly}: {self.message}"
        return ": ".join(part for part in (self.promise, place, named) if part)


class Findings:
    """Collects what one checker finds, up to `VIOLATIONS_MAX`, but the first of each anomaly in any case.

    Args:
        promise: the checker's name.
    """

    def __init__(self, promise: str) -> None:
        self.violations: list[Violation] = []
        self._promise = promise
        self._anomalies: set[str | None] = {None}
        self._given_up = 0

    @property
    def full(self) -> bool:
        """Whether nothing more is taken."""
        return len(self.violations) >= VIOLATIONS_MAX

    def add(self, workflow_id: str, seq: int | None, message: str, anomaly: str | None = None) -> None:
        """Take a finding, if there is room, or if it is the first of its name.

        Args:
            workflow_id: the log in which it shows.
            seq: the first seq that shows it, or None.
            message: what was expected and what was found.
            anomaly: its name in the literature, or None.
        """
        if not self.full:
            self.violations.append(Violation(self._promise, workflow_id, seq, message, anomaly))
        elif anomaly not in self._anomalies:
            # A hundred lost events must not hide the one cycle that tells why.
            self._given_up += 1
            self.violations[-self._given_up] = Violation(self._promise, workflow_id, seq, message, anomaly)
        self._anomalies.add(anomaly)
