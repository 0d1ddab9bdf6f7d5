"""Which log of the new file each stretch becomes: the longest keeps the id, others get names of their own.

A log without gaps can hold one stretch. What a branch shares is counted as its own, as far as it is sound
without a gap up to where the branch begins. Of a deleted log only what its branches share is kept, and its
place; also when the log has gone on behind that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from treadle.events import WORKFLOW_ID_SIZE_BYTES_MAX, workflow_id
from treadle.log import root_digest
from treadle.stores.sqlite.extents import Extent
from treadle.stores.sqlite.salvaging.chains import Beginning, Log, Stretch

_NAMES_TRIED_MAX = 1_000_000


@attrs.frozen(slots=True)
class Placed:
    """A log of the new file.

    Attributes:
        key: its number there.
        name: its id.
        of: the log of the damaged file whose events it holds.
        stretch: its own events; None for a deleted log.
        extent: where it begins, when that is not where its id says; None for an ordinary log.
        reclaimed: whether no row of its own lies below that.
        is_main: whether it keeps the log's id.
    """

    key: int
    name: str
    of: Log
    stretch: Stretch | None
    extent: Extent | None
    reclaimed: bool = True
    is_main: bool = True


class Plan:
    """Places all stretches.

    Args:
        logs: what was found, by its number in the damaged file.
        digest_at: tells the digest of a sound event, by its log's number and its seq.

    Attributes:
        placed: the logs of the new file.
        keys: into which log each stretch goes, by the stretch's number.
        ends: the last seq of a stretch that goes, where that is not its last.
        lenders: logs of which branches share events that lie before where the log begins now.
    """

    def __init__(self, logs: dict[int, Log], digest_at: Callable[[int, int], bytes | None]) -> None:
        self.placed: list[Placed] = []
        self.keys: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self._logs = logs
        self._digest_at = digest_at
        self._names = {log.name for log in logs.values() if log.name is not None}
        self._next_key = max(logs, default=0) + 1
        self._shared: dict[int, tuple[int, bytes]] = {}
        self._used: set[int] = set()
        self.lenders = {key for log in logs.values() for key in self._lends_to(log)}
        mains = {key: self._main(log) for key, log in logs.items()}
        for key, log in logs.items():
            self._assign(log, mains[key])
        for key, log in logs.items():
            self._place(log, mains[key])
        for log in logs.values():
            self._rescue(log)

    def _lends_to(self, branch: Log) -> Iterator[int]:
        for from_seq, _, source in () if branch.beginning is None else branch.beginning.ranges:
            there = self._logs.get(source)
            if there is not None and from_seq < _first_kept(there):
                yield source

    # -- which stretch keeps the id --

    def _main(self, log: Log) -> Stretch | None:
        first = _first_kept(log)
        stretches = [stretch for stretch in log.stretches if stretch.last >= first]
        if not stretches or log.is_deleted:
            return None
        self._share(log, stretches[0])
        return max(stretches, key=lambda stretch: (self._length(log, stretch), stretch.last))

    def _length(self, log: Log, stretch: Stretch) -> int:
        first = stretch.first
        if log.stretches[0] is stretch and log.key in self._shared:
            first = self._shared[log.key][0]
        return stretch.last - first + 1

    def _share(self, log: Log, stretch: Stretch) -> None:
        """See how far back what a branch shares is sound without a gap, from the branch's own events on."""
        beginning = log.beginning
        if beginning is None or stretch.first != beginning.shared_seq + 1:
            return
        first, before = stretch.first, stretch.digest_before
        for from_seq, to_seq, source in reversed(beginning.ranges):
            found = self._source(source, to_seq)
            if found is None or to_seq != first - 1 or self._digest_at(source, to_seq) != before:
                return
            first = max(from_seq, found.first)
            told = found.digest_before if first == found.first else self._digest_at(source, first - 1)
            if told is None:
                return
            before = beginning.digest_before if first == beginning.first_kept_seq else told
            self._shared[log.key] = (first, before)
            if first != from_seq:
                return

    def _source(self, key: int, seq: int) -> Stretch | None:
        log = self._logs.get(key)
        stretches = () if log is None else log.stretches
        return next((stretch for stretch in stretches if stretch.first <= seq <= stretch.last), None)

    # -- where each goes --

    def _assign(self, log: Log, main: Stretch | None) -> None:
        first = _first_kept(log)
        for stretch in log.stretches:
            is_lent = log.key in self.lenders and stretch.last < first
            if log.is_deleted or stretch is main or is_lent:
                self.keys[stretch.number] = log.key
            elif stretch.last >= first:
                self.keys[stretch.number] = self._next_key
                self._next_key += 1

    def _place(self, log: Log, main: Stretch | None) -> None:
        name = log.name if log.name is not None else self._free_name(f"lost-name-{log.key}")
        is_lender = log.key in self.lenders
        if log.beginning is not None and (log.is_deleted or (is_lender and main is None)):
            extent = Extent(
                log.key,
                log.beginning.first_kept_seq,
                log.beginning.digest_before,
                0,
                log.beginning.hidden,
                (),
            )
            self.placed.append(Placed(log.key, name, log, None, extent, reclaimed=False))
            return
        for stretch in log.stretches:
            key = self.keys.get(stretch.number)
            if key is None or stretch.last < _first_kept(log):
                continue
            is_main = stretch is main
            told = name if is_main else self._free_name(_suffixed(name, f"@{stretch.first}"))
            begun = self._extent(log, stretch, key, told)
            reclaimed = not (is_main and is_lender)
            self.placed.append(Placed(key, told, log, stretch, begun, reclaimed=reclaimed, is_main=is_main))

    def _extent(self, log: Log, stretch: Stretch, key: int, name: str) -> Extent | None:
        hidden = log.beginning is not None and log.beginning.hidden
        if log.key in self._shared and log.stretches[0] is stretch and log.beginning is not None:
            first, before = self._shared[log.key]
            ranges = tuple(self._clipped(log.beginning, first))
            return Extent(key, first, before, log.beginning.shared_seq, hidden, ranges)
        first, before = self._begun(log, stretch)
        if first == 1 and before == root_digest(workflow_id(name)) and not hidden:
            return None
        return Extent(key, first, before, 0, hidden, ())

    def _begun(self, log: Log, stretch: Stretch) -> tuple[int, bytes]:
        # What lies below the first kept seq was on its way out, and stays out.
        beginning = log.beginning
        if beginning is not None and stretch.first < beginning.first_kept_seq <= stretch.last:
            return beginning.first_kept_seq, beginning.digest_before
        return stretch.first, stretch.digest_before

    def _clipped(self, beginning: Beginning, first: int) -> Iterator[tuple[int, int, int]]:
        for from_seq, to_seq, source in beginning.ranges:
            stretch = self._source(source, to_seq)
            if to_seq >= first and stretch is not None:
                self._used.add(stretch.number)
                yield max(from_seq, first), to_seq, self.keys.get(stretch.number, source)

    def _rescue(self, log: Log) -> None:
        """Keep what a branch shared with a deleted log, when the branch itself could not be joined to it."""
        if log.beginning is None or log.name is None:
            return
        for from_seq, to_seq, source in log.beginning.ranges:
            there = self._logs.get(source)
            if there is None or source not in self.lenders:
                continue
            for stretch in there.stretches:
                if not there.is_deleted and stretch.last >= _first_kept(there):
                    continue
                first, last = max(stretch.first, from_seq), min(stretch.last, to_seq)
                if first <= last and stretch.number not in self._used:
                    self._used.add(stretch.number)
                    self._place_rescued(log, stretch, (first, last), source)

    def _place_rescued(self, log: Log, stretch: Stretch, seqs: tuple[int, int], source: int) -> None:
        first, last = seqs
        before = stretch.digest_before if first == stretch.first else self._digest_at(source, first - 1)
        if before is None:
            return
        key, self._next_key = self._next_key, self._next_key + 1
        self.keys[stretch.number], self.ends[stretch.number] = key, last
        name = self._free_name(_suffixed(str(log.name), f"@{first}"))
        extent = Extent(key, first, before, 0, hidden=False, ranges=())
        shared = Stretch(stretch.number, first, last, before, stretch.digest)
        self.placed.append(Placed(key, name, log, shared, extent, is_main=False))

    # -- names --

    def _free_name(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._names and number < _NAMES_TRIED_MAX:
            number += 1
            name = _suffixed(wanted, f"+{number}")
        self._names.add(name)
        return name


def _first_kept(log: Log) -> int:
    return 1 if log.beginning is None else log.beginning.first_kept_seq


def _suffixed(name: str, suffix: str) -> str:
    room = WORKFLOW_ID_SIZE_BYTES_MAX - len(suffix.encode())
    return name.encode()[:room].decode(errors="ignore") + suffix
