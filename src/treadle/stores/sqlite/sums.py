"""Checksums of the rows that no digest chain covers: records, messages, head facts, the epoch."""

from __future__ import annotations

from hashlib import blake2b

CHECKSUM_SIZE_BYTES = 8
"""Against flipped bits, not against forgers: 64 bits are plenty for rows that are few."""


def checksum(*fields: str | bytes | int | None) -> bytes:
    """Sum a row up.

    Args:
        *fields: its values, in the order of its columns.

    Returns:
        8 bytes that differ when any field does, or when bytes move from one field to the next.
    """
    summed = blake2b(digest_size=CHECKSUM_SIZE_BYTES)
    for field in fields:
        content = field if isinstance(field, bytes) else b"" if field is None else str(field).encode()
        summed.update(b"%c%d:" % (type(field).__name__.encode()[:1], len(content)))
        summed.update(content)
    return summed.digest()


def epoch_sum(epoch: int) -> int:
    """Sum the runner's epoch up, as a number: a flipped bit in it would let an older runner write.

    Args:
        epoch: the epoch.

    Returns:
        A signed 64-bit number.
    """
    return int.from_bytes(checksum("epoch", epoch), signed=True)
