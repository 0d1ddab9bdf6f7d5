"""One order for what has none: sets and dicts become the same JSON whatever order they were built in.

The encoder sorts sets by ``<`` and dicts by their keys, when those are str. That is not enough where ``<``
is missing (enums, classes), or is there and orders nothing (for frozensets it means *subset*, so sorting
them leaves the order that PYTHONHASHSEED gave them). Such sets are sorted here by the JSON of their
elements, and such keys become the str they will be in JSON anyway.

Looking for them must cost next to nothing, for nearly no value holds one: the types of a container's
elements are collected by C code, and of a class only those fields are looked at whose annotation leaves
room for such a thing.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import decimal
import enum
import types
import typing
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import attrs
import msgspec

from treadle.payloads.paths import field_names

NESTING_MAX: Final = 100
"""How deep lists, sets and dicts nest. The interpreter's own limit lies higher and depends on the caller's
stack, so without this one the same value would sometimes be taken and sometimes not."""

CLASSES_MAX: Final = 10_000
"""Classes whose fields are remembered: a program has fewer, unless it makes them without end."""

SCALARS: Final = frozenset(
    {
        str, int, float, bool, bytes, bytearray, memoryview, type(None), decimal.Decimal,
        dt.datetime, dt.date, dt.time, dt.timedelta,
    }
)  # fmt: skip
"""Types that are written as one JSON scalar. A UUID is one too, by `_is_scalar`: its module is not pure."""

# What the encoder takes as a container; any other mapping or set it refuses, and `ordered` mends that too.
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_STR_ONLY: Final = frozenset({str})
_plain_encoder = msgspec.json.Encoder(order="deterministic")
_suspects: dict[type, tuple[str, ...]] = {}


def needs_ordering(value: Any, depth: int = 0) -> bool:
    """Tell whether a value holds a set or a dict for which the encoder's own order may not do.

    Args:
        value: any value.
        depth: how deep it lies.

    Returns:
        True when `ordered` has to be asked.

    Raises:
        RecursionError: it nests deeper than `NESTING_MAX`.
    """
    cls = type(value)
    if cls in SCALARS:
        return False
    _check_depth(depth)
    if cls is list or cls is tuple:
        return _any_needs(value, depth)
    fields = _suspects.get(cls)
    if fields is None and isinstance(value, _CONTAINERS):
        return _container_needs(value, depth)
    for name in _suspect_fields_of(cls) if fields is None else fields:
        if needs_ordering(getattr(value, name, None), depth + 1):
            return True
    return False


def _container_needs(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return not _STR_ONLY.issuperset(map(type, value)) or _any_needs(value.values(), depth)
    if isinstance(value, list | tuple):
        return _any_needs(value, depth)
    found = set(map(type, value))
    return bool(found) and (len(found) > 1 or not _is_scalar(found.pop()))


def _check_depth(depth: int) -> None:
    if depth > NESTING_MAX:
        raise RecursionError(f"lists and dicts nest at most {NESTING_MAX} deep; does it hold itself?")


def _any_needs(values: Iterable[Any], depth: int) -> bool:
    strange = set(map(type, values)) - SCALARS
    if all(map(_is_harmless, strange)):
        return False
    return any(type(value) in strange and needs_ordering(value, depth + 1) for value in values)


def _is_scalar(cls: type) -> bool:
    return cls in SCALARS or cls.__module__ == "uuid"


def _is_harmless(cls: type) -> bool:
    if cls not in _suspects and issubclass(cls, _CONTAINERS):
        return False
    return not _suspect_fields_of(cls)


def _suspect_fields_of(cls: type) -> tuple[str, ...]:
    found = _suspects.get(cls)
    if found is None:
        if len(_suspects) >= CLASSES_MAX:
            _suspects.clear()
        found = _suspects[cls] = _suspect_fields(cls, frozenset())
    return found


def _suspect_fields(cls: type, above: frozenset[type]) -> tuple[str, ...]:
    """Name the fields whose annotations leave room for a set that needs ordering.

    Args:
        cls: any class.
        above: the classes it was reached through; a class inside itself adds nothing new.

    Returns:
        The names.
    """
    names = field_names(cls)
    if not names or cls in above:
        return ()
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError, AttributeError):
        return names
    return tuple(name for name in names if not _is_closed(hints.get(name, Any), above | {cls}))


def _is_closed(annotation: Any, above: frozenset[type]) -> bool:
    """Tell whether values of an annotation surely hold no set and no dict with other keys than str."""
    if typing.get_origin(annotation) is not None:
        return _is_closed_alias(typing.get_origin(annotation), typing.get_args(annotation), above)
    if not isinstance(annotation, type):
        return annotation is None
    if _is_scalar(annotation) or issubclass(annotation, enum.Enum):
        return True
    return _has_fields(annotation) and not _suspect_fields(annotation, above)


def _is_closed_alias(origin: Any, inside: tuple[Any, ...], above: frozenset[type]) -> bool:
    if origin is typing.Literal:
        return True
    if origin is typing.Annotated:
        return _is_closed(inside[0], above)
    if origin is dict and inside[0] is not str:
        return False
    return origin in {list, tuple, dict, typing.Union, types.UnionType} and all(
        part is Ellipsis or _is_closed(part, above) for part in inside
    )


def _has_fields(cls: type) -> bool:
    return attrs.has(cls) or dataclasses.is_dataclass(cls) or issubclass(cls, msgspec.Struct)


def ordered(value: Any, depth: int = 0) -> Any:
    """Make a copy in which sets are lists in one order, and keys are str.

    Args:
        value: any value.
        depth: how deep it lies.

    Returns:
        Plain containers of values that the encoder takes as they are.

    Raises:
        TypeError: a key has no JSON form, or two keys have the same one.
        RecursionError: it nests deeper than `NESTING_MAX`.
    """
    _check_depth(depth)
    if isinstance(value, Mapping):
        return _ordered_mapping(value, depth)
    if isinstance(value, AbstractSet):
        return sorted((ordered(child, depth + 1) for child in value), key=_plain_encoder.encode)
    if isinstance(value, list | tuple):
        return [ordered(child, depth + 1) for child in value]
    names = field_names(type(value))
    if not names:
        return value
    return _ordered_fields(value, names, depth)


def _ordered_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, child in value.items():
        text = key if type(key) is str else _key_text(key)
        if text in plain:
            raise TypeError(f"two keys of one dict are both {text!r} in JSON")
        plain[text] = ordered(child, depth + 1)
    return plain


def _key_text(key: Any) -> str:
    if isinstance(key, float) and key - key != 0:
        raise TypeError("a key is neither NaN nor infinite")
    (text,) = msgspec.to_builtins({key: None}, str_keys=True)
    return str(text)


def _ordered_fields(value: Any, names: tuple[str, ...], depth: int) -> Any:
    # Renamed fields, tags and left-out defaults are the class's own business, so the copy keeps the class
    # and is not made by its __init__, whose validators may well insist on a set.
    changes = {
        name: ordered(getattr(value, name), depth + 1)
        for name in names
        if needs_ordering(getattr(value, name, None), depth + 1)
    }
    if not changes:
        return value
    changed = copy.copy(value)
    put = msgspec.structs.force_setattr if isinstance(value, msgspec.Struct) else object.__setattr__
    for name, child in changes.items():
        put(changed, name, child)
    return changed
