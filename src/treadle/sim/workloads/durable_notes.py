"""What the clients of a world of durable lifetimes know together, for the checks at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from treadle.checkers import Violation
from treadle.checkers.durable import Birth, Sent
from treadle.events import WorkflowEvent


@attrs.define(slots=True)
class Notes:
    """See the top of this file.

    Attributes:
        waiting: durable workflows that take signals until one says that it is enough.
        durable: all durable workflows that really run, as far as anybody has asked for them.
        births: the branches of them that anybody has asked for and was not refused.
        played: those that are only played.
        resets: workflow and seq of a RESET -> when its answer was there.
        reset_asks: workflow -> for each reset that was asked for, when that was, and when it was over;
            infinite when nobody knows.
        lossy: workflows that somebody wanted to go on without the signals that a reset abandons.
        sent: all signals.
        seen: log -> seq -> the event, as it was first read.
        shown: what somebody has met, and where.
        plain: plain logs.
        began: those that began in the middle -> the first seq that they have ever had.
        own_from: logs that are not their own from seq 1 on -> from where.
        acknowledged: plain log -> the marks whose append was answered.
        refused: marks whose append was refused.
        replays: plain log -> the states that replays with a fold gave.
        closed: logs that somebody closed -> the timestamp of that, or None when nobody was told.
        fed: log -> the seqs of its events, as somebody has read them who reads everything.
        results: durable workflow -> what its caller was told.
        lies: what a client saw that is wrong by itself.
        number: of the branch that is asked for next; no two calls want the same id.
    """

    waiting: dict[str, None] = attrs.Factory(dict)
    durable: dict[str, None] = attrs.Factory(dict)
    births: list[Birth] = attrs.Factory(list)
    played: dict[str, None] = attrs.Factory(dict)
    resets: dict[tuple[str, int], int] = attrs.Factory(dict)
    reset_asks: dict[str, list[tuple[float, float]]] = attrs.Factory(dict)
    lossy: dict[str, None] = attrs.Factory(dict)
    sent: list[Sent] = attrs.Factory(list)
    seen: dict[str, dict[int, WorkflowEvent]] = attrs.Factory(dict)
    shown: list[tuple[str, str]] = attrs.Factory(list)
    plain: dict[str, None] = attrs.Factory(dict)
    began: dict[str, int] = attrs.Factory(dict)
    own_from: dict[str, int] = attrs.Factory(dict)
    acknowledged: dict[str, list[str]] = attrs.Factory(dict)
    refused: set[str] = attrs.Factory(set)
    replays: dict[str, list[Sequence[str]]] = attrs.Factory(dict)
    closed: dict[str, int | None] = attrs.Factory(dict)
    fed: dict[str, list[int]] = attrs.Factory(dict)
    results: dict[str, Any] = attrs.Factory(dict)
    lies: list[Violation] = attrs.Factory(list)
    number: int = 0

    def saw(self, name: str, events: Iterable[WorkflowEvent]) -> None:
        """Note what somebody has read.

        Args:
            name: the log.
            events: of it, that are durable.
        """
        seen = self.seen.setdefault(name, {})
        for event in events:
            seen.setdefault(event.seq, event)

    def meets(self, where: str, names: Iterable[str]) -> None:
        """Note which workflows somebody has met.

        Args:
            where: such as ``"a list"``.
            names: their ids.
        """
        self.shown += [(name, where) for name in names]

    def lie(self, promise: str, name: str, message: str) -> None:
        """Note something that is wrong by itself.

        Args:
            promise: which promise it breaks.
            name: the log in which it shows.
            message: what was expected and what was found.
        """
        self.lies.append(Violation(promise, name, None, message))

    def next_number(self) -> int:
        """Give the next number for a new id."""
        self.number += 1
        return self.number
