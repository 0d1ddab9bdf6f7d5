"""What the lines of a history say, gathered for a report in little memory: columns of numbers.

A world of a hundred thousand workflows makes half a million attempts at activities. As objects they took half
as much as the world itself; here an activity with its attempt takes a sixth of that, and an object is made of
it when its turn has come.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs
import msgspec

from treadle.errors import FormatError

_FIRST: Final = {
    b'{"wrot': "wrote", b'{"atte': "attempt", b'{"limi': "limits", b'{"late': "late", b'{"life': "life",
    b'{"faul': "fault", b'{"ends': "ends", b'{"op":': "op",
}  # fmt: skip
_SEQ_BITS: Final = 32
"""So many bits of an activity's number are its seq: a run has far fewer events."""
_NEVER: Final = -1
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


@attrs.frozen(slots=True)
class Attempted:
    """One attempt.

    Attributes:
        begins: when it began; nanoseconds since the world began, here and below.
        ends: when it ended.
        how: ``"ok"``, ``"failed"``, ``"hung"``, ``"cancelled"`` or ``"lost"``.
        number: which of its activity's, from 1.
    """

    begins: int
    ends: int
    how: str
    number: int


@attrs.frozen(slots=True)
class SeenActivity:
    """One activity, as far as anything of it was seen.

    Attributes:
        name: its definition's.
        scheduled: when it was.
        ended: when its end was written, or None.
        outcome: how it ended.
        attempts: all of them, in the order in which they ended.
        due: number of a failed attempt -> when the next one was due.
    """

    name: str
    scheduled: int
    ended: int | None
    outcome: str
    attempts: list[Attempted]
    due: dict[int, int]

    @property
    def first_begin(self) -> int | None:
        """When its first attempt began, if one did."""
        return min((made.begins for made in self.attempts), default=None)


