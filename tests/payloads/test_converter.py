"""The converter: values come back by annotation, equal ones are equal bytes, errors tell the place."""

from __future__ import annotations

import contextlib
import decimal
import json
import math
import os
import random
import subprocess
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from payload_samples import (
    ANNOTATED_VALUES,
    PARCELS,
    TEXT,
    Address,
    Colour,
    Item,
    Node,
    Order,
    Parcel,
    Point,
    Settings,
)

from treadle.errors import ConversionError, InvalidValueError
from treadle.payloads import VALUE_SIZE_BYTES_MAX, Converter, JsonConverter, path_text
from treadle.payloads.ordering import NESTING_MAX

CONVERTER = JsonConverter()


def refusal(call):
    with pytest.raises(ConversionError) as caught:
        call()
    return caught.value


# -- classes with a mind of their own --


@attrs.frozen
class Picky:
    problem: str = attrs.field()

    @problem.validator
    def _refuse(self, _attribute, problem):
        if problem:
            raise PROBLEMS[problem]


PROBLEMS = {
    type(error).__name__: error
    for error in (
        AssertionError("odd"),
        KeyError("odd"),
        decimal.InvalidOperation("odd"),
        OSError("odd"),
        ValueError("odd"),
        ExceptionGroup("odd", [ValueError()]),
    )
}


@pytest.mark.parametrize("annotation", [Picky, list[Picky], Picky | None])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_whatever_a_class_raises_when_it_is_made_says_that_the_value_does_not_fit(problem, annotation):
    value = {"problem": problem}
    payload = CONVERTER.encode([value] if annotation == list[Picky] else value)

    assert "odd" in refusal(lambda: CONVERTER.decode(payload, annotation)).reason


@attrs.frozen
class Slip:
    kind: str = attrs.field()

    @kind.validator
    def _slip(self, _attribute, kind):
        raise {"NameError": NameError, "AttributeError": AttributeError, "ImportError": ImportError}[kind]


@pytest.mark.parametrize("error", [NameError, AttributeError, ImportError])
def test_a_slip_in_a_class_leaves_as_itself(error):
    """It is for code to be mended; as a value that does not fit it would fail a workflow for ever."""
    with pytest.raises(error):
        CONVERTER.decode(b'{"kind":"%s"}' % error.__name__.encode(), Slip)


# -- there and back --


@pytest.mark.parametrize(("annotation", "values"), ANNOTATED_VALUES, ids=lambda part: str(part)[:40])
@given(data=st.data())
def test_value_comes_back_by_its_annotation(annotation, values, data):
    value = data.draw(values)

    payload = CONVERTER.encode(value)

    decoded = CONVERTER.decode(payload, annotation)
    assert value == decoded
    assert type(value) is type(decoded)
    assert payload == CONVERTER.encode(decoded)


@given(st.data())
def test_payload_is_one_json_document(data):
    _, values = data.draw(st.sampled_from(ANNOTATED_VALUES))

    payload = CONVERTER.encode(data.draw(values))

    plain = json.loads(payload)
    assert plain == CONVERTER.decode(payload)


def test_class_with_names_of_its_own_keeps_them():
    value = Address("Long", frozenset({Colour.RED, Colour.BLUE}))

    assert b'{"streetName":"Long","flags":["blue","red"]}' == CONVERTER.encode(value)


def test_it_is_a_converter():
    assert isinstance(CONVERTER, Converter)


# -- one order --


def rebuilt(value, chance):
    """The same value, its sets and dicts built in another order."""
    if isinstance(value, set | frozenset | dict):
        inside = (
            [(key, rebuilt(value[key], chance)) for key in value]
            if isinstance(value, dict)
            else [rebuilt(part, chance) for part in value]
        )
        chance.shuffle(inside)
        return type(value)(inside)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(rebuilt(part, chance) for part in value)
    if isinstance(value, Parcel):
        return Parcel(*(rebuilt(getattr(value, name), chance) for name in ("colours", "groups", "by_number")))
    return value


@given(st.data(), st.randoms(use_true_random=False))
def test_order_of_building_does_not_show(data, chance):
    _, values = data.draw(st.sampled_from(ANNOTATED_VALUES))
    value = data.draw(values)

    assert CONVERTER.encode(value) == CONVERTER.encode(rebuilt(value, chance))


@given(st.lists(PARCELS, max_size=3))
def test_sets_deep_inside_are_ordered(parcels):
    hidden = {"any": [Node({"more": (parcels, Point(1))})]}

    assert CONVERTER.encode(hidden) == CONVERTER.encode(
        {"any": [Node({"more": (rebuilt(parcels, random.Random(1)), Point(1))})]}
    )


