"""Retries that learn: arms, experience as a fold of attempts' ends, and the choice of the next attempt. Pure.

What an attempt was made with, and how it has ended, stands in the events of its workflow; `Experience` folds
them. A choice is drawn once and written down, so a replay asks neither experience nor chance.
"""

from treadle.engine.learning.arms import Arm, Choice, Trial
from treadle.engine.learning.beta import density, interval
from treadle.engine.learning.choosing import (
    NOTHING_KNOWN,
    Known,
    Standing,
    belief,
    choose,
    stream_of,
)
from treadle.engine.learning.experience import Experience, Lesson, learn
from treadle.engine.learning.folding import SUCCESS_BY_KIND, Experiences, trial_in
from treadle.engine.learning.policy import AdaptivePolicy
from treadle.engine.learning.telling import ArmReport, told

__all__ = [
    "NOTHING_KNOWN",
    "SUCCESS_BY_KIND",
    "AdaptivePolicy",
    "Arm",
    "ArmReport",
    "Choice",
    "Experience",
    "Experiences",
    "Known",
    "Lesson",
    "Standing",
    "Trial",
    "belief",
    "choose",
    "density",
    "interval",
    "learn",
    "stream_of",
    "told",
    "trial_in",
]
