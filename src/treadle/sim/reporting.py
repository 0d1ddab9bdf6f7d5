"""What a world's history says about capacity: who waited how long, for what, and how much was lost to what.

Lines in, frozen values out; nothing here runs a world. The time of every activity, from the moment its log
was told to schedule it to the moment its log was told of its end, is cut into pieces that add up to it:

- `queueing`: due, and not begun: no slot was free, or the runner was busy;
- `work`: the attempt whose result counts;
- `failed`, `hung`, `cancelled`, `lost`, `repeated`: attempts that came to nothing: they raised, ran into
  their limit of time, were cancelled by their workflow, died with their process, or ended well and were made
  again because nobody had written that down;
- `backoff`: between a failed attempt and the moment the next was due;
- `recovering`: after an attempt that was lost or repeated, until the next began;
- `away`: whatever else would have counted, while no process was alive;
- `recording`: after the last attempt, until its end was in the log: here a slow, busy or full store shows.

What is *not* recorded, and so told apart by nobody: whether somebody queued for a slot or for the committer,
and how much of `queueing` and `recording` the store took (how late it was made in all is told beside them).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import chain
from typing import Any, Final

import attrs

from treadle.sim.readings import Attempted, Reading, SeenActivity, read

NANOSECONDS: Final = 1_000_000_000
HOUR_SECONDS: Final = 3_600
CAUSES: Final = (
    "queueing", "work", "failed", "hung", "cancelled", "lost", "repeated", "backoff", "recovering", "away",
    "recording",
)  # fmt: skip
"""All pieces of an activity's time."""
STRETCHES_MAX: Final = 400
"""Into how many stretches of the same length a world's time is cut for a picture: one for some pixels."""
CURVE_POINTS: Final = 200
"""At how many shares a distribution is kept for a picture."""


@attrs.frozen(slots=True)
class Spread:
    """How long something took, of many times.

    Attributes:
        count: how many.
        p50: half of them took at most so long; nanoseconds, here and below.
        p90: nine of ten.
        p99: ninety-nine of a hundred.
        max: all of them.
        mean: their mean, rounded down.
        curve: at most so long took 0, 1/200, 2/200 ... of them, for a picture.
    """

    count: int = 0
    p50: int = 0
    p90: int = 0
    p99: int = 0
    max: int = 0
    mean: int = 0
    curve: tuple[int, ...] = ()