HASH_SEED_PROGRAM = """
import sys
from payload_samples import *
from treadle.payloads import JsonConverter
words = "alpha beta gamma delta epsilon zeta eta theta iota kappa".split()
value = [
    set(words), {frozenset(words[:n]) for n in range(1, 9)}, set(Colour),
    {Item(w, 1, frozenset(words)) for w in words},
    {(w, frozenset(words[3:])) for w in words}, {w: 1 for w in set(words)}, {1: "a", 2: "b"},
    Parcel(frozenset(Colour), frozenset(frozenset(words[n:]) for n in range(9))), {1, "a", None, (2, 3)},
    Node({frozenset({"a"}), frozenset({"b"}), frozenset({"c"})}), {b"a", b"b"}, {Point(1), Point(2)},
    Address("x", frozenset(Colour)), {("a", frozenset({"x", "y"})), ("a", frozenset({"z"}))},
]
sys.stdout.buffer.write(JsonConverter().encode(value))
"""


@pytest.mark.parametrize("seeds", [("0", "77"), pytest.param(("1", "2", "3"), marks=pytest.mark.slow)])
def test_hash_seed_does_not_show(seeds):
    """A value encoded in another process, whose strings hash otherwise, gives the same bytes."""
    made = {
        subprocess.run(
            [sys.executable, "-c", HASH_SEED_PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in seeds
    }

    assert 1 == len(made)
    assert json.loads(next(iter(made)))


def test_value_is_left_as_it_was():
    parcel = Parcel(
        frozenset({Colour.RED, Colour.BLUE}), frozenset({frozenset("a"), frozenset("b")}), {1: "x"}
    )
    node = Node({"inner": [parcel]})

    CONVERTER.encode(node)

    assert frozenset({Colour.RED, Colour.BLUE}) == parcel.colours
    assert {1: "x"} == node.value["inner"][0].by_number


def test_any_mapping_is_a_dict():
    assert b'{"a":1,"b":[2]}' == CONVERTER.encode(types.MappingProxyType({"b": {2}, "a": 1}))


# -- refusals --


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (object(), "", "objects of type object"),
        ({"order": {"items": [1, 2, 3, {"price": 1j}]}}, "order.items[3].price", "type complex"),
        (Order("a", [Item("x", 1), Item("y", object())]), "items[1].price", "type object"),
        ([1, [2, [math.nan]]], "[1][1][0]", "neither NaN nor infinities"),
        ({"a": None, "b": -math.inf}, "b", "neither NaN nor infinities"),
        (math.inf, "", "neither NaN nor infinities"),
        ([None, 2**70, Node(math.nan)], "[2].value", "neither NaN nor infinities"),
        ({"two words": [lambda: 1]}, "['two words'][0]", "type function"),
        ({"a": "\ud800"}, "a", "surrogates not allowed"),
        ({"a": {(1, 2): 1}}, "a", "str-like or number-like keys"),
        ({"a": {math.nan: 1}}, "a", "neither NaN nor infinite"),
        ({"a": {"1": 1, 1: 2}}, "a", "two keys of one dict are both '1'"),
        ({"a": {1, object}}, "a", "type type"),
        (Point(1, ValueError), "y", "type type"),
        (iter([1]), "", "list_iterator"),
    ],
)
def test_value_without_a_json_form_is_refused_with_its_place(value, path, reason):
    error = refusal(lambda: CONVERTER.encode(value))

    assert "a value has a JSON form, got one without" in str(error)
    assert reason in error.reason
    assert path == path_text(error.path)[: len(path) or None]
    assert f"at {path}" in str(error) if path else " at " not in str(error).split(":")[0]


def test_value_that_holds_itself_is_refused():
    value: list[Any] = []
    value.append({"again": value})

    error = refusal(lambda: CONVERTER.encode(value))

    assert "does it hold itself?" in str(error)


def test_nesting_ends_at_its_limit_and_not_before():
    value: Any = 1
    for _ in range(NESTING_MAX):
        value = [value]

    assert value == CONVERTER.decode(CONVERTER.encode(value))
    for _ in range(3):
        value = [value]
    assert "nest at most" in str(refusal(lambda: CONVERTER.encode(value)))


def test_value_over_the_limit_is_refused():
    fits = "x" * (VALUE_SIZE_BYTES_MAX - 2)

    assert VALUE_SIZE_BYTES_MAX == len(CONVERTER.encode(fits))
    with pytest.raises(InvalidValueError, match="at most 2,031,616 bytes of JSON, got 2,031,617"):
        CONVERTER.encode(fits + "x")


