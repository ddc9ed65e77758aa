"""The tables of a report: an overview of the sets, kinds of commands, and the published values next to ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics import find_metrics
from agentcgroup.study.number import Number
from agentcgroup.study.oddities import MEANINGS
from agentcgroup.study.published import Comparison, compare
from agentcgroup.study.published_table import PUBLISHED
from agentcgroup.study.report.data import Data, name_of
from agentcgroup.study.report.words import amount, interval, with_interval

# (column, metric, item, statistic)
_OVERVIEW = (
    ("whole duration, median", "duration", "whole", "median"),
    ("active, median", "duration", "active", "median"),
    ("tools, share of the active time, median", "phases", "tools, union of leaves", "median share of active"),
    ("peak memory, median", "memory_level", "peak of the samples", "median"),
    ("highest peak", "memory_level", "peak of the samples", "greatest"),
    ("peak over average, median", "memory_level", "peak over average", "median"),
    ("variation of the peaks", "task_variation", "peak memory", "variation"),
    ("load, median", "cpu_load", "whole session: CPU time over time", "median"),
)
# (column, metric, prefix of the item, statistic)
_COMMANDS = (
    ("median duration", "kind_duration", "", "median"),
    ("share of shell time", "kind_duration", "", "share of shell time"),
    ("without the check", "kind_duration", "", "share without the check"),
    ("rise of memory, 95th percentile", "spikes", "kind ", "95th percentile"),
    ("greatest rise", "spikes", "kind ", "greatest"),
    ("without a sample", "unseen_calls", "kind ", "unseen"),
)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as it is read: a title, what it says, names of columns, rows of text.

    ``prose``: its cells are sentences, which a narrow page shows one below the other.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    prose: bool = False


def overview(data: Data) -> Grid:
    """The sets in one row each."""
    rows = []
    for name in data.study.sets:
        sessions = data.study.sessions.filter(pl.col("set") == name)
        models = sorted({part.strip() for text in sessions["model"].drop_nulls() for part in text.split(",")})
        calls = data.study.calls.join(sessions.select("session"), on="session", how="semi").height
        cells = [_cell(data.number(metric, name, item, statistic)) for _, metric, item, statistic in _OVERVIEW]
        shown = ", ".join(name_of(model) for model in models if not model.startswith("<")) or "-"
        rows.append((name_of(name), shown, str(sessions.height), str(calls), *cells))
    columns = ("set", "model", "sessions", "calls", *(column for column, *_ in _OVERVIEW))
    return Grid("The sets", "In parentheses: 95 % intervals, sessions drawn again.", columns, tuple(rows))


def commands(data: Data) -> Grid | None:
    """Shell commands by the programs that run: how long, how much of the time, how much memory."""
    rows = []
    for name in data.study.sets:
        for kind in data.items("kind_duration", "median"):
            first = data.number("kind_duration", name, kind, "median")
            if first is None:
                continue
            cells = [_cell(data.number(metric, name, prefix + kind, what)) for _, metric, prefix, what in _COMMANDS]
            rows.append((name_of(name), kind, str(first.n), *cells))
    if not rows:
        return None
    note = "By the programs that run. Rises are known of commands that hold a sample and share no time with another."
    return Grid("Shell commands", note, ("set", "kind", "calls", *(column for column, *_ in _COMMANDS)), tuple(rows))


def published(study: Study, data: Data) -> Grid | None:
    """“Published, by the published definition, by ours, which to believe and why”; None without published sets.

    ``study`` has all runs, for the values that are about repeated runs of one task.
    """
    own = set(study.sessions.filter(pl.col("source") == "published")["set"].unique())
    numbers = [number for number in data.numbers.values() if set(number.set.split(" / ")) <= own]
    rows = [_published_row(one) for one in compare(PUBLISHED, numbers, _attempts(study, data))]
    if not any(by or ours for _, _, by, ours, _ in rows):
        return None
    note = (
        "For the runs that were published, labelled haiku, glm and haiku18; the verdicts were written from them, with "
        "the published filter. In parentheses: 95 % intervals."
    )
    columns = ("what", "published", "by the published definition", "by ours", "which to believe, and why")
    return Grid("Published values", note, columns, tuple(rows), prose=True)


def _published_row(one: Comparison) -> tuple[str, ...]:
    told = one.published
    return told.item, told.value, _listed(one.by_definition), _listed(one.ours), told.verdict


def _listed(numbers: Sequence[Number]) -> str:
    """A line for what the numbers are of, with the values of all sets."""
    lines: dict[str, list[str]] = {}
    for number in numbers:
        what = ", ".join(part for part in (number.item, number.statistic) if part)
        lines.setdefault(what, []).append(f"{name_of(number.set)} {with_interval(number)}")
    return "\n".join(f"{what}: {', '.join(values)}" for what, values in lines.items())


def _attempts(study: Study, data: Data) -> list[Number]:
    """Numbers over every run that began, of the metrics that some published value asks for so."""
    refs = [ref for one in PUBLISHED for ref in (*one.by_definition, *one.ours) if ref.attempts]
    names = tuple(sorted({ref.metric for ref in refs} & data.metrics))
    if not names or not {ref.set for ref in refs} & set(study.sets):
        return []
    began = study.only(pl.col("start_epoch_s").is_not_null() | pl.col("cut"))
    return [number for metric in find_metrics(names) for number in metric.compute(began)]


def oddities(study: Study) -> Grid:
    """What was odd about the traces, and what was done about it."""
    odd = study.oddities
    rows = [(name, str(odd.count(name)), str(len(odd.runs(name))), MEANINGS[name]) for name in odd.names()]
    columns = ("oddity", "count", "runs", "what was done")
    return Grid("What was odd about the traces", "", columns, tuple(rows), prose=True)


def metric_numbers(numbers: Sequence[Number]) -> Grid:
    """All numbers of one metric, a row each."""
    rows = [
        (
            name_of(one.set),
            name_of(one.item),
            one.statistic,
            amount(one.value, one.unit),
            interval(one),
            f"{one.n} {one.of}",
        )
        for one in numbers
    ]
    return Grid("", "", ("set", "of", "statistic", "value", "95 % interval", "n"), tuple(rows))


def _cell(number: Number | None) -> str:
    return "-" if number is None else with_interval(number)
