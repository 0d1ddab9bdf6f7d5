"""The queries give on real databases what the same declaration gives in Python."""

from datetime import UTC, date, datetime
from itertools import product

import attrs
import pytest
import scd_engines
from hypothesis import given, settings
from hypothesis import strategies as st
from scd_corpora import PERIODS, TIED, TIES, Corpus, corpora, tied

from treadle import InvalidValueError, UsageError
from treadle.projections.scd import Dimension


def fill(engine, dimension, rows, looked_at=()):
    """Make the tables of a corpus: the rows, and the periods that were looked at."""
    groups = (dimension.key, dimension.tracked, dimension.untracked, dimension.observed)
    columns = {column.name: column.type for group in groups for column in group}
    columns |= {dimension.period: "period"} | ({dimension.deleted: bool} if dimension.deleted else {})
    engine.create("rows", columns)
    engine.insert("rows", [{name: row.get(name) for name in columns} for row in rows])
    engine.create("looked at", {dimension.period: "period"})
    engine.insert("looked at", [{dimension.period: period} for period in looked_at])


@given(data=st.data())
@settings(max_examples=4)  # test_changes_are_seen_as_in_python has what is common
def test_backfill_and_steps_equal_pythons(engine, dialect, data):
    """One backfill, and a step for each period from an empty table on, come to the same rows as in Python."""
    equal_pythons(engine, dialect, data.draw(corpora(24)))


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=150)
def test_backfill_and_steps_equal_pythons_for_many_more(engine, dialect, data):
    equal_pythons(engine, dialect, data.draw(corpora(24)))


def test_ties_are_settled_as_in_python(engine, dialect):
    """Each tie as a key of its own."""
    rows = [row | {"id": str(number)} for number, tie in enumerate(TIES) for row in tie]

    equal_pythons(engine, dialect, Corpus(TIED, rows, [PERIODS[0]]))


@pytest.mark.parametrize("absent", ["keep", "delete"])
def test_changes_are_seen_as_in_python(engine, dialect, absent):
    """Each change of each attribute, null among the values, and each way of going and coming, by key."""
    values = {"city": (None, "", "a"), "tier": (None, 0, 1), "score": (None, 1.5), "vip": (None, False, True)}
    changes = [
        [tied(week=week, **{name: value}) for week, value in zip(PERIODS[:3], (*pair, pair[0]), strict=True)]
        for name, possible in values.items()
        for pair in product(possible, repeat=2)
    ]
    first, second, third, *_, last = PERIODS
    changes += [
        [tied(week=first), tied(week=second, gone=True), tied(week=third)],
        [tied(week=first), tied(week=second, gone=True), tied(week=last)],
        [tied(week=first, gone=True), tied(week=last)],
        [tied(week=first), tied(week=third)],
        [tied(week=third)],
    ]
    dimension = attrs.evolve(TIED, absent=absent)
    rows = [row | {"id": str(number)} for number, change in enumerate(changes) for row in change]

    equal_pythons(engine, dialect, Corpus(dimension, rows, list(PERIODS)))


def equal_pythons(engine, dialect, corpus):
    engine.forget()  # hypothesis asks again and again within one test
    dimension = corpus.dimension
    expected = dimension.rows(corpus.state)
    fill(engine, dimension, corpus.rows, corpus.periods)
    backfill = dimension.sql("backfill", dialect=dialect, table="rows", periods="looked at")
    assert expected == engine.ask(backfill)

    engine.create_as("dimension 0", f"SELECT * FROM ({backfill}) AS b WHERE 1 = 0")
    for number, period in enumerate(corpus.periods):
        step = {"table": "rows", "previous": f"dimension {number}", "period": period}
        assert [] == [
            row
            for row in engine.ask(dimension.sql("check", dialect=dialect, **step))
            if row["problem"] == "the step is not newer"
        ]
        engine.create_as(f"dimension {number + 1}", dimension.sql("incremental", dialect=dialect, **step))
    last = dimension.sql(
        "incremental", dialect=dialect, table="rows", previous=engine.made[-1], period="2027-01-04"
    )
    if dimension.absent == "keep":
        assert expected == engine.ask(last)
    else:
        after = dimension.incremental(corpus.state, "2027-01-04", [])
        assert dimension.rows(after) == engine.ask(last)


