"""A file's format is told by its bytes, then by its name."""

from __future__ import annotations

import gzip

import pytest
from format_samples import ORDER, history, history_event, read, written, xes

from treadle import formats
from treadle.errors import FormatError, InvalidValueError
from treadle.formats.sources import ending, stem

SAMPLES = {
    "xes": xes(ORDER),
    "jsonl": written("jsonl", read(xes(ORDER))),
    "history": history([history_event(1)]),
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("source", ["upload", "upload.dat", "x.gz", "-"])
def test_a_sure_sign_needs_no_name(name, source):
    assert formats.detect(source, SAMPLES[name]).name == name


@pytest.mark.parametrize(
    ("source", "first", "name"),
    [
        ("a.xes", b"nothing known", "xes"),
        ("a.XES.GZ", b"nothing known", "xes"),
        ("a.jsonl", b'{"line" : "log"', "jsonl"),
        ("a.ndjson", b"{", "jsonl"),
        ("a.json", b"{", "history"),
        ("a.json", b'{"line":"log"', "jsonl"),
        ("a.json", b" \n <log>", "xes"),
        ("a.jsonl", "<".encode("utf-16"), "xes"),
        ("a", b" [", "history"),
    ],
)
def test_bytes_come_before_names_and_names_before_guesses(source, first, name):
    assert formats.detect(source, first).name == name


def test_an_unknown_file_is_refused_with_what_is_known():
    with pytest.raises(FormatError) as caught:
        read(b"SQLite format 3\0", "orders.db")

    assert str(caught.value) == (
        "orders.db: a file to import is one of jsonl (.jsonl, .ndjson), xes (.xes, .xml), history (.json),"
        " got bytes that begin with b'SQLite forma'; name its format (--format on the command line)"
    )


@pytest.mark.parametrize("data", [b"", b" \n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_refused(data):
    with pytest.raises(FormatError, match=r"^a\.xes: a file to import has content, this one is empty"):
        read(data, "a.xes")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_format_can_be_named_and_the_file_be_packed(name):
    data = SAMPLES[name]

    assert read(data) == read(gzip.compress(data, mtime=0), "some.bin.gz", step=3, format_name=name)


def test_an_unknown_format_is_refused():
    with pytest.raises(InvalidValueError, match="a format is one of jsonl, xes, history, got 'csv'"):
        read(b"a", format_name="csv")


def test_a_format_that_is_only_read_has_no_writer():
    with pytest.raises(InvalidValueError, match="logs are written as jsonl, xes; history is only read"):
        formats.writer("history")


@pytest.mark.parametrize("name", formats.FORMATS)
def test_every_row_of_the_table_keeps_the_contract(name):
    row = formats.FORMATS[name]

    assert row.name == name
    assert callable(row.module.read)
    assert row.writable == (name != "history")
    assert row.names_logs == (name != "history")
    assert all(end.startswith(".") and end == end.lower() for end in row.endings)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a/b.c/orders.json", ("orders", ".json")),
        ("orders.xes.gz", ("orders", ".xes")),
        (r"C:\logs\Orders.JSON.GZ", ("Orders", ".json")),
        ("v1.2.history.json", ("v1.2.history", ".json")),
        ("orders", ("orders", "")),
        (".hidden", (".hidden", "")),
        ("-", ("-", "")),
    ],
)
def test_a_name_has_a_stem_and_an_ending(source, expected):
    assert expected == (stem(source), ending(source))
