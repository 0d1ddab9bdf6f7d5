"""Arguments and results: from a call to JSON, checked against the signature before anything is written.

    f(1, 2)              [1, 2]
    f(1, note="x")       {"*": [1], "note": "x"}      when `note` cannot be given by its place

What can be given by its place is written by its place, so that `f(1, 2)` and `f(1, b=2)` are the same bytes.
Defaults are not written: a parameter added later with a default changes no recorded call.

The rules for annotations: a parameter without one takes and gives plain JSON values, as `Any` does; so does
a result without one, or with `NoReturn`. An annotation that cannot be resolved (a name that only exists under
TYPE_CHECKING, say) or that JSON cannot fill is refused, by the registry at the latest.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from treadle.errors import ConversionError, DefinitionError, InvalidValueError
from treadle.payloads import Converter, path_text

ACCEPTED_MAX: Final = 64
"""Combinations of argument types that are remembered to fit, for each definition."""

_BY_PLACE: Final = "*"
"""No parameter can have this name."""

_EXACT: Final = frozenset({str, int, float, bool, bytes, type(None)})
"""Types whose every value is read back by the annotation of the same type: nothing else has to be checked."""


class Described(Protocol):
    """What is needed of a definition here."""

    name: str
    shape: Shape

    @property
    def what(self) -> str:
        """``"workflow"`` or ``"activity"``."""
        ...


class Shape:
    """A function's signature, taken apart once.

    Args:
        function: the function.
    """

    __slots__ = (
        "_function", "_hints", "_tuples", "accepted", "by_name", "by_place", "double_star", "required",
        "signature", "star",
    )  # fmt: skip

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._hints: dict[str, Any] | None = None
        self._tuples: dict[int, Any] = {}
        self.signature = inspect.signature(function)
        parameters = self.signature.parameters.values()
        placed = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
        self.by_place = tuple(p.name for p in placed)
        self.required = sum(p.default is p.empty for p in placed)
        self.star = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self.double_star = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), "")
        self.by_name = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
        """Whether an argument has to be given by name."""
        self.accepted: set[tuple[type, ...]] = set()
        """Types of arguments known to fit, whatever their values."""

    @property
    def hints(self) -> dict[str, Any]:
        """Annotations by parameter, resolved; `Any` where there is none.

        Raises:
            DefinitionError: one cannot be resolved.
        """
        if self._hints is None:
            self._hints = _resolved(self._function, self.signature)
        return self._hints

    def annotations(self, count: int) -> list[Any]:
        """Give the annotations of arguments given by place.

        Args:
            count: how many there are.

        Returns:
            One for each.
        """
        hints = self.hints
        found = [hints[name] for name in self.by_place[:count]]
        if self.star is not None:
            found += [hints[self.star]] * (count - len(found))
        return found

    def tuple_of(self, count: int) -> Any:
        """Give the annotation of all arguments together.

        Args:
            count: how many there are.

        Returns:
            ``tuple[int, str]``, made once for each number of arguments.
        """
        made = self._tuples.get(count)
        if made is None:
            made = tuple[tuple(self.annotations(count))] if count else tuple[()]  # type: ignore[misc]
            if len(self._tuples) < ACCEPTED_MAX:
                self._tuples[count] = made
        return made


def encode_arguments(
    definition: Described, args: tuple[Any, ...], kwargs: Mapping[str, Any], converter: Converter
) -> bytes:
    """Encode the arguments of a call, once it is sure that the other side can read them.

    Args:
        definition: the workflow or activity that is called.
        args: by place.
        kwargs: by name.
        converter: makes the bytes.

    Returns:
        A JSON array, or an object when an argument can only be given by name.

    Raises:
        ConversionError: an argument has no JSON form, or not the one its annotation says; it tells which.
        InvalidValueError: they do not fit the signature, or are too large.
        DefinitionError: an annotation cannot be resolved.
    """
    try:
        if not kwargs and tuple(map(type, args)) in definition.shape.accepted:
            return converter.encode(args)
        return _encode_checked(definition, args, kwargs, converter)
    except InvalidValueError as error:
        raise _about_arguments(definition, error) from None


def check_arguments(
    definition: Described, args: tuple[Any, ...], kwargs: Mapping[str, Any], converter: Converter
) -> None:
    """Refuse arguments that do not fit, before anything is written.

    Args:
        definition: the workflow or activity that is called.
        args: by place.
        kwargs: by name.
        converter: as in `encode_arguments`, which does the same and keeps the bytes.

    Raises:
        InvalidValueError: they do not fit.
    """
    encode_arguments(definition, args, kwargs, converter)


def decode_arguments(
    definition: Described, payload: bytes, converter: Converter
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Decode recorded arguments by today's annotations.

    Args:
        definition: the workflow or activity that is called.
        payload: what `encode_arguments` made.
        converter: reads the bytes.

    Returns:
        Arguments by place and by name; those that were left to their default are not among them.

    Raises:
        ConversionError: an argument is not what its annotation says; it tells which.
        InvalidValueError: they do not fit the signature.
        DefinitionError: an annotation cannot be resolved.
    """
    try:
        return _decode(definition, payload, converter)
    except InvalidValueError as error:
        raise _about_arguments(definition, error) from None


