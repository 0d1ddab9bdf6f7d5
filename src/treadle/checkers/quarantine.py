"""The promise: a quarantined actor takes nothing, says so at once, and harms nobody else.

What has to be recorded for it: each quarantine, from when it had surely begun until it was surely still on,
each crash of an actor, and with each refused operation the name of the error it was answered with.
"""

from __future__ import annotations

from typing import Final

from treadle.checkers.operations import Crash, History, Operation, Quarantine
from treadle.checkers.placing import PlacedLog, placed_logs
from treadle.checkers.violation import Findings, Violation
from treadle.errors import WorkflowUnavailableError

UNAVAILABLE: Final = WorkflowUnavailableError.__name__


def quarantine(history: History) -> list[Violation]:
    """Check that quarantines hold, and that nothing leaks out of them.

    Only appends are held back: reads go to the store and need no actor. A caller that left before it was
    answered (an unknown outcome) has learnt nothing, and must not have written anything.

    Args:
        history: what clients did, what the logs hold, and when actors were down.

    Returns:
        A violation for each append within a quarantine that was answered otherwise or is in the log, and for
        each operation that was told of an unavailable actor when none of its own had crashed.
    """
    findings = Findings("quarantine")
    periods: dict[str, list[Quarantine]] = {}
    for period in history.quarantines:
        periods.setdefault(period.workflow, []).append(period)
    down = _first_times(history.crashes, history.quarantines)
    logs = placed_logs(history) if periods else {}
    for operation in history.operations:
        for write in operation.writes:
            if any(_lies_within(operation, period) for period in periods.get(write.workflow, ())):
                _check_held_back(operation, write.workflow, logs, findings)
        if operation.error == UNAVAILABLE:
            _check_own(operation, down, findings)
    return findings.violations


def _first_times(crashes: tuple[Crash, ...], quarantines: tuple[Quarantine, ...]) -> dict[str, int]:
    times = [(crash.workflow, crash.at) for crash in crashes]
    times += [(period.workflow, period.begin) for period in quarantines]
    first: dict[str, int] = {}
    for name, at in times:
        first[name] = min(at, first.get(name, at))
    return first


def _lies_within(operation: Operation, period: Quarantine) -> bool:
    if operation.begin < period.begin:
        return False
    return period.end is None or (operation.end is not None and operation.end <= period.end)


def _check_held_back(operation: Operation, name: str, logs: dict[str, PlacedLog], findings: Findings) -> None:
    if operation.outcome == "ok":
        findings.add(name, None, f"{operation} was acknowledged while the actor was quarantined")
    elif operation.outcome == "refused" and operation.error != UNAVAILABLE:
        answer = operation.error or "an error that was not recorded"
        message = f"{operation} was answered by {answer} while the actor was quarantined"
        findings.add(name, None, f"{message}, expected {UNAVAILABLE}")
    for write in operation.writes:
        for seq in logs[write.workflow].landing(write)[0]:
            message = f"{operation} appended this while the actor of {name!r} was quarantined"
            findings.add(write.workflow, seq, message)


def _check_own(operation: Operation, down: dict[str, int], findings: Findings) -> None:
    names = [write.workflow for write in operation.writes] or [read.workflow for read in operation.reads]
    if not names:
        return  # nobody wrote down whose log it was about
    end = operation.end
    if any(name in down and (end is None or down[name] <= end) for name in names):
        return
    told = f"{operation} was answered by {UNAVAILABLE}, and no actor of its own had crashed"
    findings.add(names[0] if names else "", None, told)
