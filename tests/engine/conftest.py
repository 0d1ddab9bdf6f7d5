"""What every test of the engine leaves behind is taken out of memory as a runner would."""

import driven
import pytest


@pytest.fixture(autouse=True)
def _evicted():
    yield
    driven.evict_all()
