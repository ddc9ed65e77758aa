"""Memory and load of one session over its time, with its calls."""

from __future__ import annotations

from typing import Any

import polars as pl

from agentcgroup.study.metrics.memory import level_frame
from agentcgroup.study.metrics.samples import whole
from agentcgroup.study.report.data import Data, name_of
from agentcgroup.study.report.figures.drawing import Drawn, key
from agentcgroup.study.report.style import COLORS, new_figure

_MOST_POINTS = 1500


def usual_session(data: Data) -> Drawn | None:
    """The session whose peak over average is the median of all sessions."""
    return _draw(data, _ranked(data), 0.5, "the median")


def extreme_session(data: Data) -> Drawn | None:
    """The session whose peak is highest over its average."""
    return _draw(data, _ranked(data), 1.0, "the highest")


def _ranked(data: Data) -> pl.DataFrame:
    """Sessions with samples, by peak over average."""
    frame = level_frame(data.study).with_columns(ratio=pl.col("peak") / pl.col("average"))
    return frame.sort("ratio", "session")


def _draw(data: Data, ranked: pl.DataFrame, at: float, which: str) -> Drawn | None:
    if ranked.is_empty():
        return None
    row = ranked.row(round(at * (ranked.height - 1)), named=True)
    one = data.study.only(pl.col("session") == row["session"])
    samples = whole(one, "memory_bytes", "cpu_cores", "cpu_average_cores").gather_every(
        max(1, one.samples.select(pl.len()).collect().item() // _MOST_POINTS)
    )
    figure = new_figure(2.9)
    both = figure.subplots(2, sharex=True)
    minutes = (samples["t_s"] / 60.0).to_list()
    both[0].plot(minutes, (samples["memory_bytes"] / 1e6).to_list(), color=COLORS[0])
    both[0].set_yscale("log")
    # One scale for all such figures, so that a usual session and an extreme one can be laid side by side.
    least, most = level_frame(data.study).select(low=pl.col("middle").min(), high=pl.col("peak").max()).row(0)
    both[0].set_ylim(max(least / 1e6 * 0.4, 0.1), most / 1e6 * 1.3)
    both[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    both[0].set_ylabel("memory (MB)")
    both[1].plot(minutes, samples["cpu_cores"].to_list(), color=COLORS[1], linewidth=0.9)
    both[1].plot(minutes, samples["cpu_average_cores"].to_list(), color="#000000", linestyle="--")
    both[1].set_ylabel("load (cores)")
    both[1].set_ylim(bottom=0)
    both[1].set_xlabel("time since the first sample (min)")
    spans = one.calls.filter(pl.col("leaf")).drop_nulls(["start_s", "end_s"]).select("start_s", "end_s").rows()
    for axes in both:
        bars = [(begin / 60.0, max(end - begin, 0.0) / 60.0) for begin, end in spans]
        axes.broken_barh(bars, (0, 1), transform=axes.get_xaxis_transform(), facecolors="#E69F00", alpha=0.3)
    more = [key("running average\n(published)", "--"), _shade()]
    figure.legend(handles=more, loc="outside lower center", ncols=2)
    session = one.sessions.row(0, named=True)
    return Drawn(
        figure,
        f"The session whose peak over average is {which} of all ({row['ratio']:.1f}): "
        f"{name_of(session['task'])} in {name_of(session['set'])}. Memory (log scale, the same in both time lines), "
        f"instantaneous load and the running average that was published; shaded: calls that do work. n = 1 session of "
        f"{ranked.height}, {samples.height} points, {len(spans)} calls.",
    )


def _shade() -> Any:
    from matplotlib.patches import Patch

    return Patch(color="#E69F00", alpha=0.3, label="in a call")
