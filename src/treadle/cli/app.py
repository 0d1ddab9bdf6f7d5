"""All commands under one name, and the frame in which each of them runs and fails."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError

from treadle import __version__
from treadle.cli import demo, replay, stress, workflows
from treadle.cli.exits import FAILED, OK, USAGE, exit_code, first_cause
from treadle.cli.logs import appending, exporting, importing, reading, tailing, verifying
from treadle.cli.output import note
from treadle.errors import InternalError, TreadleError

_DEBUG_FLAG = "--debug"

_HELP = """Append-only, gap-free event logs for workflows: written, replayed, verified.

A store keeps one log for each workflow id. It is named by --store, or by TREADLE_STORE, and is
./treadle.db otherwise.
"""
_EXAMPLES = """Start here:

  treadle demo                                    write, kill, recover, check
  treadle log import receipt.xes.gz --store r.db  keep somebody's event log
  treadle replay --store r.db                     replay it, concurrently
  treadle log verify --store r.db                 recompute its digest chains

Data goes to stdout, everything else to stderr.
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 violation found,
5 conflict, 69 store unreachable, 130 interrupted.
--debug, or TREADLE_DEBUG=1, shows where an error comes from.
"""
_LOG_EXAMPLES = """Examples:

  treadle log append order-1 workflow_started '{"customer": 7}'
  treadle log read order-1
  treadle log verify
"""
_WORKFLOW_EXAMPLES = """Examples:

  treadle workflow list --prefix order-
  treadle workflow show order-1
"""


def make_app() -> App:
    """Put the commands together.

    Returns:
        The app; called with tokens it runs one command and returns its exit code.
    """
    app = App(
        name="treadle",
        help=_flowing(_HELP),
        help_epilogue=_EXAMPLES,
        help_format="plaintext",
        version=f"treadle {__version__}",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    _add(app, demo.demo, demo.EXAMPLES)
    _add(app, stress.stress, stress.EXAMPLES)
    app.command(_log_app())
    app.command(_workflow_app())
    _add(app, replay.replay, replay.EXAMPLES)
    return app


def _log_app() -> App:
    log = App(name="log", help="Write, read, move and verify logs.", help_epilogue=_LOG_EXAMPLES)
    _add(log, importing.import_files, importing.EXAMPLES, name="import")
    _add(log, exporting.export, exporting.EXAMPLES)
    _add(log, reading.read, reading.EXAMPLES)
    _add(log, tailing.tail, tailing.EXAMPLES)
    _add(log, appending.append, appending.EXAMPLES, usage=appending.USAGE)
    _add(log, verifying.verify, verifying.EXAMPLES)
    return log


def _workflow_app() -> App:
    workflow = App(name="workflow", help="List, count and show workflows.", help_epilogue=_WORKFLOW_EXAMPLES)
    _add(workflow, workflows.list_workflows, workflows.LIST_EXAMPLES, name="list")
    _add(workflow, workflows.show, workflows.SHOW_EXAMPLES)
    _add(workflow, workflows.count, workflows.COUNT_EXAMPLES)
    return workflow


def _add(
    app: App,
    command: Callable[..., int | None],
    examples: str,
    *,
    name: str | None = None,
    usage: str | None = None,
) -> None:
    told = inspect.cleandoc(command.__doc__ or "").partition("\nArgs:")[0]
    app.command(command, name=name, help=_flowing(told), help_epilogue=examples, usage=usage)


def _flowing(text: str) -> str:
    # A source line's end is no line's end on somebody's narrow screen; a paragraph's is.
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def run(arguments: Sequence[str]) -> int:
    """Run one command and word its failure.

    Args:
        arguments: what stands after `treadle`.

    Returns:
        The exit code.
    """
    tokens, debug = _without_debug(arguments)
    try:
        code = make_app()(tokens)
        sys.stdout.flush()
    except CycloptsError as error:
        return _tell_usage(error)
    except BrokenPipeError as error:
        _silence_stdout()
        return exit_code(error)
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001  # every failure gets words and a code
        if debug:
            traceback.print_exc()
        return _tell(first_cause(error))
    return code if isinstance(code, int) else OK


def _without_debug(arguments: Sequence[str]) -> tuple[list[str], bool]:
    options = list(arguments)
    end = options.index("--") if "--" in options else len(options)
    tokens = [token for token in options[:end] if token != _DEBUG_FLAG] + options[end:]
    asked = len(tokens) < len(options)
    return tokens, asked or os.environ.get("TREADLE_DEBUG", "") not in {"", "0"}


def _tell_usage(error: CycloptsError) -> int:
    error.verbose = False
    command = " ".join(("treadle", *(error.command_chain or ())))
    note(f"treadle: {error}\n`{command} --help` tells more.")
    return USAGE


def _tell(error: BaseException) -> int:
    code = exit_code(error)
    if isinstance(error, BrokenPipeError):
        _silence_stdout()
    elif isinstance(error, KeyboardInterrupt):
        note("treadle: interrupted; what was acknowledged is kept")
    elif isinstance(error, TreadleError):
        note(f"treadle: {error}")
        if isinstance(error, InternalError):
            note(f"treadle: run it again with {_DEBUG_FLAG} and report what it shows")
    elif isinstance(error, OSError):
        note(f"treadle: {error.filename or 'the system'}: {error.strerror or error}")
    else:
        note(
            f"treadle: {type(error).__name__}: {error}\n"
            f"treadle: this should not happen; run it again with {_DEBUG_FLAG} and report what it shows"
        )
    return code or FAILED


def _silence_stdout() -> None:
    # Python flushes stdout once more at its end, and would complain about the same pipe again.
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
    except (OSError, ValueError):
        return
