"""A store is right if a state machine cannot tell it from the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from treadle.testing.store_factory import StoreFactory

if TYPE_CHECKING:
    from hypothesis.stateful import RuleBasedStateMachine


def store_machine(make_factory: Callable[[], StoreFactory]) -> type[RuleBasedStateMachine]:
    """Make a hypothesis state machine that holds a store against `MemoryStore`.

    It offers both the same random units (that fit, leave gaps, come late, conflict, repeat, pipeline, over
    several logs, with guards, keys, messages, records, facts, epochs and tokens new and old), closes and
    opens durable stores in between, and compares every outcome and every read.

    Args:
        make_factory: makes a factory for a fresh place; called once for each example.

    Returns:
        The machine; its `TestCase` is a test class, and ``TestCase.settings`` how thorough it is.

    Raises:
        ImportError: hypothesis is not installed.
    """
    from treadle.testing.store_rules import StoreRules  # noqa: PLC0415  # only this needs hypothesis

    return type("StoreMachine", (StoreRules,), {"make_factory": staticmethod(make_factory)})
