"""The fast checkers say the same as a search through all orders, over thousands of small histories."""

import pytest
from all_orders import has_order, has_order_in_each_log
from hypothesis import event, given, settings
from small_histories import histories

from treadle.checkers import linearizable, serializable

many = settings(max_examples=150)


@given(histories())
@many
def test_linearizable_exactly_when_each_log_has_an_order(history):
    found = linearizable(history)
    event("broken" if found else "holds")

    assert has_order_in_each_log(history) == (not found), found


@pytest.mark.parametrize("real_time", [True, False])
@given(history=histories())
@many
def test_serializable_exactly_when_all_operations_have_an_order(history, real_time):
    found = serializable(history, real_time=real_time)
    event("broken" if found else "holds")

    assert has_order(history, real_time=real_time) == (not found), found


@given(histories())
@many
def test_real_time_is_named_exactly_where_it_is_needed(history):
    without = serializable(history, real_time=False)
    names = [violation.anomaly for violation in serializable(history)]

    assert [violation.anomaly for violation in without] == [
        name for name in names if not name.endswith("-realtime")
    ]
