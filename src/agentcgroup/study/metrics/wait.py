"""The wait for a permission check before a shell command, estimated: no source records it.

One agent version asked a model before each shell command that it did not know to be harmless, and that wait is part of
the recorded time of the call. It is not asked again for the same command in the same session. So the difference
between the first and a later run of the same command is the wait, but for what the first run left in caches:

* **typical wait** of a set: the median of these differences over the kinds of commands that are asked about (all but
  `file` and `vcs`, most of which are let through), if there are at least ten and the interval lies above 0;
* **wait of a call**: none if the command ran before in the session, or took less than half of the typical wait; else
  the typical wait, at most the whole call.

It takes the median for the long tail of waits, so the sum is cautious; a warm cache makes it a little too large.
"""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import Estimate, mean, median, plain, quantile, ratio

_FEWEST_PAIRS = 10
_LET_THROUGH = ("file", "vcs")


def with_waits(study: Study) -> pl.DataFrame:
    """The calls, with ``set`` and ``wait_s``: 0 for calls without a wait; null where the set gives no estimate.

    Calls that are no shell commands have no check. In recorded traces a call begins when its command does, so the wait
    is before it and not known: null.
    """
    calls = study.calls.join(study.sessions.select("session", "set", "call_clock"), on="session", maintain_order="left")
    typical = {name: typical_wait(study.only(pl.col("set") == name)) for name in study.sets}
    waits = pl.DataFrame(
        {"set": list(typical), "typical_s": [e.value if believable(e) else None for e in typical.values()]},
        schema={"set": pl.String, "typical_s": pl.Float64},
    )
    calls = calls.join(waits, on="set", how="left", maintain_order="left")
    again = pl.col("command").is_not_null() & (pl.int_range(pl.len()).over("session", "command") > 0)
    waited = pl.col("shell") & ~again & (pl.col("duration_s") >= pl.col("typical_s") / 2)
    return calls.with_columns(
        wait_s=pl.when(pl.col("typical_s").is_not_null() & (pl.col("call_clock") == "agent")).then(
            pl.when(waited).then(pl.min_horizontal("typical_s", "duration_s")).otherwise(0.0)
        )
    )


def typical_wait(study: Study) -> Estimate:
    """Median difference (s) between the first and later runs of the same command, with n pairs."""
    found = pairs(study)
    return quantile(found["wait_s"], found["session"])


def believable(estimate: Estimate) -> bool:
    """Whether there is a wait: enough pairs, and an interval above 0."""
    return estimate.n >= _FEWEST_PAIRS and estimate.low is not None and estimate.low > 0


def pairs(study: Study) -> pl.DataFrame:
    """``session``, ``kind`` and ``wait_s``: what the first run of a command took longer than each later one (s)."""
    timed = study.sessions.filter(pl.col("call_clock") == "agent").select("session")
    calls = study.calls.join(timed, on="session", how="semi", maintain_order="left").filter(
        pl.col("shell")
        & pl.col("command").is_not_null()
        & pl.col("duration_s").is_not_null()
        & ~pl.col("background").fill_null(value=False)
        & ~pl.col("kind").is_in(_LET_THROUGH)
    )
    run = pl.int_range(pl.len()).over("session", "command")
    first = pl.col("duration_s").first().over("session", "command")
    return (
        calls.sort("session", "position")
        .with_columns(run=run, wait_s=first - pl.col("duration_s"))
        .filter(pl.col("run") > 0)
        .select("session", "kind", "wait_s")
    )


def permission_wait(study: Study) -> list[Number]:
    """Definition: the estimated wait for a permission check before shell commands (see `metrics.wait`), shown apart.

    Numbers: the typical wait (s) with the number of pairs it rests on; the calls that waited, as a share of the shell
    calls; the wait per session (s, median and mean); the wait as a share of all shell time. Unit: s, share. Source:
    times of calls in the agent's log. Filters: sets whose calls are timed by the agent; without at least ten pairs and
    an interval above 0 the estimate is not believed and the other numbers are left out.
    """
    waits = with_waits(study)

    def fill(table: Table, part: Study) -> None:
        typical = typical_wait(part)
        table.add("", "typical wait", "s", typical, "pairs")
        if not believable(typical):
            return
        shell = waits.filter((pl.col("set") == table.set) & pl.col("shell") & pl.col("wait_s").is_not_null())
        each = shell.group_by("session", maintain_order=True).agg(
            wait_s=pl.col("wait_s").sum(),
            waited=(pl.col("wait_s") > 0).sum(),
            calls=pl.len(),
            time_s=pl.col("duration_s").sum(),
        )
        table.add("", "share of shell calls", "share", ratio(each["waited"], each["calls"]))
        table.add("", "median per session", "s", median(each["wait_s"]))
        table.add("", "mean per session", "s", mean(each["wait_s"]))
        table.add("", "share of shell time", "share", ratio(each["wait_s"], each["time_s"]))
        total = shell.select(pl.col("wait_s").sum()).item()
        table.add("", "sum", "s", plain(total, each.height))

    return each_set("permission_wait", study, fill)
