"""Promises, held against plain records: one file for each. Pure, and apart from the code they check.

Every checker takes records from wherever they came (a store, a file, a wire), believes nothing, and
returns what it found as `Violation` values; an empty list means the promise holds.

Some take one log's events (`gap_free`, `chain` ...). Others take a `History`: what clients did and saw, with
times, and what the logs hold at the end. `check_history` runs all of these, or some by name.
"""

from treadle.checkers.acknowledged_once import acknowledged_once, acknowledged_once_in
from treadle.checkers.branches import branches
from treadle.checkers.chain import ChainRow, chain
from treadle.checkers.followed_order import followed_order
from treadle.checkers.gap_free import gap_free
from treadle.checkers.histories import HISTORY_CHECKERS, HistoryChecker, check_history, known_checkers
from treadle.checkers.isolation import isolation, isolation_in
from treadle.checkers.linearizable import linearizable
from treadle.checkers.operations import (
    Branching,
    Crash,
    Cutting,
    History,
    Kept,
    MisfitError,
    Observed,
    Operation,
    Quarantine,
    Read,
    Write,
)
from treadle.checkers.quarantine import quarantine
from treadle.checkers.recorded import HistoryReader, history_lines, operation_line, read_history
from treadle.checkers.replay_equals_live import replay_equals_live
from treadle.checkers.retention import retention
from treadle.checkers.serializable import serializable
from treadle.checkers.transactions import transactions
from treadle.checkers.unacknowledged_once import unacknowledged_once
from treadle.checkers.unshared import unshared
from treadle.checkers.violation import VIOLATIONS_MAX, Violation

__all__ = [
    "HISTORY_CHECKERS",
    "VIOLATIONS_MAX",
    "Branching",
    "ChainRow",
    "Crash",
    "Cutting",
    "History",
    "HistoryChecker",
    "HistoryReader",
    "Kept",
    "MisfitError",
    "Observed",
    "Operation",
    "Quarantine",
    "Read",
    "Violation",
    "Write",
    "acknowledged_once",
    "acknowledged_once_in",
    "branches",
    "chain",
    "check_history",
    "followed_order",
    "gap_free",
    "history_lines",
    "isolation",
    "isolation_in",
    "known_checkers",
    "linearizable",
    "operation_line",
    "quarantine",
    "read_history",
    "replay_equals_live",
    "retention",
    "serializable",
    "transactions",
    "unacknowledged_once",
    "unshared",
]
