"""What the runtime's tests share: a kernel without threads, a store with faults, a runtime over both."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
from faulty import FaultyStore

from treadle import Runtime, RuntimeConfig, open_runtime
from treadle.kernel import InlineKernel


@pytest.fixture
def kernel() -> InlineKernel:
    return InlineKernel()


@pytest.fixture
def store(kernel) -> FaultyStore:
    return FaultyStore(kernel)


@pytest.fixture
def opened(kernel, store):
    """Open a runtime over the faulty store, with the limits a test names."""

    def open_with(**limits) -> AbstractAsyncContextManager[Runtime]:
        return open_runtime(store, kernel=kernel, config=RuntimeConfig(**limits))

    return open_with
