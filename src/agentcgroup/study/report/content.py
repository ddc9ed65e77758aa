"""What a report says, put together once for all the forms in which it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentcgroup.study.load import Study
from agentcgroup.study.number import Metric, Number
from agentcgroup.study.report import findings, tables
from agentcgroup.study.report.data import Data, name_of
from agentcgroup.study.report.tables import Grid
from agentcgroup.study.report.words import counted

HOW_TO_READ = (
    "Intervals are 95 % intervals: sessions, whole, are drawn again with a fixed seed. A set of one session has none. "
    "“Published” means by the definitions of the AgentCgroup paper. Each set has the same colour and marker in all "
    "figures."
)


@dataclass(frozen=True, slots=True)
class Plate:
    """A figure in the report; its files are ``figures/NAME.*``."""

    name: str
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class Appendix:
    """All numbers of one metric, with its definition."""

    title: str
    definition: str
    numbers: Grid


@dataclass(frozen=True, slots=True)
class Content:
    """A report, in the order in which it is read."""

    title: str
    summary: str
    findings: Sequence[findings.Finding]
    tables: Sequence[Grid]
    plates: Sequence[Plate]
    oddities: Grid
    appendix: Sequence[Appendix]


def gather(
    study: Study, data: Data, computed: Sequence[tuple[Metric, list[Number]]], plates: Sequence[Plate]
) -> Content:
    """The content of a report about ``study`` (with all its runs), whose figures are ``plates``."""
    sets = data.study.sets
    found = [tables.overview(data), tables.commands(data), tables.published(study, data)]
    sessions, runs = data.study.sessions.height, study.sessions.height
    return Content(
        title=f"What agents do to a machine: {', '.join(name_of(name) for name in sets)}",
        summary=f"{counted(sessions, 'sessions')} in {counted(len(sets), 'sets')}, of {counted(runs, 'runs')} read. "
        f"{HOW_TO_READ}",
        findings=findings.find(data),
        tables=[grid for grid in found if grid is not None],
        plates=plates,
        oddities=tables.oddities(study),
        appendix=[
            Appendix(f"{metric.title} ({metric.name})", metric.definition, tables.metric_numbers(numbers))
            for metric, numbers in computed
            if numbers
        ],
    )
