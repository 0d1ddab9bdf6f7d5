"""Where inside a value something is wrong: finding the place, and saying it.

A path is a tuple of steps from the outermost value inwards: field names and keys as str, places as int. It
is looked for only after a refusal, so it may cost more than the encoding did.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias

import attrs
import msgspec

Path: TypeAlias = tuple[str | int, ...]

PATH_STEPS_MAX: Final = 32
"""A path is for reading; a value that holds itself would otherwise have one without end."""

_STEP = re.compile(r"\.([^.\[`]+)|\[(\d+)\]|(\[\.\.\.\])")


def path_text(path: Path, root: str = "") -> str:
    """Say a path the way it would be written in code: ``order.items[3].price``.

    Args:
        path: the steps.
        root: what the outermost value is called; may be empty.

    Returns:
        The text; empty when there is neither a root nor a step.
    """
    text = root
    for step in path:
        if isinstance(step, str) and step.isidentifier():
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def find_path(value: Any, problem: Callable[[Any], str | None]) -> tuple[Path, str]:
    """Find the innermost value that is wrong by itself.

    Args:
        value: the outermost value.
        problem: says what is wrong with a value, or None; whatever is wrong inside is wrong outside too.

    Returns:
        The path to it, and what is wrong there.
    """
    path: Path = ()
    reason = problem(value) or ""
    while len(path) < PATH_STEPS_MAX:
        for step, child in children(value):
            if (found := problem(child)) is not None:
                path, value, reason = (*path, step), child, found
                break
        else:
            break
    return path, reason


def children(value: Any) -> Iterator[tuple[str | int, Any]]:
    """Go through what a value holds, as the converter would.

    Args:
        value: any value.

    Yields:
        The step that leads to each part, and the part; nothing for a value without parts.
    """
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield key if isinstance(key, str | int) else str(key), child
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from zip(value._fields, value, strict=False)
    elif isinstance(value, AbstractSet) or (
        isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview)
    ):
        yield from enumerate(value)
    else:
        for name in field_names(type(value)):
            yield name, getattr(value, name, None)


def field_names(cls: type) -> tuple[str, ...]:
    """Name the fields of an attrs, dataclass or msgspec class.

    Args:
        cls: any class.

    Returns:
        The names, in order; none for a class of another kind.
    """
    if attrs.has(cls):
        return tuple(field.name for field in attrs.fields(cls))
    if dataclasses.is_dataclass(cls):
        return tuple(field.name for field in dataclasses.fields(cls))
    if issubclass(cls, msgspec.Struct):
        return cls.__struct_fields__
    return ()


def explain_decode_error(text: str, document: Any, problem: Callable[[Any], str | None]) -> tuple[Path, str]:
    """Take apart the text of a decoder's refusal, such as ``Expected `int` - at `$.items[3].price```.

    The decoder tells fields and places, not the keys of a dict. A document that keeps only some of its keys
    is refused with the same text when one of theirs is the value that does not fit; so the key is found by
    halving.

    Args:
        text: the text.
        document: the document as plain values; parts of it are taken away.
        problem: gives the decoder's text for a document, or None when it takes it.

    Returns:
        The path, as far as it can be told, and what is wrong there.
    """
    reason, found, place = text.rpartition(" - at ")
    if not found:
        return (), text
    path: Path = ()
    for name, number, _ in _STEP.findall(place)[:PATH_STEPS_MAX]:
        step = name or (int(number) if number else _guilty_key(text, document, path, problem))
        if step is None:
            break
        path = (*path, step)
    return path, f"as a key: {reason}" if place.startswith("`key`") else reason


def _guilty_key(text: str, document: Any, path: Path, problem: Callable[[Any], str | None]) -> str | None:
    here = document
    for step in path:
        here = here[step]
    items = list(here.items())
    while len(items) > 1:
        first = items[: len(items) // 2]
        _keep(here, first)
        items = first if problem(document) == text else items[len(first) :]
    _keep(here, items)
    return str(items[0][0]) if items and problem(document) == text else None


def _keep(mapping: dict[str, Any], items: list[tuple[str, Any]]) -> None:
    mapping.clear()
    mapping.update(items)
