"""Codecs: what happens to a payload between the converter and the store, and back.

An encoded payload says so itself. It begins with the byte 0x00 and the number of its codec; no JSON
document can begin with either, so a log that was written before a codec was switched on still reads, and
one payload may be encoded while its neighbour is not:

    JSON document                                    as the converter made it
    0x00 0x01 DEFLATE...                             compressed   (`treadle.payloads.Compression`)
    0x00 0x02 length key-id ciphertext...            encrypted    (`treadle.payloads.Encryption`)

Codecs may wrap each other; each takes off its own header. Without codecs nothing is added to a payload.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import attrs

from treadle.errors import CodecError, InvalidValueError
from treadle.events import PAYLOAD_SIZE_BYTES_MAX

MARK: Final = b"\x00"
"""The first byte of an encoded payload; JSON begins with printable ASCII."""

CODEC_NUMBERS: Final = frozenset((*range(1, 9), *range(14, 32)))
"""1 to 8 are treadle's, 16 to 31 yours. All are control characters that JSON holds nowhere, not even
between its parts: should the first byte be damaged, what remains is still no JSON document."""

CODECS_MAX: Final = 8
"""How often one payload is wrapped; more is a payload made to keep its reader busy."""


@attrs.frozen
class CodecContext:
    """Where a payload stands; an encrypted one is bound to its place.

    Args:
        origin_workflow_id: the log the event was written to. A branch reads its parent's events, so this is
            the parent's id for them.
        seq: the event's place in that log.
    """

    origin_workflow_id: str
    seq: int


@runtime_checkable
class Codec(Protocol):
    """One step between the converter and the store.

    The same payload at the same place gives the same bytes, always: a repeated append is compared byte by
    byte with what is stored. A codec never waits; it runs on the runtime's own thread.
    """

    @property
    def number(self) -> int:
        """The second byte of what it has encoded: 16 to 31 for a codec of your own."""
        ...

    def encode(self, payload: bytes, context: CodecContext) -> bytes:
        """Encode a payload.

        Args:
            payload: what the codec before it made, or the converter.
            context: where it will stand.

        Returns:
            ``header(number)`` and the rest, or `payload` itself when there is nothing to gain.
        """
        ...

    def decode(self, payload: bytes, context: CodecContext) -> bytes:
        """Decode what `encode` made.

        Args:
            payload: it, header included.
            context: where it stands.

        Returns:
            What was encoded.

        Raises:
            CodecError: it is damaged, or this codec lacks what it takes.
        """
        ...


def header(number: int) -> bytes:
    """Make the two bytes an encoded payload begins with.

    Args:
        number: the codec's.

    Returns:
        They.
    """
    return MARK + bytes((number,))


def is_encoded(payload: bytes) -> bool:
    """Tell whether a payload has to be decoded before it is JSON.

    Args:
        payload: as stored.

    Returns:
        True when it begins as an encoded one does.
    """
    return payload[:1] == MARK


class CodecChain:
    """The codecs of a runtime, as one.

    Args:
        codecs: in the order they encode; compression before encryption, for ciphertext does not shrink.
        accept_plain: whether payloads that no codec has encoded are read. Switch it off once a store holds
            none: then a plain payload that somebody has put in an encrypted one's place is refused.

    Raises:
        InvalidValueError: two codecs have one number, a number is none, or there are too many.
    """

    __slots__ = ("_accept_plain", "_by_number", "_codecs")

    def __init__(self, codecs: Sequence[Codec] = (), *, accept_plain: bool = True) -> None:
        self._codecs = tuple(codecs)
        self._accept_plain = accept_plain
        self._by_number: dict[int, Codec] = {}
        if len(self._codecs) > CODECS_MAX:
            raise InvalidValueError(f"a chain has at most {CODECS_MAX} codecs, got {len(self._codecs)}")
        for codec in self._codecs:
            self._add(codec)

    def _add(self, codec: Codec) -> None:
        if not isinstance(codec, Codec):
            raise InvalidValueError(f"a codec has number, encode and decode, got {codec!r}")
        if codec.number not in CODEC_NUMBERS:
            raise InvalidValueError(
                f"a codec's number is 16 to 31 (1 to 8 are treadle's), got {codec.number!r} of {codec!r}"
            )
        if codec.number in self._by_number:
            raise InvalidValueError(
                f"each codec of a chain has its own number, got {codec.number} twice:"
                f" {self._by_number[codec.number]!r} and {codec!r}"
            )
        self._by_number[codec.number] = codec

    def __bool__(self) -> bool:
        return bool(self._codecs)

    def __repr__(self) -> str:
        return f"CodecChain({list(self._codecs)!r})"

    def encode(self, payload: bytes, context: CodecContext) -> bytes:
        """Encode a payload with every codec, in order.

        Args:
            payload: a JSON document, as the converter made it.
            context: where the event will stand; its seq must be known.

        Returns:
            What is stored.

        Raises:
            InvalidValueError: the payload begins like an encoded one (a converter that makes no JSON), or
                it is too large once encoded.
        """
        if payload[:1] == MARK:
            raise InvalidValueError(
                "a converter makes JSON, got a document that begins with 0x00; such a one could not be told"
                " from an encoded payload"
            )
        for codec in self._codecs:
            payload = codec.encode(payload, context)
        if len(payload) > PAYLOAD_SIZE_BYTES_MAX:
            raise InvalidValueError(
                f"a payload has at most {PAYLOAD_SIZE_BYTES_MAX:,} bytes once it is encoded, got"
                f" {len(payload):,}; keep large data elsewhere and pass its name"
            )
        return payload

    def decode(self, payload: bytes, context: CodecContext) -> bytes:
        """Take off what codecs have put round a payload, whatever the chain's order is today.

        Args:
            payload: as stored.
            context: where it stands.

        Returns:
            A JSON document.

        Raises:
            CodecError: a codec or a key is missing, or the payload is damaged.
        """
        if payload[:1] != MARK:
            return payload if self._accept_plain else self._refuse_plain(context)
        for _ in range(CODECS_MAX):
            payload = self._codec_of(payload, context).decode(payload, context)
            if payload[:1] != MARK:
                return payload
        raise CodecError(
            f"{place(context)} is wrapped more than {CODECS_MAX} times; it is no payload of ours"
        )

    def _codec_of(self, payload: bytes, context: CodecContext) -> Codec:
        number = payload[1] if len(payload) > 1 else 0
        codec = self._by_number.get(number)
        if codec is None:
            name = {1: "Compression()", 2: "Encryption(...)"}.get(number, "one of your own")
            raise CodecError(
                f"{place(context)} is encoded with codec {number}, which this runtime was not given;"
                f" add {name} to codecs="
            )
        return codec

    @staticmethod
    def _refuse_plain(context: CodecContext) -> bytes:
        raise CodecError(
            f"{place(context)} is not encoded, and this runtime takes only encoded payloads"
            " (accept_plain=False): it was written before codecs were switched on, or by somebody else"
        )


def place(context: CodecContext) -> str:
    """Say where a payload stands, as the beginning of a sentence.

    Args:
        context: where.

    Returns:
        The words.
    """
    return f"the payload of workflow {context.origin_workflow_id!r}, seq {context.seq},"
