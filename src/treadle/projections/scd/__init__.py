"""Slowly changing dimensions, type 2: what was known of each key, and from when to when it held. Pure.

`dimension` has the meaning of everything in prose; `grains`, `columns` and `facts` read rows, `versions`
folds facts, `states` is what is kept, and `sql` writes the same as queries.
"""

from treadle.projections.scd.columns import Column
from treadle.projections.scd.dimension import Dimension
from treadle.projections.scd.facts import Fact
from treadle.projections.scd.grains import GRAINS, Grain
from treadle.projections.scd.states import DimensionState, Member
from treadle.projections.scd.versions import Version

__all__ = [
    "GRAINS",
    "Column",
    "Dimension",
    "DimensionState",
    "Fact",
    "Grain",
    "Member",
    "Version",
]
