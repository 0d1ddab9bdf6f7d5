"""What the first event of a branch and the event of a reset say: where a log goes on from.

Both are plain JSON whatever codecs a store's payloads go through: they name logs, seqs and digests, which the
store shows anyway, and whoever decodes a shared event must first learn here under which id it was encoded.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from treadle.errors import InvalidValueError

SEED_SIZE_BYTES: Final = 16
"""A seed of its own, so that parent and branch draw different chance from there on."""


class Branched(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of a BRANCHED event, as JSON.

    Attributes:
        parent: the log whose events are shared.
        at: the last shared seq.
        digest: the digest there, in hexadecimal.
        seed: the branch's own, in hexadecimal.
        origin: the log that the event at `at` was written to; empty when it is the parent.
        previous: the seq of the BRANCHED before this one among the shared events, or 0. Events before that
            were written to the log which it names in turn.
    """

    parent: str
    at: int
    digest: str
    seed: str
    origin: str = ""
    previous: int = 0

    @property
    def written_to(self) -> str:
        """The log that the last shared events were written to."""
        return self.origin or self.parent


class Reset(msgspec.Struct, frozen=True, omit_defaults=True):
    """The payload of a RESET event, as JSON.

    Attributes:
        at: the last event that still counts; those between it and this one are abandoned.
        run: the first seq of the run in which the workflow goes on.
        seed: from which chance is derived from here on, in hexadecimal.
        reapply: ``"signals"`` when signals that were abandoned come again, ``"none"`` when nothing does.
    """

    at: int
    run: int
    seed: str
    reapply: str = "signals"


T = TypeVar("T", Branched, Reset)


def encode_branched(branched: Branched) -> bytes:
    """Word where a branch comes from.

    Args:
        branched: the facts.

    Returns:
        The payload.
    """
    return msgspec.json.encode(branched)


def decode_branched(payload: bytes) -> Branched:
    """Read where a branch comes from.

    Args:
        payload: of a BRANCHED event.

    Returns:
        The facts.

    Raises:
        InvalidValueError: it is none of ours.
    """
    return _decoded(payload, Branched)


def encode_reset(reset: Reset) -> bytes:
    """Word where a workflow goes on from.

    Args:
        reset: the facts.

    Returns:
        The payload.
    """
    return msgspec.json.encode(reset)


def decode_reset(payload: bytes) -> Reset:
    """Read where a workflow goes on from.

    Args:
        payload: of a RESET event.

    Returns:
        The facts.

    Raises:
        InvalidValueError: it is none of ours.
    """
    return _decoded(payload, Reset)


def _decoded(payload: bytes, kind: type[T]) -> T:
    try:
        found = msgspec.json.decode(payload, type=kind)
        bytes.fromhex(found.seed)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise InvalidValueError(f"this is no payload of a {kind.__name__.upper()} event: {error}") from error
    return found
