"""Pictures of what retries have learned: in a line of text, and with matplotlib in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from treadle.cli.retries.wording import delay_text
from treadle.engine.learning import ArmReport, density
from treadle.sim.plotting import PictureError, picture_kind

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
PLACES: Final = 200
"""Points of a curve in a picture."""
_COLOURS: Final = ("#2a7f62", "#c8442e", "#5c7fc2", "#f2b134", "#8c2f9b", "#8a8a8a", "#6e1f1f", "#333333")

__all__ = ["draw", "picture_kind", "spark"]


def spark(arm: ArmReport, cells: int) -> str:
    """Draw how probable each chance of success is, from 0 to 1.

    Args:
        arm: the arm.
        cells: how many cells the line has.

    Returns:
        A line of blocks, the highest one full.
    """
    fine = density(arm.good + 1, arm.bad + 1, cells * 8)
    heights = [sum(fine[8 * cell : 8 * cell + 8]) for cell in range(cells)]
    most = max(heights)
    return "".join(BLOCKS[round(height / most * (len(BLOCKS) - 1))] for height in heights)


def draw(arms: Sequence[ArmReport], path: Path) -> None:
    """Draw the same to a file: a panel for each key and number of failures, a curve for each arm.

    Args:
        arms: what was learned.
        path: where to; written over.

    Raises:
        InvalidValueError: it is to be neither a PNG nor an SVG.
        PictureError: matplotlib is not installed, or there is nothing to draw.
        OSError: the file could not be written.
    """
    kind = picture_kind(path)
    panels: dict[tuple[str, str, int], list[ArmReport]] = {}
    for arm in arms:
        panels.setdefault((arm.activity, arm.key, arm.failed), []).append(arm)
    if not panels:
        raise PictureError("nothing was learned yet, so there is nothing to draw")
    try:
        import matplotlib as mpl  # noqa: PLC0415  # an extra, and a second to load
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise PictureError(
            "a picture is drawn by matplotlib, which is not installed; pip install 'treadle[sim]'"
        ) from error
    with mpl.rc_context({"svg.hashsalt": "treadle", "font.size": 9}):
        figure = Figure(figsize=(8, 1 + 2.2 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        middles = [(place + 0.5) / PLACES for place in range(PLACES)]
        for panel, ((activity, key, failed), of) in zip(axes, panels.items(), strict=True):
            for number, arm in enumerate(of):
                colour = _COLOURS[number % len(_COLOURS)]
                label = ", ".join(filter(None, (arm.route, delay_text(arm), f"{arm.share:.0%} of choices")))
                curve = density(arm.good + 1, arm.bad + 1, PLACES)
                panel.plot(middles, curve, color=colour, label=label)
                panel.fill_between(middles, curve, color=colour, alpha=0.12)
            title = f"{activity} {key}".strip()
            panel.set_title(f"{title}, {failed} failed before" if failed else f"{title}, first on its route")
            panel.set(ylim=(0, None), yticks=[])
            panel.legend(fontsize=8)
        axes[-1].set(xlabel="chance of success", xlim=(0, 1))
        figure.savefig(path, format=kind, dpi=120, metadata={"Date": None} if kind == "svg" else {})
