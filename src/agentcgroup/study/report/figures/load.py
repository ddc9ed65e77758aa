"""Load: instantaneous against the running average that was published, changes, and how it goes with memory."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.metrics.cpu import correlation_frame, load_frame
from agentcgroup.study.metrics.rates import CPU_CORES, MEMORY_BYTES, steps_frame
from agentcgroup.study.report.data import Data
from agentcgroup.study.report.figures.drawing import Drawn, column_of, counts, distribution, key, legend, percent
from agentcgroup.study.report.style import GREY, new_figure

_RATE = pl.col("step").abs() / pl.col("length_s")
# The least that is drawn: steps smaller than this are what the format rounds away.
_LEAST = {"memory_bytes": 1e5, "cpu": 1e-4}


def change_rates(data: Data) -> Drawn | None:
    """How often memory and load change faster than x, with the published thresholds."""
    sure = (pl.col("step").abs() - pl.col("error").fill_null(0.0)).clip(lower_bound=0.0) / pl.col("length_s")
    lines = (
        ("memory_bytes", _RATE / 1e6, "-", 0),
        ("cpu_average_cores", _RATE, "--", 1),
        ("cpu_cores", sure, "-", 1),
    )
    labels = data.study.sessions.select("session", "set")
    sets = data.study.sets
    figure = new_figure(3.6)
    both = figure.subplots(2)
    n: dict[str, int] = {}
    for column, change, line, panel in lines:
        steps = steps_frame(data.study, column).join(labels, on="session", maintain_order="left")
        least = _LEAST["memory_bytes"] / 1e6 if panel == 0 else _LEAST["cpu"]
        found = column_of(steps.select("set", change=change.clip(lower_bound=least)), sets, "change")
        for place, name in enumerate(sets):
            if name in found:
                n[name] = max(n.get(name, 0), len(found[name]))
                distribution(both[panel], found[name], place, line, above=True)
    if not n:
        return None
    for axes, unit, threshold in (
        (both[0], "memory (MB/s)", MEMORY_BYTES / 1e6),
        (both[1], "load (cores/s)", CPU_CORES),
    ):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.axvline(threshold, color=GREY, linewidth=0.7, linestyle=":")
        axes.set_xlabel(f"change of {unit}, up or down")
        axes.set_ylabel("steps beyond it")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:g} %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_ylim(1e-4, 1.3)
    more = [key("instantaneous"), key("running average\n(published)", "--"), key("published threshold", ":")]
    legend(figure, sets, more)
    return Drawn(
        figure,
        "Change of memory and of load from one sample to the next, per second: share of the steps beyond x. Load both "
        "ways: the running average since the start of the container, as published, and the instantaneous load less "
        f"what rounding explains. Steps below {_LEAST['memory_bytes'] / 1e6:g} MB/s and {_LEAST['cpu']:g} cores/s are "
        f"drawn there; the marker is at the fastest twentieth. {counts(n, 'steps')}.",
    )


def load(data: Data) -> Drawn | None:
    """Distributions of the load of sessions by its true mean and by the published one."""
    frame = load_frame(data.study)
    sets = data.study.sets
    ways = (("true", "-"), ("average", "--"))
    found = [(column_of(frame.filter(pl.col(column) > 0), sets, column), line) for column, line in ways]
    if not found[0][0]:
        return None
    figure = new_figure(2.3)
    axes = figure.subplots()
    for place, name in enumerate(sets):
        for of, line in found:
            if name in of:
                distribution(axes, of[name], place, line)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("load of a session (cores)")
    axes.set_ylabel("sessions up to it")
    percent(axes, "y", 1.02)
    legend(figure, sets, [key("CPU time / time"), key("mean of running\naverages (published)", "--")])
    return Drawn(
        figure,
        "Load of sessions: CPU time over time, and the mean of the running averages that was published. The marker is "
        f"the median. {counts({name: len(of) for name, of in found[0][0].items()})}.",
    )


def cpu_memory(data: Data) -> Drawn | None:
    """Distributions of the correlation of load and memory within sessions, both ways."""
    frame = correlation_frame(data.study)
    sets = data.study.sets
    ours, published = (column_of(frame, sets, column) for column in ("load_r", "average_r"))
    if not ours and not published:
        return None
    figure = new_figure(2.3)
    axes = figure.subplots()
    for place, name in enumerate(sets):
        for of, line in ((ours, "-"), (published, "--")):
            if name in of:
                distribution(axes, of[name], place, line)
    axes.axvline(0.0, color=GREY, linewidth=0.7)
    axes.set_xlim(-1.0, 1.0)
    axes.set_xlabel("correlation of load and memory in a session (Pearson's r)")
    axes.set_ylabel("sessions up to it")
    percent(axes, "y", 1.02)
    legend(figure, sets, [key("instantaneous load"), key("running average\n(published)", "--")])
    return Drawn(
        figure,
        "Correlation of load and memory over the samples of each session: with the running average, as published, "
        "which falls from its start-up peak whatever the calls do, and with the instantaneous load. "
        f"{counts({name: len(of) for name, of in (ours or published).items()})}.",
    )
