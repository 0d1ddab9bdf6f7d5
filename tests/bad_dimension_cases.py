"""Cases of bad input about slowly changing dimensions, for `test_bad_input.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from treadle import TreadleError
from treadle.projections.scd import Dimension, DimensionState

Case = Callable[[Path], Awaitable[list[TreadleError]]]
CASES: dict[str, Case] = {}

CITIES = Dimension("cities", key={"id": int}, tracked="city", untracked="note", grain="week")
ROW = {"id": 1, "city": "Bern", "note": None, "period": "2026-01-12"}


def refused(name: str, *attempts: Callable[[DimensionState], object]) -> None:
    """A case that offers something, in as many ways as there are, and finds a state unchanged."""

    async def run(_: Path) -> list[TreadleError]:
        state, before = (CITIES.backfill([ROW]) for _ in range(2))
        errors = []
        for attempt in attempts:
            with pytest.raises(TreadleError) as caught:
                attempt(state)
            errors.append(caught.value)

            assert before == state
        return errors

    CASES[name] = run


def declared(name: str, **changes: Any) -> None:
    """A case that declares a dimension which is none."""
    said: dict[str, Any] = {"key": {"id": int}, "tracked": "city", "untracked": "note", "grain": "week"}
    refused(name, lambda _: Dimension("cities", **said | changes))


def told(name: str, **changes: Any) -> None:
    """A case with a row that is none, for a backfill and for a step; a value of `...` is left out."""
    row = {column: value for column, value in (ROW | changes).items() if value is not ...}
    refused(
        name,
        lambda _: CITIES.backfill([ROW, row]),
        lambda state: CITIES.incremental(state, "2026-01-12", [ROW, row]),
        lambda state: (
            CITIES.incremental(state, "2026-01-05", [row], late=True)
            if changes.get("period") is None
            else CITIES.backfill([row])
        ),
    )


def step(period: Any, rows: Any = ()) -> Callable[[DimensionState], object]:
    """An attempt to go on by some rows of a period."""
    return lambda state: CITIES.incremental(state, period, rows)


def asked(name: str, query: Any = "incremental", **changes: Any) -> None:
    """A case that asks for a query which cannot be written."""
    said = {"dialect": "sqlite", "table": "rows", "previous": "cities", "period": "2026-01-19"}
    refused(name, lambda _: partial(CITIES.sql, query)(**said | changes))


declared("dimension-grain-unknown", grain="fortnight")
declared("dimension-without-a-key", key=())
declared("dimension-without-attributes", tracked={})
declared("dimension-column-twice", tracked=("city", "city"))
declared("dimension-column-in-other-case", untracked="City")
declared("dimension-key-tracked", tracked=("city", "id"))
declared("dimension-column-of-the-result", tracked=("city", "valid_to"))
declared("dimension-type-unknown", tracked={"city": bytes})
declared("dimension-name-too-long", tracked="c" * 64)
declared("dimension-name-unprintable", tracked="ci\nty")
declared("dimension-absent-unknown", absent="drop")
told("dimension-key-null", id=None)
told("dimension-key-missing", id=...)
told("dimension-column-missing", city=...)
told("dimension-value-of-another-type", city=3)
told("dimension-text-that-no-database-holds", city="a\0b")
told("dimension-number-too-large", id=2**63)
refused("dimension-rows-a-text", lambda _: CITIES.backfill("rows"), step("2026-01-19", "rows"))
refused("dimension-row-a-list", lambda _: CITIES.backfill([[1]]), step("2026-01-19", [[1]]))  # type: ignore[list-item]
refused(
    "dimension-period-not-of-the-grain",
    lambda _: CITIES.backfill([ROW | {"period": "2026-01-13"}]),
    lambda _: CITIES.backfill([ROW], periods=["2026-01-13"]),
    step("2026-01-13"),
)
refused(
    "dimension-period-written-otherwise",
    lambda _: CITIES.backfill([ROW | {"period": "2026-W03"}]),
    lambda _: CITIES.backfill([ROW | {"period": "20260112"}]),
    lambda _: CITIES.backfill([ROW | {"period": "2026-01-12T00:00:00Z"}]),
)
refused("dimension-period-null", lambda _: CITIES.backfill([ROW | {"period": None}]), step(None))
refused("dimension-period-no-time", lambda _: CITIES.backfill([ROW | {"period": "soon"}]), step("soon"))
refused("dimension-row-of-another-period", step("2026-01-19", [ROW]))
refused("dimension-step-behind", step("2026-01-05", [ROW | {"period": "2026-01-05"}]), step("2026-01-05"))
OTHER = attrs.evolve(CITIES, absent="delete")
refused("dimension-state-of-another", lambda state: OTHER.incremental(state, "2026-01-19", []), OTHER.rows)
refused("dimension-state-that-is-none", lambda _: CITIES.incremental(None, "2026-01-19", []))  # type: ignore[arg-type]
asked("dimension-query-unknown", "update")
asked("dimension-dialect-unknown", dialect="oracle")
asked("dimension-step-without-its-period", period=None)
asked("dimension-backfill-with-a-period", "backfill", previous=None)
asked("dimension-table-of-the-query", table="treadle_scd_rows")
asked("dimension-table-with-dots", table=["main", "rows"])
asked("dimension-periods-of-a-step", periods="looked_at")
