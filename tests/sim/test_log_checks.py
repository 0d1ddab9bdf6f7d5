"""Each check of raw logs fails on a history that breaks its promise, and on no other."""

from hypothesis import given
from hypothesis import strategies as st

from treadle.sim.workloads.log_checks import (
    Told,
    guards_held,
    in_real_time,
    nothing_twice,
    read_as_stored,
    refused_for_a_reason,
    whole_or_not_there,
)

LOGS = {"a": ["1", "2", "3"], "b": ["4"]}


def told(begin=1, end=2, outcome="ok", **rest):
    return Told(begin=begin, end=end, outcome=outcome, **rest)


def promises(violations):
    return [one.promise for one in violations]


def test_a_mark_stands_once():
    assert [] == nothing_twice("a", ["1", "2"])
    assert ["at_most_once"] == promises(nothing_twice("a", ["1", "2", "1"]))


def test_what_belongs_together_is_together_or_not_there():
    whole = [told(writes=[("a", ["1", "2"], 1), ("b", ["4"], 1)]), told(writes=[("a", ["8", "9"], None)])]
    assert [] == whole_or_not_there(whole, LOGS)
    for marks in (["1", "3"], ["2", "1"], ["3", "9"]):
        broken = whole_or_not_there([told(writes=[("a", marks, 1)])], LOGS)
        assert ["all_or_nothing"] == promises(broken), marks
    half = [told(writes=[("a", ["1"], 1), ("b", ["9"], 2)])]
    assert ["all_or_nothing"] == promises(whole_or_not_there(half, LOGS))


def test_what_was_read_stands_there():
    assert [] == read_as_stored([told(reads=[("a", 2, ["2", "3"])], seen=[("a", 3)])], LOGS)
    assert ["read_order"] == promises(read_as_stored([told(reads=[("a", 1, ["2"])])], LOGS))
    assert ["read_order"] == promises(read_as_stored([told(seen=[("a", 4)])], LOGS))


def test_who_asks_later_sees_no_less():
    acknowledged = told(1, 5, writes=[("a", ["2"], 2)])
    assert [] == in_real_time([acknowledged, told(6, 7, seen=[("a", 2)])])
    assert [] == in_real_time([acknowledged, told(4, 7, seen=[("a", 1)])])
    assert ["real_time"] == promises(in_real_time([acknowledged, told(6, 7, seen=[("a", 1)])]))
    assert ["real_time"] == promises(in_real_time([acknowledged, told(6, 7, reads=[("a", 1, ["1"])])]))
    assert ["real_time"] == promises(in_real_time([told(1, 5, seen=[("a", 3)]), told(6, 7, seen=[("a", 2)])]))


def test_a_guarded_log_was_as_it_was_seen():
    unit = [told(writes=[("b", ["4"], 1)], guarded=[("a", 2)])]
    assert [] == guards_held(unit, {"a": [1, 2, 9], "b": [5]}, LOGS)
    assert ["guards"] == promises(guards_held(unit, {"a": [1, 2, 3], "b": [5]}, LOGS))


def test_who_asks_for_no_place_is_refused_only_when_others_were_faster():
    refused = told(1, 9, "refused", writes=[("a", ["7"], None)], readmitted=True, error="ConflictError")
    rivals = [told(2, 3, writes=[("a", [mark], 1)]) for mark in "12"]
    assert [] == refused_for_a_reason([refused, *rivals], readmissions_max=2)
    assert ["refusals"] == promises(refused_for_a_reason([refused, *rivals], readmissions_max=3))
    gap = told(1, 9, "refused", writes=[("a", ["7"], None)], readmitted=True, error="SequenceGapError")
    assert ["refusals"] == promises(refused_for_a_reason([gap], readmissions_max=1))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20), st.one_of(st.none(), st.integers(1, 9)), st.sampled_from(["a", "b", "ab"])
        ),
        max_size=12,
    ),
    st.integers(0, 4),
)
def test_rivals_are_counted_as_by_asking_everybody(made, readmissions_max):
    """Who overlaps in time and writes to the same log is a rival; no search through all is needed."""
    everybody = [
        told(
            begin,
            None if long is None else begin + long,
            "unknown" if long is None else "refused",
            writes=[(name, ["7"], None) for name in names],
            readmitted=True,
            error="ConflictError",
        )
        for begin, long, names in made
    ]

    def rivals(one):
        return sum(
            other is not one
            and other.begin < one.end
            and (other.end is None or other.end > one.begin)
            and one.writes[0][0] in [name for name, _, _ in other.writes]
            for other in everybody
        )

    few = [one for one in everybody if one.outcome == "refused" and rivals(one) < readmissions_max]

    assert len(few) == len(refused_for_a_reason(everybody, readmissions_max=readmissions_max))


def test_a_guard_is_held_against_the_first_place_of_a_mark():
    """A mark that stands there twice is another check's finding."""
    unit = [told(writes=[("a", ["1"], 1)], guarded=[("b", 0)])]

    assert [] == guards_held(unit, {"a": [1, 2, 9], "b": [5]}, {"a": ["1", "2", "1"], "b": ["4"]})
    assert [] == guards_held(unit, {"b": [5]}, {"a": [], "b": ["4"]})
