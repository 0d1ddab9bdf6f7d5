"""Checksums of the rows that no digest chain covers: records, messages, head facts, beginnings, the epoch."""

from __future__ import annotations

from hashlib import blake2b

CHECKSUM_SIZE_BYTES = 8
"""Against flipped bits, not against forgers: 64 bits are plenty for rows that are few."""


def checksum(*fields: str | bytes | int | None) -> bytes:
    """Sum a row up.

    Args:
        *fields: its values, in the order of its columns.

    Returns:
        8 bytes that differ when any field does, or when bytes move from one field to the next. A value of a
        subclass (an IntEnum's) gives what SQLite will give back for it: the plain one.
    """
    summed = blake2b(digest_size=CHECKSUM_SIZE_BYTES)
    for field in fields:
        if isinstance(field, str):
            letter, content = b"s", field.encode()
        elif isinstance(field, bytes):
            letter, content = b"b", field
        elif field is None:
            letter, content = b"N", b""
        else:
            letter, content = b"i", b"%d" % field
        summed.update(b"%c%d:" % (letter, len(content)))
        summed.update(content)
    return summed.digest()


def beginning_sum(name: str, *fields: str | bytes | int | None) -> bytes:
    """Sum a row of `beginnings` up, and beside it the name of its log.

    The digests of a log that begins in the middle do not begin with its name, so nothing else would tell
    which of the name's two copies, in the table and in its index, a flipped bit has changed.

    Args:
        name: the log's id.
        *fields: the row's values.

    Returns:
        The row's checksum, and the name's.
    """
    return checksum(*fields) + checksum(name)


def fits_beginning(stored: object, *fields: str | bytes | int | None) -> bool:
    """Hold a row of `beginnings` against its sum, whatever its log's name is.

    Args:
        stored: the sum.
        *fields: the row's values.

    Returns:
        Whether the values are those that were written.
    """
    return type(stored) is bytes and stored[:CHECKSUM_SIZE_BYTES] == checksum(*fields)


def fits_name(stored: bytes, name: str) -> bool:
    """Hold a log's name against the sum of its row in `beginnings`.

    Args:
        stored: the sum.
        name: the name.

    Returns:
        Whether the name is the one that was written; also when an earlier treadle has left it out of the sum.
    """
    return stored[CHECKSUM_SIZE_BYTES:] in {b"", checksum(name)}


def epoch_sum(epoch: int) -> int:
    """Sum the runner's epoch up, as a number: a flipped bit in it would let an older runner write.

    Args:
        epoch: the epoch.

    Returns:
        A signed 64-bit number.
    """
    return int.from_bytes(checksum("epoch", epoch), signed=True)
