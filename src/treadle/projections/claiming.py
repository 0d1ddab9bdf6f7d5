"""Claims: who may write states beside those that are kept, and what is left over when they never finish.

A rebuild writes the next generation before any checkpoint names it, and a baseline is copied likewise. So no
checkpoint can guard them, and two that do it at once would write into, and clear, each other's states: the
slower one those which the faster one's checkpoint names by then. Each of their units is guarded by a claim
instead, a record that the next one replaces; from then on whoever held it is refused. It tells as well which
namespaces are to be cleared if nobody comes back.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import attrs
import msgspec

from treadle.errors import InvalidValueError, TreadleError
from treadle.log import PROJECTIONS
from treadle.projections.hosting import Host
from treadle.projections.kept import Checkpoint, baseline_space_of, decode_checkpoint, space_of
from treadle.projections.shelf import Shelf
from treadle.stores import Record, Unit

CLAIMS: Final = f"{PROJECTIONS}-claim"
"""The namespace of claims; a key is a projection's name."""
RECORDS_MAX: Final = 1_000
"""How many records one unit writes or removes: other appends wait no longer for it than for each other."""


class _Noted(msgspec.Struct, frozen=True):
    """A claim as it is kept.

    Attributes:
        holder: drawn at random: two that note the same are told apart.
        left: namespaces that no checkpoint names.
    """

    holder: str
    left: tuple[str, ...] = ()


@attrs.define(slots=True, eq=False)
class Claim:
    """The right to write beside what is kept of a projection, until somebody else takes it.

    Attributes:
        record: the claim as it is kept.
    """

    host: Host
    shelf: Shelf
    name: str
    record: Record

    @classmethod
    async def take(cls, host: Host, shelf: Shelf, name: str, *spaces: str) -> Claim:
        """Take the claim, from whoever has it, and clear what others have left over.

        Args:
            host: writes.
            shelf: reads.
            name: the projection.
            spaces: namespaces that are about to be written; they are empty then.

        Returns:
            The claim.

        Raises:
            RecordChangedError: somebody else was faster.
            TreadleError: the store failed.
        """
        key = name.encode()
        claim = cls(host, shelf, name, Record(CLAIMS, key, await shelf.store.record(CLAIMS, key)))
        try:
            live = spaces_of(name, decode_checkpoint(name, await shelf.find(name) or b"null"))
        except InvalidValueError:
            live = ()
        left = [space for space in _left_in(claim.record.value) if space not in live]
        await claim._commit(records=(claim._noting({*left, *spaces}),))
        for space in {*left, *spaces}:
            await claim.clear(space)
        return claim

    async def write(self, records: list[Record]) -> None:
        """Write records beside what is kept.

        Args:
            records: what is to be set or removed.

        Raises:
            RecordChangedError: somebody else has the claim now.
            TreadleError: they could not be written; some may be.
        """
        for start in range(0, len(records), RECORDS_MAX):
            await self._commit(records=tuple(records[start : start + RECORDS_MAX]))

    async def clear(self, space: str) -> None:
        """Remove all records of a namespace that no checkpoint names.

        Args:
            space: the namespace.

        Raises:
            RecordChangedError: somebody else has the claim now.
            TreadleError: the store failed.
        """
        while page := await self.shelf.store.records(space, limit=RECORDS_MAX):
            await self.write([record._replace(value=None) for record in page])

    async def finish(self, value: bytes | None, expected: bytes | None, left: Iterable[str]) -> None:
        """Let the checkpoint name what was written, and clear what it names no longer.

        Args:
            value: the checkpoint's record from now on; None for none.
            expected: the one that must be there until now.
            left: namespaces that nobody needs then.

        Raises:
            RecordChangedError: another checkpoint is there, or somebody else has the claim now.
            TreadleError: it could not be written.
        """
        record = Record(PROJECTIONS, self.name.encode(), value)
        await self._commit(records=(record, self._noting(left)), expected=(record._replace(value=expected),))
        # The checkpoint is there, whatever comes now; and what this does not clear, the next claim will.
        with suppress(TreadleError):
            await self.give_up()

    async def give_up(self) -> None:
        """Clear what is left over, and note that there is no more.

        The claim stays, and is another one than before: whoever read it then, and takes it now, is refused.

        Raises:
            RecordChangedError: somebody else has the claim now.
            TreadleError: the store failed.
        """
        for space in _left_in(self.record.value):
            await self.clear(space)
        await self._commit(records=(self._noting(()),))

    async def is_held(self) -> bool:
        """Tell whether nobody else has taken it.

        Returns:
            Whether it stands as it was.
        """
        return self.record.value == await self.shelf.store.record(CLAIMS, self.record.key)

    def _noting(self, left: Iterable[str]) -> Record:
        holder = f"{int(self.host.kernel.random() * 2**48):012x}"
        noted = _Noted(holder, tuple(sorted(left)))
        return self.record._replace(value=msgspec.json.encode(noted))

    async def _commit(self, records: tuple[Record, ...], expected: tuple[Record, ...] = ()) -> None:
        unit = Unit(records=records, expected=(*expected, self.record))
        (error,) = await self.host.commit([unit])
        if error is not None:
            raise error
        self.record = next((record for record in records if record.namespace == CLAIMS), self.record)


def spaces_of(name: str, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Tell which namespaces a checkpoint names.

    Args:
        name: the projection.
        checkpoint: what is kept of it.

    Returns:
        That of its states, and that of its baseline.
    """
    baseline = (baseline_space_of(name, checkpoint.baseline),) if checkpoint.baseline else ()
    return (space_of(name, checkpoint.generation), *baseline)


def _left_in(value: bytes | None) -> tuple[str, ...]:
    try:
        return () if value is None else msgspec.json.decode(value, type=_Noted).left
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()  # it is about to be replaced