def encode_result(definition: Described, value: Any, converter: Converter) -> bytes:
    """Encode a result, once it is sure that it can be read back by the annotation.

    Args:
        definition: the workflow or activity that has returned it.
        value: the result.
        converter: makes the bytes.

    Returns:
        A JSON document.

    Raises:
        ConversionError: it has no JSON form, or not the one the annotation says; it tells where.
        InvalidValueError: it is too large.
        DefinitionError: the annotation cannot be resolved.
    """
    annotation = definition.shape.hints["return"]
    try:
        payload = converter.encode(value)
        if annotation is not Any and not _is_exact(value, annotation):
            converter.decode(payload, annotation)
    except InvalidValueError as error:
        raise _about_result(definition, error) from None
    return payload


def decode_result(definition: Described, payload: bytes, converter: Converter) -> Any:
    """Decode a recorded result by today's annotation.

    Args:
        definition: the workflow or activity that has returned it.
        payload: what `encode_result` made.
        converter: reads the bytes.

    Returns:
        The result.

    Raises:
        ConversionError: it is not what the annotation says; it tells where.
        DefinitionError: the annotation cannot be resolved.
    """
    try:
        return converter.decode(payload, definition.shape.hints["return"])
    except InvalidValueError as error:
        raise _about_result(definition, error) from None


def check_annotations(definition: Described, converter: Converter) -> None:
    """Refuse a definition whose annotations cannot be resolved, or not be filled from JSON.

    Args:
        definition: the workflow or activity.
        converter: asked about each annotation, if it has a method `check_annotation`.

    Raises:
        DefinitionError: there is such an annotation.
    """
    check = getattr(converter, "check_annotation", None)
    for name, annotation in definition.shape.hints.items():
        try:
            if check is not None:
                check(annotation)
        except InvalidValueError as error:
            subject = "the result" if name == "return" else f"argument {name!r}"
            raise DefinitionError(f"{subject} of {definition.what} {definition.name!r}: {error}") from error


def _encode_checked(
    definition: Described, args: tuple[Any, ...], kwargs: Mapping[str, Any], converter: Converter
) -> bytes:
    shape = definition.shape
    by_place = not kwargs and not shape.by_name and shape.required <= len(args) <= len(shape.by_place)
    placed, named = (args, {}) if by_place else _bind(definition, args, kwargs)
    payload = converter.encode({_BY_PLACE: placed, **named} if named else placed)
    _decode(definition, payload, converter)
    if not named:
        _remember(shape, placed)
    return payload


