"""The child process of `check_projection`: an order on standard input, an answer on standard output."""

import json
import os
import sys

from treadle.testing.projections.checking import answer

if __name__ == "__main__":
    # The module may print while it is imported; the answer is alone on what was standard output.
    told = os.dup(1)
    os.dup2(2, 1)
    found = answer(sys.stdin.buffer.read())
    with os.fdopen(told, "wb") as out:
        out.write(json.dumps(found).encode() + b"\n")
