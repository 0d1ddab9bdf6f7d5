"""Pictures of a report: latency, what ran at once over time, and what the time of activities went into."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from treadle.errors import InvalidValueError, UsageError
from treadle.sim.reporting import CAUSES, CURVE_POINTS, HOUR_SECONDS, NANOSECONDS, Report, Spread

KINDS: Final = ("png", "svg")
_LEAST_SECONDS: Final = 0.001
"""What the logarithmic axis begins with: a time of 0 has no place on it."""
_COLOURS: Final = (
    "#f2b134", "#3b8f5a", "#c8442e", "#8c2f9b", "#8a8a8a", "#6e1f1f", "#d98a6a", "#5c7fc2", "#9fb8e6",
    "#333333", "#b9a27d",
)  # fmt: skip
"""One for each of `CAUSES`."""


class PictureError(UsageError):
    """Nothing here draws pictures."""


def picture_kind(path: Path) -> str:
    """Tell by its name what kind of picture a file is to be.

    Args:
        path: the file.

    Returns:
        One of `KINDS`.

    Raises:
        InvalidValueError: its name ends otherwise.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise InvalidValueError(f"a picture is a .png or an .svg by its name's end, got {path.name!r}")
    return kind


def draw(told: Report, path: Path, *, title: str) -> None:
    """Draw a report.

    Args:
        told: the report.
        path: where to; written over.
        title: what stands above it.

    Raises:
        InvalidValueError: it is to be neither a PNG nor an SVG.
        PictureError: matplotlib is not installed.
        OSError: the file could not be written.
    """
    kind = picture_kind(path)
    try:
        import matplotlib as mpl  # noqa: PLC0415  # an extra, and a second to load
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise PictureError(
            "a picture is drawn by matplotlib, which is not installed; pip install 'treadle[sim]'"
        ) from error
    # Without a date and with names of its own choice, an SVG is the same for the same report.
    with mpl.rc_context({"svg.hashsalt": "treadle", "font.size": 9}):
        figure = Figure(figsize=(9, 10), layout="constrained")
        figure.suptitle(title)
        latency, at_once, time = figure.subplots(3, 1, height_ratios=(3, 3, 2))
        _draw_latency(latency, told)
        _draw_at_once(at_once, told)
        _draw_time(time, told)
        figure.savefig(path, format=kind, dpi=120, metadata={"Date": None} if kind == "svg" else {})


def _draw_latency(axes: Any, told: Report) -> None:
    lines: list[tuple[str, Spread, str]] = [
        ("workflows", told.latency, "-"),
        *((f"{one.name}: scheduled to ended", one.latency, "-") for one in told.activities),
        *((f"{one.name}: queueing", one.queueing, "--") for one in told.activities),
    ]
    shares = [100 * point / CURVE_POINTS for point in range(CURVE_POINTS + 1)]
    for label, of, style in lines:
        if of.count:
            seconds = [max(value / NANOSECONDS, _LEAST_SECONDS) for value in of.curve]
            axes.plot(seconds, shares, style, label=f"{label} ({of.count:,})")
    axes.set(xscale="log", xlabel="seconds", ylabel="% that took at most so long", ylim=(0, 101))
    for percent in (50, 90, 99):
        axes.axhline(percent, color="#bbbbbb", linewidth=0.6, zorder=0)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="best", fontsize=8)


def _draw_at_once(axes: Any, told: Report) -> None:
    once = told.at_once
    hours = [one.begins / NANOSECONDS / HOUR_SECONDS for one in once.stretches]
    axes.fill_between(
        hours,
        [one.running_most for one in once.stretches],
        step="post",
        color="#cfe3d6",
        label="running, most",
    )
    axes.step(
        hours,
        [one.running_mean for one in once.stretches],
        where="post",
        color="#3b8f5a",
        label="running, mean",
    )
    axes.step(
        hours,
        [one.waiting_mean for one in once.stretches],
        where="post",
        color="#c8442e",
        label="waiting, mean",
    )
    if once.allowed is not None and once.allowed <= 2 * max(once.most, 1):
        axes.axhline(once.allowed, color="#333333", linestyle=":", label=f"activities_max {once.allowed:,}")
    axes.set(xlabel="virtual hours", ylabel="attempts", ylim=(0, None))
    axes.legend(loc="best", fontsize=8)


def _draw_time(axes: Any, told: Report) -> None:
    names = [one.name for one in told.activities]
    left = [0.0] * len(names)
    for cause, colour in zip(CAUSES, _COLOURS, strict=True):
        totals = [max(1, sum(one.pieces.values())) for one in told.activities]
        shares = [
            100 * one.pieces.get(cause, 0) / total for one, total in zip(told.activities, totals, strict=True)
        ]
        if any(shares):
            axes.barh(names, shares, left=left, color=colour, label=cause)
            left = [so_far + share for so_far, share in zip(left, shares, strict=True)]
    axes.set(xlabel="% of the time from scheduled to ended", xlim=(0, 100))
    axes.margins(y=0.4)
    if names:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=6, fontsize=8)
