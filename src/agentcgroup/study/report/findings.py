"""What a study says, in sentences that are made from its numbers: no sentence claims what its numbers do not say.

A finding is a list of clauses, each with the numbers that it names; for a set that lacks one of them the clause is left
out, and a set without a clause says nothing. Every number has its 95 % interval in parentheses where it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agentcgroup.study.report.data import Data, name_of
from agentcgroup.study.report.words import amount, basis, with_interval
from agentcgroup.study.statistics import FEWEST_PAIRS


class Name(NamedTuple):
    """A number, of whatever set."""

    metric: str
    item: str
    statistic: str


@dataclass(frozen=True, slots=True)
class Clause:
    """``text`` has a ``{}`` for each of ``names``; ``bare``: no intervals; ``fewest``: values it has to rest on."""

    text: str
    names: tuple[Name, ...]
    bare: bool = False
    fewest: int = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """What there is to say about one thing: for each set one sentence, with what it rests on."""

    title: str
    sentences: tuple[tuple[str, str], ...]  # (set, sentence)


def _clause(text: str, *names: tuple[str, str, str], bare: bool = False, fewest: int = 1) -> Clause:
    return Clause(text, tuple(Name(*name) for name in names), bare, fewest)


_TEMPLATES: tuple[tuple[str, tuple[Clause, ...]], ...] = (
    (
        "How long a session takes",
        (
            _clause("a session takes {} at the median", ("duration", "whole", "median")),
            _clause("its agent is active for {} of it", ("duration", "active", "median")),
            _clause("the longest took {}", ("duration", "whole", "greatest")),
        ),
    ),
    (
        "What tools take of the active time",
        (
            _clause(
                "tools at work fill {} of the active time at the median",
                ("phases", "tools, union of leaves without the check", "median share of active"),
            ),
            _clause(
                "the wait for permission checks, estimated, {}",
                ("phases", "permission check (estimated, in the leaves)", "median share of active"),
            ),
            _clause(
                "all calls that do work fill {}, a check included",
                ("phases", "tools, union of leaves", "median share of active"),
            ),
            _clause(
                "the plain sum over all calls, as published, says {}",
                ("phases", "tools, plain sum", "median share of active"),
            ),
        ),
    ),
    (
        "What sampling sees of the calls",
        (
            _clause("{} of the calls lie between two samples", ("unseen_calls", "all calls", "unseen")),
            _clause(
                "they have {} of the time of calls", ("unseen_calls", "all calls", "unseen part of the time"), bare=True
            ),
            _clause(
                "by the kernel's counters, one sample a second misses {} of the peak of a session at the median",
                ("missed_by_sampling", "peak of the session, missed", "median"),
            ),
        ),
    ),
    (
        "How much memory a session takes",
        (
            _clause("memory peaks at {} at the median", ("memory_level", "peak of the samples", "median")),
            _clause("peak over average is {} at the median", ("memory_level", "peak over average", "median")),
            _clause(
                "the highest peak is {}, and the highest ratio {}",
                ("memory_level", "peak of the samples", "greatest"),
                ("memory_level", "peak over average", "greatest"),
            ),
        ),
    ),
    (
        "Where bursts of memory come from",
        (
            _clause(
                "of the rises of 50 MB and more, {} lie in calls that do work, against {} by chance",
                ("bursts", "rise of 50 MB or more", "of these in leaves"),
                ("bursts", "all steps", "of these in leaves"),
            ),
            _clause(
                "of the samples above 300 MB, as published, {} lie in calls",
                ("bursts", "above 300 MB (published)", "of these in calls"),
            ),
        ),
    ),
    (
        "How much load a session is",
        (
            _clause(
                "a session keeps {} busy at the median", ("cpu_load", "whole session: CPU time over time", "median")
            ),
            _clause(
                "the instantaneous load is below 5 % of a core in {} of the samples",
                ("cpu_load", "instantaneous, part of the samples below 5 % of a core", "median"),
            ),
            _clause(
                "load and memory correlate at {} within a session, and at {} by the running average, as published",
                ("cpu_memory_correlation", "instantaneous, Pearson", "mean"),
                ("cpu_memory_correlation", "running average (published), Pearson", "mean"),
            ),
        ),
    ),
    (
        "How often tests are run again",
        (
            _clause(
                "{} of the sessions run tests three times in a row or more",
                ("retry_loops", "consecutive test commands", "sessions with a loop"),
            ),
            _clause(
                "{} run the same command",
                ("retry_loops", "consecutive identical commands", "sessions with a loop"),
            ),
            _clause(
                "{} run any three shell commands, as published",
                ("retry_loops", "consecutive shell calls (published)", "sessions with a loop"),
            ),
        ),
    ),
    (
        "How predictable sessions are",
        (
            _clause(
                "the coefficient of variation of peak memory is {}, and {} without the greatest session",
                ("task_variation", "peak memory", "variation"),
                ("task_variation", "peak memory", "variation without the greatest"),
            ),
            _clause(
                "the ninth decile of the peaks is {} times the first",
                ("task_variation", "peak memory", "decile 9 over decile 1"),
                fewest=FEWEST_PAIRS,
            ),
            _clause(
                "messages of the model and active time go together at rho = {}, messages and peak memory at {}",
                ("correlations", "messages with active duration", "Spearman"),
                ("correlations", "messages with peak memory", "Spearman"),
                fewest=FEWEST_PAIRS,
            ),
            _clause(
                "on the tasks that both have, durations differ by a factor of {}",
                ("same_tasks", "whole duration", "typical factor"),
            ),
            _clause("their ranks correlate at {}", ("same_tasks", "whole duration", "Spearman")),
        ),
    ),
    (
        "What a limit wastes, and what a host carries",
        (
            _clause(
                "a limit at the highest peak of the set leaves {} of the memory unused",
                ("memory_waste", "the highest peak of the set", "wasted"),
            ),
            _clause(
                "a host of 32 GB carries {} sessions that share, in all but one of twenty rounds",
                ("concurrency", "sharing, one round in twenty fails", "sessions"),
            ),
            _clause(
                "where each reserves the highest peak, {}",
                ("concurrency", "reserving the highest peak", "sessions"),
            ),
        ),
    ),
)


def find(data: Data) -> list[Finding]:
    """The findings of a study, in the order in which they are read; without numbers there is none."""
    found = []
    for title, clauses in _TEMPLATES:
        sentences = [(name_of(label), text) for label in data.labels if (text := _sentence(data, label, clauses))]
        if sentences:
            found.append(Finding(title, tuple(sentences)))
    return found


def _sentence(data: Data, label: str, clauses: Sequence[Clause]) -> str:
    """One sentence about one set; empty where nothing is known of it."""
    parts, rests_on = [], ""
    for clause in clauses:
        numbers = [data.number(name.metric, label, name.item, name.statistic) for name in clause.names]
        known = [number for number in numbers if number is not None and number.n >= clause.fewest]
        if len(known) < len(numbers):
            continue
        texts = [amount(one.value, one.unit) if clause.bare else with_interval(one) for one in known]
        parts.append(clause.text.format(*(text.removesuffix(" sessions") for text in texts)))
        rests_on = rests_on or basis(known[0])
    if not parts:
        return ""
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]} (n = {rests_on})."
