"""Projections that commands name: in the records of a store, and in the user's module."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from treadle.cli.durable.modules import import_module
from treadle.cli.exits import CommandError, NotFoundError
from treadle.errors import InvalidValueError
from treadle.payloads import CodecChain, JsonConverter
from treadle.projections import RETRIES, Projection, Projections, retries
from treadle.projections.kept import Checkpoint, Shelf, decode_checkpoint
from treadle.stores import Store

AnyProjection: TypeAlias = Projection[Any]


@attrs.frozen
class Kept:
    """What a store's records tell of a projection.

    Attributes:
        name: the projection.
        checkpoint: how far it has read, or None when that cannot be read.
        damage: why not.
    """

    name: str
    checkpoint: Checkpoint | None
    damage: str | None = None


def shelf_of(store: Store, codecs: CodecChain) -> Shelf:
    """Give what reads the records of projections.

    Args:
        store: where they lie.
        codecs: what states went through.

    Returns:
        It.
    """
    return Shelf(store, JsonConverter(), codecs)


async def find_kept(shelf: Shelf, name: str) -> Kept:
    """Read what is kept of a projection.

    Args:
        shelf: reads.
        name: the projection.

    Returns:
        What its checkpoint says.

    Raises:
        NotFoundError: nothing is kept of it.
    """
    value = await shelf.find(name)
    if value is None:
        raise await not_kept(shelf, name)
    try:
        return Kept(name, decode_checkpoint(name, value))
    except InvalidValueError as error:
        return Kept(name, None, str(error))


async def not_kept(shelf: Shelf, name: str) -> NotFoundError:
    """Word that nothing is kept of a projection.

    Args:
        shelf: reads.
        name: what the user wrote.

    Returns:
        The error.
    """
    names = await shelf.names()
    near = difflib.get_close_matches(name, names, n=3)
    guess = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    known = ", ".join(map(repr, names)) or "none"
    return NotFoundError(f"nothing is kept of projection {name!r}; {guess}This store keeps: {known}")


def load_projection(name: str, target: str | None, codecs: CodecChain) -> AnyProjection:
    """Find a projection in the user's module, or among treadle's own.

    Args:
        name: the projection's name.
        target: ``MODULE``, or ``MODULE:NAME`` of the variable that holds it; None for one of treadle's own.
        codecs: what payloads go through, for those of treadle's own that read them.

    Returns:
        The projection: one that the module names, or one of a set, `Projections`, that it names.

    Raises:
        CommandError: the name is none of a module, two different projections have the name, or no module was
            named and it is none of treadle's own.
        NotFoundError: there is no such module, or no such projection in it.
        FailedError: the module could not be imported.
    """
    if target is None:
        if name == RETRIES:
            return retries(codecs)
        raise CommandError(
            f"projection {name!r} is made by code of yours; name its module: {name} MODULE. Without one:"
            f" {RETRIES}"
        )
    module_name, _, variable = target.partition(":")
    module = import_module(module_name)
    if variable and variable not in vars(module):
        raise NotFoundError(f"module {module_name!r} holds nothing named {variable!r}")
    values = [vars(module)[variable]] if variable else list(vars(module).values())
    found = {id(one): one for value in values for one in _projections_in(value)}
    wanted = [one for one in found.values() if one.name == name]
    if not wanted:
        known = ", ".join(sorted(repr(one.name) for one in found.values())) or "none"
        raise NotFoundError(
            f"{target} holds no projection {name!r}; it holds: {known}. A projection is a"
            " treadle.Projection(...) that the module names, or one of a treadle.Projections(...)"
        )
    if len(wanted) > 1:
        raise CommandError(
            f"{target} holds {len(wanted)} projections called {name!r}; say which: {module_name}:VARIABLE"
        )
    return wanted[0]


def _projections_in(value: object) -> Iterator[AnyProjection]:
    if isinstance(value, Projection):
        yield value
    elif isinstance(value, Projections):
        yield from (value.projection(name) for name in value.names)
