"""The fast checkers say the same as a search through all orders, over thousands of small histories."""

from all_orders import has_order_in_each_log
from hypothesis import event, given, settings
from small_histories import histories

from treadle.checkers import linearizable

many = settings(max_examples=150)


@given(histories())
@many
def test_linearizable_exactly_when_each_log_has_an_order(history):
    found = linearizable(history)
    event("broken" if found else "holds")

    assert has_order_in_each_log(history) == (not found), found
