"""Retention policies: which logs may lose their beginning, and which may go altogether."""

from __future__ import annotations

from typing import Any, Final

import attrs

from treadle.errors import InvalidValueError
from treadle.events import check_prefix

RULES_MAX: Final = 1_000
"""How many prefixes a policy tells apart: each log is held against all of them."""
_DAY_NS: Final = 24 * 3600 * 1_000_000_000


def _prefix(_: object, __: object, value: Any) -> None:
    check_prefix(value)


def _days(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    if type(value) not in {int, float} or not 0 <= value < float("inf"):
        raise InvalidValueError(f"{attribute.name} is a number of days from 0 on, or None, got {value!r:.60}")


def _count(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (type(value) is not int or value < 0):
        raise InvalidValueError(f"{attribute.name} is an int from 0 on, or None, got {value!r:.60}")


def _flag(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if type(value) is not bool:
        raise InvalidValueError(f"{attribute.name} is True or False, got {value!r:.60}")


@attrs.frozen(slots=True, kw_only=True)
class RetentionRule:
    """What may go of the logs whose ids begin so.

    A log is *closed* when a durable workflow has come to its end, or when the last event of a plain log says
    so (WORKFLOW_COMPLETED, WORKFLOW_FAILED, WORKFLOW_CANCELLED, WORKFLOW_TERMINATED). Its age is the time
    since that event's timestamp, which an import may have set to long ago. What-if branches go by age alone,
    played to their end or not: it counts from when they were made, because what is played has other times.

    Args:
        prefix: with which the ids begin; empty for all.
        closed_days_max: for how long closed logs and what-if branches are kept; older ones are deleted. None:
            for ever.
        closed_count_max: how many closed logs are kept, those that were closed last. None: all.
        cuts: whether logs lose what lies before their last baseline: a BASELINE for plain logs, the start of
            the current run (CONTINUED) for durable ones.

    Raises:
        InvalidValueError: a value is none of these.
    """

    prefix: str = attrs.field(default="", validator=_prefix)
    closed_days_max: float | None = attrs.field(default=None, validator=_days)
    closed_count_max: int | None = attrs.field(default=None, validator=_count)
    cuts: bool = attrs.field(default=True, validator=_flag)

    @property
    def deletes(self) -> bool:
        """Whether it lets closed logs go."""
        return self.closed_days_max is not None or self.closed_count_max is not None

    def is_old(self, closed_ns: int, now_ns: int) -> bool:
        """Tell whether a closed log has been kept for long enough.

        Args:
            closed_ns: when it was closed.
            now_ns: now.

        Returns:
            Whether it may go.
        """
        return self.closed_days_max is not None and now_ns - closed_ns > self.closed_days_max * _DAY_NS


def _ruled(_: object, __: object, rules: Any) -> None:
    if not all(isinstance(rule, RetentionRule) for rule in rules):
        raise InvalidValueError(f"rules are RetentionRule(prefix=..., ...), got {rules!r:.80}")
    prefixes = [rule.prefix for rule in rules]
    if len(set(prefixes)) < len(prefixes) or len(prefixes) > RULES_MAX:
        raise InvalidValueError(
            f"a policy has one rule for each prefix, and at most {RULES_MAX}, got {prefixes!r:.80}; join"
            " those of one prefix"
        )


def _positive(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if type(value) not in {int, float} or not 0 < value < float("inf"):
        raise InvalidValueError(f"{attribute.name} is a number above 0, got {value!r:.60}")


def _as_tuple(rules: Any) -> Any:
    if isinstance(rules, RetentionRule):
        return (rules,)
    try:
        return tuple(rules)
    except TypeError:
        raise InvalidValueError(f"rules are RetentionRule(prefix=..., ...), got {rules!r:.80}") from None


@attrs.frozen(slots=True)
class RetentionPolicy:
    """What a runtime removes in the background; see `open_runtime`.

    A log falls under the rule with the longest prefix of its id, and stays whole when there is none.

    Args:
        rules: one for each prefix. By default one for all logs, which removes what lies before their last
            baseline, and deletes nothing.
        pass_seconds: how long after the end of one look at all logs the next one begins. A look reads each
            log's head, and of plain logs that may be deleted the last event.

    Raises:
        InvalidValueError: a value is none of these.
    """

    rules: tuple[RetentionRule, ...] = attrs.field(
        default=(RetentionRule(),), converter=_as_tuple, validator=_ruled
    )
    pass_seconds: float = attrs.field(default=600.0, kw_only=True, validator=_positive)

    def rule_for(self, workflow_id: str) -> RetentionRule | None:
        """Find the rule under which a log falls.

        Args:
            workflow_id: the log.

        Returns:
            The rule with the longest prefix, or None.
        """
        fitting = [rule for rule in self.rules if workflow_id.startswith(rule.prefix)]
        return max(fitting, key=lambda rule: len(rule.prefix), default=None)

    @property
    def prefixes(self) -> list[str]:
        """The prefixes under which all logs of the policy are listed, none of them twice."""
        found: list[str] = []
        for prefix in sorted(rule.prefix for rule in self.rules):
            if not found or not prefix.startswith(found[-1]):
                found.append(prefix)
        return found
