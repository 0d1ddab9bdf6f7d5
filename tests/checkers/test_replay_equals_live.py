"""`replay_equals_live` finds every workflow whose replayed state is another one."""

from treadle.checkers import VIOLATIONS_MAX, replay_equals_live


def test_equal_states_pass():
    assert [] == replay_equals_live({"a": 1, "b": b"x"}, {"b": b"x", "a": 1})


def test_different_state_is_found():
    (violation,) = replay_equals_live({"a": 1, "b": 2}, {"a": 1, "b": 3})

    assert ("b", "live 2, replayed 3") == (violation.workflow_id, violation.message)


def test_missing_workflow_is_found_on_either_side():
    found = replay_equals_live({"a": None}, {"b": None})

    assert [("a", True), ("b", False)] == [(v.workflow_id, "not replayed" in v.message) for v in found]


def test_report_is_bounded():
    assert VIOLATIONS_MAX == len(replay_equals_live({str(n): n for n in range(500)}, {}))
