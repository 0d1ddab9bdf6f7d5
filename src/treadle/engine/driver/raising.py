"""Raising an error that has its own past."""

from __future__ import annotations

from typing import NoReturn


def raise_keeping_context(error: BaseException) -> NoReturn:
    """Raise an error without letting Python put the error being handled into its `__context__`.

    A group made at the end of a nursery is raised while one of its own members is being handled; the
    chain would run in a circle.

    Args:
        error: what to raise.

    Raises:
        BaseException: the error.
    """
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
        del error, context  # the traceback leads back to this frame