def test_none_beside_what_looks_like_nan_in_messagepack_passes():
    assert b'["y3/4/w==",null,1.5]' == CONVERTER.encode([b"\xcb\x7f\xf8\xff", None, 1.5])


@pytest.mark.parametrize(
    ("payload", "annotation", "path", "reason"),
    [
        (
            b'{"name":"a","items":[{"sku":"x","price":1},{"sku":"y","price":"2"}]}',
            Order,
            "items[1].price",
            "`int`, got `str`",
        ),
        (b'{"by":{"a":[1],"b":[1,"x"]}}', dict[str, dict[str, list[int]]], "by.b[1]", "`int`, got `str`"),
        (
            b'{"a":{"x":1},"b":{"y":2,"two words":"n"}}',
            dict[str, dict[str, int]],
            "b['two words']",
            "got `str`",
        ),
        (b'{"one":1}', dict[int, int], "", "as a key: Expected `int`"),
        (b'{"a":{"one":1}}', dict[str, dict[int, int]], "a", "as a key: Expected `int`"),
        (b"1", str, "", "Expected `str`, got `int`"),
        (b"true", int, "", "Expected `int`, got `bool`"),
        (b"[1]", tuple[int, int], "", "length 2"),
        (b'["pink"]', set[Colour], "[0]", "Invalid enum value 'pink'"),
        (b'{"name":"a"}', Order, "", "missing required field `items`"),
        (b"1e999", float, "", "out of range"),
        (b'"b"', Literal["a"], "", "Invalid enum value 'b'"),
        (b'{"depth":"1"}', Settings, "depth", "`int`, got `str`"),
    ],
)
def test_document_that_is_not_as_annotated_is_refused_with_its_place(payload, annotation, path, reason):
    error = refusal(lambda: CONVERTER.decode(payload, annotation))

    assert path == path_text(error.path)
    assert reason in error.reason
    assert not path or f"at {path}:" in str(error)


@given(st.lists(TEXT, unique=True, min_size=1, max_size=30), st.data())
def test_key_is_found_among_many(keys, data):
    guilty = data.draw(st.sampled_from(keys))
    document = {"all": [{key: {"price": "x" if key == guilty else 1} for key in keys}]}

    error = refusal(
        lambda: CONVERTER.decode(CONVERTER.encode(document), dict[str, list[dict[str, dict[str, int]]]])
    )

    assert ("all", 0, guilty, "price") == error.path


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"1 2", b"\xff", b"NaN", b"Infinity", b"\x00\x02", b"[" * 100_000]
)
@pytest.mark.parametrize("annotation", [Any, int, Order])
def test_bytes_that_are_no_json_are_refused(payload, annotation):
    with pytest.raises(InvalidValueError, match="one JSON document, got something else"):
        CONVERTER.decode(payload, annotation)


@given(st.binary(max_size=40), st.sampled_from([Any, int, Order, dict[str, Any], list[Item]]))
def test_bytes_of_anybody_never_crash_it(payload, annotation):
    with contextlib.suppress(InvalidValueError):
        CONVERTER.decode(payload, annotation)


@pytest.mark.parametrize(
    "annotation", [ValueError, type[int], Item | Parcel, Literal[Colour.RED], "Nowhere", set[list[complex]]]
)
def test_annotation_that_json_cannot_fill_is_refused(annotation):
    with pytest.raises(InvalidValueError, match="a type that JSON can fill"):
        CONVERTER.check_annotation(annotation)


@pytest.mark.parametrize(
    "annotation", [Any, None, int | None, Order, Node, dict[int, list[Parcel]], Settings]
)
def test_annotation_that_json_can_fill_passes(annotation):
    CONVERTER.check_annotation(annotation)


def test_annotation_that_cannot_be_hashed_is_read_all_the_same():
    assert 1 == CONVERTER.decode(b"1", Annotated[int, []])


class Reachable:
    """A nest of dicts whose str keys are attributes too."""

    def __init__(self, inside):
        self.inside = inside

    def __getattr__(self, name):
        return Reachable(self.inside[name])

    def __getitem__(self, key):
        return Reachable(self.inside[key])


@given(st.lists(st.integers(0, 9) | st.text("abé _-'.", max_size=3), max_size=4))
def test_path_is_written_as_code(steps):
    value = node = {}
    for step in steps:
        node[step] = {}
        node = node[step]

    code = path_text(tuple(steps), "root")

    assert node is eval(code, {"root": Reachable(value)}).inside  # noqa: S307 - it is code, and our own
