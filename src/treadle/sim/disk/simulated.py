"""The disk itself: what its owner sees and sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import apsw
import attrs

from treadle.errors import InvalidValueError, UsageError
from treadle.sim.disk.medium import CutReport, Draw, Medium, StoredFile, below
from treadle.sim.disk.mount import Mount
from treadle.sim.disk.sqlite_chance import give_chance_back, take_chance

if TYPE_CHECKING:
    from typing import Self

    from treadle.sim.disk.faults import Problem

_NUMBERS: Final = count(1)
"""Numbers disks without a name; a name appears in no file, so it need not be the same in every run."""


class PowerCutError(BaseException):
    """The power has gone, or the process; not an Exception, so that nothing under test handles it."""


class BitFlip(NamedTuple):
    """Where a bit has flipped.

    Attributes:
        file: the file.
        offset: the byte.
        bit: which of its eight, 0 the lowest.
    """

    file: str
    offset: int
    bit: int


@attrs.frozen(slots=True)
class DiskStatistics:
    """What has been done to a disk; a severed process adds nothing.

    Attributes:
        operations: writes, syncs, truncations and deletions.
        opens: files opened or made.
        reads: reads.
        writes: writes.
        syncs: fsyncs, answered truly or not.
        truncations: truncations.
        deletions: deletions.
        read_bytes: bytes asked for by reads.
        written_bytes: bytes handed to writes.
    """

    operations: int
    opens: int
    reads: int
    writes: int
    syncs: int
    truncations: int
    deletions: int
    read_bytes: int
    written_bytes: int


class SimulatedDisk:
    """A disk in memory under SQLite, which loses, tears, garbles, fails, fills up, lies and rots.

    Open a store on it with ``treadle.stores.sqlite.open_store(options, kernel, vfs=disk.name)``. Every
    fault and its reason stands in `treadle.sim.disk.FAULTS`. Several disks may live in one process; each
    is used by one simulated process, and so by one thread, at a time. Nothing here looks at real files.

    The same draws and the same operations leave the same bytes. SQLite's own chance is seeded from `draw`
    whenever a database is opened here, for the whole process; when the last disk is closed it gets the
    system's chance back.

    A disk has no shared memory, so SQLite has to lock a database exclusively.

    Args:
        name: unique in the process, or None for a name of its own.
        draw: draws from [0, 1), as `random.Random(seed).random`; everything that happens by chance comes
            from it.
        powersafe_overwrite: whether a power cut in a write spares the bytes beside it in the same sector.
            SQLite's own file systems promise that, and so do the store's real files. Without it SQLite fills
            a commit's last sector up; when that finds no room, an append that was refused may be there after
            a crash, so a world that fills disks up leaves this as it is.

    Attributes:
        draw: as given; may be replaced.
        powersafe_overwrite: as given.
        operations: how many operations have changed the disk: writes, syncs, truncations, deletions.
        lying: whether fsync answers yes and does nothing.
        fault: asked before each operation, with its name (``"open"``, ``"read"``, ``"write"``, ``"sync"``,
            ``"truncate"``, ``"delete"``) and the file's; answers with how it shall fail, or None. It may
            also call `sever` or `cut_power`, and then the operation has no effect on the disk.
        report: told of each operation after it, with its name, the file's and its bytes (of a truncation
            the new length); this is where a world charges virtual time.
        cut_at: the power goes right behind this operation, as counted by `operations`: `PowerCutError` is
            raised through SQLite to whoever called it. None again then.
        room_bytes: how much all files may hold together, or None; give room back by raising it.

    Raises:
        InvalidValueError: the name is empty or taken.
    """

    __slots__ = (
        "_attentive", "_cut_at", "_deletions", "_fault", "_first_name", "_mount", "_mounts", "_opens",
        "_read_bytes", "_reads", "_report", "_room_bytes", "_syncs", "_truncations", "_writes",
        "_written_bytes", "draw", "lying", "operations", "powersafe_overwrite",
    )  # fmt: skip

    def __init__(self, name: str | None = None, *, draw: Draw, powersafe_overwrite: bool = True) -> None:
        taken = set(apsw.vfs_names())
        if name is None:
            name = next(free for number in _NUMBERS if (free := f"simulated-disk-{number}") not in taken)
        if not name or name in taken:
            raise InvalidValueError(
                f"a disk has a name of its own: expected one that SQLite has no file system of, got {name!r}:"
                " close the disk that has it, or leave the name away"
            )
        self._first_name = name
        self.draw = draw
        self.powersafe_overwrite = powersafe_overwrite
        self.lying = False
        self.operations = 0
        self._opens = self._reads = self._writes = self._syncs = self._truncations = self._deletions = 0
        self._read_bytes = self._written_bytes = 0
        self._fault: Callable[[str, str], Problem | None] | None = None
        self._report: Callable[[str, str, int], object] | None = None
        self._cut_at: int | None = None
        self._room_bytes: int | None = None
        # Whether an operation must be more than counted: one look instead of four for each.
        self._attentive = False
        self._mounts = count(2)
        take_chance()
        self._mount = Mount(self, name, Medium())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Sever whoever uses the disk, and forget its name; the last disk gives SQLite its chance back."""
        if not self._mount.severed:
            self._mount.severed = True
            self._mount.unregister()
            give_chance_back()

    @property
    def name(self) -> str:
        """The name by which the process that lives now opens files: another one after each crash."""
        return self._mount.name

    @property
    def closed(self) -> bool:
        """Whether nobody can open anything here any more."""
        return self._mount.severed

    # -- what may happen to it --

    def sever(self) -> None:
        """Let the process that uses the disk crash: the system keeps all it was given.

        From here on nothing that is done through files opened so far has an effect on the disk; the dead
        process reads what it would have read, so that its tasks may end in peace. The next one opens by
        `name`, which is new.

        Raises:
            UsageError: the disk is closed.
        """
        self._succeed(self._living().medium.copy())

    def cut_power(self) -> CutReport:
        """Let the power go: what was not synced is kept, lost, torn or garbled, sector by sector.

        Otherwise as `sever`.

        Returns:
            What became of the unsynced, in counts.

        Raises:
            UsageError: the disk is closed.
        """
        left, report = self._living().medium.after_cut(self.draw, whole_sectors=not self.powersafe_overwrite)
        self._succeed(left)
        return report

    def renew_doubtful(self, suffix: str) -> int:
        """Put durable copies in the place of files an fsync of which has failed; nobody may have them open.

        Args:
            suffix: only files whose names end so.

        Returns:
            How many there were.

        Raises:
            UsageError: the disk is closed.
        """
        medium = self._living().medium
        names = [name for name, one in medium.files.items() if name.endswith(suffix) and one.is_doubtful]
        for name in names:
            medium.renew(name)
        return len(names)

    def flip_bit(self, file: str | None = None) -> BitFlip:
        """Flip one bit of what is durable, anywhere or in one file.

        What SQLite has in its memory stays as it was; open the file again to meet the damage.

        Args:
            file: its name, or None for any.

        Returns:
            Which bit.

        Raises:
            InvalidValueError: there is no such file, or nothing durable in it.
        """
        there = self._living().medium.durable()
        sizes = {name: len(one.durable()) for name, one in there.items() if file in {None, name}}
        total = sum(sizes.values())
        if not total:
            raise InvalidValueError(
                f"nothing durable to flip a bit of in {file or 'any file'}; durable are: {', '.join(there)}"
            )
        place = below(self.draw, total * 8)
        offset, bit = divmod(place, 8)
        for name, size in sizes.items():
            if offset < size:
                there[name].flip(offset, bit)
                return BitFlip(name, offset, bit)
            offset -= size
        raise AssertionError("a bit lies in one of the files")  # pragma: no cover

    def _lose_power(self) -> NoReturn:
        self.cut_at = None
        self.cut_power()
        raise PowerCutError(f"the power went at operation {self.operations}")

    def _living(self) -> Mount:
        if self._mount.severed:
            raise UsageError(f"{self._first_name}: the simulated disk is closed; make another one")
        return self._mount

    def _succeed(self, medium: Medium) -> None:
        past = self._mount
        past.severed = True
        # Opened files keep it alive; only nobody opens another.
        past.unregister()
        taken = set(apsw.vfs_names())
        name = next(free for n in self._mounts if (free := f"{self._first_name}~{n}") not in taken)
        self._mount = Mount(self, name, medium)

    # -- what is on it --

    def files(self) -> dict[str, bytes]:
        """Tell what is on the disk as everybody sees it.

        Returns:
            Contents by name, sorted.
        """
        return {name: bytes(one.content) for name, one in sorted(self._mount.medium.files.items())}

    def durable_files(self) -> dict[str, bytes]:
        """Tell what a power cut leaves that loses whatever it may lose.

        Returns:
            Contents by name, sorted.
        """
        return {name: bytes(one.durable()) for name, one in self._mount.medium.durable().items()}

    def restore(self, files: Mapping[str, bytes]) -> None:
        """Put files on the disk as if they had always been there, and nothing else; otherwise as `sever`.

        Args:
            files: contents by name.

        Raises:
            UsageError: the disk is closed.
        """
        self._living()
        self._succeed(Medium({name: StoredFile(content) for name, content in files.items()}))

    def digest(self) -> bytes:
        """Digest everything on the disk: what is seen and what is durable, names and contents.

        Returns:
            16 bytes; equal for equal disks.
        """
        return self._mount.medium.digest()

    def statistics(self) -> DiskStatistics:
        """Count what has been done.

        Returns:
            A snapshot.
        """
        return DiskStatistics(
            self.operations,
            self._opens,
            self._reads,
            self._writes,
            self._syncs,
            self._truncations,
            self._deletions,
            self._read_bytes,
            self._written_bytes,
        )

    # -- what its owner sets; together they decide how closely each operation is looked at --

    @property
    def fault(self) -> Callable[[str, str], Problem | None] | None:
        """Asked before each operation; see the class."""
        return self._fault

    @fault.setter
    def fault(self, value: Callable[[str, str], Problem | None] | None) -> None:
        self._set(_fault=value)

    @property
    def report(self) -> Callable[[str, str, int], object] | None:
        """Told of each operation; see the class."""
        return self._report

    @report.setter
    def report(self, value: Callable[[str, str, int], object] | None) -> None:
        self._set(_report=value)

    @property
    def cut_at(self) -> int | None:
        """The operation behind which the power goes; see the class."""
        return self._cut_at

    @cut_at.setter
    def cut_at(self, value: int | None) -> None:
        self._set(_cut_at=value)

    @property
    def room_bytes(self) -> int | None:
        """How much the files may hold; see the class."""
        return self._room_bytes

    @room_bytes.setter
    def room_bytes(self, value: int | None) -> None:
        if value is not None and value < 0:
            raise InvalidValueError(f"room_bytes: expected 0 or more, or None, got {value}")
        self._set(_room_bytes=value)

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        watched = (self._fault, self._report, self._cut_at, self._room_bytes)
        self._attentive = any(one is not None for one in watched)
