"""Values to bytes and back: one JSON converter, deterministic, never pickle; codecs after it.

`JsonConverter` turns the values of durable workflows into JSON and back by annotation; `CodecChain` may
compress and encrypt what it made. `encode` and `decode` are the short way for payloads of plain logs.
"""

from __future__ import annotations

from typing import Any

import msgspec

from treadle.errors import InvalidValueError
from treadle.payloads.codecs import Codec, CodecChain, CodecContext, header, is_encoded
from treadle.payloads.compression import Compression
from treadle.payloads.converter import VALUE_SIZE_BYTES_MAX, Converter, JsonConverter
from treadle.payloads.encryption import Encryption, KeyRing
from treadle.payloads.paths import Path, path_text

__all__ = [
    "VALUE_SIZE_BYTES_MAX",
    "Codec",
    "CodecChain",
    "CodecContext",
    "Compression",
    "Converter",
    "Encryption",
    "JsonConverter",
    "KeyRing",
    "Path",
    "decode",
    "encode",
    "header",
    "is_encoded",
    "path_text",
]

# Deterministic order, because a payload is compared byte by byte when an event is offered again: a dict
# or a set built in another order must give the same bytes.
_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder()


def encode(value: Any) -> bytes:
    """Encode a value as JSON, the same bytes for equal values.

    Args:
        value: what msgspec can express in JSON: None, bool, int, float, str, bytes (as base64), list,
            tuple, dict, attrs and dataclass instances, datetime, UUID.

    Returns:
        UTF-8 JSON with sorted keys.

    Raises:
        InvalidValueError: the value, or something inside it, has no JSON form.
    """
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, UnicodeEncodeError, RecursionError) as error:
        raise InvalidValueError(f"a payload value has a JSON form, got one without: {error}") from error


def decode(payload: bytes) -> Any:
    """Decode JSON into plain values.

    Args:
        payload: UTF-8 JSON.

    Returns:
        None, bool, int, float, str, list or dict.

    Raises:
        InvalidValueError: the bytes are not one JSON document.
    """
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidValueError(f"a payload holds one JSON document, got something else: {error}") from error
