"""`isolation_in` finds an event in a log that it was not written to."""

from planted import op, wrote

from treadle.checkers import History, isolation_in


def test_marks_in_their_own_logs_pass():
    assert [] == isolation_in(History((op(0, 1, wrote("a", "1"), wrote("b", "2")),), {"a": "1", "b": "2"}))


def test_a_mark_in_anothers_log_is_found_whether_it_is_in_its_own_or_not():
    written = op(0, 1, wrote("a", "1"), wrote("b", "2"))
    for log in ("12", "2"):
        (found,) = isolation_in(History((written,), {"a": log, "b": "2"}))

        assert ("isolation", "a", log.index("2") + 1) == (found.promise, found.workflow_id, found.seq)
        assert found.message == f"'2' stands here, which {written} wrote to 'b'"


def test_what_nobody_wrote_says_nothing():
    assert [] == isolation_in(History((), {"a": "1"}))
