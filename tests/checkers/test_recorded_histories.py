"""Recorded histories are read as they were written, and a bad line is named."""

import json

import pytest
from hypothesis import given
from planted import branched, cut, op, saw, told, wrote
from small_histories import histories

from treadle.checkers import (
    Crash,
    History,
    HistoryReader,
    Observed,
    Operation,
    Quarantine,
    Read,
    Write,
    history_lines,
    operation_line,
    read_history,
)
from treadle.errors import FormatError

OPERATION = {"op": 1, "client": "c", "begin": 1, "end": 2, "outcome": "ok"}


def lines(*records):
    return [json.dumps(record).encode() for record in records]


@given(histories())
def test_what_is_written_is_read_again(history):
    assert history == read_history(history_lines(history))


def test_all_parts_are_written_and_read_again():
    history = History(
        (
            op(0, 1, wrote("a", "12", 1), saw("b", "", 3)),
            op(0, None, outcome="unknown", error="Cancelled"),
            op(2, 3, branched("b", "a", 1, "B"), cut("a", 2), told("a", 2)),
        ),
        {"a": "12", "ü": (), "b": "1B"},
        (Observed("f", "a", 2, ("2",)),),
        (Quarantine("a", 1), Quarantine("a", 2, 3)),
        (Crash("a", 0),),
        {"a": 2},
    )

    assert history == read_history(history_lines(history), source="x.jsonl")


def test_the_documented_lines_are_read():
    history = read_history(
        [
            b'{"history": 1, "clock": "ns"}\n',
            b"".join(
                (
                    b'{"op": 17, "client": "c3", "begin": 40, "end": 44, "outcome": "ok", "reads": [',
                    b'{"workflow": "a", "from": 1, "marks": ["c1.0", "c2.3"]},',
                    b'{"workflow": "b", "next_seq": 5}],',
                    b' "writes": [{"workflow": "a", "marks": ["c3.7"], "seq": null}]}',
                )
            ),
            b"\n",
            b'  {"log": "a", "marks": []}',
            b'{"fault": "crash", "at": 3}',
        ]
    )

    assert (
        Operation(
            17,
            "c3",
            40,
            44,
            "ok",
            (Read("a", ("c1.0", "c2.3")), Read("b", next_seq=5)),
            (Write("a", ("c3.7",)),),
        ),
    ) == history.operations


def test_lines_of_other_kinds_are_passed_over_and_counted():
    reader = HistoryReader()
    for line in lines(OPERATION, {"fault": 1, "at": 3}, {"note": []}, {"fault": {"deep": [1]}}):
        reader.take(line)

    assert {"fault": 2, "note": 1} == reader.passed_over
    assert 1 == len(reader.finish().operations)


def test_a_mark_is_held_once_however_often_it_comes():
    """Reads repeat the log, and a million of them have to fit into memory."""
    read = {**OPERATION, "op": 2, "reads": [{"workflow": "a", "marks": ["some mark"]}]}
    write = {**OPERATION, "writes": [{"workflow": "a", "marks": ["some mark"]}]}

    history = read_history(lines(write, read, {"log": "a", "marks": ["some mark"]}))

    wrote_it, saw_it = history.operations
    assert wrote_it.writes[0].marks[0] is saw_it.reads[0].marks[0] is history.logs["a"][0]


def test_one_operation_is_one_line():
    written = operation_line(op(0, None, outcome="unknown"))

    assert written.endswith(b"\n")
    assert {"begin", "client", "end", "op", "outcome"} == set(json.loads(written))


