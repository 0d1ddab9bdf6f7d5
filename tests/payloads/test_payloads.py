"""Payloads are data: equal values give equal bytes, and nothing but JSON comes out."""

import datetime as dt
import math
import uuid

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import InvalidValueError
from treadle.payloads import decode, encode

json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=("Cs",))),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(max_size=5), inner)),
    max_leaves=10,
)


@given(json_values)
def test_json_values_come_back_equal(value):
    assert value == decode(encode(value))


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=6), st.randoms(use_true_random=False))
def test_order_of_a_dict_does_not_show(value, chance):
    items = list(value.items())
    chance.shuffle(items)

    assert encode(value) == encode(dict(items))


def test_order_of_a_set_does_not_show():
    names = [f"name-{number}" for number in range(50)]

    other = set()
    other.update(reversed(names))

    assert encode(set(names)) == encode(other)


@attrs.frozen
class Order:
    """A user's value."""

    name: str
    amount: int


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Order("a", 2), {"name": "a", "amount": 2}),
        ((1, 2), [1, 2]),
        (b"\xff", "/w=="),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "2020-01-01T00:00:00Z"),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        (math.nan, None),
    ],
)
def test_other_values_become_plain(value, plain):
    assert plain == decode(encode(value))


@pytest.mark.parametrize("value", [object(), {1, "a"}.__class__, lambda: 1, 1j, "\ud800", {"\ud800": 1}])
def test_value_without_a_json_form_is_refused(value):
    with pytest.raises(InvalidValueError, match="a payload value has a JSON form, got one without"):
        encode({"inside": [value]})


def test_value_that_holds_itself_is_refused():
    value = []
    value.append(value)

    with pytest.raises(InvalidValueError):
        encode(value)


@pytest.mark.parametrize("payload", [b"", b"{", b"1 2", b"\xff", b"nan", b"cos\nsystem\n.", b"{'a': 1}"])
def test_bytes_that_are_no_json_are_refused(payload):
    with pytest.raises(InvalidValueError, match="one JSON document, got something else"):
        decode(payload)


def test_deep_nesting_is_refused_not_a_crash():
    with pytest.raises(InvalidValueError):
        decode(b"[" * 100_000)
