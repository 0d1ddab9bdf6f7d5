"""The encryption codec: AES-SIV (RFC 5297), by the `cryptography` package (the extra `encryption`).

    0x00 0x02 length key-id ciphertext

A nonce would be chance inside a pure room, and an event offered twice would no longer be the same bytes, so
the cipher is one that needs none. What that costs: whoever reads the store sees where two payloads *at the
same place of the same log* are equal, which is a repeat, and nothing else, for each payload is bound to its
place: key id, the log it was written to, and its seq are authenticated with it. A payload moved to another
place, changed in one bit, or read with another key is refused.

Workflow ids, kinds, times, sizes and head facts are not encrypted: the store orders and finds by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from treadle.errors import CodecError, InvalidValueError, UsageError
from treadle.payloads.codecs import CodecContext, header, place

_NUMBER: Final = 2
_HEADER: Final = header(_NUMBER)

KEY_SIZES_BYTES: Final = (32, 48, 64)
"""AES-SIV takes two AES keys in one: of 128, 192 or 256 bits each."""
KEY_ID_SIZE_BYTES_MAX: Final = 32
"""A key id is written with every payload: a name or a date, not a document."""


class KeyRing:
    """Keys by their ids, one of them current.

    To change keys, add one under a new id and make it current: new payloads are encrypted with it, old ones
    are still read with theirs. A key is dropped when no stored payload names it any more.

    Args:
        keys: key id to key of 32, 48 or 64 random bytes, made once by ``secrets.token_bytes(64)`` and kept
            where secrets are kept. Ids are not secret.
        current: the id of the key to encrypt with.

    Raises:
        InvalidValueError: a key or an id is not what it should be, or `current` names none of them.
        UsageError: the package `cryptography` is not there.
    """

    __slots__ = ("_ciphers", "_current")

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        if current not in keys:
            raise InvalidValueError(
                f"the current key is one of the ring's, got {current!r}; it has {_names(keys)}"
            )
        # The keys themselves are not kept: no repr, pickle or stack trace of ours can show them.
        self._ciphers = {_checked_id(key_id): _cipher(key_id, key) for key_id, key in keys.items()}
        self._current = current

    def __repr__(self) -> str:
        return f"KeyRing(ids={sorted(self._ciphers)}, current={self._current!r})"

    @property
    def current(self) -> str:
        """The id of the key that encrypts."""
        return self._current

    def cipher(self, key_id: str) -> Any:
        """Find the cipher of a key.

        Args:
            key_id: the key's id.

        Returns:
            The cipher, or None when the ring has no such key.
        """
        return self._ciphers.get(key_id)

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, sorted."""
        return tuple(sorted(self._ciphers))


class Encryption:
    """A codec that encrypts payloads and binds each to its place.

    Args:
        keys: the ring.
    """

    __slots__ = ("_current", "_keys", "_prefix")

    def __init__(self, keys: KeyRing) -> None:
        if not isinstance(keys, KeyRing):
            raise InvalidValueError(f"encryption takes a KeyRing, got {type(keys).__name__}")
        key_id = keys.current.encode()
        self._keys = keys
        self._current = keys.cipher(keys.current)
        self._prefix = _HEADER + bytes((len(key_id),)) + key_id

    def __repr__(self) -> str:
        return f"Encryption({self._keys!r})"

    @property
    def number(self) -> int:
        """2."""
        return _NUMBER

    def encode(self, payload: bytes, context: CodecContext) -> bytes:
        """Encrypt a payload with the current key.

        Args:
            payload: any bytes; empty ones stay empty, for there is nothing to hide in them.
            context: where it will stand.

        Returns:
            Header, key id, ciphertext; the same for the same payload at the same place.
        """
        if not payload:
            return payload
        encrypted: bytes = self._current.encrypt(payload, _bound_to(self._prefix, context))
        return self._prefix + encrypted

    def decode(self, payload: bytes, context: CodecContext) -> bytes:
        """Decrypt a payload with the key it names.

        Args:
            payload: what `encode` made.
            context: where it stands.

        Returns:
            What was encrypted.

        Raises:
            CodecError: the ring has no such key; or the key is another, or the payload was changed or moved.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - the extra is there by now

        prefix, key_id = _take_key_id(payload, context)
        cipher = self._keys.cipher(key_id)
        if cipher is None:
            raise CodecError(
                f"{place(context)} is encrypted with the key {key_id!r}, which the ring does not have"
                f" (it has {_names(self._keys.ids)}); add it to the ring"
            )
        try:
            plain: bytes = cipher.decrypt(payload[len(prefix) :], _bound_to(prefix, context))
        except (InvalidTag, ValueError) as error:
            raise CodecError(
                f"{place(context)} does not open with the key {key_id!r}: the ring holds another key under"
                " this id, or the payload was changed, or moved here from another place"
            ) from error
        return plain


def _bound_to(prefix: bytes, context: CodecContext) -> list[bytes]:
    # SIV takes a list and keeps its parts apart, so no id can be made to run into the seq.
    return [prefix, context.origin_workflow_id.encode(), context.seq.to_bytes(8)]


def _take_key_id(payload: bytes, context: CodecContext) -> tuple[bytes, str]:
    end = 3 + payload[2] if len(payload) > 2 else 3
    try:
        key_id = payload[3:end].decode()
    except UnicodeDecodeError:
        key_id = ""
    if not key_id or len(payload) <= end:
        raise CodecError(f"{place(context)} is encrypted and damaged: it is cut short, or names no key")
    return payload[:end], key_id


def _checked_id(key_id: Any) -> str:
    if (
        not isinstance(key_id, str)
        or not key_id.isprintable()
        or not 1 <= len(key_id.encode()) <= KEY_ID_SIZE_BYTES_MAX
    ):
        raise InvalidValueError(
            f"a key id is a printable str of 1 to {KEY_ID_SIZE_BYTES_MAX} UTF-8 bytes, got {key_id!r:.60}"
        )
    return key_id


def _cipher(key_id: str, key: Any) -> Any:
    # Whatever is wrong with a key, the message says its type and its length and never what it is.
    if not isinstance(key, bytes):
        raise InvalidValueError(f"key {key_id!r} is bytes, got {type(key).__name__}; decode it first")
    if len(key) not in KEY_SIZES_BYTES:
        raise InvalidValueError(
            f"key {key_id!r} has 32, 48 or 64 bytes, got {len(key)}; make one with secrets.token_bytes(64)"
        )
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "encryption needs the package cryptography; install it with: pip install 'treadle[encryption]'"
        ) from error
    return AESSIV(key)


def _names(ids: Any) -> str:
    return ", ".join(repr(key_id) for key_id in sorted(ids, key=str)) or "none"
