"""Lines that are kept compressed: nobody can tell them from a list of the same lines."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import InternalError
from treadle.sim import lines as module
from treadle.sim.lines import Lines
from treadle.sim.reporting import report

LINE = st.binary(max_size=20).map(lambda line: line.replace(b"\n", b""))


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_LINES", 4)
        yield


@given(st.lists(LINE, max_size=20), st.data())
def test_lines_are_read_as_from_a_list(flat, data):
    """Length, order, each place from both ends, slices, membership: block-wise is flat."""
    lines = Lines(flat)

    assert (len(flat), flat) == (len(lines), list(lines))
    assert lines == flat
    assert Lines(flat) == lines
    assert [flat[place] for place in range(-len(flat), len(flat))] == [
        lines[place] for place in range(-len(flat), len(flat))
    ]
    places = data.draw(st.slices(len(flat)))
    assert flat[places] == lines[places]
    line = data.draw(LINE)
    assert (line in flat) == (line in lines)
    assert list(reversed(flat)) == list(reversed(lines))


@given(st.lists(LINE, max_size=20), st.lists(LINE, max_size=20))
def test_lines_are_equal_when_their_lists_are(one, other):
    assert (one == other) == (Lines(one) == Lines(other)) == (Lines(one) == other)


@given(st.lists(LINE, max_size=12))
def test_lines_may_grow_between_reads(flat):
    lines = Lines()
    for count, line in enumerate(flat, 1):
        lines.append(line)

        assert flat[:count] == list(lines)
        assert (flat[0], line) == (lines[0], lines[-1])


def test_lines_can_be_copied_and_sent_to_another_process():
    lines = Lines([b"%d" % number for number in range(10)])

    assert lines == copy.deepcopy(lines) == pickle.loads(pickle.dumps(lines))  # noqa: S301  # our own


@pytest.mark.parametrize("place", [6, -7])
def test_a_place_outside_is_told_with_how_many_there_are(place):
    with pytest.raises(IndexError, match=f"one of 6 lines, got {place}"):
        Lines([b"x"] * 6)[place]


def test_a_line_with_an_end_inside_is_refused():
    """It would come back as two."""
    with pytest.raises(InternalError, match="an end inside"):
        Lines([b"a", b"b\nb", b"c", b"d"])


def test_lines_are_neither_a_number_nor_hashable():
    lines = Lines([b"a"])

    assert lines != 7
    assert "<1 lines>" == repr(lines)
    with pytest.raises(TypeError):
        hash(lines)


def test_a_report_of_packed_lines_is_that_of_the_list():
    """A report walks once through whatever it is given; a stream that can be walked once is enough."""
    flat = [
        b'{"history":1}',
        b'{"limits":{"activities_max":2,"processes":1}}',
        b'{"life":"p0.1","begins":1,"at":0}',
        *(
            b'{"wrote":"g%d","at":%d,"begins":true,"scheduled":[[2,"work"]]}' % (number, number)
            for number in range(9)
        ),
        *(
            b'{"attempt":1,"workflow":"g%d","seq":2,"activity":"work","begins":%d,"ends":%d,"how":"ok"}'
            % (number, number + 1, number + 5)
            for number in range(9)
        ),
        *(
            b'{"wrote":"g%d","at":%d,"ended":[[2,"completed"]],"over":"completed"}' % (number, number + 7)
            for number in range(9)
        ),
        b'{"ends":99,"decisions":5,"violations":0}',
    ]

    assert 9 == report(flat).begun
    assert report(flat) == report(Lines(flat)) == report(iter(flat))
