"""Runs programs of readers, each in a process of its own that begins as a fresh one would.

Reads a folder a line, runs the `example.py` in it with that folder as the current one, and answers with its
exit code; what it prints lies in `stdout` and `stderr` beside it. All that the processes share is that Trio,
treadle and what it opens a file with are loaded, which nearly every program would begin with and which costs
more than most of them do.
"""

import gc
import os
import runpy
import signal
import sys

import hypothesis  # noqa: F401  # it looks for its own among what is not frozen, and must be there before
import trio  # noqa: F401  # see above

import treadle.runtime
import treadle.stores.sqlite  # noqa: F401

SECONDS_MAX = 60


def become(folder):
    """Make this process look like one just started in the folder."""
    os.chdir(folder)
    for descriptor, (path, flags) in enumerate(
        [
            (os.devnull, os.O_RDONLY),
            ("stdout", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            ("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ]
    ):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["example.py"]
    sys.path.insert(0, folder)  # as Python does with the folder of a program it is given
    signal.alarm(SECONDS_MAX)


# Otherwise each process would look through all of this once more at its end, which takes a tenth of a second.
gc.collect()
gc.freeze()
for line in sys.stdin:
    child = os.fork()
    if not child:
        become(line.rstrip("\n"))
        runpy.run_path("example.py", run_name="__main__")
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201  # the answer
