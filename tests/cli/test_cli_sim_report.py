"""`treadle sim report`: a world that is run now, one that was saved, and what cannot be asked for."""

import json

import pytest

from treadle.cli import main

RUN = ("workflows", "--seed", "7", "--workflows", "5", "--faults", "none")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_saved_history_tells_the_same_as_the_run(capsys):
    assert main(["sim", "report", *RUN, "--history", "h.jsonl", "-o", "json"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert main(["sim", "report", "h.jsonl", "-o", "json"]) == 0
    saved = json.loads(capsys.readouterr().out)

    assert {**run, "reproduce": None} == saved
    assert run["begun"] >= 5
    assert "curve" not in run["latency"]
    assert run["activities"][0]["pieces"]["work"] > 0


def test_the_table_has_percentiles_and_the_picture_is_there(tmp_path, capsys):
    assert main(["sim", "report", *RUN, "--plot", "size.svg", "--activities", "1"]) == 0
    told = capsys.readouterr().out

    assert "p50" in told
    assert "1 may, reached for" in told
    assert (tmp_path / "size.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["sim", "report", "h.jsonl"], 3, "h.jsonl"),
        (["sim", "report", "h.jsonl", "--seed", "3"], 2, "says seed and plan itself"),
        (["sim", "report", "--plot", "size.pdf"], 2, "a picture is a .png or an .svg"),
        (["sim", "report", "workflow"], 2, "did you mean 'workflows'"),
        (["sim", "report", "--arrivals", "often"], 2, "exponential"),
        (["sim", "report", "--activities", "-1"], 2, "activities_max is a whole number"),
    ],
)
def test_what_cannot_be_asked_for_is_told(words, code, says, capsys):
    assert main(words) == code
    told = capsys.readouterr()

    assert says in told.err
    assert told.out == ""
