"""The promise: a signal comes to the code once, if it was taken; one in a transaction if that was.

What is looked at is what the code has seen, through every run, reset and branch, because a log may have
lost its beginning by then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from treadle.checkers.durable import Sent
from treadle.checkers.violation import Findings, Violation


def delivered_once(
    name: str,
    found: Sequence[str],
    sent: Iterable[Sent],
    logs: Mapping[str, Collection[str]],
    *,
    may_lack: Collection[str] = (),
    family: Collection[str] = (),
) -> list[Violation]:
    """Hold the signals that a workflow's code has seen against those that were sent.

    Args:
        name: the workflow; it takes signals to its very end.
        found: the marks of all signals that its code has seen, in order.
        sent: all that anybody has sent to anybody.
        logs: for each plain log that transactions append to, the marks that stand in it.
        may_lack: marks that were taken and need not have come: resets have abandoned them for good.
        family: whose signals it may have seen besides its own: those of which it is a branch.

    Returns:
        A violation for each mark that has come twice, to somebody else, or though it was refused; and for
        each that was taken and has not come.
    """
    findings = Findings("delivered_once")
    seen: set[str] = set()
    for mark in found:
        if mark in seen:
            findings.add(name, None, f"the code has seen signal {mark!r} twice")
        seen.add(mark)
    for one in sent:
        taken = one.mark in logs.get(one.log, ()) if one.log else one.outcome == "ok"
        possible = taken if one.log else one.outcome != "refused"
        if one.mark in seen and not possible:
            why = "of a transaction that was not taken" if one.log else "that was refused"
            findings.add(name, None, f"the code has seen signal {one.mark!r} {why}")
        if one.mark in seen and one.to != name and one.to not in family:
            findings.add(name, None, f"the code has seen signal {one.mark!r}, which was sent to {one.to!r}")
        if one.to == name and taken and one.mark not in seen and one.mark not in may_lack:
            how = f"with what stands in {one.log!r}" if one.log else "by itself"
            findings.add(name, None, f"signal {one.mark!r} was taken, {how}, and the code has not seen it")
    return findings.violations