def _bind(
    definition: Described, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        bound = definition.shape.signature.bind(*args, **kwargs)
    except TypeError as error:
        raise InvalidValueError(f"the signature is {definition.shape.signature}: {error}") from None
    return bound.args, bound.kwargs


def _is_exact(value: Any, annotation: Any) -> bool:
    return type(value) is annotation and annotation in _EXACT


def _remember(shape: Shape, placed: tuple[Any, ...]) -> None:
    for annotation, value in zip(shape.annotations(len(placed)), placed, strict=True):
        if annotation is not Any and not _is_exact(value, annotation):
            return
    if len(shape.accepted) < ACCEPTED_MAX:
        shape.accepted.add(tuple(map(type, placed)))


def _decode(
    definition: Described, payload: bytes, converter: Converter
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if payload[:1] == b"{":
        return _decode_object(definition, payload, converter)
    shape = definition.shape
    count = len(shape.by_place)
    if shape.required != count or shape.star is not None or shape.by_name:
        count = len(_parts(payload, list[msgspec.Raw]))
        _bind(definition, (None,) * count, {})
    return _decode_array(shape, payload, count, converter), {}


def _decode_array(shape: Shape, payload: bytes, count: int, converter: Converter) -> tuple[Any, ...]:
    decoded: tuple[Any, ...] = converter.decode(payload, shape.tuple_of(count))
    return decoded


def _decode_object(
    definition: Described, payload: bytes, converter: Converter
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    parts = _parts(payload, dict[str, msgspec.Raw])
    placed = bytes(parts.pop(_BY_PLACE, b"[]"))
    count = len(_parts(placed, list[msgspec.Raw]))
    # The names are judged first: a parameter that is gone has no annotation to read its value by.
    _bind(definition, (None,) * count, dict.fromkeys(parts))
    named = {name: _decode_named(definition.shape, name, part, converter) for name, part in parts.items()}
    return _decode_array(definition.shape, placed, count, converter), named


def _decode_named(shape: Shape, name: str, part: Any, converter: Converter) -> Any:
    annotation = shape.hints[name if name in shape.signature.parameters else shape.double_star]
    try:
        return converter.decode(bytes(part), annotation)
    except ConversionError as error:
        raise ConversionError(str(error), path=(name, *error.path), reason=error.reason) from None


def _parts(payload: bytes, annotation: Any) -> Any:
    try:
        return msgspec.json.decode(payload, type=annotation)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidValueError(f"they are a JSON array or object, got something else: {error}") from error


def _about_arguments(definition: Described, error: InvalidValueError) -> InvalidValueError:
    subject = f"{definition.what} {definition.name!r}"
    path = error.path if isinstance(error, ConversionError) else ()
    if path[:1] == (_BY_PLACE,):
        path = path[1:]
    if not isinstance(error, ConversionError) or not path:
        return InvalidValueError(f"the arguments of {subject} do not fit: {error}")
    root = _name_of(definition.shape, path[0])
    return ConversionError(
        f"argument {path_text(path[1:], root)} of {subject} does not fit: {error.reason}",
        path=(root, *path[1:]),
        reason=error.reason,
    )


def _name_of(shape: Shape, step: str | int) -> str:
    if isinstance(step, str):
        return step
    if step < len(shape.by_place):
        return shape.by_place[step]
    return f"{shape.star}[{step - len(shape.by_place)}]"


def _about_result(definition: Described, error: InvalidValueError) -> InvalidValueError:
    subject = f"of {definition.what} {definition.name!r} does not fit"
    if not isinstance(error, ConversionError):
        return InvalidValueError(f"the result {subject}: {error}")
    return ConversionError(
        f"the {path_text(error.path, 'result')} {subject}: {error.reason}",
        path=error.path,
        reason=error.reason,
    )


def _resolved(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise DefinitionError(
            f"the annotations of {function.__qualname__!r} are types that can be found when it is called,"
            f" got one that cannot: {error}; import it outside `if TYPE_CHECKING:`, or write Any"
        ) from error
    found = {name: hints.get(name, Any) for name in (*signature.parameters, "return")}
    if found["return"] in {typing.NoReturn, typing.Never}:
        found["return"] = Any
    return {name: Any if hint is object else hint for name, hint in found.items()}
