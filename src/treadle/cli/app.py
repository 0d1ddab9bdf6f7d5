"""All commands under one name, and the frame in which each of them runs and fails."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, NamedTuple

from cyclopts import App, CycloptsError

from treadle import __version__
from treadle.cli.exits import FAILED, OK, READER_GONE, USAGE, exit_code, first_cause
from treadle.cli.notes import STDOUT, note
from treadle.errors import InternalError, TreadleError

_DEBUG_FLAG: Final = "--debug"
_HELP_FLAGS: Final = ("--help", "-h")

_HELP = """Append-only, gap-free event logs for workflows: written, replayed, verified.

A store keeps one log for each workflow id. It is named by --store, or by TREADLE_STORE, and is
./treadle.db otherwise.
"""
_EXAMPLES = """Start here:

  treadle demo                                    write, kill, recover, check
  treadle run orders --id order-7 order-7 4200    run a workflow of orders.py
  treadle log import receipt.xes.gz --store r.db  keep somebody's event log
  treadle replay --store r.db                     replay it, concurrently
  treadle log verify --store r.db                 recompute its digest chains

Data goes to stdout, everything else to stderr.
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 violation or divergence
found, 5 conflict, 69 store unreachable or no runner, 130 interrupted.
--debug, or TREADLE_DEBUG=1, shows where an error comes from.
"""

GROUPS: Final = {
    "log": (
        "Write, read, move and verify logs.",
        """Examples:

  treadle log append order-1 workflow_started '{"customer": 7}'
  treadle log read order-1
  treadle log verify
""",
    ),
    "workflow": (
        "Run, start, message and look at workflows.",
        """Examples:

  treadle workflow serve orders
  treadle workflow start order order-7 4200 --id order-7
  treadle workflow describe order-7
  treadle workflow signal order-7 decision yes
  treadle workflow list --status running
""",
    ),
    "store": (
        "Look after a store as a whole: what is in it, its health, copies, its version, its room.",
        """Examples:

  treadle store info
  treadle store doctor
  treadle store backup copy.db
  treadle store migrate --dry-run
  treadle store prune --dry-run
  treadle store prune --keep-closed-days 30 --compact
  treadle store vacuum
""",
    ),
    "projection": (
        "Look at projections, hold them against the log, and rebuild them.",
        """Examples:

  treadle projection list
  treadle projection show totals
  treadle projection verify totals shop.views
  treadle projection rebuild totals shop.views
  treadle projection delete totals
""",
    ),
    "retry": (
        "Look at what retries that learn have learned.",
        """Examples:

  treadle retry report
  treadle retry report --activity charge --picture charge.svg
""",
    ),
    "sim": (
        "Simulate whole worlds from a seed: real code, virtual time, faults, every promise checked.",
        """Examples:

  treadle sim run workflows --seed 7
  treadle sim soak --seeds 1000 --jobs 2
  treadle sim replay 7 workflows
  treadle sim crash 7 workflows --workflows 2 --faults none
  treadle sim search 7 --clients 2 --operations 2 --duration 1
  treadle sim shrink --history sim-17-3f2a90c1.jsonl
  treadle sim report workflows --limits usual --activities 4
  treadle sim faults
