"""What sentences, tables and figures of a report start from: the study and its numbers by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentcgroup.study.load import Study
from agentcgroup.study.number import Metric, Number
from agentcgroup.trace.text import printable, shorten

_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class Data:
    """The selected sessions of a study, and its numbers by (metric, set, item, statistic)."""

    study: Study
    numbers: dict[tuple[str, str, str, str], Number]
    metrics: frozenset[str]  # those that were computed

    def number(self, metric: str, set_: str, item: str, statistic: str) -> Number | None:
        """One number; None where it was not computed or has no value."""
        found = self.numbers.get((metric, set_, item, statistic))
        return found if found is not None and found.value is not None else None

    def items(self, metric: str, statistic: str) -> list[str]:
        """The items of a metric that have this statistic in any set, in the order of the numbers."""
        return list(dict.fromkeys(item for name, _, item, of in self.numbers if (name, of) == (metric, statistic)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the sets, and those of pairs of sets (`same_tasks`)."""
        return tuple(dict.fromkeys((*self.study.sets, *(of for _, of, _, _ in self.numbers))))


def make_data(study: Study, computed: Sequence[tuple[Metric, list[Number]]]) -> Data:
    """The data of a study whose metrics were computed."""
    found = [number for _, numbers in computed for number in numbers]
    by_name = {(one.metric, one.set, one.item, one.statistic): one for one in found}
    return Data(study.selected(), by_name, frozenset(metric.name for metric, _ in computed))


def name_of(text: str) -> str:
    """A label that came from outside (a set, a tool, a task), as it can be shown."""
    return shorten(printable(text), _LONGEST_NAME)
