"""The promise: what happens in a branch that is only played happens nowhere else, and nobody meets it.

It is in no list, no feed and no replay of all logs, unless somebody asks for it; no child of it is born, and
no signal of it arrives.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from treadle.checkers.violation import Findings, Violation


def unseen(played: Collection[str], shown: Iterable[tuple[str, str]]) -> list[Violation]:
    """Check that nothing which was shown is that of a branch that is only played.

    Args:
        played: all such branches.
        shown: what somebody has met, and where: a workflow's id, and such as ``"the feed"``.

    Returns:
        A violation for each branch, and each child of one, and where it was met.
    """
    findings = Findings("shown")
    for name, where in dict.fromkeys(shown):
        if name.partition("/")[0] in played:
            findings.add(name, None, f"it is only played, and was met in {where}")
    return findings.violations