""",
    ),
}
"""Commands of two words: what lists say of their first, and how they are used."""


class Command(NamedTuple):
    """Where a command is, and what the lists of commands say of it.

    Args:
        name: how it is called, after `treadle`.
        function: its module below `treadle.cli`, and its function there.
        told: the first sentence of the function's docstring.
        prefix: what goes before EXAMPLES, and USAGE if there is one, where the module tells of it.
    """

    name: str
    function: str
    told: str
    prefix: str = ""


# A literal table, so that only the command that is called is loaded, and none to list them.
COMMANDS: Final = (
    Command(
        "demo",
        "demo.command:demo",
        "Show the promises on your own disk: write, kill -9, recover, replay, check.",
    ),
    Command(
        "stress",
        "stress.command:stress",
        "Write under load from many writers at once, then check that every promise holds.",
    ),
    Command(
        "run",
        "durable.running:run",
        "Run a workflow to its end and print its result as JSON; killed and run again, it goes on.",
    ),
    Command(
        "log import",
        "logs.importing:import_files",
        "Import event logs: XES (IEEE 1849), Temporal and Cadence histories, JSON Lines; gzip or plain.",
    ),
    Command(
        "log export",
        "logs.exporting:export",
        "Write logs as JSON Lines or XES, to a file or to stdout; all of them when none is named.",
    ),
    Command(
        "log read",
        "logs.reading:read",
        "Print the events of one log, in seq order.",
    ),
    Command(
        "log tail",
        "logs.tailing:tail",
        "Print the last events of one log, and with --follow each new one as it becomes durable.",
    ),
    Command(
        "log append",
        "logs.appending:append",
        "Append one event to a log; it is durable when the command returns.",
    ),
    Command(
        "log verify",
        "logs.verifying:verify",
        "Check the store's structure and recompute the digest chain of every log, or of those named.",
    ),
    Command(
        "log salvage",
        "logs.salvaging:salvage",
        "Save what can be read of a damaged store into a new file, and name what cannot.",
    ),
    Command(
        "workflow serve",
        "durable.serving:serve",
        "Run the store's workflows, and whatever other processes start or send, until Ctrl-C.",
    ),
    Command(
        "workflow start",
        "durable.starting:start",
        "Begin a workflow; the process that runs the store's workflows takes it from there.",
    ),
    Command(
        "workflow signal",
        "durable.sending:signal",
        "Send a workflow a signal; it is durable when the command returns, whether somebody runs it or not.",
        "SIGNAL_",
    ),
    Command(
        "workflow query",
        "durable.asking:query",
        "Ask a workflow something and print its answer as JSON; nothing is written to its log.",
        "QUERY_",
    ),
    Command(
        "workflow update",
        "durable.sending:update",
        "Have a workflow do something, wait for it, and print its answer as JSON.",
        "UPDATE_",
    ),
    Command(
        "workflow cancel",
        "durable.sending:cancel",
        "Ask a workflow to end; its code may clean up first, and may even complete.",
        "CANCEL_",
    ),
    Command(
        "workflow terminate",
        "durable.sending:terminate",
        "End a workflow without asking its code, even one that is held.",
        "TERMINATE_",
    ),
    Command(
        "workflow result",
        "durable.asking:result",
        "Wait until a workflow has ended, and print its result as JSON.",
        "RESULT_",
    ),
    Command(
        "workflow describe",
        "durable.asking:describe",
        "Tell where a workflow stands and what it waits for, in words.",
        "DESCRIBE_",
    ),
    Command(
        "workflow stack",
        "durable.asking:stack",
        "Show a workflow's tasks as a tree: where each stands in the code, and what it waits for.",
        "STACK_",
    ),
    Command(
        "workflow show",
        "workflows:show",
        "Show what one workflow has come to: its events by kind, first and last time, digest, status.",
        "SHOW_",
    ),
    Command(
        "workflow diff",
        "durable.diffing:diff",
        "Compare two logs event by event, from the seq at which they part.",
    ),
    Command(
        "workflow list",
        "workflows:list_workflows",
        "List the workflows that have events, in the order of their ids' UTF-8 bytes.",
        "LIST_",
    ),
    Command(
        "workflow count",
        "workflows:count",
        "Count the workflows that have events.",
        "COUNT_",
    ),
    Command(
        "workflow patches",
        "durable.patches:patches",
        "List for each patch how many open workflows have it in their log, and how many may go the old way.",
    ),
    Command(
        "workflow resume",
        "durable.sending:resume",
        "Try held workflows again, all of them when none is named, and tell whether they go on.",
        "RESUME_",
    ),
    Command(
        "store info",
        "store.informing:info",
        "Tell what is in a store: logs, events, positions, room on the disk, who runs its workflows.",
    ),
    Command(
        "store doctor",
        "store.doctoring:doctor",
        "Make every check of a store there is, and say for each what it means and what to do.",
    ),
    Command(
        "store backup",
        "store.copying:backup",
        "Copy a store into a new file, as it is at one instant, while others write to it.",
    ),
    Command(
        "store migrate",
        "store.migrating:migrate",
        "Bring a store that an older treadle has made up to this one's version, and say from which to which.",
    ),
    Command(
        "workflow snapshot",
        "retention.keeping:snapshot",
        "Keep a fold's state of logs, so that the next replay with it reads only what follows.",
        "SNAPSHOT_",
    ),
    Command(
        "workflow baseline",
        "retention.keeping:baseline",
        "Append the states of folds to plain logs, so that `treadle store prune` may remove what is before.",
        "BASELINE_",
    ),
    Command(
        "workflow delete",
        "retention.deleting:delete",
        "Delete logs: nothing of them can be read or listed any more, and their room is given back.",
        "DELETE_",
    ),
    Command(
        "store prune",
        "retention.pruning:prune",
        "Remove what lies before the last baseline of each log, and closed logs that need not be kept.",
    ),
    Command(
        "store vacuum",
        "retention.vacuuming:vacuum",
        "Write the whole file anew without any slack; nobody else may have it open meanwhile.",
    ),
    Command(
        "projection list",
        "projections.listing:list_projections",
        "List the projections of which a store keeps a state: how far each has read, and whether it has"
        " stopped.",
    ),
    Command(
        "projection show",
        "projections.showing:show",
        "Show a projection as it was last written: how far it has read, and its state.",
    ),
    Command(
        "projection verify",
        "projections.verifying:verify",
        "Hold what is kept of a projection against a rebuild from the log, and say where they part.",
    ),
    Command(
        "projection rebuild",
        "projections.rebuilding:rebuild",
        "Make a projection's state anew from the log, and put it in the place of what is kept.",
    ),
    Command(
        "projection delete",
        "projections.deleting:delete",
        "Remove all that is kept of a projection; retention asks for it no longer.",
    ),
    Command(
        "retry report",
        "retries.reporting:report",
        "Show what retries that learn have learned: for each arm its attempts, and its chance of success.",
    ),
    Command(
        "workflow branch",
        "durable.branching:branch",
        "Begin a log that shares another one's events up to a seq, and goes on by itself.",
        "BRANCH_",
    ),
    Command(
        "workflow what-if",
        "durable.branching:what_if",
        "Play a what-if branch on in virtual time, and append what happens to it.",
        "WHAT_IF_",
    ),
    Command(
        "workflow reset",
        "durable.branching:reset",
        "Let a workflow go on from an earlier event, under its own id; one that has ended runs again.",
        "RESET_",
    ),
    Command(
        "sim run",
        "sim.running:run",
        "Run one world from one seed: real code, virtual time, faults; then hold every promise against it.",
    ),
    Command(
        "sim soak",
        "sim.soaking:soak",
        "Run one world for each of many seeds, and stop at the first that breaks a promise.",
        "SOAK_",
    ),
    Command(
        "sim replay",
        "sim.replaying:replay",
        "Run a world again and hold it, byte for byte, against its saved history, or against a second run.",
        "REPLAY_",
    ),
    Command(
        "sim crash",
        "sim.crashing:crash",
        "Run a world, then kill its process at every append, before and after its write, and at pairs.",
        "CRASH_",
    ),
    Command(
        "sim search",
        "sim.searching:search",
        "Run a world in every order that leaves first come, first served, at most so often.",
        "SEARCH_",
    ),
    Command(
        "sim shrink",
        "sim.shrinking:shrink",
        "Make a world that breaks a promise small: few workflows, operations, faults, forced decisions.",
        "SHRINK_",
    ),
    Command(
        "sim report",
        "sim.reporting:report",
        "Tell what a world says about capacity: latency, queueing, retries, and what time was lost to what.",
        "REPORT_",
    ),
    Command(
        "sim faults",
        "sim.listing:faults",
        "List the faults a world may make: how often if not told, what happens, why it must be survived.",
        "FAULTS_",
    ),
    Command(
        "replay",
        "replay:replay",
        "Replay all workflows, or those named, concurrently and each by itself; or a history against code.",
    ),
    Command(
        "check",
        "check:check",
        "Hold a recorded history of operations against every promise, and name what is broken.",
    ),
)


def make_app(tokens: Sequence[str] = ()) -> App:
    """Put the commands together.

    Args:
        tokens: what the app will be called with; it then has only the command that they name, if they do.

    Returns:
        The app; called with the tokens it runs one command and returns its exit code.
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
    words = [token for token in tokens if token not in _HELP_FLAGS]
    named = [command for command in COMMANDS if command.name in {" ".join(words[:1]), " ".join(words[:2])}]
    for command in named:
        _add(app, command)
    for command in () if named else COMMANDS:
        group, name = _place(app, command)
        group.command(f"treadle.cli.{command.function}", name=name, help=command.told)
    return app


