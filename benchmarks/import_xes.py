"""CPU seconds of `treadle log import` over a real XES file.

python benchmarks/import_xes.py ../shared/data/bpic2013_incidents.xes.gz
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from common import emit, interleaved, scratch


def import_cpu_seconds(file: str) -> float:
    """User and system seconds of one import into a fresh store."""
    with scratch() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [
            sys.executable,
            "-m",
            "treadle",
            "log",
            "import",
            file,
            "--store",
            str(folder / "import.db"),
        ]
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    start = time.perf_counter()
    costs = interleaved({"cpu_seconds": lambda: import_cpu_seconds(sys.argv[1])})
    emit("import_xes", {**costs, "wall_seconds_in_all": time.perf_counter() - start})


if __name__ == "__main__":
    main()
