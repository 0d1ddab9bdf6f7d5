"""Arguments and results: what fits comes back, what does not is refused before it is written."""

from __future__ import annotations

import contextlib
import uuid

import pytest
from definition_samples import (
    Item,
    Order,
    anything,
    charge,
    keyword_only,
    nothing,
    ship,
    total,
    unresolvable,
    wrapped,
)
from hypothesis import given
from hypothesis import strategies as st

from treadle import activity
from treadle.engine.definitions import (
    check_arguments,
    decode_arguments,
    decode_result,
    encode_arguments,
    encode_result,
)
from treadle.errors import ConversionError, DefinitionError, InvalidValueError
from treadle.payloads import VALUE_SIZE_BYTES_MAX, JsonConverter

CONVERTER = JsonConverter()
ORDER = Order("a", [Item("x", 1), Item("y", 2)])
KEY = uuid.UUID(int=7)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)


def encode(definition, *args, **kwargs):
    return encode_arguments(definition, args, kwargs, CONVERTER)


def decode(definition, payload):
    return decode_arguments(definition, payload, CONVERTER)


# -- there and back --


@pytest.mark.parametrize(
    ("definition", "args", "kwargs", "payload", "decoded"),
    [
        (charge, ("a", 5), {}, b'["a",5]', (("a", 5), {})),
        (charge, ("a",), {"cents": 5}, b'["a",5]', (("a", 5), {})),
        (charge, (), {"cents": 5, "order_id": "a"}, b'["a",5]', (("a", 5), {})),
        (ship, (Order("a", []),), {}, b'[{"items":[],"name":"a"}]', ((Order("a", []),), {})),
        (ship, (Order("a", []), "n"), {}, b'[{"items":[],"name":"a"},"n"]', ((Order("a", []), "n"), {})),
        (
            ship,
            (Order("a", []),),
            {"fast": True},
            b'{"*":[{"items":[],"name":"a"}],"fast":true}',
            ((Order("a", []),), {"fast": True}),
        ),
        (total, (), {}, b"[]", ((), {})),
        (total, (1, 2, 3), {}, b"[1,2,3]", ((1, 2, 3), {})),
        (anything, ((1, 2),), {}, b"[[1,2]]", (([1, 2],), {})),
        (anything, (1,), {"other": {2}}, b"[1,[2]]", ((1, [2]), {})),
        (anything, (1,), {"x": 3, "value": 4}, b'{"*":[1],"value":4,"x":3}', ((1,), {"x": 3, "value": 4})),
        (keyword_only, (), {"key": KEY}, b'{"*":[],"key":"%s"}' % str(KEY).encode(), ((), {"key": KEY})),
        (nothing, (), {}, b"[]", ((), {})),
        (wrapped, (Order("a", []),), {}, b'[{"items":[],"name":"a"}]', ((Order("a", []),), {})),
    ],
)
def test_arguments_come_back_by_annotation(definition, args, kwargs, payload, decoded):
    for _ in range(2):  # the second call takes the short way, if there is one
        assert payload == encode_arguments(definition, args, kwargs, CONVERTER)
    assert decoded == decode(definition, payload)


@given(TEXT, st.integers())
def test_any_plain_arguments_come_back(order_id, cents):
    assert ((order_id, cents), {}) == decode(charge, encode(charge, order_id, cents))


@given(st.lists(st.builds(Item, TEXT, st.integers()), max_size=3), TEXT, st.none() | TEXT, st.booleans())
def test_any_classes_come_back(items, name, note, fast):
    args, kwargs = decode(ship, encode(ship, Order(name, items), note, fast=fast))

    assert ((Order(name, items), note), {"fast": fast}) == (args, kwargs)


def test_default_is_not_written_and_stays_todays():
    assert ((ORDER,), {}) == decode(wrapped, encode(wrapped, ORDER))


def test_json_form_of_a_value_is_as_good_as_the_value():
    """A command line, or another language, has only JSON to give."""
    assert encode(keyword_only, key=KEY) == encode(keyword_only, key=str(KEY))
    plain = {"name": "a", "items": [{"sku": "x", "price": 1}, {"sku": "y", "price": 2}]}
    assert encode(ship, ORDER) == encode(ship, plain)


