"""The frame of every command: help, version, streams, exit codes, interruptions."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from itertools import count, product
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
from rich.console import Console

from treadle import __version__
from treadle.cli import app, main, output
from treadle.cli.exits import EXIT_BY_ERROR, exit_code, first_cause
from treadle.cli.options import WHOLE
from treadle.cli.verdict import PROMISES, Verdict
from treadle.errors import (
    ConflictError,
    CorruptStoreError,
    FormatError,
    InternalError,
    InvalidValueError,
    StaleSequenceError,
    StoreFormatError,
    StoreFullError,
    StoreUnavailableError,
)
from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.formats import ImportedLog, writer

COMMANDS = (
    ("demo",),
    ("stress",),
    ("replay",),
    ("check",),
    ("run",),
    *(("log", name) for name in ("import", "export", "read", "tail", "append", "verify", "salvage")),
    *(
        ("workflow", name)
        for name in ("list", "show", "count", "serve", "start", "signal", "query", "update")
    ),
    *(
        ("workflow", name)
        for name in ("cancel", "terminate", "result", "describe", "stack", "patches", "resume", "diff")
    ),
    *(("store", name) for name in ("info", "doctor", "backup", "migrate")),
    *(("sim", name) for name in ("run", "soak", "crash", "search", "shrink", "replay", "report", "faults")),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(treadle, command):
    ran = treadle(*command, "--help")

    assert (ran.code, ran.err) == (0, "")
    assert "Usage: treadle" in ran.out
    assert "treadle " + " ".join(command) in ran.out.partition("Examples:")[2]


@pytest.mark.parametrize("command", [(), ("log",), ("workflow",), ("sim",)])
def test_a_group_without_a_command_shows_its_commands(treadle, command):
    ran = treadle(*command)

    assert ran.code == 0
    assert "Commands" in ran.out


@pytest.mark.parametrize("command", app.COMMANDS, ids=lambda command: command.name)
def test_lists_of_commands_say_what_the_command_says_of_itself(command):
    module, _, name = command.function.partition(":")
    function = getattr(import_module(f"treadle.cli.{module}"), name)
    first, _, _ = inspect.getdoc(function).partition("\n\n")

    assert " ".join(first.split()) == command.told


def test_help_loads_no_command():
    """So it is there at once."""
    code = "import sys; from treadle.cli import main; main(['--help']); main(['log']); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "treadle.cli.app" in ran.stdout
    assert {"trio", "treadle.runtime", "treadle.cli.logs.reading"}.isdisjoint(ran.stdout.split())


def test_version_is_the_packages_version(treadle):
    assert treadle("--version").out.strip() == f"treadle {__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("lgo",),
        ("log", "raed", "x"),
        ("log", "read"),
        ("log", "read", "x", "--form", "3"),
        ("log", "read", "x", "--from", "three"),
        ("log", "read", "x", "-o", "yaml"),
        ("log", "tail", "x", "-n", "0"),
        ("demo", "--workflows", "0"),
        ("stress", "--cancel", "1.5"),
        ("log", "read", "x", "y"),
    ],
    ids=" ".join,
)
def test_a_command_line_that_cannot_be_right_ends_with_2_and_a_sentence_on_stderr(treadle, arguments):
    ran = treadle(*arguments)

    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("treadle: ")
    assert "--help` tells more" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InternalError("x"), 1),
        (FormatError("x"), 1),
        (StoreFullError("x"), 1),
        (ValueError("x"), 1),
        (InvalidValueError("x"), 2),
        (IsADirectoryError(), 2),
        (FileNotFoundError(), 3),
        (CorruptStoreError("x"), 4),
        (ConflictError("x", workflow_id="w", next_seq=1, seq=1), 5),
        (StaleSequenceError("x", workflow_id="w", next_seq=1), 5),
        (StoreUnavailableError("x"), 69),
        (StoreFormatError("x"), 69),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_table_tells_the_exit_code(error, code):
    assert code == exit_code(error)


def test_a_row_of_the_table_is_never_hidden_by_one_above_it():
    for place, (kind, _) in enumerate(EXIT_BY_ERROR):
        assert not any(issubclass(kind, above) for above, _ in EXIT_BY_ERROR[:place])


def test_ctrl_c_among_other_causes_is_what_is_told():
    group = BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [KeyboardInterrupt()])])

    assert isinstance(first_cause(group), KeyboardInterrupt)


def test_without_the_extra_a_plain_sentence_says_what_to_install(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("treadle.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cyclopts", None)

    assert main(["--help"]) == 1
    assert "pip install 'treadle[cli]'" in capsys.readouterr().err


def test_debug_shows_where_an_error_comes_from(treadle, monkeypatch):
    assert "Traceback" not in treadle("log", "read", "x").err
    assert "Traceback" in treadle("log", "read", "x", "--debug").err
    monkeypatch.setenv("TREADLE_DEBUG", "1")
    assert "Traceback" in treadle("log", "read", "x").err


@pytest.mark.usefixtures("orders")
def test_a_real_command_keeps_data_and_messages_apart(in_process):
    ran = in_process("replay", "-o", "json")

    assert ran.code == 0
    assert ran.json["events"] == 7
    assert ran.err.startswith("replayed 7 events of 3 workflows")


def test_the_store_may_come_from_the_environment(treadle, orders, monkeypatch):
    monkeypatch.setenv("TREADLE_STORE", str(orders.rename(orders.with_name("elsewhere.db"))))

    assert treadle("workflow", "count").out == "3\n"


@pytest.mark.usefixtures("orders")
def test_ctrl_c_ends_with_130_and_no_traceback(started):
    with started("log", "tail", "order-1", "--follow", "-o", "jsonl") as process:
        for _ in range(3):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"interrupted" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("module", "number", "code"),
    [("cyclopts", "SIGINT", 130), ("trio", "SIGINT", 130), ("trio", "SIGTERM", 143)],
)
def test_an_interruption_while_modules_load_ends_without_a_word(in_process, tmp_path, module, number, code):
    signalling = f"import os, signal\nos.kill(os.getpid(), signal.{number})\nraise ImportError('went on')\n"
    (tmp_path / f"{module}.py").write_text(signalling)
    # `python -m` looks for modules in the current folder first.
    ran = in_process("log", "read", "order-1")

    assert (ran.code, ran.out, ran.err) == (code, "", "")


def test_a_reader_that_goes_away_ends_the_command_without_a_word(started, treadle):
    lines = "\n".join("x" * 100 for _ in range(2_000))
    for n in range(5):
        treadle("log", "append", "long", "custom", lines, "--seq", str(n + 1))
    with started("log", "read", "long", "-o", "jsonl") as process:
        process.stdout.read(10)
        process.stdout.close()
        err = process.stderr.read()
        process.wait(timeout=30)

    assert (process.returncode, err) == (141, b"")


LONG = "x" * 100_000


PRINTING = (
    ("--help",),
    ("log", "read", "--help"),
    ("--version",),
    ("log", "read", "long"),
    ("log", "read", "long", "-o", "json"),
    ("log", "export"),
    ("workflow", "list"),
    ("workflow", "show", "long"),
)


def _deaf_streams() -> Iterator[object]:
    """Every command before every stream; two of its four at once, the others among the slow proofs."""
    for place, command in enumerate(PRINTING):
        for number, (where, unbuffered) in enumerate(product(("full", "gone"), ("", "1"))):
            is_quick = number in ({0, 3} if place % 2 else {1, 2})
            name = f"{' '.join(command)}-{where}-{unbuffered or 'buffered'}"
            marks = () if is_quick else pytest.mark.slow
            yield pytest.param(command, where, unbuffered, id=name, marks=marks)


@pytest.mark.parametrize(("command", "where", "unbuffered"), list(_deaf_streams()))
def test_a_stdout_that_takes_nothing_is_told_from_the_store(treadle, command, where, unbuffered):
    """Whether little or much was written, and whoever wrote it; Python has nothing to add at its end."""
    code, words = {"full": (1, "treadle: stdout: "), "gone": (141, "")}[where]
    if where == "full" and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    if where == "full" and unbuffered and {"--help", "--version", "show"} & {*command}:
        words = "treadle: the system: "  # written by the library
    treadle("log", "append", "long", "custom", LONG)
    if where == "full":
        target = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, target = os.pipe()
        os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "treadle", *command],
        stdout=target,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(target)

    assert ran.returncode == code
    assert ran.stderr.startswith(words)
    assert ran.stderr.count("\n") == (words != "")


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow)])
def test_every_character_reaches_a_stdout_that_has_few(treadle, started, encoding):
    """A table shows its escape, and JSON stays the same JSON."""
    names = ["plain", "\x7e\xa0", "ü", "日本", "🚀 \U0010ffff"]
    for name in names:
        treadle("log", "append", name, "custom", f"payload {name}", "-o", "json")

    def shown(*arguments: str) -> str:
        with started(*arguments, env={**os.environ, "PYTHONIOENCODING": encoding}) as process:
            out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, b"")
        return out.decode(encoding)

    assert [
        json.loads(line)["workflow_id"] for line in shown("workflow", "list", "-o", "jsonl").splitlines()
    ] == names
    assert json.loads(shown("log", "read", names[-1], "-o", "json"))[0]["text"] == f"payload {names[-1]}"
    assert "\\u65e5\\u672c" in shown("workflow", "list")
    assert "\\ud83d\\ude80" in shown("workflow", "show", names[-1])


def _whole_options() -> list[tuple[str, str]]:
    found = []
    for command in app.COMMANDS:
        module, _, name = command.function.partition(":")
        function = getattr(import_module(f"treadle.cli.{module}"), name)
        for parameter, hint in get_type_hints(function, include_extras=True).items():
            base, *settings = get_args(hint) if get_origin(hint) is Annotated else (hint,)
            own = any(setting.converter not in {None, WHOLE.converter} for setting in settings)
            if base not in {int, int | None} or own or parameter == "return":
                continue
            names = [setting.name[0] for setting in settings if setting.name]
            found.append((command.name, names[0] if names else "--" + parameter.replace("_", "-")))
    return found


@pytest.mark.parametrize("text", ["2.0", "0x10", "9" * 5_000])
@pytest.mark.parametrize(("command", "option"), _whole_options())
def test_a_whole_number_is_never_guessed_from_something_else(treadle, command, option, text):
    needed = {
        "log append": ("x", "custom"),
        "log read": ("x",),
        "log tail": ("x",),
        "workflow show": ("x",),
        **({} if option == "--seed" else {"sim crash": ("7",), "sim search": ("7",)}),
        "workflow diff": ("x", "y"),
    }
    needed |= {"workflow branch": ("x", "--to", "y"), "workflow reset": ("x",)}
    ran = treadle(*command.split(), *needed.get(command, ()), option, text)

    assert (ran.code, ran.out) == (2, "")
    assert f"for {option}: expected a whole number such as 42, got {text[:50]!r}"[:-1] in ran.err


def test_there_are_whole_numbers_to_be_guessed():
    assert ("log append", "--seq") in _whole_options()
    assert len(_whole_options()) > 15


@pytest.mark.parametrize(
    "arguments",
    [
        ("stress", "--workflows", "1000000", "--writers", "2"),
        ("stress", "--processes", "65"),
        ("stress", "--batch", "1001"),
        ("demo", "--workflows", "1000001"),
        ("demo", "--events", "100001"),
        ("demo", "--durable-orders", "1000001"),
    ],
    ids=" ".join,
)
def test_what_no_machine_holds_is_refused_before_anything_is_made(treadle, tmp_path, arguments):
    ran = treadle(*arguments, "--store", "s.db")

    assert (ran.code, ran.out) == (2, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_reference_tells_every_option_that_help_tells(treadle, command):
    reference = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
    text = reference.read_text()
    own, group = f"\n## treadle {' '.join(command)}\n", f"\n## treadle {command[0]}\n"
    section = text.partition(own if own in text else group)[2].partition("\n## ")[0]
    shown = treadle(*command, "--help").out.partition("Examples:")[0]
    options = set(re.findall(r"--[a-z-]+", "\n".join(re.findall(r"^│ .*$", shown, re.MULTILINE))))

    assert sorted(option for option in options if option not in section) == []


def _await_events(process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(600):
        # The write-ahead log grows: events are under way.
        sizes = [wal.stat().st_size for wal in [*folder.glob("*-wal"), *folder.glob("*/*-wal")]]
        if process.poll() is not None or any(size > 200_000 for size in sizes):
            return
        time.sleep(0.02)


def _send_without_end(descriptor: int) -> None:
    """Send lines to import for as long as somebody reads them."""
    formatted = writer("jsonl")
    with suppress(BrokenPipeError), open(descriptor, "wb", buffering=0) as pipe:  # no path
        pipe.write(formatted.begin([]))
        for n in count():
            events = tuple(WorkflowEvent(seq, n, EventKind.CUSTOM, b"x" * 200) for seq in range(1, 501))
            pipe.write(formatted.log(ImportedLog(workflow_id(f"w{n}"), events)))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "terminated"]
)
@pytest.mark.parametrize(
    "command",
    [("log", "import", "-", "--store", "s.db"), ("stress", "--workflows", "500", "--events", "1000")],
    ids=["import", "stress"],
)
def test_a_command_that_writes_is_interrupted_without_a_traceback(started, tmp_path, command, number, code):
    """It says so, and leaves no temporary store behind."""
    reading, writing = os.pipe()
    surroundings = {**os.environ, "TMPDIR": str(tmp_path)}
    with started(*command, stdin=reading, env=surroundings) as process:
        os.close(reading)
        sender = threading.Thread(target=_send_without_end, args=[writing])
        sender.start()
        _await_events(process, tmp_path)
        made = list(tmp_path.glob("treadle-fresh-*"))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        sender.join()

    assert (process.returncode, out) == (code, b"")
    assert err == b"treadle: interrupted; what was acknowledged is kept\n"
    assert len(made) == (command[0] == "stress")
    assert not list(tmp_path.glob("treadle-fresh-*"))


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(("closing", "code"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0)])
def test_a_closed_stream_takes_nothing_and_fails_nothing(closing, code):
    command = f"exec {shlex.quote(sys.executable)} -m treadle replay {closing}"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, check=False, timeout=60)

    assert ran.returncode == code
    assert b"AttributeError" not in ran.stderr


@pytest.mark.parametrize("columns", ["40", "30"])
def test_a_narrow_screen_folds_labels_and_keeps_values(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("rich.console.Console", partial(Console, force_terminal=True))
    verdict = Verdict()
    output.show_facts("table", "demo", verdict.record(), {"digest": "ab" * 32, **verdict.rows()})
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)  # colours take no room

    assert out.count("holds") == len(PROMISES)
    assert "all promises" in out
    assert max(len(line) for line in out.splitlines()[1:]) <= int(columns)


@pytest.mark.parametrize("command", app.COMMANDS, ids=lambda command: command.name)
def test_the_usage_names_what_a_command_takes_and_where_it_takes_several(treadle, command):
    module, _, name = command.function.partition(":")
    function = getattr(import_module(f"treadle.cli.{module}"), name)
    hints = get_type_hints(function)
    usage = " ".join(treadle(*command.name.split(), "--help").out.partition("\n\n")[0].split())

    assert "ARGS" not in usage
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            several = get_origin(hints[parameter.name]) is list or list[str] in get_args(
                hints[parameter.name]
            )
            assert "..." in usage or not several


@pytest.mark.parametrize("name", ["nowhere.db", "no/where.db", "sqlite:nowhere.db"])
@pytest.mark.parametrize(
    "command",
    [
        ("workflow", "list"),
        ("log", "verify"),
        ("replay",),
        ("log", "export"),
        ("store", "info"),
        ("store", "migrate"),
        ("store", "backup", "copy.db"),
    ],
    ids=" ".join,
)
def test_a_missing_store_is_told_in_the_words_of_the_command_line(treadle, tmp_path, command, name):
    ran = treadle(*command, "--store", name)

    assert ran.code == 69
    assert (
        f"{tmp_path / name.removeprefix('sqlite:')}: there is no such store; name one with --store" in ran.err
    )
    assert "create=True" not in ran.err


def test_a_store_that_is_there_and_cannot_be_opened_is_not_called_missing(treadle, orders):
    (orders.parent / "second.db").hardlink_to(orders)
    ran = treadle("workflow", "list")

    assert ran.code == 69
    assert "2 names" in ran.err
    assert "--store" not in ran.err


def test_the_usage_of_append_names_its_payload(treadle):
    assert "WORKFLOW_ID KIND [PAYLOAD]" in treadle("log", "append", "--help").out
