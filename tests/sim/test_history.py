"""The recorder: what happened, one line for each thing, the same bytes for the same things."""

import hashlib
import json

import pytest

from treadle.sim import history
from treadle.sim.history import HISTORY_VERSION, Recorder


def test_lines_are_json_with_their_keys_as_they_were_given():
    """The first key of a line tells what kind of line it is."""
    recorder = Recorder({"seed": 1, "code": "x"})
    recorder.write({"b": 1, "a": {"d": 1, "c": [True, None, "é"]}})

    assert [
        ["history", "seed", "code"],
        ["b", "a"],
    ] == [list(json.loads(line)) for line in recorder.text().splitlines()]
    assert {"history": HISTORY_VERSION, "seed": 1, "code": "x"} == json.loads(recorder.lines[0])
    assert {"b": 1, "a": {"d": 1, "c": [True, None, "é"]}} == json.loads(recorder.lines[1])


def test_the_digest_is_that_of_the_bytes():
    recorder = Recorder({})
    for number in range(10):
        recorder.write({"n": number})

    assert hashlib.blake2b(recorder.text(), digest_size=16).hexdigest() == recorder.digest


def test_a_moment_is_never_given_twice():
    recorder = Recorder({})

    assert [1, 2, 3] == [recorder.now() for _ in range(3)]


def test_what_is_too_long_to_be_kept_still_counts(monkeypatch):
    monkeypatch.setattr(history, "LINES_MAX", 3)
    long, longer = Recorder({}), Recorder({})
    for number in range(5):
        long.write({"n": number})
        longer.write({"n": number})
    longer.write({"n": 5})

    assert (3, 6) == (len(long.lines), long.count)
    assert long.lines == longer.lines
    assert long.digest != longer.digest


@pytest.mark.parametrize("value", [object(), 1 + 2j])
def test_what_is_no_plain_value_is_refused(value):
    with pytest.raises(TypeError):
        Recorder({}).write({"x": value})


def test_what_has_happened_is_told_apart_from_what_a_run_is_made_of():
    """Plans that have led to the same so far are the same to whoever searches orders."""
    one, other = Recorder({"seed": 1}), Recorder({"seed": 2})
    assert one.happened == other.happened
    for recorder in (one, other):
        recorder.write({"note": "asked"})

    assert one.happened == other.happened != Recorder({"seed": 1}).happened
    assert one.digest != other.digest