# -- refusals, before anything is written --


@pytest.mark.parametrize(
    ("definition", "args", "kwargs", "says"),
    [
        (
            charge,
            ("a",),
            {},
            r"the arguments of activity 'charge' do not fit: .*\(order_id: .* missing .* 'cents'",
        ),
        (charge, ("a", 1, 2), {}, "too many positional arguments"),
        (charge, ("a", 1), {"cents": 2}, "multiple values for argument 'cents'"),
        (charge, ("a",), {"cent": 2}, "missing a required argument: 'cents'"),
        (ship, (ORDER,), {"slow": True}, "got an unexpected keyword argument 'slow'"),
        (keyword_only, (KEY,), {}, "too many positional arguments"),
        (keyword_only, (), {}, "missing a required.* 'key'"),
    ],
)
def test_call_that_does_not_fit_the_signature_is_refused(definition, args, kwargs, says):
    with pytest.raises(InvalidValueError, match=says):
        check_arguments(definition, args, kwargs, CONVERTER)


@pytest.mark.parametrize(
    ("definition", "args", "kwargs", "path", "reason"),
    [
        (charge, ("a", "5"), {}, ("cents",), "Expected `int`, got `str`"),
        (charge, ("a", True), {}, ("cents",), "Expected `int`, got `bool`"),
        (charge, ("a", 5.5), {}, ("cents",), "Expected `int`, got `float`"),
        (charge, (7, 5), {}, ("order_id",), "Expected `str`, got `int`"),
        (charge, (None, 5), {}, ("order_id",), "Expected `str`, got `null`"),
        (charge, ("\ud800", 5), {}, ("order_id",), "surrogates not allowed"),
        (
            ship,
            (Order("a", [Item("x", 1), Item("y", "2")]),),
            {},
            ("order", "items", 1, "price"),
            "got `str`",
        ),
        (ship, (Order("a", [Item("x", 1j)]),), {}, ("order", "items", 0, "price"), "type complex"),
        (ship, (ORDER,), {"fast": 1}, ("fast",), "Expected `bool`, got `int`"),
        (ship, (Order("a", 5),), {"fast": True}, ("order", "items"), "Expected `array`"),
        (ship, (object(),), {}, ("order",), "type object"),
        (ship, ({"name": "a"},), {}, ("order",), "missing required field `items`"),
        (total, (1, 2, "3"), {}, ("numbers[2]",), "Expected `int`, got `str`"),
        (anything, (1, float("nan")), {}, ("other",), "neither NaN"),
        (anything, (1,), {"x": "y"}, ("x",), "Expected `int`, got `str`"),
        (keyword_only, (), {"key": "no"}, ("key",), "Invalid UUID"),
    ],
)
def test_value_that_does_not_fit_its_annotation_is_refused_by_name(definition, args, kwargs, path, reason):
    for _ in range(2):
        with pytest.raises(ConversionError) as caught:
            check_arguments(definition, args, kwargs, CONVERTER)

        error = caught.value
        assert path == error.path
        assert reason in error.reason
        assert f"argument {path[0]}" in str(error)
        assert f"of activity {definition.name!r} does not fit: " in str(error)


def test_path_inside_an_argument_is_told_as_code():
    with pytest.raises(
        ConversionError, match=r"argument order\.items\[1\]\.price of activity 'ship.parcel' does"
    ):
        encode(ship, Order("a", [Item("x", 1), Item("y", "2")]))


def test_short_way_refuses_what_the_long_way_does():
    """Types that were seen to fit are not looked at again; values that have no JSON form still are."""
    encode(anything, 1.5, 1.5)

    with pytest.raises(ConversionError, match="argument other of activity 'anything' does not fit: JSON has"):
        encode(anything, 1.5, float("inf"))


def test_arguments_over_the_limit_are_refused():
    with pytest.raises(
        InvalidValueError, match=r"the arguments of activity 'charge' do not fit: .* at most 2,031,616"
    ):
        encode(charge, "x" * VALUE_SIZE_BYTES_MAX, 1)


