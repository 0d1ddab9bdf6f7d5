"""What the driver raises: into workflow code, and out of it when the code cannot go on.

Some of these are no faults but answers of the primitives (the channel is empty, the time is up); they
carry Trio's names and mean what they mean there. `Cancelled` is a `BaseException`, so that no
`except Exception` of a workflow swallows it.
"""

from __future__ import annotations

from treadle.errors import TreadleError, UsageError


class Cancelled(BaseException):
    """Raised at a checkpoint inside a cancelled scope; let it pass, its scope catches it.

    Never raise it yourself; cancel a scope instead. Code that must clean up catches it, cleans up and
    raises it again; a wait in the clean-up needs ``CancelScope(shield=True)``.
    """


class Evicted(BaseException):
    """Thrown into tasks whose workflow leaves memory; nothing that happens after it counts."""


class TooSlowError(TreadleError):
    """`fail_after` or `fail_at` gave up: the time was over before the block was."""


class WouldBlock(TreadleError):  # noqa: N818 -- Trio's name
    """A ``..._nowait`` call would have had to wait."""


class EndOfChannel(TreadleError):  # noqa: N818 -- Trio's name
    """Nothing more will come: every sender is closed and the buffer is empty."""


class BrokenResourceError(TreadleError):
    """The other side is gone: no receiver is left, or the owner of a lock ended without releasing it."""


class ClosedResourceError(UsageError):
    """You closed this end of the channel yourself, before or during the call."""


class BusyResourceError(UsageError):
    """Another task is using what only one task may use at a time."""


class MisuseError(UsageError, RuntimeError):
    """A scope, nursery, lock or task was used in a way that cannot be right; Trio has `RuntimeError` here."""


class ForeignAwaitError(UsageError):
    """Workflow code awaited something of another library; only `treadle.workflow` can wait durably."""


class StuckError(UsageError):
    """Workflow code went on and on without ever waiting for something from outside."""