class _Words:
    """Numbers words, so that each is kept once."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._number_of: dict[str, int] = {}

    def number(self, word: str) -> int:
        found = self._number_of.setdefault(word, len(self.all))
        if found == len(self.all):
            self.all.append(word)
        return found


def _column() -> array[int]:
    return array("q")


class Reading:
    """Takes lines; one method for each kind of line.

    Attributes:
        lives: a life -> when it began, and when it ended or None.
        faults: name -> how many.
        late_ns: how late the store was made.
        allowed: how many attempts may run at once, or None when that was not recorded.
        virtual: the last moment that any line tells.
        whole: whether the history has its end.
        attempt_begins: when attempts began, of seen activities and others.
        attempt_ends: when each of the same ended.
        unseen: attempts whose activity was not seen; known when `activities` has ended.
    """

    def __init__(self) -> None:
        self.lives: dict[str, tuple[int, int | None]] = {}
        self.faults: dict[str, int] = {}
        self.late_ns = 0
        self.allowed: int | None = None
        self.virtual = 0
        self.whole = False
        self.attempt_begins, self.attempt_ends = _column(), _column()
        self.unseen = 0
        self._words = _Words()
        # Workflows, by number: when they began and ended, and how.
        self._workflows: dict[str, int] = {}
        self._begun, self._over, self._over_how = _column(), _column(), _column()
        # Activities, by place.
        self._place_of: dict[int, int] = {}
        self._names, self._scheduled, self._ended, self._outcomes = (_column() for _ in range(4))
        self._due: dict[int, dict[int, int]] = {}
        # Attempts.
        self._activity_of, self._hows, self._numbers = _column(), _column(), _column()

    def take(self, text: bytes, *, source: str | None, number: int) -> None:
        """Take a line; one of another kind is passed over.

        Args:
            text: the line.
            source: where it is from, for errors.
            number: which it is, for errors.

        Raises:
            FormatError: it is none of a world's history.
        """
        kind = _FIRST.get(text[:6])
        if kind is None:
            return
        try:
            line = _decode(text)
            self.virtual = max(self.virtual, line.get("at", 0))
            getattr(self, kind)(line)
        except (
            msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, OverflowError
        ) as error:  # fmt: skip
            raise FormatError(
                f"expected a line of a world's history that begins with {kind!r}, got {text[:80]!r}; save"
                " the history again with `treadle sim run --history FILE`",
                source=source,
                line=number,
            ) from error

    def _workflow(self, name: str) -> int:
        number = self._workflows.setdefault(name, len(self._begun))
        if number == len(self._begun):
            for column in (self._begun, self._over, self._over_how):
                column.append(_NEVER)
        return number

    def _key(self, workflow: str, seq: int) -> int:
        if not 0 < seq < 1 << _SEQ_BITS:
            raise ValueError(f"seq {seq}")
        return self._workflow(workflow) << _SEQ_BITS | seq

    # -- lines --

    def wrote(self, line: dict[str, Any]) -> None:
        """Take what a log was told."""
        name, at = line["wrote"], line["at"]
        if line.get("begins") and self._begun[self._workflow(name)] == _NEVER:
            self._begun[self._workflow(name)] = at
        for seq, activity in line.get("scheduled", ()):
            self._schedule(self._key(name, seq), self._words.number(activity), at)
        for seq, number, due in line.get("again", ()):
            place = self._place_of.get(self._key(name, seq))
            if place is not None:
                self._due.setdefault(place, {})[number] = due
        for seq, how in line.get("ended", ()):
            place = self._place_of.get(self._key(name, seq))
            if place is not None:
                self._ended[place], self._outcomes[place] = at, self._words.number(how)
        if "over" in line:
            workflow = self._workflow(name)
            self._over[workflow], self._over_how[workflow] = at, self._words.number(line["over"])

    def _schedule(self, key: int, name: int, at: int) -> None:
        place = self._place_of.setdefault(key, len(self._names))
        if place == len(self._names):
            for column in (self._names, self._scheduled, self._ended, self._outcomes):
                column.append(_NEVER)
        # Of one that was lost with the power, and is scheduled again, the second time counts.
        self._names[place], self._scheduled[place] = name, at
        self._ended[place] = self._outcomes[place] = _NEVER
        self._due.pop(place, None)

    def attempt(self, line: dict[str, Any]) -> None:
        """Take an attempt."""
        self.virtual = max(self.virtual, line["ends"])
        self._activity_of.append(self._key(line["workflow"], line["seq"]))
        self.attempt_begins.append(line["begins"])
        self.attempt_ends.append(line["ends"])
        self._hows.append(self._words.number(line["how"]))
        self._numbers.append(line["attempt"])

    def limits(self, line: dict[str, Any]) -> None:
        """Take the limits of the world's runtimes."""
        self.allowed = line["limits"]["activities_max"]

    def late(self, line: dict[str, Any]) -> None:
        """Take how late the store was made."""
        self.late_ns += line["late"]

    def life(self, line: dict[str, Any]) -> None:
        """Take a beginning or an end of a life."""
        if "begins" in line:
            self.lives[line["life"]] = line["at"], None
        else:
            self.lives[line["life"]] = self.lives.get(line["life"], (0, None))[0], line["at"]

    def fault(self, line: dict[str, Any]) -> None:
        """Take a fault."""
        self.faults[line["fault"]] = self.faults.get(line["fault"], 0) + 1

    def op(self, _line: dict[str, Any]) -> None:
        """Take an operation: only its time counts."""

    def ends(self, _line: dict[str, Any]) -> None:
        """Take the end."""
        self.whole = True

    # -- what they say --

    def begun(self) -> array[int]:
        """When each workflow began that did."""
        return array("q", (at for at in self._begun if at != _NEVER))

    def over(self) -> Iterator[tuple[int, str]]:
        """When each workflow ended that did, and how."""
        for at, how in zip(self._over, self._over_how, strict=True):
            if how != _NEVER:
                yield at, self._words.all[how]

    def unfinished(self) -> int:
        """How many have begun and not ended."""
        return sum(
            begun != _NEVER and how == _NEVER for begun, how in zip(self._begun, self._over_how, strict=True)
        )

    def latencies(self) -> Iterator[int]:
        """How long each workflow took that has begun and ended."""
        for begun, at, how in zip(self._begun, self._over, self._over_how, strict=True):
            if _NEVER not in (begun, how):
                yield at - begun

    def activities(self) -> Iterator[SeenActivity]:
        """Make every activity, with its attempts; none of them is kept here."""
        place_of = array("q", (self._place_of.get(key, _NEVER) for key in self._activity_of))
        order = sorted(range(len(place_of)), key=place_of.__getitem__)
        at = self.unseen = place_of.count(_NEVER)
        for place in range(len(self._names)):
            attempts = []
            while at < len(order) and place_of[order[at]] == place:
                attempts.append(self._attempted(order[at]))
                at += 1
            outcome = self._outcomes[place]
            yield SeenActivity(
                self._words.all[self._names[place]],
                self._scheduled[place],
                None if outcome == _NEVER else self._ended[place],
                "" if outcome == _NEVER else self._words.all[outcome],
                attempts,
                self._due.get(place, {}),
            )

    def _attempted(self, place: int) -> Attempted:
        return Attempted(
            self.attempt_begins[place],
            self.attempt_ends[place],
            self._words.all[self._hows[place]],
            self._numbers[place],
        )


def read(lines: Iterable[bytes], *, source: str | None = None) -> Reading:
    """Read a history once, from its first line to its last.

    Args:
        lines: its lines.
        source: where they are from, for errors.

    Returns:
        What they say.

    Raises:
        FormatError: a line is none of a world's history.
    """
    reading = Reading()
    for number, text in enumerate(lines, 1):
        reading.take(text, source=source, number=number)
    return reading
