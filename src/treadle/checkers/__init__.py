"""Promises, held against plain records: one file for each. Pure, and apart from the code they check.

Every checker takes records from wherever they came (a store, a file, a wire), believes nothing, and
returns what it found as `Violation` values; an empty list means the promise holds.

Some take one log's events (`gap_free`, `chain` ...). Others take a `History`: what clients did and saw, with
times, and what the logs hold at the end.
"""

from treadle.checkers.acknowledged_once import acknowledged_once
from treadle.checkers.chain import ChainRow, chain
from treadle.checkers.gap_free import gap_free
from treadle.checkers.isolation import isolation
from treadle.checkers.linearizable import linearizable
from treadle.checkers.operations import (
    Crash,
    History,
    MisfitError,
    Observed,
    Operation,
    Quarantine,
    Read,
    Write,
)
from treadle.checkers.recorded import HistoryReader, history_lines, operation_line, read_history
from treadle.checkers.replay_equals_live import replay_equals_live
from treadle.checkers.serializable import serializable
from treadle.checkers.violation import VIOLATIONS_MAX, Violation

__all__ = [
    "VIOLATIONS_MAX",
    "ChainRow",
    "Crash",
    "History",
    "HistoryReader",
    "MisfitError",
    "Observed",
    "Operation",
    "Quarantine",
    "Read",
    "Violation",
    "Write",
    "acknowledged_once",
    "chain",
    "gap_free",
    "history_lines",
    "isolation",
    "linearizable",
    "operation_line",
    "read_history",
    "replay_equals_live",
    "serializable",
]