HOSTILE = Dimension(
    'x"; DROP',
    key={'k"; DROP TABLE rows; --': str, "select": int},
    tracked={"it's": str, "treadle_scd_rows": int, "t0": int, "r": str},
    untracked={"ü": str, "%s": str},
    observed={"order": int},
    deleted="gone?",
    period="group",
    grain="week",
)


def hostile_row(period, text, position=1, **more):
    names = [column.name for group in (HOSTILE.key, HOSTILE.tracked, HOSTILE.untracked) for column in group]
    texts = dict.fromkeys(names, text) | {"select": 1, "treadle_scd_rows": len(text), "t0": 0}
    return {**texts, "order": position, "gone?": False, "group": period, **more}


def test_names_are_quoted(engine, dialect):
    """Whatever a column or table is called, it is a name and nothing else."""
    rows = [
        hostile_row(PERIODS[0], "a"),
        hostile_row(PERIODS[0], "b", position=2),
        hostile_row(PERIODS[1], "b"),
        hostile_row(PERIODS[2], "b", **{"gone?": True}),
        hostile_row(PERIODS[2], "ab"),
    ]
    fill(engine, HOSTILE, rows)
    engine.create_as("facts", HOSTILE.sql("backfill", dialect=dialect, table="rows"))

    assert HOSTILE.rows(HOSTILE.backfill(rows)) == engine.ask(
        HOSTILE.sql("backfill", dialect=dialect, table="rows")
    )
    assert HOSTILE.rows(HOSTILE.backfill(rows)) == engine.ask(
        HOSTILE.sql("incremental", dialect=dialect, table="rows", previous="facts", period=PERIODS[3])
    )


def test_a_collation_that_ignores_case_changes_nothing(engine, dialect):
    """Text is compared by its bytes, as Python does it, whatever the column says."""
    dimension = Dimension("cities", key="id", tracked="city", grain="week")
    rows = [
        {"id": key, "city": city, "period": period}
        for key in ("a", "A")
        for city, period in [("bern", PERIODS[0]), ("Bern", PERIODS[0]), ("BERN", PERIODS[1])]
    ]
    if dialect == "postgres":
        pytest.skip("the wheel's PostgreSQL is built without ICU, so it has no such collation")
    ignoring = "TEXT COLLATE NOCASE"
    engine.create("rows", {"id": ignoring, "city": ignoring, "period": "period"})
    engine.insert("rows", rows)
    engine.create("before", {"id": ignoring, "city": ignoring, "valid_from": "period", "valid_to": "period"})
    early = dimension.backfill(row for row in rows if row["period"] == PERIODS[0])
    engine.insert(
        "before", [{k: v for k, v in row.items() if k != "is_current"} for row in dimension.rows(early)]
    )

    expected = dimension.rows(dimension.backfill(rows))

    assert len(expected) == 4
    assert expected == engine.ask(dimension.sql("backfill", dialect=dialect, table="rows"))
    assert expected == engine.ask(
        dimension.sql("incremental", dialect=dialect, table="rows", previous="before", period=PERIODS[1])
    )


@pytest.mark.parametrize("kind", ["text", "TIMESTAMP"])
def test_periods_of_hours_are_texts_or_timestamps(engine, dialect, kind):
    """What names a period in Python is a literal that each database takes."""
    if (dialect, kind) == ("sqlite", "TIMESTAMP"):
        pytest.skip("SQLite has no type for times")
    dimension = Dimension("levels", key="id", tracked={"level": int}, grain="hour", absent="delete")
    hours = [dimension.period_of(datetime(2026, 1, 5, hour, tzinfo=UTC)) for hour in (22, 23)]
    hours.append(dimension.period_of("2026-01-06"))
    rows = [{"id": "a", "level": n, "period": hour} for n, hour in enumerate(hours)]
    engine.create("rows", {"id": str, "level": int, "period": kind})
    engine.insert("rows", rows)
    engine.create_as("before", dimension.sql("backfill", dialect=dialect, table="rows"))
    after = dimension.incremental(dimension.backfill(rows), "2026-01-06T01:00:00Z", [])

    assert dimension.rows(after) == engine.ask(
        dimension.sql(
            "incremental", dialect=dialect, table="rows", previous="before", period="2026-01-06T01:00:00Z"
        )
    )


