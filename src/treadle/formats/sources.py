"""What the name of a file tells: its endings and its stem. Names, not files: nothing is opened."""

from __future__ import annotations

import re
from typing import Final

GZIP_ENDING: Final = ".gz"


def ending(source: str) -> str:
    """Tell the ending that names a format.

    Args:
        source: a file's name or path.

    Returns:
        The last ending in lower case, such as ``.xes``, with ``.gz`` looked through; empty when there
        is none.
    """
    name = _plain_name(source)
    return name[name.rindex(".") :].lower() if "." in name[1:] else ""


def stem(source: str) -> str:
    """Tell a file's name without its folder and its ending.

    Args:
        source: a file's name or path.

    Returns:
        ``orders`` for ``data/orders.json`` and ``data/orders.json.gz``.
    """
    name = _plain_name(source)
    return name[: len(name) - len(ending(source))]


def _plain_name(source: str) -> str:
    name = re.split(r"[/\\]", source)[-1]
    return name[: -len(GZIP_ENDING)] if name.lower().endswith(GZIP_ENDING) else name
