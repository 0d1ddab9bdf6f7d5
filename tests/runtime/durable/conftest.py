"""What the tests of durable workflows share: places that can be opened again, in memory and in a file."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
from auditing import audited
from board import Board, board

from treadle import Runtime, RuntimeConfig, open_runtime
from treadle.kernel import InlineKernel
from treadle.stores.memory import MemoryStore


@pytest.fixture
def kernel() -> InlineKernel:
    return InlineKernel()


@pytest.fixture(autouse=True)
def fresh_board() -> Board:
    """What activities note and wait for, empty for each test."""
    board.clear()
    return board


@pytest.fixture(params=["memory", "sqlite"])
def place(request, tmp_path, kernel):
    """Where workflows lie: opened again, what was written is there.

    Whatever a test has done to it, what is stored in the end must be what `treadle log verify` expects.
    """
    place = MemoryStore(kernel) if request.param == "memory" else str(tmp_path / "orders.db")
    yield place
    damage = audited(place)
    assert damage == []


@pytest.fixture
def opened(kernel, place):
    """Open a runtime at the place, with the code and the limits a test names."""

    def open_with(
        workflows=(), activities=(), *, standby=True, codecs=(), converter=None, **limits
    ) -> AbstractAsyncContextManager[Runtime]:
        # A virtual month has 52 million polls of the usual length in it.
        limits.setdefault("poll_seconds", 3600)
        return open_runtime(
            place,
            workflows=workflows,
            activities=activities,
            standby=standby,
            codecs=codecs,
            converter=converter,
            kernel=kernel,
            config=RuntimeConfig(**limits),
        )

    return open_with
