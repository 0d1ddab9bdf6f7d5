"""What a simulated disk may do to a store, and why each must be survived: a literal table.

A fault that no real disk makes would only teach a store superstitions; so each row says where it is met,
and what in the store answers it. The documentation prints this table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Fault(NamedTuple):
    """One kind of fault.

    Attributes:
        reason: why it must be survived: where real disks and real systems do this.
        survived_by: what in the store answers it.
    """

    reason: str
    survived_by: str


class Problem(StrEnum):
    """What the hook of a disk may answer: how one operation shall fail."""

    IO = "io"
    """The device says no: EIO."""
    FULL = "full"
    """There is no room: ENOSPC. Only a write can meet it; any other operation fails with EIO."""


FAULTS: Final[dict[str, Fault]] = {
    "process crash": Fault(
        "kill -9, an exception in C, the machine's out-of-memory killer: the process is gone between any two"
        " system calls, while the system still has everything it was given",
        "a transaction is in the log or it is not: frames without their commit frame are passed over",
    ),
    "lost sector": Fault(
        "a power cut finds writes in the caches of system and drive, which keep no order but that of fsync",
        "nobody is answered before the fsync of the log has said yes",
    ),
    "torn sector": Fault(
        "a power cut stops the head, or the cell's programming, in the middle of a sector",
        "the checksum of a frame holds the whole of it; what lies behind a bad frame is not read",
    ),
    "garbled sector": Fault(
        "a power cut while flash is programmed leaves what was neither there before nor sent",
        "the checksum of a frame; a page is copied into the file only when its frame is durable",
    ),
    "neighbour garbled": Fault(
        "on drives without power-safe overwrite a write of part of a sector endangers the rest of it, even"
        " what was synced long ago (`powersafe_overwrite=False`)",
        "SQLite fills the last sector of a commit up with copies of its last frame, when the disk says so",
    ),
    "name undone": Fault(
        "a file that was made or deleted is an entry in a directory, which is written on its own time: after"
        " a power cut an unsynced new file may be gone and a deleted one back",
        "a log that comes back holds only what the file has already; a new one counts from its first fsync",
    ),
    "truncation undone": Fault(
        "a file's length is metadata and written on its own time, before or after the data",
        "SQLite truncates a log only when the file has everything that was in it",
    ),
    "lying fsync": Fault(
        "consumer drives and some virtual disks answer a flush at once and do nothing",
        "by no store: the tests use it to show that they would see a loss",
    ),
    "error from fsync": Fault(
        "a failing drive, or one that is full behind thin provisioning; the system then drops the pages it"
        " could not write and answers the next fsync with yes",
        "the store is poisoned: the outcome is unknown, nothing more is taken, reads end at the last"
        " acknowledged position",
    ),
    "error from a write": Fault(
        "a failing drive, a cable, a network file system; a part of it may be written",
        "the store is poisoned, as after an fsync that failed",
    ),
    "error from a read": Fault(
        "a sector that can no longer be read, a cable, a network file system",
        "the question fails with `StoreUnavailableError`; nothing was written, and it may be asked again",
    ),
    "no room": Fault(
        "disks fill up, and have room again when somebody has cleared up; a part of the write may be there",
        "`StoreFullError`: surely not written, reads go on, appends work again when there is room",
    ),
    "slow": Fault(
        "a drive that collects garbage or spins up answers after seconds; a store must not be mistaken for"
        " a dead one",
        "callers wait for their group; nothing is given up while a commit is under way",
    ),
    "flipped bit": Fault(
        "media lose charge, controllers have bugs, and SQLite has no checksum on its pages",
        "the digest chain and the checksums of heads, records and messages, seen by `treadle log verify`; a"
        " bad frame of the log with a whole commit behind it is refused at opening",
    ),
}
"""Name -> why it must be survived, and by what it is."""
