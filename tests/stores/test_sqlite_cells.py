"""Pages read without SQLite hold what SQLite has put there, whatever it is and however long."""

from __future__ import annotations

import apsw
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle.stores.sqlite.salvaging.cells import Cell, cells

integers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    (0, 1, -1, 127, 128, -129, 2**15, 2**23, 2**31, 2**47)
)
values = st.none() | integers | st.text(max_size=40) | st.binary(max_size=40)
long_values = st.integers(0, 30_000).map(lambda size: b"\xab" * size)
keys = st.integers(-(2**63), 2**63 - 1)


def pages_of(connection):
    content = connection.serialize("main")
    return {
        number: content[(number - 1) * 512 : number * 512] for number in range(1, len(content) // 512 + 1)
    }


def all_cells(pages):
    return [cell for number, page in pages.items() if number > 1 for cell in cells(page, number, pages.get)]


@settings(max_examples=30, deadline=None)
@given(rows=st.dictionaries(keys, st.tuples(values, values, long_values | values), max_size=12))
def test_every_row_and_every_entry_of_an_index_is_read_as_it_was_written(rows):
    connection = apsw.Connection(":memory:")
    connection.pragma("page_size", 512)
    connection.execute("CREATE TABLE t (key INTEGER PRIMARY KEY, a, b, c); CREATE INDEX by_a ON t (a, c)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [(key, *row) for key, row in rows.items()])
    found = all_cells(pages_of(connection))

    table = {cell.rowid: cell.values for cell in found if cell.rowid is not None}
    assert table == {key: (None, *row) for key, row in rows.items()}
    entries = sorted(repr(cell.values) for cell in found if cell.rowid is None)
    assert entries == sorted(repr((row[0], row[2], key)) for key, row in rows.items())


@settings(max_examples=30, deadline=None)
@given(page=st.binary(min_size=512, max_size=512), kind=st.sampled_from((0x0D, 0x0A, 0x02, 0x05)))
def test_noise_gives_cells_or_nothing_and_never_an_error(page, kind):
    noise = bytes((kind,)) + page[1:]

    assert all(isinstance(cell, Cell) for cell in cells(noise, 2, lambda _: noise))