def test_check_finds_what_python_refuses(engine, dialect):
    """A null key, a null period, and a step that is not newer than what is there."""
    dimension = Dimension("cities", key={"id": int, "part": str}, tracked="city", grain="week")
    good = [{"id": 1, "part": "a", "city": "Bern", "period": PERIODS[1]}]
    bad = [
        {"id": 1, "part": None, "city": "Bern", "period": PERIODS[2]},
        {"id": 2, "part": "b", "city": "Bern"},
    ]
    fill(engine, dimension, good)
    engine.create_as("before", dimension.sql("backfill", dialect=dialect, table="rows"))
    step = {"dialect": dialect, "table": "rows", "previous": "before"}
    assert [] == engine.ask(dimension.sql("check", dialect=dialect, table="rows"))
    assert [] == engine.ask(dimension.sql("check", period=PERIODS[2], **step))

    engine.insert("rows", bad)

    assert ["the key is null", "the period is null"] == [
        row["problem"] for row in engine.ask(dimension.sql("check", dialect=dialect, table="rows"))
    ]
    assert [{"problem": "the key is null", "id": 1, "part": None}] == engine.ask(
        dimension.sql("check", period=PERIODS[2], **step)
    )
    assert [{"problem": "the step is not newer", "id": 1, "part": "a"}] == engine.ask(
        dimension.sql("check", period=PERIODS[1], **step)
    )
    with pytest.raises(InvalidValueError):
        dimension.backfill(bad[:1])
    with pytest.raises(UsageError):
        dimension.incremental(dimension.backfill(good), PERIODS[0], [])


def test_a_missing_column_is_no_text_of_its_name():
    """SQLite takes an unknown name in double quotes for a text; a query over a wrong table must fail."""
    dimension = Dimension("cities", key="id", tracked="city", grain="week")
    with scd_engines.sqlite() as engine:
        engine.create("rows", {"id": str, "period": "period"})

        with pytest.raises(Exception, match="no such column"):
            engine.ask(dimension.sql("backfill", dialect="sqlite", table="rows"))


@pytest.mark.parametrize("absent", ["keep", "delete"])
def test_a_step_on_sqlite_looks_keys_up(absent):
    """Each join goes by an index of the key; one that compares all with all takes minutes for 10,000 keys."""
    dimension = Dimension("cities", key="id", tracked="city", grain="week", absent=absent)
    with scd_engines.sqlite() as engine:
        fill(engine, dimension, [])
        engine.create_as("before", dimension.sql("backfill", dialect="sqlite", table="rows"))
        step = dimension.sql(
            "incremental", dialect="sqlite", table="rows", previous="before", period=PERIODS[0]
        )
        plan = [row["detail"] for row in engine.ask(f"EXPLAIN QUERY PLAN {step}")]

    searches = [line for line in plan if line.startswith("SEARCH")]
    assert searches
    assert [] == [line for line in searches if "x0=?" not in line]


def test_a_table_may_have_a_schema():
    dimension = Dimension("cities", key="id", tracked="city", grain="week")
    with scd_engines.sqlite() as engine:
        engine.create("rows", {"id": str, "city": str, "period": "period"})
        engine.insert("rows", [{"id": "a", "city": "Bern", "period": PERIODS[0]}])

        assert 1 == len(engine.ask(dimension.sql("backfill", dialect="sqlite", table=("main", "rows"))))


def test_a_period_may_be_a_date():
    dimension = Dimension("cities", key="id", tracked="city", grain="week")
    query = {"dialect": "sqlite", "table": "rows", "previous": "before"}

    assert dimension.sql("incremental", period=date(2026, 1, 5), **query) == dimension.sql(
        "incremental", period=PERIODS[0], **query
    )
