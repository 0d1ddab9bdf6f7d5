"""The converter: a Python value to one JSON document and back, the same bytes for equal values.

What msgspec writes and reads by annotation: None, bool, int, float, str, bytes (base64), list, tuple, set,
dict, NamedTuple, TypedDict, attrs and dataclass classes, `msgspec.Struct`, enums, UUID, Decimal, datetime,
date, time, timedelta. Without an annotation JSON's own types come back. Never pickle, never eval.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from treadle.errors import ConversionError, InvalidValueError
from treadle.events import PAYLOAD_SIZE_BYTES_MAX
from treadle.payloads.ordering import SCALARS, needs_ordering, ordered
from treadle.payloads.paths import Path, explain_decode_error, find_path, path_text

VALUE_SIZE_BYTES_MAX: Final = PAYLOAD_SIZE_BYTES_MAX - 64 * 1024
"""A value travels inside an event with its names and options, and codecs add a header: what the converter
has taken must still fit there, or the refusal would come when it is too late to give it to the caller."""

ANNOTATIONS_MAX: Final = 4_096
"""Annotations whose decoders are remembered: a program has some hundreds of them."""

_ENCODE_ERRORS = (TypeError, ValueError, OverflowError, UnicodeEncodeError, RecursionError, AttributeError)
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)
_SLIPS = (NameError, AttributeError, ImportError)
"""Of code that is to be mended: they leave as they are, because they hold a workflow and do not fail it."""

_encoder = msgspec.json.Encoder(order="deterministic")
_encode = _encoder.encode
_plain_decoder = msgspec.json.Decoder()
_finite_encoder = json.JSONEncoder(allow_nan=False)

# None is common, so the question whether a null was a NaN has to be cheap: MessagePack keeps floats as they
# are, marked by 0xCB, and the pattern below is seldom found by chance in something else.
_pack = msgspec.msgpack.Encoder().encode
_NOT_FINITE: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")


@runtime_checkable
class Converter(Protocol):
    """Values to bytes and back.

    A converter of your own keeps three promises: the bytes are one JSON document in UTF-8; equal values
    give equal bytes, in every process (replay compares them); what it cannot express it refuses with an
    `InvalidValueError`.
    """

    def encode(self, value: Any) -> bytes:
        """Encode a value.

        Args:
            value: any value.

        Returns:
            One JSON document.

        Raises:
            InvalidValueError: the value, or something inside it, has no JSON form, or it is too large.
        """
        ...

    def decode(self, payload: bytes, annotation: Any = Any) -> Any:
        """Decode a value.

        Args:
            payload: one JSON document.
            annotation: the type to make of it; plain values without one.

        Returns:
            The value.

        Raises:
            InvalidValueError: the bytes are no JSON document, or not one the annotation describes.
        """
        ...


class JsonConverter:
    """The converter that treadle uses unless told otherwise.

    NaN and infinities are refused, for JSON has none; sets are written in one order; a dict's keys may be
    whatever JSON can write as a str (int, float, enum, UUID, date). Errors name the place inside the value.

    Args:
        size_bytes_max: the largest document it makes or takes.
    """

    __slots__ = ("_decoders", "_size_bytes_max")

    def __init__(self, *, size_bytes_max: int = VALUE_SIZE_BYTES_MAX) -> None:
        self._size_bytes_max = size_bytes_max
        self._decoders: dict[Any, msgspec.json.Decoder[Any]] = {}

    def __repr__(self) -> str:
        return f"JsonConverter(size_bytes_max={self._size_bytes_max})"

    def encode(self, value: Any) -> bytes:
        """Encode a value as JSON, the same bytes for equal values.

        Args:
            value: what the module's text lists, in any nesting.

        Returns:
            UTF-8 JSON with sorted keys.

        Raises:
            ConversionError: the value, or something inside it, has no JSON form; it tells where.
            InvalidValueError: its JSON is too large.
        """
        try:
            if type(value) is tuple and SCALARS.issuperset(map(type, value)):  # the arguments of most calls
                payload = _encode(value)
            else:
                payload = _encode(ordered(value) if needs_ordering(value) else value)
        except _ENCODE_ERRORS:
            payload = _encode_in_order(value)
        # NaN is written as null; so only a document with a null in it can hold one.
        if b"null" in payload and value is not None and _infinite(value):
            raise _no_json_form(value)
        if len(payload) > self._size_bytes_max:
            raise InvalidValueError(
                f"a value has at most {self._size_bytes_max:,} bytes of JSON, got {len(payload):,};"
                " keep large data in a file or an object store and pass its name"
            )
        return payload

    def encode_plain(self, values: tuple[str | int, ...]) -> bytes | None:
        """Encode texts and whole numbers, which need no check, in a third of the time.

        Replay encodes the arguments of every activity again, and most are such. A converter of your own may
        have this method or not; what it returns is what its `encode` would.

        Args:
            values: a tuple whose every member is exactly a str, an int or a bool.

        Returns:
            A JSON array, or None when `encode` must decide, because something is out of the common.
        """
        try:
            payload = _encode(values)
        except _ENCODE_ERRORS:
            return None
        return payload if len(payload) <= self._size_bytes_max else None

    def decode(self, payload: bytes, annotation: Any = Any) -> Any:
        """Decode JSON into a value of an annotation.

        Args:
            payload: one JSON document.
            annotation: the type to make of it; `Any` gives None, bool, int, float, str, list and dict.

        Returns:
            The value.

        Raises:
            ConversionError: it is JSON, and not what the annotation says; it tells where.
            InvalidValueError: it is not one JSON document, or the annotation is none that JSON can fill.
        """
        try:
            decoder = self._decoders.get(annotation)
        except TypeError:  # an annotation that cannot be hashed
            decoder = _decoder_for(annotation)
        if decoder is None:
            decoder = self._remember(annotation)
        try:
            return decoder.decode(payload)
        except msgspec.ValidationError as error:
            raise _not_as_annotated(payload, decoder, error) from None
        except _DECODE_ERRORS as error:
            raise _no_document(error) from error
        except _SLIPS:
            raise
        except Exception as error:
            raise _made_badly(error) from error

    def reader(self, annotation: Any) -> Callable[[Any], Any]:
        """Give a function that decodes values of one annotation in half the time, errors left as they come.

        Like `encode_plain`, a converter of your own may have it or not.

        Args:
            annotation: the type to make of a document.

        Returns:
            A function of a document (bytes or `msgspec.Raw`); when it raises anything, `decode` says what.

        Raises:
            InvalidValueError: the annotation is none that JSON can fill.
        """
        return self._remember(annotation).decode

    def check_annotation(self, annotation: Any) -> None:
        """Refuse an annotation that no JSON document can fill.

        Args:
            annotation: a type, as written in a signature.

        Raises:
            InvalidValueError: it is one, or holds one, such as a class without fields or a callable.
        """
        self._remember(annotation)
        try:
            info = msgspec.inspect.type_info(annotation)
        except (TypeError, NameError) as error:
            raise InvalidValueError(f"an annotation is a type that JSON can fill: {error}") from error
        strange = _custom_type(info, set())
        if strange is not None:
            raise InvalidValueError(
                f"an annotation is a type that JSON can fill, got {strange!r};"
                " use an attrs or dataclass class, a builtin type, or Any"
            )

    def _remember(self, annotation: Any) -> msgspec.json.Decoder[Any]:
        decoder = _decoder_for(annotation)
        try:
            hash(annotation)
        except TypeError:
            return decoder
        if len(self._decoders) >= ANNOTATIONS_MAX:
            self._decoders.clear()
        self._decoders[annotation] = decoder
        return decoder


def _encode_in_order(value: Any) -> bytes:
    """Try again with everything brought in order: the encoder has met a set or a key it cannot sort."""
    try:
        return _encode(ordered(value))
    except _ENCODE_ERRORS:
        raise _no_json_form(value) from None


def _infinite(value: Any) -> bool:
    try:
        if _NOT_FINITE.search(_pack(value)) is None:
            return False
    except _ENCODE_ERRORS:
        pass  # an int above 64 bits, say
    try:
        _finite_encoder.encode(msgspec.to_builtins(value, str_keys=True))
    except ValueError:
        return True
    return False


def _problem(value: Any) -> str | None:
    try:
        _encode(ordered(value))
    except _ENCODE_ERRORS as error:
        return str(error)
    return "JSON has neither NaN nor infinities; use None or a str for them" if _infinite(value) else None


def _no_json_form(value: Any) -> ConversionError:
    path, reason = find_path(value, _problem)
    return ConversionError(
        f"a value has a JSON form, got one without{_at(path)}: {reason}", path=path, reason=reason
    )


def _at(path: Path) -> str:
    return f" at {path_text(path)}" if path else ""


def _decoder_for(annotation: Any) -> msgspec.json.Decoder[Any]:
    if annotation is Any:
        return _plain_decoder
    try:
        return msgspec.json.Decoder(annotation)
    except (TypeError, NameError, AttributeError, ValueError, RecursionError) as error:
        raise InvalidValueError(
            f"an annotation is a type that JSON can fill, got {annotation!r}: {error}"
        ) from error


def _not_as_annotated(
    payload: bytes, decoder: msgspec.json.Decoder[Any], error: msgspec.ValidationError
) -> InvalidValueError:
    try:
        document = _plain_decoder.decode(payload)
    except msgspec.ValidationError:
        path: Path = ()
        reason = str(error)
    except _DECODE_ERRORS as broken:  # it does not fit where it begins, and is no document further on
        return _no_document(broken)
    else:
        path, reason = explain_decode_error(str(error), document, partial(_decode_problem, decoder))
    return ConversionError(
        f"a stored value is what its annotation says, got another{_at(path)}: {reason}",
        path=path,
        reason=reason,
    )


def _decode_problem(decoder: msgspec.json.Decoder[Any], document: Any) -> str | None:
    try:
        decoder.decode(_encode(document))
    except Exception as error:  # noqa: BLE001  # a second thing that is wrong must not hide the first
        return str(error)
    return None


def _made_badly(error: Exception) -> ConversionError:
    reason = f"{type(error).__name__}: {error}"
    return ConversionError(
        f"a stored value is what its annotation says, got one that its class refuses: {reason}",
        path=(),
        reason=reason,
    )


def _no_document(error: Exception) -> InvalidValueError:
    return InvalidValueError(f"a payload holds one JSON document, got something else: {error}")


def _custom_type(info: Any, seen: set[Any]) -> Any:
    """Find a class that JSON cannot fill inside what msgspec tells of an annotation."""
    if isinstance(info, msgspec.inspect.CustomType):
        return info.cls
    if isinstance(info, tuple):
        parts = list(info)
    elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field):
        if (cls := getattr(info, "cls", None)) is not None:
            if cls in seen:
                return None
            seen.add(cls)
        parts = [getattr(info, name) for name in info.__struct_fields__ if name != "cls"]
    else:
        return None
    return next((found for part in parts if (found := _custom_type(part, seen)) is not None), None)
