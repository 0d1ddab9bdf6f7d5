"""How a workflow's main function ended."""

from __future__ import annotations

from typing import Any

from attrs import frozen


@frozen
class Returned:
    """It returned.

    Attributes:
        value: what it returned.
    """

    value: Any


@frozen
class Raised:
    """It raised.

    Attributes:
        exception: what it raised; `Cancelled` alone when a cancel request unwound it.
    """

    exception: BaseException
