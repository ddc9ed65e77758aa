"""How figures look: the width of a paper's column, colours that the colour-blind can tell apart, no chance in a byte.

The colours are those of Okabe and Ito. No figure tells sets apart by colour alone: each has a line style and a marker
of its own as well, so that a black-and-white print can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 3.3  # inches: one column of a two-column paper
FORMATS = ("svg", "pdf", "png")
GREY = "#595959"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
_LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.2,
    "hatch.linewidth": 0.5,
    "text.parse_math": False,  # a set may be called $x$
    "text.usetex": False,
    "svg.hashsalt": "agentcgroup",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "savefig.bbox": None,
}
_NO_DATES: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


class Look(NamedTuple):
    """How one set is drawn, in every figure."""

    color: str
    line: Any
    marker: str


def look(place: int) -> Look:
    """The look of the set at this place; those of more sets than there are colours come again with other lines."""
    shift = place // len(COLORS)
    return Look(
        COLORS[place % len(COLORS)], _LINES[(place + shift) % len(_LINES)], _MARKERS[(place + shift) % len(_MARKERS)]
    )


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside of it; the user's own settings of matplotlib do not count there."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast("Any", _RC))
        yield


def new_figure(height: float) -> Figure:
    """An empty figure, one column wide and ``height`` inches high."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, folder: Path, name: str) -> Sequence[Path]:
    """Writes ``name`` in each of `FORMATS`, without dates."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, not for each format again
    paths = [folder / f"{name}.{format_}" for format_ in FORMATS]
    for path, format_ in zip(paths, FORMATS, strict=True):
        figure.savefig(path, format=format_, metadata=_NO_DATES[format_])
    return paths
