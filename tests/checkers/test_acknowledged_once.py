"""`acknowledged_once` finds what was lost and what was written twice."""

from treadle.checkers import VIOLATIONS_MAX, acknowledged_once


def test_acknowledged_there_once_passes():
    assert [] == acknowledged_once("a", {"x", "y"}, iter([(1, "x"), (2, "y")]))


def test_unacknowledged_may_be_there_or_not():
    assert [] == acknowledged_once("a", {"x"}, [(1, "x"), (2, "never answered")])


def test_lost_acknowledged_event_is_found():
    (violation,) = acknowledged_once("a", ["x", "y"], [(1, "x")])

    assert (None, "'y' was acknowledged and is not there") == (violation.seq, violation.message)


def test_doubled_event_is_named_by_its_second_seq():
    for acknowledged in ({"x"}, set()):
        (violation,) = acknowledged_once("a", acknowledged, [(1, "x"), (2, "y"), (3, "x")])

        assert 3 == violation.seq


def test_report_is_bounded():
    assert VIOLATIONS_MAX == len(acknowledged_once("a", range(500), []))
