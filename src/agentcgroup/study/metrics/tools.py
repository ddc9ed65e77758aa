"""Which tools and kinds of command the time goes to, how long they take, and when in a session they come."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.wait import with_waits
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import Estimate, quantile, ratio

_TENTHS = 10


def tool_share(study: Study) -> list[Number]:
    """Definition: what part of the calls, and of the time of all calls, each tool has, over all sessions of a set.

    Time is the plain sum of durations: of all calls (a `Task` then counts its children again), and of leaves only.
    Unit: share. Source: calls of the agent's log; our records. Filters: selected sessions, calls with a duration. The
    interval is that of a ratio of sums, with sessions drawn again.
    """

    def fill(table: Table, part: Study) -> None:
        calls = part.calls.filter(pl.col("duration_s").is_not_null())
        leaves = calls.filter(pl.col("leaf"))
        for tool in _items(calls, "tool"):
            own = pl.col("tool") == tool
            n = calls.filter(own).height
            table.add(tool, "share of calls", "share", _with_n(_share(part, calls, own, None), n), "calls")
            table.add(tool, "share of time", "share", _with_n(_share(part, calls, own, "duration_s"), n), "calls")
            if leaves.filter(own).height:
                leaf = _with_n(_share(part, leaves, own, "duration_s"), n)
                table.add(tool, "share of leaf time", "share", leaf, "calls")

    return each_set("tool_share", study, fill)


def tool_duration(study: Study) -> list[Number]:
    """Definition: how long one call of each tool takes, over all calls of a set.

    Unit: s. Source: calls of the agent's log, which include the framework's dispatch and any permission check; our
    records (the command alone). Filters: selected sessions, calls with a duration; background calls end when they are
    handed over. Statistics: median, mean, 95th percentile, each with an interval by sessions drawn again.
    """

    def fill(table: Table, part: Study) -> None:
        calls = part.calls.filter(pl.col("duration_s").is_not_null())
        for tool in _items(calls, "tool"):
            _durations(table, tool, calls.filter(pl.col("tool") == tool), "duration_s")

    return each_set("tool_duration", study, fill)


def kind_duration(study: Study) -> list[Number]:
    """Definition: how long shell commands take by kind, and what part of all shell time each kind has.

    The kind is that of the heaviest program a command line runs (`agentcgroup.commands`). Unit: s, share. Source,
    filters and intervals: as tool_duration; "without the check" takes out the wait of metric permission_wait, where
    there is an estimate of it.
    """
    waits = with_waits(study).with_columns(work_s=pl.col("duration_s") - pl.col("wait_s"))

    def fill(table: Table, part: Study) -> None:
        calls = waits.filter((pl.col("set") == table.set) & pl.col("shell") & pl.col("duration_s").is_not_null())
        for kind in _items(calls, "kind"):
            own = pl.col("kind") == kind
            of = calls.filter(own)
            _durations(table, kind, of, "duration_s")
            share = _with_n(_share(part, calls, own, "duration_s"), of.height)
            table.add(kind, "share of shell time", "share", share, "calls")
            if of["work_s"].null_count() < of.height:
                middle = quantile(of["work_s"], of["session"])
                table.add(kind, "median without the check", "s", middle, "calls")
                worked = _with_n(_share(part, calls, own, "work_s"), of.height)
                table.add(kind, "share without the check", "share", worked, "calls")

    return each_set("kind_duration", study, fill)


def category_share(study: Study) -> list[Number]:
    """Definition: what part of all shell time each category of the published rule has, to compare with kind_duration.

    The rule is a list of regular expressions over the command text, of which the first match counts; it was used in two
    orders, and both are given. It misclassifies (`grep pytest setup.cfg` is a test). Unit: share. Source, filters and
    intervals: as tool_share.
    """

    def fill(table: Table, part: Study) -> None:
        calls = part.calls.filter(pl.col("shell") & pl.col("duration_s").is_not_null())
        names = sorted({*_items(calls, "category_time"), *_items(calls, "category_spike")})
        for name in names:
            for column, order in (("category_time", "time order"), ("category_spike", "spike order")):
                own = pl.col(column) == name
                share = _with_n(_share(part, calls, own, "duration_s"), calls.filter(own).height)
                table.add(name, f"share of shell time, {order}", "share", share, "calls")

    return each_set("category_share", study, fill)


def tool_position(study: Study) -> list[Number]:
    """Definition: when in a session the calls of a tool begin: their median place, and their share in each tenth.

    The place is the time since the first record of the agent's log over its active time; for recorded sessions, the
    time since the first record over the whole. Unit: share of the session (0: begin, 1: end). Shell commands appear as
    their tool and by kind. Source: as tool_share. Filters: selected sessions with a known begin and end; all calls that
    lie between them, sub-agents' included. Intervals: sessions drawn again.
    """

    def fill(table: Table, part: Study) -> None:
        calls = _placed(part)
        for column, prefix in (("tool", ""), ("kind", "kind ")):
            for item in _items(calls, column):
                own = calls.filter(pl.col(column) == item)
                table.add(f"{prefix}{item}", "median", "share", quantile(own["place"], own["session"]), "calls")
                counts = own.group_by("session", maintain_order=True).agg(
                    pl.len().alias("all"), *((pl.col("tenth") == n).sum().alias(str(n)) for n in range(_TENTHS))
                )
                for n in range(_TENTHS):
                    share = _with_n(ratio(counts[str(n)], counts["all"]), own.height)
                    table.add(f"{prefix}{item}", f"tenth {n + 1}", "share", share, "calls")

    return each_set("tool_position", study, fill)


def _placed(part: Study) -> pl.DataFrame:
    """Calls with ``place`` (0 to 1) and ``tenth`` (0 to 9)."""
    recorded = pl.col("source") == "recorded"
    bounds = part.sessions.select(
        "session",
        begin=pl.when(recorded).then(0.0).otherwise(pl.col("active_start_s")),
        length=pl.when(recorded).then(pl.col("wall_s")).otherwise(pl.col("active_end_s") - pl.col("active_start_s")),
    ).filter(pl.col("length") > 0)
    calls = part.calls.join(bounds, on="session", maintain_order="left")
    placed = calls.with_columns(place=(pl.col("start_s") - pl.col("begin")) / pl.col("length"))
    tenth = (pl.col("place") * _TENTHS).floor().clip(0, _TENTHS - 1).cast(pl.Int32)
    return placed.filter(pl.col("place").is_between(0.0, 1.0)).with_columns(tenth=tenth)


def _items(calls: pl.DataFrame, column: str) -> list[str]:
    """The values of a column, those with most calls first."""
    counts = calls.filter(pl.col(column).is_not_null()).group_by(column).len()
    return counts.sort(["len", column], descending=[True, False])[column].to_list()


def _durations(table: Table, item: str, calls: pl.DataFrame, column: str) -> None:
    values, sessions = calls[column], calls["session"]
    table.add(item, "median", "s", quantile(values, sessions), "calls")
    each = calls.group_by("session", maintain_order=True).agg(pl.col(column).sum(), pl.len())
    table.add(item, "mean", "s", _with_n(ratio(each[column], each["len"]), calls.height), "calls")
    table.add(item, "95th percentile", "s", quantile(values, sessions, 0.95), "calls")


def _share(part: Study, calls: pl.DataFrame, own: pl.Expr, column: str | None) -> Estimate:
    """Part of the calls (``column`` None) or of a column's sum that ``own`` has; every session of the set counts."""
    amount = pl.lit(1.0) if column is None else pl.col(column)
    each = calls.group_by("session", maintain_order=True).agg(
        part=amount.filter(own).sum() if column else own.sum().cast(pl.Float64),
        whole=amount.sum() if column else pl.len().cast(pl.Float64),
    )
    every = part.sessions.select("session").join(each, on="session", how="left", maintain_order="left").fill_null(0.0)
    return ratio(every["part"], every["whole"])


def _with_n(estimate: Estimate, n: int) -> Estimate:
    """The same estimate, saying how many calls it is about."""
    return Estimate(estimate.value, estimate.low, estimate.high, n, estimate.sessions)
