"""What a world writes down: one line of JSON for everything that happened, the same for the same seed.

Nothing in it comes from outside the world: no wall time, no address, no order of a set, no text of an
exception. So two runs of one seed can be compared byte by byte, and a digest stands for a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from treadle.sim.lines import Lines

HISTORY_VERSION: Final = 1
LINES_MAX: Final = 20_000_000
"""How many lines are kept, since they fill memory: some 400 MB of it, compressed; the digest goes on."""
# In the order in which they are given: the first key tells what kind of line it is.
_encode: Final = msgspec.json.Encoder().encode


class Recorder:
    """Takes lines; see the top of this file.

    Args:
        header: what the run is made of: version, seed, plan, code.

    Attributes:
        lines: all lines, as JSON; the first `LINES_MAX` of them.
        count: how many lines there are, those that are not kept among them.
        moment: a number that rises with everything that happens; operations begin and end at one.
    """

    def __init__(self, header: Mapping[str, Any]) -> None:
        self.lines = Lines()
        self.count = 0
        self.moment = 0
        self._digest = blake2b(digest_size=16)
        self._happened = blake2b(digest_size=16)
        self.write({"history": HISTORY_VERSION, **header})
        self._happened = blake2b(digest_size=16)

    def write(self, line: Mapping[str, Any]) -> None:
        """Write a line.

        Args:
            line: what has happened; deterministic.
        """
        encoded = _encode(line)
        self._digest.update(encoded + b"\n")
        self._happened.update(encoded + b"\n")
        self.count += 1
        if self.count <= LINES_MAX:
            self.lines.append(encoded)

    def now(self) -> int:
        """Give the next moment; never twice the same."""
        self.moment += 1
        return self.moment

    @property
    def whole(self) -> bool:
        """Whether every line was kept."""
        return self.count == len(self.lines)

    @property
    def digest(self) -> str:
        """The digest of all lines so far, in hexadecimal."""
        return self._digest.hexdigest()

    @property
    def happened(self) -> str:
        """The digest of all lines behind the header: the same for plans that have led to the same so far."""
        return self._happened.hexdigest()

    def text(self) -> bytes:
        """All lines, each with its end."""
        return b"".join(line + b"\n" for line in self.lines)
