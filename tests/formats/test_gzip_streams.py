"""gzip comes apart in bounded steps, and a file cut short is told."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from format_samples import ORDER, outcome, read, xes
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.errors import FormatError
from treadle.formats.compression import PIECE_SIZE_BYTES_MAX, decompressed, pieces


def undone(data, step=None):
    step = step or max(len(data), 1)
    return b"".join(decompressed((data[i : i + step] for i in range(0, len(data), step)), source="a.gz"))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=3), st.integers(1, 50), st.integers(0, 3))
def test_members_one_after_the_other_are_one_stream_wherever_it_is_cut(members, step, zeros):
    packed = b"".join(gzip.compress(member) for member in members) + b"\0" * (zeros if members else 0)

    assert b"".join(members) == undone(packed, step)


@settings(deadline=None)
@given(st.binary(max_size=300).filter(lambda data: not data.startswith(b"\x1f\x8b")), st.integers(1, 50))
def test_what_is_not_gzip_passes_unchanged(data, step):
    assert data == undone(data, step)


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 50))
def test_a_gzip_file_cut_anywhere_ends_early(missing, step):
    packed = gzip.compress(xes(ORDER))

    with pytest.raises(FormatError, match=r"^a\.gz: a gzip file ends with its checksum, this one ends early"):
        undone(packed[:-missing], step)


def test_a_cut_gzip_file_gives_no_half_trace():
    packed = gzip.compress(xes(ORDER), compresslevel=0)

    items, error = outcome(packed[: packed.index(b"ship")], "orders.xes.gz")

    assert error is not None
    assert "orders.xes.gz" in error
    assert "ends early" in error
    assert len(items) <= 1


def test_damaged_gzip_is_refused():
    packed = bytearray(gzip.compress(b"a" * 1000))
    packed[-6] ^= 1

    with pytest.raises(FormatError, match="this one is damaged"):
        undone(bytes(packed))


@pytest.mark.parametrize("tail", [b"\x1f", b"x", b"\x1fx", b"\0\0 more"])
def test_something_else_behind_gzip_is_refused(tail):
    with pytest.raises(FormatError, match="holds gzip members alone"):
        undone(gzip.compress(b"a") + tail)


def test_gzip_is_told_by_its_bytes_not_by_its_name():
    data = xes(ORDER)

    assert read(data, "plain.xes.gz") == read(gzip.compress(data), "packed.xes")


def test_a_bomb_is_taken_apart_in_steps():
    """50 MB of zeros in 50 kB never stand in memory at once."""
    packed = gzip.compress(bytes(50_000_000), compresslevel=1)
    tracemalloc.start()
    try:
        longest = max(len(plain) for plain in decompressed([packed], source="bomb.gz"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert longest == PIECE_SIZE_BYTES_MAX
    assert peak < 1_000_000


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=5))
def test_pieces_keep_every_byte(chunks):
    assert b"".join(chunks) == b"".join(pieces(chunks))
