"""The seed of SQLite's own generator of chance.

SQLite draws the salts of a write-ahead log and the nonce of a journal from one generator for the whole
process, which it seeds once from the default file system. Without this page two runs with one seed would
differ in every frame of the log. The generator asks whoever is the default when it is seeded; so one file
system that only answers is made the default for that instant.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

import apsw

from treadle.sim.disk.medium import Draw, rubbish

_NAME: Final = "treadle-chance"


class _Chance(apsw.VFS):
    """The system's own file system with another source of chance.

    Never unregistered: another thread may open a real file just when this is the default, which is the
    same as through the system's own, and keeps it in use.
    """

    def __init__(self) -> None:
        self.draw: Draw | None = None
        super().__init__(_NAME, "")

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802 - SQLite's name
        """Answer with bytes from a draw, or with the system's own."""
        return super().xRandomness(numbytes) if self.draw is None else rubbish(self.draw, numbytes)


class _State:
    """One for the process, as SQLite's generator is.

    Attributes:
        chance: made when it is first needed.
        disks: how many rely on what was seeded.
        seeding: held while another file system is the default, or a second thread would leave it so.
    """

    chance: _Chance | None = None
    disks = 0
    seeding = Lock()


def take_chance() -> None:
    """Note that one more disk relies on SQLite's generator."""
    _State.disks += 1


def give_chance_back() -> None:
    """Note that a disk is done; after the last one SQLite draws from the system again."""
    _State.disks -= 1
    if not _State.disks:
        seed_sqlite(None)


def seed_sqlite(draw: Draw | None) -> None:
    """Seed SQLite's generator.

    Args:
        draw: the source, asked once; None gives SQLite the system's chance.
    """
    with _State.seeding:
        chance = _State.chance = _State.chance or _Chance()
        chance.draw = draw
        default = apsw.vfs_names()[0]
        apsw.set_default_vfs(_NAME)
        try:
            # Nothing asked for makes it forget, and the next byte makes it ask whoever is the default now.
            apsw.randomness(0)
            apsw.randomness(1)
        finally:
            apsw.set_default_vfs(default)
            chance.draw = None
