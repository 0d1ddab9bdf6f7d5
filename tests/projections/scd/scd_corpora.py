"""Dimensions and what is told of them, drawn by hypothesis; the clashes, gaps and repeats often."""

import attrs
from hypothesis import strategies as st

from treadle.projections.scd import Dimension

PERIODS = ("2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26", "2026-02-02")
TEXTS = ("", "a", "A", "é", "z", "\U0001f600", "\ufb01", "it's")  # the last but one sorts otherwise in UTF-16


@attrs.frozen
class Corpus:
    """A dimension, its rows, and the periods that were looked at, with rows or without."""

    dimension: Dimension
    rows: list
    periods: list

    @property
    def state(self):
        return self.dimension.backfill(self.rows, periods=self.periods)

    def of(self, period):
        return [row for row in self.rows if row["week"] == period]


@st.composite
def dimensions(draw):
    """One of a few declarations in which each part is there or not."""
    return Dimension(
        "customers",
        key=draw(st.sampled_from(({"id": int}, {"region": str, "id": int}, "region"))),
        tracked=draw(
            st.sampled_from(({"city": str, "tier": int}, {"score": float}, {"vip": bool, "city": str}))
        ),
        untracked=draw(st.sampled_from(((), "note", {"note": str, "age": int}))),
        observed=draw(st.sampled_from(((), {"position": int}))),
        deleted=draw(st.sampled_from((None, "gone"))),
        absent=draw(st.sampled_from(("keep", "delete"))),
        period="week",
        grain="week",
    )


VALUES = {
    str: st.sampled_from(TEXTS),
    int: st.integers(0, 2),
    float: st.sampled_from((0.0, -0.0, 0.5, 1, 1.0, -2.5)),
    bool: st.booleans(),
}


def values(column):
    return st.none() | VALUES[column.type]


@st.composite
def rows_of(draw, dimension, most=12):
    """Rows of few keys and periods, so that they meet."""
    columns = {column.name: VALUES[column.type] for column in dimension.key}
    others = (*dimension.tracked, *dimension.untracked, *dimension.observed)
    columns |= {column.name: values(column) for column in others}
    if dimension.deleted:
        columns[dimension.deleted] = st.sampled_from((None, False, False, True))
    row = st.fixed_dictionaries({**columns, "week": st.sampled_from(PERIODS)})
    return draw(st.lists(row, max_size=most))


@st.composite
def corpora(draw, most=12):
    """A dimension with rows, and periods beside those of the rows."""
    dimension = draw(dimensions())
    rows = draw(rows_of(dimension, most))
    looked_at = draw(st.sets(st.sampled_from(PERIODS))) | {row["week"] for row in rows}
    return Corpus(dimension, rows, sorted(looked_at))


@st.composite
def steps(draw, corpus):
    """The corpus as steps in any order: each period's rows in one or two parts, and some steps twice."""
    taken = []
    for period in corpus.periods:
        rows = draw(st.permutations(corpus.of(period)))
        cut = draw(st.integers(0, len(rows)))
        taken += [(period, rows[:cut]), (period, rows[cut:])]
    taken += draw(st.lists(st.sampled_from(taken), max_size=2)) if taken else []
    return draw(st.permutations(taken))


TIED = Dimension(
    "tied",
    key="id",
    tracked={"city": str, "tier": int, "score": float, "vip": bool},
    untracked="note",
    observed={"position": int},
    deleted="gone",
    period="week",
    grain="week",
)


def tied(**differing):
    """A row of `TIED` in which most is the same as in the others."""
    row = {"id": "a", "position": 1, "city": "b", "tier": 1, "score": 1.5, "vip": False, "note": "b"}
    return row | {"gone": False, "week": PERIODS[0]} | differing


TIES = [
    (tied(position=1, city="c"), tied(position=2, city="a")),
    (tied(position=None, city="c"), tied(position=0, city="a")),
    (tied(position=9), tied(position=10)),
    (tied(gone=True, position=1), tied(position=2)),
    (tied(city="z", vip=True), tied(gone=True, city=None)),
    (tied(city=None), tied(city="")),
    (tied(city="B"), tied(city="a")),
    (tied(city="z"), tied(city="\u00e9")),
    (tied(city="\ufb01"), tied(city="\U0001f600")),
    (tied(city="b", tier=2), tied(city="c", tier=1)),
    (tied(tier=9), tied(tier=10)),
    (tied(tier=None), tied(tier=-1)),
    (tied(score=-2), tied(score=-1.5)),
    (tied(vip=False), tied(vip=True)),
    (tied(vip=None), tied(vip=False)),
    (tied(note="a"), tied(note="b")),
    (tied(note=None), tied(note="")),
    (tied(vip=False, note="z"), tied(vip=True, note="a")),
]
"""Two rows of one key and period each; the second one counts."""
