"""The checks' few comparisons: they fail with what was expected and what came, under any test runner."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from treadle.errors import TreadleError
from treadle.stores import Graft, Outcome, Refused, Repeated, Store, Unit, Written

E = TypeVar("E", bound=TreadleError)


def expect(expected: object, actual: object, what: str) -> None:
    """Compare.

    Args:
        expected: what the contract says.
        actual: what the store answered.
        what: names the thing compared.

    Raises:
        AssertionError: they differ.
    """
    if expected != actual:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def expect_written(outcome: Outcome) -> Written:
    """Require that a unit was written.

    Args:
        outcome: the store's answer.

    Returns:
        The answer.

    Raises:
        AssertionError: it was refused or taken for a repeat.
    """
    if not isinstance(outcome, Written):
        raise AssertionError(f"the unit: expected it to be written, got {outcome!r}")  # noqa: TRY004  # a check has failed
    return outcome


def expect_repeated(outcome: Outcome) -> Repeated:
    """Require that a unit was recognised.

    Args:
        outcome: the store's answer.

    Returns:
        The answer.

    Raises:
        AssertionError: it was written or refused.
    """
    if not isinstance(outcome, Repeated):
        raise AssertionError(f"the unit: expected it to be there already, got {outcome!r}")  # noqa: TRY004  # a check has failed
    return outcome


def expect_refused(outcome: Outcome, kind: type[E]) -> E:
    """Require that a unit was refused for a reason.

    Args:
        outcome: the store's answer.
        kind: the reason.

    Returns:
        The error.

    Raises:
        AssertionError: it was not refused, or for another reason.
    """
    if not isinstance(outcome, Refused) or type(outcome.error) is not kind:
        raise AssertionError(f"the unit: expected {kind.__name__}, got {outcome!r}")
    return outcome.error


async def expect_raises(kind: type[E], call: Awaitable[object], what: str) -> E:
    """Require that a call raises.

    Args:
        kind: the error's class, or one above it.
        call: the call, not yet awaited.
        what: names the call.

    Returns:
        The error.

    Raises:
        AssertionError: it returned.
    """
    try:
        answer = await call
    except kind as error:
        return error
    raise AssertionError(f"{what}: expected {kind.__name__}, got {answer!r}")


async def write(store: Store, *units: Unit | Graft) -> None:
    """Write units that must fit.

    Args:
        store: the store.
        *units: the units.

    Raises:
        AssertionError: one was not written.
    """
    for outcome in await store.append(units):
        expect_written(outcome)


async def payloads_of(store: Store, workflow_id: str) -> list[bytes]:
    """Read all payloads of a log.

    Args:
        store: the store.
        workflow_id: the log.

    Returns:
        They, in seq order.
    """
    return [event.payload for event in await store.read(workflow_id)]  # type: ignore[arg-type]
