"""What a set of projections asks of whoever keeps it going; it knows no runtime."""

from __future__ import annotations

from typing import Protocol

from treadle.errors import TreadleError
from treadle.kernel import Kernel
from treadle.payloads import CodecChain, Converter
from treadle.stores import Store, Unit


class Host(Protocol):
    """What a set of projections needs to be kept up; a runtime gives one to its companions.

    Attributes:
        closing: whether to write what must be written, and return.
    """

    closing: bool

    @property
    def store(self) -> Store:
        """The store, for reading."""

    @property
    def kernel(self) -> Kernel:
        """Through which everything waits."""

    @property
    def converter(self) -> Converter:
        """States to JSON and back."""

    @property
    def codecs(self) -> CodecChain:
        """What states go through."""

    async def commit(self, units: list[Unit], /) -> list[TreadleError | None]:
        """Write units, each taken or refused by itself."""

    async def wait_changed(self, seconds: float | None = None, /) -> None:
        """Wait until something may have been committed."""

    def nudge(self) -> None:
        """End that wait."""