def _add(app: App, command: Command) -> None:
    module_name, _, function_name = command.function.partition(":")
    module = import_module(f"treadle.cli.{module_name}")
    function = getattr(module, function_name)
    group, name = _place(app, command)
    group.command(
        function,
        name=name,
        help=_flowing(inspect.cleandoc(function.__doc__).partition("\nArgs:")[0]),
        help_epilogue=getattr(module, f"{command.prefix}EXAMPLES"),
        usage=getattr(module, f"{command.prefix}USAGE", None),
    )


def _place(app: App, command: Command) -> tuple[App, str]:
    group, _, name = command.name.rpartition(" ")
    if group and group not in app:
        told, examples = GROUPS[group]
        app.command(App(name=group, help=told, help_epilogue=examples))
    return (app[group] if group else app), name


def _flowing(text: str) -> str:
    # A source line's end is no line's end on somebody's narrow screen; a paragraph's is.
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def run(arguments: Sequence[str], loaded: Callable[[], object] = lambda: None) -> int:
    """Run one command and word its failure.

    Args:
        arguments: what stands after `treadle`.
        loaded: called when the command's modules are loaded, before it runs.

    Returns:
        The exit code.
    """
    tokens, debug = _without_debug(arguments)
    try:
        app = make_app(tokens)
        loaded()
        code = app(tokens)
        sys.stdout.flush()
    except CycloptsError as error:
        return _tell_usage(error)
    except BrokenPipeError as error:
        _silence_stdout()
        return exit_code(error)
    except SystemExit as ended:
        # The library that prints help ends the process when whoever reads it has gone.
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        return READER_GONE
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
        note(f"treadle: {_culprit(error)}: {error.strerror or error}")
    else:
        note(
            f"treadle: {type(error).__name__}: {error}\n"
            f"treadle: this should not happen; run it again with {_DEBUG_FLAG} and report what it shows"
        )
    return code or FAILED


def _culprit(error: OSError) -> str:
    # What stdout did not take is still there: Python would try once more at its end, and complain.
    try:
        sys.stdout.flush()
    except OSError:
        _silence_stdout()
        return str(error.filename or STDOUT)
    return str(error.filename or "the system")


def _silence_stdout() -> None:
    # Python flushes stdout once more at its end, and would complain about the same pipe again.
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
    except (OSError, ValueError):
        return
