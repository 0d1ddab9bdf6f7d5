"""What tests of this room begin with."""

import pytest

from treadle import open_store
from treadle.kernel import InlineKernel


@pytest.fixture
async def store():
    """A store in memory, open for the whole test."""
    async with open_store("memory:", kernel=InlineKernel()) as store:
        yield store
