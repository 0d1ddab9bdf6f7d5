"""The store contract as checks that a store's author can run: about 20 lines make a test file.

Example:
    A test file for a store, under pytest with pytest-trio::

        @pytest.mark.parametrize("check", store_checks(), ids=check_name)
        async def test_contract(check, tmp_path):
            await check(UrlFactory(tmp_path / "store.db", durable=True))

        TestAgainstTheReference = store_machine(lambda: UrlFactory("mine:", durable=False)).TestCase
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Final

from treadle.testing.conformance import (
    admission,
    keys,
    lifecycle,
    lifetimes,
    listings,
    mailbox,
    reads,
    tokens,
    units,
)
from treadle.testing.store_factory import StoreFactory

StoreCheck = Callable[[StoreFactory], Awaitable[None]]
"""Opens the factory's store, empty at first, and raises AssertionError when a promise breaks."""

_SUBJECTS: Final = (admission, units, tokens, keys, mailbox, reads, listings, lifetimes, lifecycle)


def store_checks() -> list[StoreCheck]:
    """List the contract's checks: each is named as the promise it holds, its docstring says it in full.

    Returns:
        Async functions of one `StoreFactory`, each to be given a fresh place.
    """
    return [check for subject in _SUBJECTS for check in _checks_of(subject)]


def check_name(check: StoreCheck) -> str:
    """Name a check, for a test runner's ids.

    Args:
        check: from `store_checks`.

    Returns:
        The promise, as a name.
    """
    return check.__name__


def _checks_of(subject: ModuleType) -> list[StoreCheck]:
    return [
        value
        for name, value in vars(subject).items()
        if iscoroutinefunction(value) and value.__module__ == subject.__name__ and not name.startswith("_")
    ]
