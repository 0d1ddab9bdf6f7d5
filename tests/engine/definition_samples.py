"""Functions of users, as the tests of definitions decorate them: an import must make them."""

from __future__ import annotations

import functools
import uuid
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import attrs

from treadle import activity
from treadle.engine.definitions import define_workflow

if TYPE_CHECKING:
    from decimal import Decimal


@attrs.frozen
class Item:
    sku: str
    price: int


@attrs.frozen
class Order:
    name: str
    items: list[Item]


@activity.define
async def charge(order_id: str, cents: int) -> str:
    return f"{order_id}:{cents}"


@activity.define(
    name="ship.parcel",
    retry=activity.Retry(attempts=3),
    start_to_close_seconds=30,
    schedule_to_close_seconds=3600,
    heartbeat_seconds=0.5,
    on_cancel="abandon",
    concurrency=4,
)
def ship(order: Order, note: str | None = None, *, fast: bool = False) -> Order:
    assert note is None or fast
    return order


@activity.define
def total(*numbers: int) -> int:
    return sum(numbers)


@activity.define
def anything(value, /, other: Any = 1, **more: int):
    return value, other, more


@activity.define
def keyword_only(*, key: uuid.UUID) -> None:
    del key


@activity.define
def nothing() -> NoReturn:
    raise ValueError


@activity.define
def unresolvable(price: Decimal) -> None:
    del price


@activity.define
def unfillable(error: ValueError) -> None:
    del error


@activity.define
def unfillable_result() -> set[Literal["a"] | complex]:
    return set()


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def logged_badly(function):
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    wrapper.__name__ = wrapper.__qualname__ = function.__name__
    return wrapper


@activity.define
@logged
def wrapped(order: Order, count: int = 1) -> int:
    return len(order.items) * count


@logged_badly
def wrapped_badly(order: Order) -> int:
    return len(order.items)


@define_workflow
async def order_workflow(order_id: str, cents: int) -> str:
    return await charge(order_id, cents)


@define_workflow(name="patient", hold_on=(KeyError,))
async def held_on_key_error(order_id: str) -> None:
    del order_id
