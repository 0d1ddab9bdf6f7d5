"""The ways in which data reaches stdout, and progress stderr.

Data is what somebody may pipe on: rows or one object, as a table, one JSON document, or JSON Lines.
Progress goes to stderr, and only when somebody watches. Rows are written as they
come and never collected, so a listing of a million is as cheap as one of ten.
"""

from __future__ import annotations

import re
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import attrs
import msgspec
from rich.cells import cell_len, set_cell_size

from treadle.cli.notes import write_out
from treadle.cli.options import OutputFormat
from treadle.events import WorkflowEvent

PAYLOAD_CELL_SIZE: Final = 120
"""How much of a payload a table shows when no terminal says how wide it is."""
_SHOWN_SIZE_BYTES_MAX: Final = 4_096
"""How much of a payload is even looked at for a table."""

_VALUE_WIDTH_MIN: Final = 10
"""How many cells a value has beside its label, however narrow the screen."""

_STYLES: Final = {
    "holds": "green",
    "all promises hold": "bold green",
    "BROKEN": "bold red",
    "VIOLATION": "bold red",
}
"""How a terminal shows what a verdict begins with."""

# Control characters could rewrite the screen, and the marks that turn the reading direction lie about order.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SHORT_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def counted(number: int, noun: str) -> str:
    """Word a number of things.

    Args:
        number: how many.
        noun: what one of them is called.

    Returns:
        ``1 workflow``, ``2,000 workflows``.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Escape what a terminal would act upon instead of showing it.

    Args:
        text: any text.

    Returns:
        The text on one line.
    """
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT_ESCAPES.get(character) or (
        f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"
    )


# -- rows -----------------------------------------------------------------------------------------------


@attrs.frozen
class Column:
    """A column of a table.

    Args:
        title: what stands above it.
        width: how many cells it takes; the last column of a table takes what is left.
        right: whether its values end at the same place, as numbers do.
        whole: whether, as the last column, it may pass a narrow screen's edge: a cut name names nothing.
    """

    title: str
    width: int = 0
    right: bool = False
    whole: bool = False

    def cell(self, text: str) -> str:
        """Bring a value to the column's width; a longer one pushes the rest aside."""
        padding = " " * (self.width - cell_len(text))
        return padding + text if self.right else text + padding


class Rows:
    """Writes rows one at a time; a context manager, so that a JSON document is closed.

    Args:
        output: the format.
        columns: the table's columns.
    """

    def __init__(self, output: OutputFormat, *columns: Column) -> None:
        self._output = output
        self._columns = columns
        self._width = screen_width() if sys.stdout.isatty() else None
        self.count = 0

    def __enter__(self) -> Self:
        """Write what stands before the first row."""
        if self._output == "json":
            write_out("[")
        elif self._output == "table":
            self._line([column.title for column in self._columns])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what stands after the last row, unless the rows were cut short by an error."""
        if self._output == "json" and kind is None:
            write_out("\n]\n" if self.count else "]\n")

    def add(self, record: Mapping[str, Any], *cells: str) -> None:
        """Write a row.

        Args:
            record: the row as a JSON object.
            *cells: the row for a table, one text for each column.
        """
        if self._output == "table":
            self._line(cells)
        else:
            before = ",\n" if self.count else "\n"
            row = _json(record)
            write_out(f"{row}\n" if self._output == "jsonl" else before + row)
        self.count += 1

    def flush(self) -> None:
        """Let whoever follows see the rows written so far."""
        sys.stdout.flush()

    def _line(self, cells: Sequence[str]) -> None:
        *first, last = [
            column.cell(printable(cell)) for column, cell in zip(self._columns, cells, strict=True)
        ]
        line = "  ".join([*first, last])
        if self._width is not None and cell_len(line) > self._width and not self._columns[-1].whole:
            line = set_cell_size(line, self._width - 1) + "…"
        write_out(line.rstrip() + "\n")


def screen_width() -> int:
    """Tell how many cells a line of the terminal has.

    Returns:
        Its width.
    """
    from rich.console import Console  # noqa: PLC0415  # a tenth of the start-up time, for those who have a screen

    return Console(file=sys.stdout).width


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# -- one object -----------------------------------------------------------------------------------------


def show_facts(output: OutputFormat, title: str, record: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
    """Write one object: as JSON whole, as a table the rows that people want.

    Args:
        output: the format.
        title: what stands above the table.
        record: the object.
        rows: label to value; whole numbers get separators, a list a line for each, None is left out.
    """
    if output != "table":
        write_out(_json(record) + "\n")
        return
    from rich.console import Console  # noqa: PLC0415  # a tenth of the start-up time, for tables alone
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=title, title_justify="left", show_header=False, title_style="bold")
    # On a narrow screen both fold: a label without its value says nothing.
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", min_width=_VALUE_WIDTH_MIN)
    for label, value in rows.items():
        if value is not None:
            lines = value if isinstance(value, list) else [value]
            table.add_row(label, Text("\n".join(shown(line) for line in lines), style=_style(lines[0])))
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        table.box, table.padding = None, (0, 2, 0, 0)
        # Nobody's window bounds a pipe, and a cut digest is no digest.
        console = Console(file=sys.stdout, highlight=False, width=max(console.width, 200))
    with console.capture() as captured:
        console.print(table)
    write_out("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _style(value: Any) -> str:
    # A verdict is seen before it is read.
    return next((style for words, style in _STYLES.items() if str(value).startswith(words)), "")


def shown(value: Any) -> str:
    """Word a value for people.

    Args:
        value: a number, a text, or anything else.

    Returns:
        One line.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return printable(str(value))


