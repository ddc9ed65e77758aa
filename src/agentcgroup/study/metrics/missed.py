"""What one sample a second misses of a session whose calls the kernel counted."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.samples import WHOLE, about, labelled, summarize, whole
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import plain, ratio

STEP_S = 1.0
_AT_ONCE = 50  # sessions: as the samples of a fleet go, 30 MB


def missed_by_sampling(study: Study) -> list[Number]:
    """Definition: what a sampler that looks once a second would have missed of recorded sessions.

    The record is the kernel's: each call's peak, CPU time and instants, and the peak and CPU time of the session. The
    sampler is made of the samples of the recording, of each second the first. Calls: those in which it took no sample;
    and the part of all calls' CPU time that these used. Peak: the counter of the session less the sampler's highest
    sample, as a part of the counter. CPU: the counter of the session less what it had used at the sampler's last look,
    as a part of the counter. Peak of a call: as that of the session, by the samples of the call's own domain; nothing
    seen is all missed. Unit: share, s. Source: counters and samples of recorded traces. Filters: selected recorded
    sessions with samples; calls with an end. Statistics: ratios of sums with intervals by sessions drawn again; median,
    mean and extremes over sessions.
    """
    looks = _looks(study)
    frame, calls = _missed_sessions(study, looks), _missed_calls(study, looks)

    def fill(table: Table, _: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        if own.is_empty():
            return
        of = calls.filter(pl.col("set") == table.set)
        each = of.group_by("session", maintain_order=True).agg(
            calls=pl.len(),
            unseen=(~pl.col("seen")).sum(),
            cpu_s=pl.col("cpu_time_s").sum(),
            unseen_cpu_s=pl.col("cpu_time_s").filter(~pl.col("seen")).sum(),
        )
        if of.height:
            table.add("calls", "unseen", "share", about(ratio(each["unseen"], each["calls"]), of.height), "calls")
            table.add("calls", "unseen, count", "", plain(float(each["unseen"].sum()), of.height), "calls")
            unseen_cpu = about(ratio(each["unseen_cpu_s"], each["cpu_s"]), of.height)
            table.add("CPU time of calls", "in unseen calls", "share", unseen_cpu, "calls")
            peaks = (
                of.drop_nulls("missed_peak")
                .group_by("session", maintain_order=True)
                .agg(pl.col("missed_peak").sum(), n=pl.len())
            )
            mean_peak = about(ratio(peaks["missed_peak"], peaks["n"]), int(peaks["n"].sum()))
            table.add("peak of a call", "missed, mean", "share", mean_peak, "calls")
        for column, item in (
            ("missed_peak", "peak of the session, missed"),
            ("missed_cpu", "CPU of the session, missed"),
        ):
            summarize(table, item, "share", own[column])

    return each_set("missed_by_sampling", study, fill)


def _missed_sessions(study: Study, looks: pl.DataFrame) -> pl.DataFrame:
    """``session``, ``set``, ``missed_peak`` and ``missed_cpu`` (shares of the counters) of recorded sessions."""
    whole_session = looks.filter(pl.col("domain") == WHOLE).group_by("session", maintain_order=True)
    seen = whole_session.agg(peak=pl.col("memory_bytes").max(), cpu_s=pl.col("cpu_time_s").last())
    counted = study.sessions.select("session", "set", "memory_peak_bytes", "cpu_time_s")
    return seen.join(counted, on="session", maintain_order="left").select(
        "session",
        "set",
        missed_peak=_missed(pl.col("peak"), pl.col("memory_peak_bytes")),
        missed_cpu=_missed(pl.col("cpu_s"), pl.col("cpu_time_s")),
    )


def missed_calls_frame(study: Study) -> pl.DataFrame:
    """Calls of recorded sampled sessions: ``session``, ``set``, ``call``, ``cpu_time_s``, ``seen``, ``missed_peak``."""
    return _missed_calls(study, _looks(study))


def _missed_calls(study: Study, looks: pl.DataFrame) -> pl.DataFrame:
    own = looks.with_columns(call=pl.col("domain").cast(pl.String)).group_by("session", "call")
    peaks = own.agg(peak=pl.col("memory_bytes").max())
    instants = looks.filter(pl.col("domain") == WHOLE).select("session", "t_s").sort("t_s")
    calls = study.calls.drop_nulls(["start_s", "end_s"])
    calls = calls.join(instants.select("session").unique(), on="session", how="semi").sort("start_s")
    # check_sortedness cannot look into the groups and would only warn; both sides are sorted.
    calls = calls.join_asof(
        instants,
        left_on="start_s",
        right_on="t_s",
        by="session",
        strategy="forward",
        check_sortedness=False,
        coalesce=False,
    )
    calls = calls.join(peaks, on=("session", "call"), how="left", maintain_order="left").sort("session", "position")
    missed = _missed(pl.col("peak").fill_null(0), pl.col("memory_peak_bytes"))
    seen = (pl.col("t_s") <= pl.col("end_s")).fill_null(value=False)
    return labelled(study, calls.select("session", "call", "cpu_time_s", seen.alias("seen"), missed_peak=missed))


def _missed(seen: pl.Expr, counted: pl.Expr) -> pl.Expr:
    """What ``seen`` lacks, as a part of ``counted``; null where one is not known, at least 0."""
    return pl.when(counted > 0).then((1 - seen / counted).clip(lower_bound=0.0))


def _looks(study: Study) -> pl.DataFrame:
    """The samples of recorded sessions that a sampler at 1 Hz would have: of each domain and second the first.

    Some sessions at a time: the samples of all domains of a fleet, which only this metric asks for, need not all be in
    memory for the few that are kept.
    """
    recorded = study.only(pl.col("source") == "recorded")
    numbers = recorded.sessions["session"].to_list()
    pieces = [numbers[at : at + _AT_ONCE] for at in range(0, len(numbers), _AT_ONCE)]
    return pl.concat([_looks_of(recorded.only(pl.col("session").is_in(piece))) for piece in pieces or [[]]])


def _looks_of(recorded: Study) -> pl.DataFrame:
    # The sampler looks at all domains at the same instant: the first of the session's in each second.
    instants = whole(recorded)
    second = (pl.col("t_s") / STEP_S).floor()
    fresh = (second != second.shift(1)) | (pl.col("session") != pl.col("session").shift(1))
    kept = instants.filter(fresh.fill_null(value=True))
    wanted = recorded.samples.select("session", "t_s", "domain", "memory_bytes", "cpu_time_s")
    found = wanted.join(kept.lazy(), on=["session", "t_s"], how="semi").collect()
    return found.sort("session", "t_s", maintain_order=True)
