"""Retention in the background: one sweep after another, in a task of the runtime's own nursery."""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Final

import attrs

from treadle.errors import RuntimeClosedError, StorePoisonedError, TreadleError
from treadle.runtime.retention.policy import RetentionPolicy
from treadle.runtime.retention.sweeping import Removal, Sweep, Swept

if TYPE_CHECKING:  # retention is a runtime's
    from treadle.runtime.runtime import Runtime

_logger: Final = logging.getLogger("treadle.runtime")


@attrs.frozen(slots=True)
class RetentionStatistics:
    """What retention has done since the runtime was opened.

    Attributes:
        policy: the policy; None when there is none, and nothing is removed.
        sweeping: whether a look at all logs is under way.
        sweeps: how many looks at all logs have come to their end.
        logs_cut: how many logs have lost their beginning.
        logs_deleted: how many were deleted.
        logs_kept: how often something spoke against what the policy would have removed.
        events_removed: how many events went out of sight.
        events_reclaimed: of how many the room was given back.
        last_kept: what spoke against it last; empty when nothing has.
        last_error: why a sweep ended early last; empty when none has.
    """

    policy: RetentionPolicy | None = None
    sweeping: bool = False
    sweeps: int = 0
    logs_cut: int = 0
    logs_deleted: int = 0
    logs_kept: int = 0
    events_removed: int = 0
    events_reclaimed: int = 0
    last_kept: str = ""
    last_error: str = ""


class Retention:
    """Sweeps a runtime's store as long as it is open.

    Args:
        runtime: the runtime.
        policy: what may go; None for nothing.

    Attributes:
        policy: it.
    """

    def __init__(self, runtime: Runtime, policy: RetentionPolicy | None) -> None:
        self._runtime = runtime
        self._kernel = runtime._kernel
        self.policy = policy
        self._total = Swept()
        self._sweeping = False
        self._sweeps = 0
        self._last_kept = ""
        self._last_error = ""

    def statistics(self) -> RetentionStatistics:
        """Tell what was done.

        Returns:
            A frozen snapshot.
        """
        total = self._total
        return RetentionStatistics(
            policy=self.policy,
            sweeping=self._sweeping,
            sweeps=self._sweeps,
            logs_cut=total.logs_cut,
            logs_deleted=total.logs_deleted,
            logs_kept=total.logs_kept,
            events_removed=total.events_removed,
            events_reclaimed=total.events_reclaimed,
            last_kept=self._last_kept,
            last_error=self._last_error,
        )

    async def run(self) -> None:
        """Sweep until cancelled; without a policy, do nothing."""
        policy = self.policy
        while policy is not None:
            self._sweeping = True
            try:
                await self._sweep(policy)
            finally:
                self._sweeping = False
            await self._kernel.sleep(policy.pass_seconds)

    async def _sweep(self, policy: RetentionPolicy) -> None:
        try:
            await Sweep(self._runtime, policy, told=self._note, swept=self._total).run()
            self._sweeps += 1
        except StorePoisonedError as error:
            self._last_error = str(error)
            await self._kernel.sleep(inf)
        except RuntimeClosedError:
            return  # the next runtime goes on
        except TreadleError as error:
            # The store is busy, full or read-only: whoever writes is told by their own call. The next sweep
            # begins anew.
            self._last_error = str(error)
            _logger.warning("retention goes on later: %s", error)

    def _note(self, removal: Removal) -> None:
        if removal.doing == "keep":
            self._last_kept = removal.reason
