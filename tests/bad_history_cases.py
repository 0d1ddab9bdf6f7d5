"""Cases of bad input about recorded histories, for `test_bad_input.py`. Nothing is ever written."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from treadle import TreadleError
from treadle.checkers import check_history, read_history

Case = Callable[[Path], Awaitable[list[TreadleError]]]
CASES: dict[str, Case] = {}

FIRST = {
    "op": 1,
    "client": "ann",
    "begin": 1,
    "end": 2,
    "outcome": "ok",
    "writes": [{"workflow": "a", "marks": ["x"], "seq": 1}],
}
SECOND = {"op": 2, "client": "bob", "begin": 3, "end": 4, "outcome": "ok"}
LOG = {"log": "a", "marks": ["x"]}


def recorded(name: str, *lines: bytes | dict[str, Any]) -> None:
    """A case about a file of these lines."""

    async def run(folder: Path) -> list[TreadleError]:
        content = b"\n".join(json.dumps(line).encode() if isinstance(line, dict) else line for line in lines)
        (folder / "history.jsonl").write_bytes(content)
        with pytest.raises(TreadleError) as caught:
            check_history(read_history(content.splitlines(), source="history.jsonl"))

        assert (folder / "history.jsonl").read_bytes() == content
        return [caught.value]

    CASES[name] = run


def writing(*writes: dict[str, Any]) -> dict[str, Any]:
    return {**SECOND, "writes": list(writes)}


recorded("recorded-no-json", FIRST, LOG, SECOND, b"op 17")
recorded("recorded-cut-short", FIRST, LOG, SECOND, json.dumps({**SECOND, "op": 3}).encode()[:-9])
recorded("recorded-without-logs", LOG, FIRST, writing({"workflow": "b", "marks": ["y"]}))
recorded("recorded-with-another-field", FIRST, LOG, {**SECOND, "write": []})
recorded("recorded-time-as-float", FIRST, LOG, {**SECOND, "begin": 3.5})
recorded("recorded-end-before-begin", FIRST, LOG, {**SECOND, "begin": 5})
recorded("recorded-answered-never", FIRST, LOG, {**SECOND, "end": None})
recorded("recorded-number-twice", FIRST, LOG, {**SECOND, "op": 1})
recorded(
    "recorded-mark-twice", FIRST, LOG, writing({"workflow": "b", "marks": ["x"]}), {"log": "b", "marks": []}
)
recorded("recorded-log-twice", FIRST, LOG, LOG)
recorded(
    "recorded-log-written-twice",
    FIRST,
    LOG,
    writing({"workflow": "a", "marks": ["y"]}, {"workflow": "a", "marks": ["z"]}),
)
recorded("recorded-newer", {"history": 2}, FIRST, LOG)
recorded("recorded-nothing", {"history": 1}, {"note": "nothing happened"})


async def checker_unknown(_: Path) -> list[TreadleError]:
    """A name that is nearly right."""
    history = read_history([json.dumps(line).encode() for line in (FIRST, LOG)])
    with pytest.raises(TreadleError) as caught:
        check_history(history, ["isolation", "linearisable"])
    return [caught.value]


CASES["checker-unknown"] = checker_unknown
