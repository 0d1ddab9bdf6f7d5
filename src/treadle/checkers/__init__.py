"""Promises, held against plain records: one file for each. Pure, and apart from the code they check.

Every checker takes records from wherever they came (a store, a file, a wire), believes nothing, and
returns what it found as `Violation` values; an empty list means the promise holds.
"""

from treadle.checkers.acknowledged_once import acknowledged_once
from treadle.checkers.chain import ChainRow, chain
from treadle.checkers.gap_free import gap_free
from treadle.checkers.isolation import isolation
from treadle.checkers.replay_equals_live import replay_equals_live
from treadle.checkers.violation import VIOLATIONS_MAX, Violation

__all__ = [
    "VIOLATIONS_MAX",
    "ChainRow",
    "Violation",
    "acknowledged_once",
    "chain",
    "gap_free",
    "isolation",
    "replay_equals_live",
]
