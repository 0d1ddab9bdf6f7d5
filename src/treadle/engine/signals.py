"""The signals a workflow has been sent: buffered by name, read in order, never lost."""

from __future__ import annotations

from treadle.engine.driver import Task


class SignalQueue:
    """Signals of one name.

    Attributes:
        name: which.
        unread: argument lists that nobody has read yet.
        waiting: tasks that wait for one, in order; a dict for its order. One of the two is empty.
    """

    __slots__ = ("name", "unread", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        # A list, because an empty deque takes 700 bytes more, and there is mostly none or one.
        self.unread: list[bytes] = []
        self.waiting: dict[Task, None] = {}

    def __repr__(self) -> str:
        return f"signal {self.name!r}"

    def deliver(self, args_json: bytes) -> None:
        """Take a signal in.

        Args:
            args_json: its values.
        """
        if not self.waiting:
            self.unread.append(args_json)
            return
        task = next(iter(self.waiting))
        del self.waiting[task]
        task.scheduler.resume(task, args_json)
