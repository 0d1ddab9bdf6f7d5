"""A SIGKILL in the middle of a branch, a play or a reset leaves the store as before it or as behind it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from auditing import audited
from board import kinds
from durable_branch_worker import double, doubles

from treadle import open_runtime

pytestmark = pytest.mark.slow

WORKER = Path(__file__).with_name("durable_branch_worker.py")


@pytest.mark.parametrize("side", ["before", "behind"])
@pytest.mark.parametrize(
    ("what", "appends"),
    [(what, appends) for what in ("branch", "what_if", "reset") for appends in (1, 2, 3)] + [("branch", 4)],
)
async def test_killed_at_an_append_it_is_there_wholly_or_not_at_all(tmp_path, what, appends, side):
    """Whatever is there goes on to the end that it would have come to."""
    place = str(tmp_path / "a.db")
    command = [sys.executable, str(WORKER), place, what, str(appends), side]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=60)  # noqa: ASYNC221
    assert (ended.returncode, ended.stdout) == (-9, b"ready\n"), ended.stderr.decode()
    async with open_runtime(place, workflows=[doubles], activities=[double]) as runtime:
        handle, branch = runtime.workflow("a"), runtime.workflow("b")
        assert await handle.result() == 6
        resets = (await kinds(handle)).count("reset")
        # The first append of a durable workflow's branch only learns that it is one; nothing is written.
        first = 2 if what == "branch" else 1
        is_first = appends < first or (appends == first and side == "before")
        if what == "reset":
            assert resets == (not is_first)
        elif what == "branch":
            assert (await branch.stream_len() > 0) == (not is_first)
            if not is_first:
                await branch.resume() if await branch.status() == "held" else None
                assert await branch.result() == 6
        elif await branch.status() == "held":
            await branch.what_if(lambda call: call.args[0] * 2)
            assert await branch.result() == 6
    assert audited(place) == []
