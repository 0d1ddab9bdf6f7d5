"""How arms are told to people."""

from __future__ import annotations

from typing import Final

from treadle.cli.output import counted
from treadle.engine.learning import ArmReport

SECOND_NS: Final = 1_000_000_000


def delay_text(arm: ArmReport) -> str:
    """Word an arm's wait.

    Args:
        arm: the arm.

    Returns:
        As ``2.5 s``; ``at once`` for none.
    """
    return f"{arm.delay_ns / SECOND_NS:g} s" if arm.delay_ns else "at once"


def arm_text(arm: ArmReport) -> str:
    """Word an arm within its activity and key.

    Args:
        arm: the arm.

    Returns:
        As ``backup, 2.5 s after 1 failure``.
    """
    after = f" after {counted(arm.failed, 'failure')}" if arm.failed else ""
    return ", ".join(filter(None, (arm.route, f"{delay_text(arm)}{after}")))
