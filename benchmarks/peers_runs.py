"""Start a peer's script under the Python that has the peer, and read its line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

TIMEOUT_SECONDS = 600.0


def peer_rates(python: str, peer: str, mode: str, *arguments: str) -> dict[str, float]:
    """Steps a second by name, of one round, in a folder of its own on the disk under test.

    One process for each round: a peer's server that stood idle beside the others' turns would cost them.
    """
    script = Path(__file__).with_name(f"peers_{peer}.py")
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True) as folder:
        done = subprocess.run(
            [python, str(script), mode, "--folder", folder, *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"{script.name} {mode} ended with {done.returncode}:\n{done.stderr[-2_000:]}")
    return {name: rates[-1] for name, rates in json.loads(done.stdout.splitlines()[-1])["rates"].items()}


def peer_rate(python: str, peer: str, mode: str, *arguments: str) -> float:
    """Steps a second of a peer that measures one thing."""
    (rate,) = peer_rates(python, peer, mode, *arguments).values()
    return rate
