"""Classes and values of users, as the tests of payloads give them to the converter."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import typing
import uuid
from decimal import Decimal
from typing import Any

import attrs
import msgspec
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


class Colour(enum.Enum):
    """No order of its own."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


@attrs.frozen
class Item:
    """A part of an order."""

    sku: str
    price: int
    tags: frozenset[str] = frozenset()


@attrs.define
class Order:
    """A user's value with a list inside."""

    name: str
    items: list[Item]
    note: str | None = None


@dataclasses.dataclass(frozen=True)
class Parcel:
    """A dataclass with what has no order."""

    colours: frozenset[Colour]
    groups: frozenset[frozenset[str]] = frozenset()
    by_number: dict[int, str] = dataclasses.field(default_factory=dict)


class Address(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A struct with names of its own."""

    street_name: str
    flags: frozenset[Colour] = frozenset()


class Point(typing.NamedTuple):
    """A named tuple."""

    x: int
    y: int = 0


class Settings(typing.TypedDict, total=False):
    """A typed dict."""

    depth: int
    names: list[str]


@attrs.frozen
class Node:
    """A class inside itself, with room for anything."""

    value: Any
    children: list[Node] = attrs.field(factory=list)


ITEMS = st.builds(Item, TEXT, st.integers(), st.frozensets(TEXT, max_size=4))
PARCELS = st.builds(
    Parcel,
    st.frozensets(st.sampled_from(Colour)),
    st.frozensets(st.frozensets(TEXT, max_size=3), max_size=4),
    st.dictionaries(st.integers(), TEXT, max_size=3),
)

ANNOTATED_VALUES = [
    (None, st.none()),
    (bool, st.booleans()),
    (int, st.integers()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, TEXT),
    (bytes, st.binary(max_size=8)),
    (uuid.UUID, st.uuids()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (dt.datetime, st.datetimes(timezones=st.just(dt.UTC))),
    (dt.date, st.dates()),
    (dt.time, st.times()),
    (dt.timedelta, st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999))),
    (Colour, st.sampled_from(Colour)),
    (list[int | None], st.lists(st.none() | st.integers(), max_size=4)),
    (tuple[int, str], st.tuples(st.integers(), TEXT)),
    (tuple[int, ...], st.lists(st.integers(), max_size=4).map(tuple)),
    (set[str], st.sets(TEXT, max_size=5)),
    (frozenset[frozenset[str]], st.frozensets(st.frozensets(TEXT, max_size=3), max_size=4)),
    (set[Colour], st.sets(st.sampled_from(Colour))),
    (set[Item], st.sets(ITEMS, max_size=4)),
    (set[tuple[int, str]], st.sets(st.tuples(st.integers(), TEXT), max_size=4)),
    (dict[str, int], st.dictionaries(TEXT, st.integers(), max_size=4)),
    (dict[int, str], st.dictionaries(st.integers(), TEXT, max_size=4)),
    (dict[uuid.UUID, int], st.dictionaries(st.uuids(), st.integers(), max_size=3)),
    (dict[Colour, list[Item]], st.dictionaries(st.sampled_from(Colour), st.lists(ITEMS, max_size=2))),
    (Item, ITEMS),
    (Order, st.builds(Order, TEXT, st.lists(ITEMS, max_size=4), st.none() | TEXT)),
    (Parcel, PARCELS),
    (Address, st.builds(Address, TEXT, st.frozensets(st.sampled_from(Colour)))),
    (Point, st.builds(Point, st.integers(), st.integers())),
    (
        Settings,
        st.fixed_dictionaries({}, optional={"depth": st.integers(), "names": st.lists(TEXT, max_size=2)}),
    ),
    (
        Node,
        st.recursive(
            st.builds(Node, st.integers()), lambda n: st.builds(Node, TEXT, st.lists(n, max_size=2))
        ),
    ),
]
"""Each annotation with values of it."""
