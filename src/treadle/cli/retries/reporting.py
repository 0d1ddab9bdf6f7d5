"""`treadle retry report`: what retries have learned, as a table and a plot, from the records of the store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import CodecsOption
from treadle.cli.durable.modules import load_codecs
from treadle.cli.exits import FailedError
from treadle.cli.notes import note, write_out
from treadle.cli.options import DEFAULT_STORE, OutputFormat, OutputOption, StoreOption
from treadle.cli.output import Column, Rows, printable
from treadle.cli.projections.verifying import reached
from treadle.cli.retries.plotting import draw, picture_kind, spark
from treadle.cli.retries.wording import SECOND_NS, arm_text, delay_text
from treadle.cli.stores import reading_store
from treadle.engine.learning import ArmReport, Experience, told
from treadle.payloads import CodecChain, JsonConverter
from treadle.projections import retries
from treadle.projections.folding import Folding, without_baselines
from treadle.projections.keeper import check_fits
from treadle.projections.kept import Shelf
from treadle.stores import PAGE_EVENTS, Store

EXAMPLES: Final = """Examples:

  treadle retry report
  treadle retry report --activity charge
  treadle retry report -o jsonl
  treadle retry report --picture retries.svg
"""
PLOT_CELLS: Final = 40
_COLUMNS: Final = (
    Column("activity", 12),
    Column("key", 10),
    Column("route", 8),
    Column("failed", 6, right=True),
    Column("delay", 7, right=True),
    Column("successes", 9, right=True),
    Column("failures", 8, right=True),
    Column("mean", 4, right=True),
    Column("90 % interval", 13),
    Column("share", 5, right=True),
    Column("last seen"),
)


def report(
    *,
    activity: Annotated[str | None, Parameter(show_default=False)] = None,
    picture: Annotated[Path | None, Parameter(show_default=False)] = None,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show what retries that learn have learned: for each arm its attempts, and its chance of success.

    One row for each arm: key, route, how many attempts of the call had failed on the route before, and the
    delay. Successes and failures are all there ever were; mean and interval are of what has not faded by now,
    so that an arm nobody has tried for long is again as good as unknown. Share is how often the arm was taken
    among all with the same key and number of failures.

    It reads what is kept and whatever the log has more, so no runner is needed, and none is disturbed.

    Args:
        activity: show this activity alone.
        picture: draw the chances to a file, by its end a PNG or an SVG.
        codecs: what payloads go through; needed when they were encoded.
        output: how the rows are printed; as a table a plot stands below.
        store: the store, which must exist.

    Raises:
        InvalidValueError: the picture is to be neither a PNG nor an SVG.
        FailedError: the picture could not be drawn.
        ProjectionVersionError: another version of treadle has learned this.
        StoreError: the store could not be opened or read.
    """
    if picture is not None:
        picture_kind(picture)
    found = trio.run(partial(_learned, store, load_codecs(codecs)))
    arms = [arm for arm in told(found, time.time_ns()) if activity in {None, arm.activity}]
    _show(arms, output)
    if picture is not None:
        try:
            draw(arms, picture)
        except OSError as error:
            raise FailedError(f"the picture could not be drawn: {error}") from error


async def _learned(url: str, codecs: CodecChain) -> list[Experience]:
    async with reading_store(url) as store:
        return await learned(store, codecs)


async def learned(store: Store, codecs: CodecChain) -> list[Experience]:
    """Tell what a store's log teaches: what is kept of it, and what came after.

    Args:
        store: the store.
        codecs: what payloads and states go through.

    Returns:
        Experience, for each key of each activity.

    Raises:
        ProjectionVersionError: another version of the fold has made what is kept.
        StoreError: the store could not be read.
    """
    projection, newest = retries(codecs), await store.position()
    shelf, folding, position = Shelf(store, JsonConverter(), codecs), Folding.fresh(projection), 0
    loaded = await shelf.load(projection)
    if loaded is not None:
        check_fits(projection, loaded.checkpoint, await store.position())
        position = loaded.checkpoint.position
        folding.states = {key: shelf.read(projection, kept.state) for key, kept in loaded.kept.items()}
    with reached("reading", newest) as progressed:
        while page := await store.feed(position, limit=PAGE_EVENTS):
            folding.fold(without_baselines(page))
            position = page[-1].position
            progressed(position, newest)
    return [state for state in folding.states.values() if state is not None]


def _show(arms: Sequence[ArmReport], output: OutputFormat) -> None:
    with Rows(output, *_COLUMNS) as rows:
        for arm in arms:
            rows.add(_record(arm), *_cells(arm))
    if output != "table":
        return
    if not arms:
        note(
            "nothing was learned here: no activity with an AdaptiveRetry has ended an attempt;"
            " activity.define(retry=activity.AdaptiveRetry(arms=...))"
        )
        return
    for line in _plot(arms):
        write_out(f"{line}\n")


def _record(arm: ArmReport) -> dict[str, Any]:
    record = attrs.asdict(arm)
    record["delay_seconds"] = record.pop("delay_ns") / SECOND_NS
    return record


def _cells(arm: ArmReport) -> tuple[str, ...]:
    from treadle.formats.times import timestamp_text  # noqa: PLC0415  # as in `output`: it takes a while to load

    return (
        arm.activity,
        arm.key or "-",
        arm.route or "-",
        str(arm.failed),
        delay_text(arm),
        f"{arm.successes:,}",
        f"{arm.failures:,}",
        f"{arm.mean:.2f}",
        f"{arm.low:.2f} to {arm.high:.2f}",
        f"{arm.share:.0%}",
        timestamp_text(arm.last_ns),
    )


def _plot(arms: Sequence[ArmReport]) -> Iterable[str]:
    """Draw how probable each chance of success is, a line for each arm."""
    width = max(len(arm_text(arm)) for arm in arms)
    for (activity, key), group in groupby(arms, key=lambda arm: (arm.activity, arm.key)):
        yield ""
        yield printable(f"{activity} {key}".strip())
        yield f"  {'chance of success':{width}}  0{'·' * (PLOT_CELLS - 2)}1"
        for arm in group:
            yield printable(f"  {arm_text(arm):{width}}  {spark(arm, PLOT_CELLS)}  {arm.mean:.2f}")