BAD = {
    "no JSON": (b"op 17", "a JSON object whose first key says what it is, got 'op 17'"),
    "a list": (b'["op"]', "a JSON object whose first key"),
    "an empty object": (b"{}", "a JSON object whose first key"),
    "cut": (json.dumps(OPERATION).encode()[:-3], "truncated; was the file cut short"),
    "something behind it": (json.dumps(OPERATION).encode() + b"}", "a line of 'op' has another form"),
    "cut, of another kind": (b'{"note": "x', "a line of 'note' has another form"),
    "no UTF-8": (b'{"log": "\xff", "marks": []}', "a line of 'log' has another form"),
    "a key misspelt": (lines({**OPERATION, "write": []})[0], "unknown field `write`"),
    "a key left out": (lines({"op": 1, "client": "c"})[0], "missing required field `begin`"),
    "a time as text": (lines({**OPERATION, "begin": "1"})[0], "Expected `int`, got `str` - at `$.begin`"),
    "a time as a float": (lines({**OPERATION, "end": 1.0})[0], "Expected `int | null`, got `float`"),
    "an outcome of its own": (lines({**OPERATION, "outcome": "failed"})[0], "Invalid enum value 'failed'"),
    "a seq of 0": (
        lines({**OPERATION, "writes": [{"workflow": "a", "marks": ["x"], "seq": 0}]})[0],
        "Expected `int` >= 1 - at `$.writes[0].seq`",
    ),
    "a number for a mark": (lines({"log": "b", "marks": [1]})[0], "Expected `str`, got `int`"),
    "a newer format": (b'{"history": 2}', "reads version 1, got 2; use a newer treadle"),
    "end before begin": (lines({**OPERATION, "begin": 3})[0], "got begin 3 and end 2"),
    "a number twice": (lines({**OPERATION, "op": 0})[0], "each operation has its own number, got 0 twice"),
    "a log twice": (b'{"log": "a", "marks": []}', "each log is told once, got 'a' at line 2 and again"),
    "a mark twice": (
        lines({**OPERATION, "writes": [{"workflow": "a", "marks": ["0"]}]})[0],
        "each mark is written once, got '0' again",
    ),
    "a log that is not told": (
        lines({**OPERATION, "writes": [{"workflow": "b", "marks": ["x"]}]})[0],
        "got none for 'b'; was the history cut short?",
    ),
    "a follower from 0": (lines({"follower": "f", "workflow": "a", "from": 0, "marks": []})[0], ">= 1"),
    "a quarantine backwards": (lines({"quarantine": "a", "begin": 2, "end": 1})[0], "got begin 2 and end 1"),
    "a crash of nobody": (lines({"crash": "", "at": 2})[0], "got an empty string"),
    "a branch of itself": (
        lines({**OPERATION, "branches": [{"workflow": "a", "parent": "a", "at": 1, "mark": "b"}]})[0],
        "a log is no branch of itself, got 'a' twice",
    ),
    "a branch at 0": (
        lines({**OPERATION, "branches": [{"workflow": "b", "parent": "a", "at": 0, "mark": "b"}]})[0],
        "Expected `int` >= 1 - at `$.branches[0].at`",
    ),
    "a branch that is written to as well": (
        lines(
            {
                **OPERATION,
                "outcome": "refused",
                "branches": [{"workflow": "b", "parent": "a", "at": 1, "mark": "b"}],
                "writes": [{"workflow": "b", "marks": ["c"]}],
            }
        )[0],
        "an operation writes to each log once, got 'b' twice",
    ),
    "a branch that is not told": (
        lines({**OPERATION, "branches": [{"workflow": "b", "parent": "a", "at": 1, "mark": "b"}]})[0],
        "got none for 'b'; was the history cut short?",
    ),
    "a cut without a seq": (
        lines({**OPERATION, "cuts": [{"workflow": "a"}]})[0],
        "missing required field `from` - at `$.cuts[0]`",
    ),
    "kept from behind its end": (
        lines({"log": "b", "marks": ["1"], "kept": 3})[0],
        "begins at most behind its 1 events, got 3 for 'b'",
    ),
    "nested without end": (b'{"note": ' + b"[" * 100_000, "a line of 'note' has another form"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_named_by_its_number(name):
    line, says = BAD[name]
    good = {**OPERATION, "op": 0, "writes": [{"workflow": "a", "marks": ["0"]}]}
    before = [*lines(good, {"log": "a", "marks": ["0"]}), b""]

    with pytest.raises(FormatError) as caught:
        read_history([*before, line, *lines({"note": "behind it"})], source="x.jsonl")

    assert 4 == caught.value.line
    assert str(caught.value).startswith("x.jsonl:4: ")
    assert says in str(caught.value)


@pytest.mark.parametrize("record", [{"history": 1}, {"note": "x"}, {"quarantine": "a", "begin": 1}])
def test_a_file_with_nothing_to_check_is_not_taken_for_a_good_one(record):
    with pytest.raises(FormatError, match="got none; is it another file") as caught:
        read_history(lines(record))

    assert caught.value.line is None