def test_annotation_that_cannot_be_resolved_is_refused():
    with pytest.raises(DefinitionError, match="import it outside `if TYPE_CHECKING:`, or write Any"):
        encode(unresolvable, 1)


# -- what was recorded, read by other code --


@pytest.mark.parametrize(
    ("definition", "payload", "says"),
    [
        (charge, b'["a"]', "length 2"),
        (charge, b'["a",1,2]', "length 2"),
        (charge, b'["a","b"]', "argument cents of activity 'charge' does not fit: Expected `int`, got `str`"),
        (charge, b'{"*":["a"],"euros":1}', "missing a required argument: 'cents'"),
        (ship, b"[]", "missing a required argument: 'order'"),
        (ship, b'{"*":[{"name":"a","items":[]}],"slow":true}', "unexpected keyword argument 'slow'"),
        (
            ship,
            b'{"*":[{"name":"a","items":[]}],"fast":3}',
            "argument fast of activity 'ship.parcel' does not fit",
        ),
        (ship, b'{"*":7}', "they are a JSON array or object"),
        (keyword_only, b"[]", "missing a required.* 'key'"),
        (charge, b"5", "Expected `array`, got `int`"),
        (charge, b"", "one JSON document, got something else"),
        (ship, b"[", "they are a JSON array or object"),
    ],
)
def test_recorded_arguments_that_no_longer_fit_are_refused(definition, payload, says):
    with pytest.raises(InvalidValueError, match=says):
        decode(definition, payload)


@given(st.binary(max_size=30), st.sampled_from([charge, ship, total, anything, keyword_only]))
def test_bytes_of_anybody_never_crash_it(payload, definition):
    for start in (b"", b"[", b"{"):
        with contextlib.suppress(InvalidValueError):
            decode(definition, start + payload)


# -- results --


@activity.define
def priced(*, missing: bool = False) -> list[Item]:
    del missing
    return []


@activity.define
def unannotated():
    return None


@pytest.mark.parametrize(
    ("definition", "value", "payload", "decoded"),
    [
        (charge, "ok", b'"ok"', "ok"),
        (priced, [Item("x", 1)], b'[{"price":1,"sku":"x"}]', [Item("x", 1)]),
        (keyword_only, None, b"null", None),
        (unannotated, (1, None), b"[1,null]", [1, None]),
        (nothing, 5, b"5", 5),
    ],
)
def test_result_comes_back_by_annotation(definition, value, payload, decoded):
    assert payload == encode_result(definition, value, CONVERTER)
    assert decoded == decode_result(definition, payload, CONVERTER)


@pytest.mark.parametrize(
    ("definition", "value", "says"),
    [
        (charge, None, "the result of activity 'charge' does not fit: Expected `str`, got `null`"),
        (charge, float("nan"), "the result of activity 'charge' does not fit: JSON has neither"),
        (
            priced,
            [Item("x", 1), Item("y", ())],
            r"the result\[1\].price of activity 'priced' does not fit: Exp",
        ),
        (unannotated, {"order": [object()]}, r"the result.order\[0\] of activity 'unannotated' does not fit"),
        (keyword_only, 1, "Expected `null`, got `int`"),
        (
            charge,
            "x" * VALUE_SIZE_BYTES_MAX,
            "the result of activity 'charge' does not fit: a value has at most",
        ),
    ],
)
def test_result_that_could_not_be_read_back_is_refused(definition, value, says):
    with pytest.raises(InvalidValueError, match=says):
        encode_result(definition, value, CONVERTER)


def test_recorded_result_that_no_longer_fits_is_refused():
    with pytest.raises(
        ConversionError, match="the result of activity 'charge' does not fit: Expected `str`, got `int`"
    ):
        decode_result(charge, b"5", CONVERTER)


class Counting(JsonConverter):
    """A converter of a user, around the usual one."""

    def encode(self, value):
        return super().encode({"wrapped": value} if isinstance(value, Order) else value)


def test_converter_of_a_user_is_asked():
    assert b'{"wrapped":{"items":[],"name":"a"}}' == encode_result(unannotated, Order("a", []), Counting())
