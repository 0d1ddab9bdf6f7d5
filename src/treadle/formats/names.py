"""Which workflows a file has already held, kept small: a file may hold millions."""

from __future__ import annotations

from hashlib import blake2b

from treadle.errors import FormatError
from treadle.events import WorkflowId
from treadle.log.digests import DIGEST_SIZE_BYTES


class SeenNames:
    """The workflows of one file and the lines at which they begin.

    Args:
        source: the file's name, for messages.
    """

    __slots__ = ("_lines", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        # A digest and not the name: 16 bytes whatever the name's length.
        self._lines: dict[bytes, int] = {}

    def add(self, workflow_id: WorkflowId, line: int) -> None:
        """Note a workflow, or refuse it when the file has held it before.

        Args:
            workflow_id: the workflow.
            line: the line at which its log begins.

        Raises:
            FormatError: the same workflow began at an earlier line.
        """
        name = blake2b(workflow_id.encode(), digest_size=DIGEST_SIZE_BYTES).digest()
        first = self._lines.get(name)
        if first is not None:
            raise FormatError(
                f"each workflow comes once in a file, {workflow_id!a} comes at line {first} and again at"
                f" line {line}; rename or merge one of them",
                source=self._source,
                line=line,
            )
        self._lines[name] = line
