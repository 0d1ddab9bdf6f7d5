"""The real event logs, where they lie beside the project, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

REAL_FILES = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not REAL_FILES.is_dir(), reason="the real event logs are not beside the project"
)


@pytest.mark.slow
def test_the_permit_process_is_imported_once_verified_and_replayed_to_one_digest(treadle):
    file = str(REAL_FILES / "receipt.xes.gz")
    first = treadle("log", "import", file, "--store", "r.db", "-o", "json").json

    assert (first["workflows_written"], first["events_written"]) == (1_434, 10_011)
    again = treadle("log", "import", file, "--store", "r.db", "-o", "json")
    assert again.json["events_written"] == 0
    assert "already there" in again.err
    assert treadle("log", "verify", "--store", "r.db").code == 0
    replays = {treadle("replay", "--store", "r.db", "-o", "json").out for _ in range(2)}
    assert len(replays) == 1
    treadle("log", "export", "--store", "r.db", "-f", "r.xes.gz")
    treadle("log", "import", "r.xes.gz", "--store", "s.db")
    assert replays == {treadle("replay", "--store", "s.db", "-o", "json").out}


def test_every_history_is_imported_into_one_store(treadle):
    files = sorted(str(file) for file in (REAL_FILES / "histories").glob("*.json"))
    ran = treadle("log", "import", *files, "-o", "json")

    assert ran.code == 0
    assert (ran.json["files"], ran.json["workflows_written"]) == (17, 17)
    assert treadle("log", "verify").code == 0
