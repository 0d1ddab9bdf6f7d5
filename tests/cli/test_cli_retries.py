"""`treadle retry report`: what retries have learned, read from a store that nobody has open."""
# ruff: noqa: ARG001  # the store is asked for, in the default place

from __future__ import annotations

import shutil
from random import Random

import pytest
import trio
from trio.testing import MockClock

from treadle import activity, open_runtime, workflow
from treadle.kernel import InlineKernel


@activity.define(
    retry=activity.AdaptiveRetry(arms=(0, 2.5), routes=("primary", "backup"), key=lambda host: host)
)
async def fetch(host: str) -> None:
    if activity.info().route == "primary":
        raise OSError("down")


@activity.define(retry=activity.AdaptiveRetry(arms=3))
async def poll(host: str) -> None:
    if activity.info().attempt == 1:
        raise OSError("not yet")


@workflow.define
async def fetching(host: str) -> None:
    await workflow.activity(fetch, host)
    await workflow.activity(poll, host)


@pytest.fixture(scope="module")
def teaching(tmp_path_factory):
    """A store from which retries have learned."""
    path = tmp_path_factory.mktemp("taught") / "taught.db"

    async def teach():
        kernel = InlineKernel(epoch_ns=2_000_000_000 * 10**9)
        kernel._random = Random(1)
        async with open_runtime(
            str(path), workflows=[fetching], activities=[fetch, poll], kernel=kernel
        ) as runtime:
            for number in range(8):
                handle = await runtime.start(fetching, "eu" if number % 2 else "us", id=f"w-{number}")
                await handle.result()

    trio.run(teach, clock=MockClock(autojump_threshold=0))
    return path


@pytest.fixture
def taught(teaching, tmp_path, monkeypatch):
    """A copy of it, in the default place."""
    monkeypatch.setenv("TREADLE_STORE", str(shutil.copy(teaching, tmp_path / "taught.db")))


def test_a_row_for_each_arm_and_a_line_of_the_plot_for_each_row(treadle, taught):
    rows = treadle("retry", "report", "-o", "jsonl").lines
    shown = treadle("retry", "report").out

    assert {"fetch", "poll"} == {row["activity"] for row in rows}
    assert {"eu", "us"} == {row["key"] for row in rows if row["activity"] == "fetch"}
    assert [(0, 0.0, 0, 8), (1, 3.0, 8, 0)] == [
        (row["failed"], row["delay_seconds"], row["successes"], row["failures"])
        for row in rows
        if row["activity"] == "poll"
    ]
    assert all(row["low"] < row["mean"] < row["high"] for row in rows)
    assert pytest.approx(3) == sum(row["share"] for row in rows if not row["failed"])
    table, *plots = shown.split("\n\n")
    assert len(rows) + 1 == len(table.splitlines())
    assert len(rows) == sum(len(plot.splitlines()) - 2 for plot in plots)
    assert "3 s after 1 failure" in shown
    assert "█" in shown


def test_it_reads_on_where_what_is_kept_ends(treadle, taught):
    """Nothing kept: everything is in the log."""
    before = treadle("retry", "report", "-o", "json").json
    assert 0 == treadle("projection", "delete", "treadle:retries").code
    after = treadle("retry", "report", "-o", "json").json

    faded = {"good", "bad", "mean", "low", "high"}  # by the time between the two commands
    assert before
    assert [{**row, **dict.fromkeys(faded)} for row in before] == [
        {**row, **dict.fromkeys(faded)} for row in after
    ]


def test_what_is_kept_is_verified_and_rebuilt_without_a_module(treadle, taught):
    assert "holds" in treadle("projection", "verify", "treadle:retries").out
    assert 0 == treadle("projection", "rebuild", "treadle:retries").code
    assert 2 == treadle("projection", "verify", "another").code


def test_one_activity_alone(treadle, taught):
    assert ["poll", "poll"] == [
        row["activity"] for row in treadle("retry", "report", "--activity", "poll", "-o", "json").json
    ]


def test_a_picture_of_another_kind_is_refused(treadle, taught):
    assert 2 == treadle("retry", "report", "--picture", "p.gif").code


@pytest.mark.slow
def test_a_picture_is_drawn(treadle, taught, tmp_path):
    assert 0 == treadle("retry", "report", "--picture", str(tmp_path / "p.svg")).code
    assert b"<svg" in (tmp_path / "p.svg").read_bytes()


def test_a_store_that_teaches_nothing_says_how_to_begin(treadle, orders):
    ran = treadle("retry", "report", "--store", str(orders))

    assert 0 == ran.code
    assert "AdaptiveRetry" in ran.err