# -- events ---------------------------------------------------------------------------------------------

EVENT_COLUMNS: Final = (
    Column("seq", 8, right=True),
    Column("time", 30),
    Column("kind", 18),
    Column("payload"),
)


def event_record(workflow_id: str, event: WorkflowEvent) -> dict[str, Any]:
    """Word an event as a JSON object, with the names of the JSON Lines format.

    Args:
        workflow_id: whose it is.
        event: the event.

    Returns:
        Numbers as numbers; the payload as `text`, or as `base64` when it is not UTF-8.
    """
    record: dict[str, Any] = {
        "workflow_id": workflow_id,
        "seq": event.seq,
        "timestamp": event.timestamp,
        "kind": event.kind.name,
    }
    try:
        record["text"] = event.payload.decode()
    except UnicodeDecodeError:
        record["base64"] = b64encode(event.payload).decode()
    return record


def event_cells(event: WorkflowEvent) -> tuple[str, str, str, str]:
    """Word an event for a table.

    Args:
        event: the event.

    Returns:
        A text for each of `EVENT_COLUMNS`.
    """
    # Its room reads and writes every format, which takes a while to load: for those alone who show times.
    from treadle.formats.times import timestamp_text  # noqa: PLC0415

    return (
        str(event.seq),
        timestamp_text(event.timestamp),
        event.kind.name,
        payload_cell(event.payload),
    )


def payload_cell(payload: bytes) -> str:
    """Word a payload in one short line.

    Args:
        payload: the payload.

    Returns:
        Its text when it is UTF-8, else its first bytes in hexadecimal.
    """
    start = payload[:_SHOWN_SIZE_BYTES_MAX]
    try:
        text = start.decode(errors="strict" if len(start) == len(payload) else "ignore")
    except UnicodeDecodeError:
        text = f"0x{start[:PAYLOAD_CELL_SIZE].hex()}"
    if len(text) > PAYLOAD_CELL_SIZE or len(start) < len(payload):
        return f"{text[: PAYLOAD_CELL_SIZE - 1]}…"
    return text


# -- progress -------------------------------------------------------------------------------------------


@contextmanager
def progress(description: str, total: float | None) -> Iterator[Callable[[float], None]]:
    """Show a bar on stderr while the block runs, when stderr is a terminal.

    Args:
        description: what is going on.
        total: how much there is to do; None when nobody knows.

    Yields:
        A function that is told how much more is done.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415  # a fifth of the start-up time, for those who watch
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (TextColumn("{task.description:<22}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(description, total=total)
        yield lambda done: bars.advance(task, done)
