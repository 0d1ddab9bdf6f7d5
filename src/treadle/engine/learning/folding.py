"""From events to experience: the fold that a projection of the feed is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from treadle.engine.learning.arms import Trial
from treadle.engine.learning.experience import Experience, learn
from treadle.events import EventKind, WorkflowEvent

SUCCESS_BY_KIND: Final = {
    EventKind.ACTIVITY_COMPLETED: True,
    EventKind.ACTIVITY_FAILED: False,
    EventKind.ACTIVITY_ATTEMPT_FAILED: False,
}
"""What each end of an attempt is to the arm it was made with; no other kind teaches anything."""
_FIELD: Final = b'"trial":{'


class _End(msgspec.Struct, gc=False):
    """Of an end's payload, what is learned from; the rest is not even read."""

    trial: Trial | None = None


_read: Final = msgspec.json.Decoder(_End).decode


def trial_in(event: WorkflowEvent) -> Trial | None:
    """Find what an event teaches.

    Args:
        event: any, with its payload as the engine wrote it.

    Returns:
        The attempt that has ended, or None. An event that only looks like one, in somebody's plain log,
        teaches nothing and is nobody's error.
    """
    if event.kind not in SUCCESS_BY_KIND or _FIELD not in event.payload:
        return None
    try:
        trial = _read(event.payload).trial
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return trial if trial is not None and trial.half_life_ns > 0 else None


class Experiences:
    """Experience in memory, for all keys of all activities; where it is asked for, see `Known`."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str], Experience] = {}

    def of(self, activity: str, key: str) -> Experience | None:
        """Tell what is known for one key of one activity."""
        return self._by_key.get((activity, key))

    def take(self, events: Iterable[WorkflowEvent]) -> None:
        """Learn from events.

        Args:
            events: those that come next.
        """
        for event in events:
            trial = trial_in(event)
            if trial is not None:
                place = (trial.activity, trial.key)
                self._by_key[place] = learn(
                    self._by_key.get(place), trial, event.timestamp, success=SUCCESS_BY_KIND[event.kind]
                )
