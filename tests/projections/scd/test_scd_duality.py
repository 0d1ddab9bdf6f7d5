"""Backfill and incremental are one function, and it is the one that a look at each period gives."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scd_corpora import PERIODS, TIED, TIES, corpora, steps, tied

from treadle import UsageError
from treadle.payloads import JsonConverter
from treadle.projections.scd import Dimension, DimensionState

quick = settings(max_examples=15)  # test_promises_hold_for_many_more has the rest

CITIES = Dimension("cities", key="id", tracked="city", grain="week", period="week")


@quick
@given(st.data())
def test_backfill_does_not_depend_on_the_order_of_rows(data):
    corpus = data.draw(corpora())
    shuffled = data.draw(st.permutations(corpus.rows))

    state = corpus.dimension.backfill(shuffled, periods=corpus.periods)

    assert corpus.state == state
    assert JsonConverter().encode(corpus.state) == JsonConverter().encode(state)


@quick
@given(st.data())
def test_period_by_period_equals_one_backfill(data):
    corpus = data.draw(corpora())
    state = corpus.dimension.empty()
    for period in corpus.periods:
        state = corpus.dimension.incremental(state, period, corpus.of(period))

        known = [row for row in corpus.rows if row["week"] <= period]
        looked_at = [each for each in corpus.periods if each <= period]
        assert corpus.dimension.backfill(known, periods=looked_at) == state


@quick
@given(st.data())
def test_late_facts_in_any_order_equal_the_backfill_that_knew_them(data):
    """Also when the rows of a period come in parts, and when a step is repeated."""
    corpus = data.draw(corpora())
    state = corpus.dimension.empty()
    for period, rows in data.draw(steps(corpus)):
        state = corpus.dimension.incremental(state, period, rows, late=True)

    assert corpus.state == state


@quick
@given(st.data())
def test_versions_are_what_was_known_in_each_period(data):
    """Held against a look at each period by itself, which knows nothing of versions."""
    corpus = data.draw(corpora())
    for member in corpus.state.members:
        held = {period: known_in(corpus, member, period) for period in PERIODS}
        shown = {period: held_by(member, period) for period in PERIODS}

        assert {period: fact and fact.tracked for period, fact in held.items()} == {
            period: version and version.tracked for period, version in shown.items()
        }
        for version in member.versions:
            lasting = [fact for period, fact in held.items() if held_by(member, period) is version]
            assert lasting[-1].untracked == version.untracked


def known_in(corpus, member, period):
    """The fact that tells of a member in a period; None when it is not there."""
    looked_at = [each for each in corpus.periods if each <= period]
    facts = [fact for fact in member.facts if fact.period <= period]
    if corpus.dimension.absent == "delete":
        facts = [fact for fact in facts if fact.period == looked_at[-1]]
    return facts[-1] if facts and not facts[-1].deleted else None


def held_by(member, period):
    """The one version that holds in a period; None when there is none."""
    holding = [
        version
        for version in member.versions
        if version.valid_from <= period and (version.is_current or period < version.valid_to)
    ]
    assert len(holding) <= 1
    return holding[0] if holding else None


@quick
@given(st.data())
def test_neighbouring_versions_differ(data):
    """Unchanged attributes open no version, unless there is a gap before it."""
    corpus = data.draw(corpora())
    for member in corpus.state.members:
        for before, after in zip(member.versions, member.versions[1:], strict=False):
            assert before.valid_to is not None
            assert before.valid_from < before.valid_to <= after.valid_from
            assert before.valid_to < after.valid_from or before.tracked != after.tracked


@quick
@given(st.data())
def test_of_several_rows_the_last_one_counts(data):
    """The fact is the largest row of its key and period, in the order that the docs tell."""
    corpus = data.draw(corpora())
    dimension = corpus.dimension
    for member in corpus.state.members:
        for fact in member.facts:
            rows = [
                row
                for row in corpus.of(fact.period)
                if member.key == tuple(row[c.name] for c in dimension.key)
            ]
            last = max(rows, key=lambda row: place(dimension, row))

            assert fact.deleted == bool(row_says_gone(dimension, last))
            assert fact.observed == tuple(last[c.name] for c in dimension.observed)
            if not fact.deleted:
                assert fact.tracked == tuple(last[c.name] for c in dimension.tracked)
                assert fact.untracked == tuple(last[c.name] for c in dimension.untracked)


@pytest.mark.parametrize(("row", "counting"), TIES)
def test_of_two_rows_the_second_one_counts(row, counting):
    """Whichever of them came first."""
    alone = TIED.backfill([counting])

    assert alone == TIED.backfill([row, counting]) == TIED.backfill([counting, row])
    assert alone != TIED.backfill([row])


def test_equal_numbers_are_kept_as_one():
    """So that their JSON does not depend on which of them came."""
    groups = {"score": [(1, 1.0), (0, 0.0, -0.0)], "vip": [(True, 1), (False, 0)]}

    for name, equals in groups.items():
        for numbers in equals:
            states = [TIED.backfill([tied(**{name: number})]) for number in numbers]
            assert 1 == len({JsonConverter().encode(state) for state in states})


def row_says_gone(dimension, row):
    return row.get(dimension.deleted) if dimension.deleted else None


def place(dimension, row):
    def ranks(columns):
        return [(row[c.name] is not None, row[c.name] if row[c.name] is not None else 0) for c in columns]

    gone = bool(row_says_gone(dimension, row))
    return ranks(dimension.observed), gone, ranks(dimension.tracked), ranks(dimension.untracked)


@quick
@given(st.data())
def test_a_step_behind_the_newest_period_is_refused_unless_it_is_late(data):
    """Whatever rows it has, and nothing changes."""
    corpus = data.draw(corpora())
    state = corpus.state
    for period in PERIODS:
        if state.newest is not None and period < state.newest:
            with pytest.raises(UsageError, match=r"late=True"):
                corpus.dimension.incremental(state, period, corpus.of(period))

    assert corpus.state == state


@quick
@given(st.data())
def test_a_state_is_json(data):
    """A converter writes it and reads it back as the same, so a projection can keep it."""
    corpus = data.draw(corpora())
    converter = JsonConverter()

    written = converter.encode(corpus.state)

    assert corpus.state == converter.decode(written, DimensionState)
    assert msgspec.json.decode(written)["declaration"] == corpus.state.declaration


def test_a_late_fact_splits_a_version_that_was_seen_before_and_after_it():
    """Which is why a state keeps facts that have opened no version."""
    state = CITIES.backfill([{"id": "a", "city": "Bern", "week": week} for week in (PERIODS[0], PERIODS[2])])

    state = CITIES.incremental(
        state, PERIODS[1], [{"id": "a", "city": "Rome", "week": PERIODS[1]}], late=True
    )

    assert [
        ("Bern", PERIODS[0], PERIODS[1]),
        ("Rome", PERIODS[1], PERIODS[2]),
        ("Bern", PERIODS[2], None),
    ] == [(row["city"], row["valid_from"], row["valid_to"]) for row in CITIES.rows(state)]


def test_a_late_fact_extends_a_version_backwards():
    state = CITIES.backfill([{"id": "a", "city": "Bern", "week": PERIODS[2]}])

    state = CITIES.incremental(
        state, PERIODS[1], [{"id": "a", "city": "Bern", "week": PERIODS[1]}], late=True
    )

    assert [(PERIODS[1], None)] == [(row["valid_from"], row["valid_to"]) for row in CITIES.rows(state)]


@pytest.mark.parametrize("absent", ["keep", "delete"])
def test_a_step_at_the_newest_period_adds_rows_to_it(absent):
    """It is not late, and taken twice it changes nothing."""
    dimension = Dimension("cities", key="id", tracked="city", grain="week", period="week", absent=absent)
    rows = [{"id": key, "city": city, "week": PERIODS[1]} for key, city in ("aB", "aC", "bB")]
    state = dimension.backfill([{"id": key, "city": "A", "week": PERIODS[0]} for key in "ab"])
    for row in (rows[0], rows[1], rows[0], rows[2], rows[2]):
        state = dimension.incremental(state, PERIODS[1], [row])

    assert [
        ("a", "A", PERIODS[0], PERIODS[1]),
        ("a", "C", PERIODS[1], None),
        ("b", "A", PERIODS[0], PERIODS[1]),
        ("b", "B", PERIODS[1], None),
    ] == [(row["id"], row["city"], row["valid_from"], row["valid_to"]) for row in dimension.rows(state)]
    assert [2, 2] == [len(member.facts) for member in state.members]


def test_a_late_snapshot_deletes_whom_it_does_not_name():
    """A period that nobody had looked at is a snapshot as well, when its rows come late."""
    snapshots = Dimension("cities", key="id", tracked="city", grain="week", period="week", absent="delete")
    state = snapshots.backfill(
        [{"id": key, "city": "Bern", "week": week} for key in "ab" for week in (PERIODS[0], PERIODS[2])]
    )

    state = snapshots.incremental(
        state, PERIODS[1], [{"id": "a", "city": "Bern", "week": PERIODS[1]}], late=True
    )

    assert [
        ("a", PERIODS[0], None),
        ("b", PERIODS[0], PERIODS[1]),
        ("b", PERIODS[2], None),
    ] == [(row["id"], row["valid_from"], row["valid_to"]) for row in snapshots.rows(state)]


PROMISES = [
    test_backfill_does_not_depend_on_the_order_of_rows,
    test_period_by_period_equals_one_backfill,
    test_late_facts_in_any_order_equal_the_backfill_that_knew_them,
    test_versions_are_what_was_known_in_each_period,
    test_neighbouring_versions_differ,
    test_of_several_rows_the_last_one_counts,
    test_a_step_behind_the_newest_period_is_refused_unless_it_is_late,
    test_a_state_is_json,
]


@pytest.mark.slow
@pytest.mark.parametrize("promise", PROMISES)
def test_promises_hold_for_many_more(promise):
    settings(max_examples=300)(given(st.data())(promise.hypothesis.inner_test))()