def percentile(ordered: Sequence[int], mille: int) -> int:
    """Give the least value that so many are not above: the nearest rank, so it is one that was seen.

    Args:
        ordered: at least one, rising.
        mille: how many of a thousand.

    Returns:
        The value.
    """
    return ordered[max(0, -(-len(ordered) * mille // 1_000) - 1)]


def spread(values: Iterable[int]) -> Spread:
    """Tell how values are spread.

    Args:
        values: nanoseconds.

    Returns:
        The spread; all zeros of none.
    """
    ordered = sorted(values)
    if not ordered:
        return Spread()
    return Spread(
        len(ordered),
        percentile(ordered, 500),
        percentile(ordered, 900),
        percentile(ordered, 990),
        ordered[-1],
        sum(ordered) // len(ordered),
        tuple(percentile(ordered, 1_000 * point // CURVE_POINTS) for point in range(CURVE_POINTS + 1)),
    )


@attrs.frozen(slots=True)
class ActivityTimes:
    """What became of the activities of one name.

    Attributes:
        name: theirs.
        scheduled: how many were seen to be scheduled.
        ended: outcome -> how many ended so.
        unfinished: how many had not ended when the history did.
        attempts: how many attempts there were.
        retries: how many of those were not an activity's first.
        latency: scheduled to ended.
        queueing: scheduled to the beginning of the first attempt.
        running: the attempts that ended well.
        pieces: cause -> nanoseconds, of those that have ended; see the top of this file.
    """

    name: str
    scheduled: int
    ended: Mapping[str, int]
    unfinished: int
    attempts: int
    retries: int
    latency: Spread
    queueing: Spread
    running: Spread
    pieces: Mapping[str, int]


@attrs.frozen(slots=True)
class Stretch:
    """A stretch of a world's time.

    Attributes:
        begins: when.
        running_most: how many attempts ran at once, at most.
        running_mean: and in the mean.
        waiting_mean: how many activities waited for their first attempt.
    """

    begins: int
    running_most: int
    running_mean: float
    waiting_mean: float


@attrs.frozen(slots=True)
class AtOnce:
    """How many attempts ran at once.

    Attributes:
        allowed: how many may, in all processes that may run some; None when that was not recorded.
        most: how many did.
        mean: over the whole time.
        saturated: for how many nanoseconds it was as many as may.
        stretches: over time.
    """

    allowed: int | None
    most: int
    mean: float
    saturated: int
    stretches: tuple[Stretch, ...]


@attrs.frozen(slots=True)
class Report:
    """What a history says about capacity.

    Attributes:
        virtual: how long the world lived; nanoseconds.
        begun: how many workflows began.
        ended: outcome -> how many ended so.
        unfinished: how many had not ended.
        begun_per_hour: of virtual time, from the first beginning to the last.
        ended_per_hour: likewise, from the first beginning to the last end.
        latency: of workflows that have ended.
        activities: by name, in the order of the names.
        activity_latency: of all of them together.
        queueing: of all of them together.
        pieces: of all of them together.
        at_once: attempts at the same time.
        away: how long no process was alive.
        store_late: how late the store was made, all its calls together.
        faults: name -> how many.
        unseen: attempts whose activity nobody saw being scheduled; they count nowhere else.
        whole: whether the history has its end.
    """

    virtual: int
    begun: int
    ended: Mapping[str, int]
    unfinished: int
    begun_per_hour: float
    ended_per_hour: float
    latency: Spread
    activities: tuple[ActivityTimes, ...]
    activity_latency: Spread
    queueing: Spread
    pieces: Mapping[str, int]
    at_once: AtOnce
    away: int
    store_late: int
    faults: Mapping[str, int]
    unseen: int
    whole: bool


# -- the time of one activity ----------------------------------------------------------------------------


def pieces(
    scheduled: int,
    ended: int,
    attempts: Sequence[Attempted],
    due: Mapping[int, int],
    away: Away,
) -> dict[str, int]:
    """Cut the time of one activity into pieces; they add up to it.

    Args:
        scheduled: when it was scheduled.
        ended: when its end was written.
        attempts: all of them.
        due: number of a failed attempt -> when the next one was due.
        away: when no process was alive.

    Returns:
        Cause -> nanoseconds, without those of 0.
    """
    found: dict[str, int] = {}

    def add(cause: str, begins: int, ends: int) -> None:
        if ends > begins:
            found[cause] = found.get(cause, 0) + ends - begins

    def wait(cause: str, begins: int, ends: int) -> None:
        if ends > begins:
            gone = away.within(begins, ends)
            found["away"] = found.get("away", 0) + gone
            found[cause] = found.get(cause, 0) + ends - begins - gone

    ordered = sorted(attempts, key=lambda one: (one.begins, one.ends))
    at, before = scheduled, None
    for place, attempt in enumerate(ordered):
        if attempt.begins >= ended:
            break
        begins, ends = max(at, attempt.begins), min(ended, attempt.ends)
        _wait_before(wait, before, at, begins, due)
        is_last = place + 1 == len(ordered) or ordered[place + 1].begins >= ended
        well = "work" if is_last else "repeated"
        add(well if attempt.how == "ok" else attempt.how, begins, ends)
        at, before = max(begins, ends), attempt
    wait("queueing" if before is None else "recording", at, ended)
    return {cause: found[cause] for cause in CAUSES if found.get(cause)}


def _wait_before(wait: Any, before: Attempted | None, at: int, begins: int, due: Mapping[int, int]) -> None:
    if before is None:
        wait("queueing", at, begins)
    elif before.number in due:
        then = min(max(at, due[before.number]), begins)
        wait("backoff", at, then)
        wait("queueing", then, begins)
    else:
        wait("recovering", at, begins)


class Away:
    """When no process of a world was alive.

    Args:
        gaps: begins and ends, rising, without overlaps.
    """

    def __init__(self, gaps: Sequence[tuple[int, int]] = ()) -> None:
        self._gaps = gaps
        self._ends = [ends for _, ends in gaps]

    def within(self, begins: int, ends: int) -> int:
        """Tell how much of a stretch it was.

        Args:
            begins: of the stretch.
            ends: likewise.

        Returns:
            Nanoseconds.
        """
        gone = 0
        for place in range(bisect_left(self._ends, begins), len(self._gaps)):
            first, last = self._gaps[place]
            if first >= ends:
                break
            gone += max(0, min(last, ends) - max(first, begins))
        return gone

    @property
    def total(self) -> int:
        """All of it."""
        return sum(ends - begins for begins, ends in self._gaps)


def _gaps(lives: Iterable[tuple[int, int]], virtual: int) -> Iterator[tuple[int, int]]:
    at = 0
    for begins, ends in sorted(lives):
        if begins > at:
            yield at, begins
        at = max(at, ends)
    if at < virtual:
        yield at, virtual


# -- the whole -----------------------------------------------------------------------------------------------


def report(lines: Iterable[bytes], *, source: str | None = None) -> Report:
    """Tell what a history says about capacity.

    Args:
        lines: its lines, the header among them or not; they are walked through once, and not kept.
        source: where they are from, for errors.

    Returns:
        The report.

    Raises:
        FormatError: a line is none of a world's history.
    """
    return _told(read(lines, source=source))


def _told(reading: Reading) -> Report:
    virtual = reading.virtual
    lives = [(begins, virtual if ends is None else ends) for begins, ends in reading.lives.values()]
    away = Away(list(_gaps(lives, virtual)) if lives else ())
    tallies: dict[str, _Tally] = {}
    for one in reading.activities():
        if one.name not in tallies:
            tallies[one.name] = _Tally()
        tallies[one.name].add(one, away)
    activities = tuple(tallies[name].times(name) for name in sorted(tallies))
    begun = reading.begun()
    first = min(begun, default=0)
    ended = [at for at, _ in reading.over()]
    return Report(
        virtual,
        len(begun),
        _counted(how for _, how in reading.over()),
        reading.unfinished(),
        _per_hour(len(begun), max(begun, default=0) - first),
        _per_hour(len(ended), max(ended, default=0) - first),
        spread(reading.latencies()),
        activities,
        spread(chain.from_iterable(one.latencies for one in tallies.values())),
        spread(chain.from_iterable(one.queueings for one in tallies.values())),
        _sum(one.pieces for one in activities),
        _at_once(reading, tallies.values()),
        away.total,
        reading.late_ns,
        dict(sorted(reading.faults.items())),
        reading.unseen,
        reading.whole,
    )


def _column() -> array[int]:
    return array("q")


@attrs.define(slots=True)
class _Tally:
    """What became of the activities of one name, added up one after the other."""

    scheduled: int = 0
    unfinished: int = 0
    attempts: int = 0
    retries: int = 0
    ended: dict[str, int] = attrs.Factory(dict)
    latencies: array[int] = attrs.Factory(_column)
    queueings: array[int] = attrs.Factory(_column)
    running: array[int] = attrs.Factory(_column)
    # Stretches in which one waited for its first attempt.
    wait_begins: array[int] = attrs.Factory(_column)
    wait_ends: array[int] = attrs.Factory(_column)
    pieces: dict[str, int] = attrs.Factory(dict)

    def add(self, one: SeenActivity, away: Away) -> None:
        """Add an activity."""
        begins = one.first_begin
        self.scheduled += 1
        self.attempts += len(one.attempts)
        self.retries += max(0, len(one.attempts) - 1)
        self.running.extend(made.ends - made.begins for made in one.attempts if made.how == "ok")
        if begins is not None:
            self.queueings.append(max(0, begins - one.scheduled))
        until = one.ended if begins is None else begins
        if until is not None and until > one.scheduled:
            self.wait_begins.append(one.scheduled)
            self.wait_ends.append(until)
        if one.ended is None:
            self.unfinished += 1
            return
        self.ended[one.outcome] = self.ended.get(one.outcome, 0) + 1
        self.latencies.append(one.ended - one.scheduled)
        for cause, took in pieces(one.scheduled, one.ended, one.attempts, one.due, away).items():
            self.pieces[cause] = self.pieces.get(cause, 0) + took

    def times(self, name: str) -> ActivityTimes:
        """Tell what became of them."""
        return ActivityTimes(
            name,
            self.scheduled,
            dict(sorted(self.ended.items())),
            self.unfinished,
            self.attempts,
            self.retries,
            spread(self.latencies),
            spread(self.queueings),
            spread(self.running),
            {cause: self.pieces[cause] for cause in CAUSES if cause in self.pieces},
        )


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items()))


def _sum(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    summed: dict[str, int] = {}
    for one in many:
        for cause, nanoseconds in one.items():
            summed[cause] = summed.get(cause, 0) + nanoseconds
    return {cause: summed[cause] for cause in CAUSES if cause in summed}


def _per_hour(count: int, nanoseconds: int) -> float:
    return count * HOUR_SECONDS * NANOSECONDS / nanoseconds if nanoseconds else 0.0


# -- over time ------------------------------------------------------------------------------------------


def _at_once(reading: Reading, tallies: Collection[_Tally]) -> AtOnce:
    virtual = max(reading.virtual, 1)
    length = max(1, -(-virtual // STRETCHES_MAX))
    count = -(-virtual // length)
    ran, waited = _Levels(count, length), _Levels(count, length)
    for at, step in _steps([reading.attempt_begins], [reading.attempt_ends]):
        ran.go(at, step)
    for at, step in _steps([one.wait_begins for one in tallies], [one.wait_ends for one in tallies]):
        waited.go(at, step)
    ran.go(virtual, 0)
    waited.go(virtual, 0)
    lengths = [min(length, virtual - place * length) for place in range(count)]
    return AtOnce(
        reading.allowed,
        max(ran.most),
        sum(ran.area) / virtual,
        sum(time for level, time in ran.time_at.items() if reading.allowed and level >= reading.allowed),
        tuple(
            Stretch(place * length, most, ran_for / long, waited_for / long)
            for place, (most, ran_for, waited_for, long) in enumerate(
                zip(ran.most, ran.area, waited.area, lengths, strict=True)
            )
        ),
    )


def _steps(begins: Iterable[Iterable[int]], ends: Iterable[Iterable[int]]) -> Iterator[tuple[int, int]]:
    """Give every beginning as a step up and every end as one down, in the order of time."""
    down = ((at, -1) for at in sorted(chain.from_iterable(ends)))
    return merge(down, ((at, 1) for at in sorted(chain.from_iterable(begins))))


class _Levels:
    """A level that rises and falls, summed up over stretches of the same length."""

    def __init__(self, count: int, length: int) -> None:
        self.most = [0] * count
        self.area = [0] * count
        self.time_at: dict[int, int] = {}
        self._length = length
        self._level = 0
        self._at = 0

    def go(self, at: int, step: int) -> None:
        """Stay until a moment, then rise or fall."""
        level = self._level
        if at > self._at:
            self.time_at[level] = self.time_at.get(level, 0) + at - self._at
        while self._at < at:
            place = self._at // self._length
            until = min(at, (place + 1) * self._length)
            self.area[place] += level * (until - self._at)
            self.most[place] = max(self.most[place], level)
            self._at = until
        self._level += step
