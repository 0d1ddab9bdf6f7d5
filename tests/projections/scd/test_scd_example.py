"""The dimension of the docs gives the rows that one would write by hand, wherever it is asked."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "dimensions.md"
BY_HAND = [
    ("ada", "Bern", "gold", "12", "2026-03-02", "2026-03-05", False),
    ("ada", "Basel", "gold", "12", "2026-03-05", None, True),
    ("bob", "Rome", "free", "21", "2026-03-02", "2026-03-04", False),
    ("bob", "Rome", "gold", "22", "2026-03-04", None, True),
    ("eve", "Oslo", "free", None, "2026-03-03", "2026-03-05", False),
    ("eve", "Oslo", "free", None, "2026-03-06", None, True),
]


@pytest.fixture(scope="module")
def example():
    """The names that the page's first program leaves behind."""
    names = {}
    code = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[1]
    exec(compile(code, PAGE, "exec"), names)  # noqa: S102 - the project's own page
    return names


def told(rows):
    return [tuple(row.values()) for row in rows]


def test_ten_rows_three_keys_five_periods(example):
    rows = example["ROWS"]

    assert (10, 3, 5) == (
        len(rows),
        len({row["customer"] for row in rows}),
        len({row["day"] for row in rows}),
    )


def test_backfill_and_steps_give_the_rows_written_by_hand(example):
    dimension, state = example["CUSTOMERS"], example["state"]

    assert BY_HAND == told(dimension.rows(dimension.backfill(reversed(example["ROWS"]))))
    assert BY_HAND == told(dimension.rows(state))


def test_the_pages_table_is_theirs():
    shown = re.findall(r"^\| (\w+ \| \w+ \| \w+ \| \w+ \| 2026.*) \|$", PAGE.read_text(), re.MULTILINE)

    assert [" | ".join(map(str, row)) for row in BY_HAND] == shown


def test_sql_gives_the_rows_written_by_hand(example, engine, dialect):
    """All at once, and day by day."""
    dimension = example["CUSTOMERS"]
    columns = {
        "day": "period",
        "customer": str,
        "at": int,
        "city": str,
        "plan": str,
        "phone": str,
        "gone": bool,
    }
    engine.create("told", columns)
    engine.insert("told", example["ROWS"])
    backfill = dimension.sql("backfill", dialect=dialect, table="told")
    assert BY_HAND == told(engine.ask(backfill))

    engine.create_as("before", f"SELECT * FROM ({backfill}) AS b WHERE FALSE")
    for day in example["DAYS"]:
        step = dimension.sql(
            "incremental", dialect=dialect, table="told", previous=engine.made[-1], period=day
        )
        engine.create_as(day, step)

    assert BY_HAND == told(engine.ask(step))
