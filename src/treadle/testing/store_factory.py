"""How a check gets a store: a factory that opens one place, again and again."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import attrs

from treadle.kernel import InlineKernel, Kernel
from treadle.stores import Store, open_store


class StoreFactory(Protocol):
    """Opens one store, empty at first.

    Attributes:
        durable: opening it again, after it was closed, finds what was written.
    """

    @property
    def durable(self) -> bool:
        """Whether opening it again finds what was written."""

    def open(self) -> AbstractAsyncContextManager[Store]:
        """Open the store, and close it at the end of the block.

        Returns:
            A context manager for ``async with``.
        """


@attrs.frozen(slots=True)
class UrlFactory:
    """Opens a store by URL or path, with blocking calls in the calling task.

    Attributes:
        url: as in `treadle.stores.open_store`.
        durable: as in `StoreFactory`.
        kernel: through which the store waits.
    """

    url: str | os.PathLike[str]
    durable: bool = False
    kernel: Kernel = attrs.Factory(InlineKernel)

    def open(self) -> AbstractAsyncContextManager[Store]:
        """Open the store; see `StoreFactory.open`.

        Returns:
            A context manager for ``async with``.
        """
        return open_store(self.url, kernel=self.kernel)
