"""Pictures with axes, drawn by matplotlib (extra `report`).

Promises: matplotlib is imported when a picture is drawn and not before, without any state of its own between pictures;
without it `can_plot` says so in a sentence and nothing fails.
"""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from glass_edge.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, GREY, RED = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#767676", "#d55e00"
"""Colours that colour-blind people can tell apart (Okabe and Ito)."""
_DPI = 110
_STYLE: dict[Any, Any] = {  # the keys are a type of matplotlib's own
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
}


def can_plot(say: Callable[[str], None]) -> bool:
    """Whether matplotlib is there; tells by `say` how to get it otherwise."""
    if importlib.util.find_spec("matplotlib") is not None:
        return True
    say(f"no plots: {MissingExtraError('report', 'drawing them')}; tables and sheets are written all the same")
    return False


def plot(
    size_inches: tuple[float, float], panels: tuple[int, int], draw: Callable[[Figure, list[Axes]], None]
) -> bytes:
    """A PNG.

    Args:
        size_inches: width and height of the figure, at 110 dots an inch.
        panels: rows and columns of axes.
        draw: fills the figure; given the axes row by row.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=size_inches, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(*panels, squeeze=False)
        draw(figure, list(axes.ravel()))
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
