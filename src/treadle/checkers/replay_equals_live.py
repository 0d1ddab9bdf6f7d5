"""The promise: the state replayed from a log is the state its workflow had when it was live."""

from __future__ import annotations

from collections.abc import Mapping

from treadle.checkers.violation import VIOLATIONS_MAX, Violation


def replay_equals_live(live: Mapping[str, object], replayed: Mapping[str, object]) -> list[Violation]:
    """Compare two states, or digests of them, for each workflow.

    Args:
        live: workflow id to the state it had.
        replayed: workflow id to the state its log gives.

    Returns:
        A violation for each workflow that is missing on one side, or differs.
    """
    violations = [
        Violation("replay_equals_live", name, None, problem)
        for name in {**live, **replayed}
        if (problem := _difference(name, live, replayed))
    ]
    return violations[:VIOLATIONS_MAX]


def _difference(name: str, live: Mapping[str, object], replayed: Mapping[str, object]) -> str | None:
    if name not in replayed:
        return "it was live and was not replayed"
    if name not in live:
        return "it was replayed and never live"
    if live[name] != replayed[name]:
        return f"live {repr(live[name])[:200]}, replayed {repr(replayed[name])[:200]}"
    return None
