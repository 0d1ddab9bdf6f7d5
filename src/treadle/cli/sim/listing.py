"""`treadle sim faults`: what a world may do to a program, and why that must be survived."""

from __future__ import annotations

from typing import Final

from treadle.cli.options import OutputOption
from treadle.cli.output import Column, Rows
from treadle.sim.faults import FAULTS

FAULTS_EXAMPLES: Final = """Examples:

  treadle sim faults
  treadle sim faults -o jsonl
  treadle sim run --faults crash=60000 unknown_written
"""
_COLUMNS: Final = (
    Column("fault", 18),
    Column("rate", 7, right=True),
    Column("of 1,000", 8),
    Column("what happens, and why it must be survived", whole=True),
)


def faults(*, output: OutputOption = "table") -> None:
    """List the faults a world may make: how often if not told, what happens, why it must be survived.

    Args:
        output: how the list is printed.
    """
    with Rows(output, *_COLUMNS) as rows:
        for name, fault in FAULTS.items():
            rows.add(
                {
                    "fault": name,
                    "rate": fault.default,
                    "per": fault.per,
                    "what": fault.what,
                    "reason": fault.reason,
                },
                name,
                f"{fault.default:,}",
                f"{fault.per}s",
                f"{fault.what}: {fault.reason}",
            )
