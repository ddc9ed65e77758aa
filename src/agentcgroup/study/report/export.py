"""The numbers of a study for machines: as CSV, and as the JSON that ``--json`` prints."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields

from agentcgroup.study.load import Study
from agentcgroup.study.number import Metric, Number
from agentcgroup.study.tables import study_json


def numbers_json(study: Study, computed: Sequence[tuple[Metric, list[Number]]]) -> str:
    """What ``agentcgroup study --json`` prints."""
    return json.dumps(study_json(study, computed), allow_nan=False) + "\n"


def numbers_csv(study: Study, computed: Sequence[tuple[Metric, list[Number]]]) -> str:
    """The numbers alone, one a line; columns are the fields of `Number`, an empty cell is null."""
    rows = study_json(study, computed)["numbers"]
    if not isinstance(rows, list):
        raise TypeError("study_json has no list of numbers")
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Number)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
