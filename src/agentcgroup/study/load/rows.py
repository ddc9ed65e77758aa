"""What a loader makes of one run, before it becomes frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from agentcgroup.study import schema
from agentcgroup.study.load.stream import SampleFile
from agentcgroup.study.oddities import Oddities


@dataclass(slots=True)
class Rows:
    """One session with its calls, samples and messages, as rows or as a frame; column names are those of `schema`.

    Samples are in ``samples`` or, when there is one, in ``file``.
    """

    session: dict[str, object]
    calls: list[dict[str, object]] = field(default_factory=list)
    messages: list[dict[str, object]] = field(default_factory=list)
    samples: pl.DataFrame = field(default_factory=lambda: schema.empty(schema.SAMPLES))
    oddities: Oddities = field(default_factory=Oddities)
    file: SampleFile | None = None
