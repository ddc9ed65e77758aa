"""What rounds and tokens of the model say about time and memory."""

from __future__ import annotations

import polars as pl

from agentcgroup.study.load import Study
from agentcgroup.study.metrics.sessions import sessions_frame
from agentcgroup.study.number import Number, Table, each_set
from agentcgroup.study.statistics import pearson, spearman

_OF = {
    "messages": "messages",
    "records": "records (published rounds)",
    "output_tokens": "output tokens",
    "record_tokens": "output tokens by records (published)",
    "calls": "calls",
}
_WITH = {
    "wall_s": "whole duration",
    "active_s": "active duration",
    "peak_bytes": "peak memory",
    "average_bytes": "average memory",
    "cpu_time_s": "CPU time",
}


def correlations(study: Study) -> list[Number]:
    """Definition: how rounds, tokens and calls of a session go with its time and memory, over the sessions of a set.

    A round is a message of the model, counted once; the published rounds are the records of its log, one per block of
    content (two or more for one message), and published tokens are summed over records, so each is counted as often.
    Pearson's r, which one far session moves, and Spearman's rho. Unit: none (-1 to 1). Source: the agent's log, as
    sessions_frame. Filters: selected sessions in which both are known; of one set, since models differ in both.
    Intervals: sessions drawn again, from ten sessions on.
    """
    frame = sessions_frame(study)

    def fill(table: Table, _: Study) -> None:
        own = frame.filter(pl.col("set") == table.set)
        for one, name in _OF.items():
            for other, with_name in _WITH.items():
                found = pearson(own[one], own[other])
                if found.value is None:
                    continue
                item = f"{name} with {with_name}"
                table.add(item, "Pearson", "", found)
                table.add(item, "Spearman", "", spearman(own[one], own[other]))

    return each_set("correlations", study, fill)
