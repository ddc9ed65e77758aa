from __future__ import annotations

from agentcgroup.study.metrics import METRICS
from agentcgroup.study.number import Number
from agentcgroup.study.published import Published, Ref, compare
from agentcgroup.study.published_table import PUBLISHED


def number(metric: str, value: float) -> Number:
    return Number(metric, "glm", "whole", "mean", "s", value, None, None, 3, "sessions", 3)


def test_a_value_stands_beside_what_was_computed() -> None:
    ref = Ref("duration", "glm", "whole", "mean")
    of_all = Ref("duration", "glm", "whole", "mean", attempts=True)
    table = (Published("time", "10.8 min", "here", (ref, Ref("phases", "glm", "x", "mean")), (of_all,), "Believe it."),)
    (found,) = compare(table, [number("duration", 640.0)], [number("duration", 700.0)])
    assert [one.value for one in found.by_definition] == [640.0]  # the other was not computed
    assert [one.value for one in found.ours] == [700.0]
    (alone,) = compare(table, [number("duration", 640.0)])
    assert alone.ours == ()


def test_every_published_value_has_one_sentence_and_metrics_that_exist() -> None:
    known = {metric.name for metric in METRICS}
    assert len({one.item for one in PUBLISHED}) == len(PUBLISHED)
    for one in PUBLISHED:
        assert one.verdict.endswith(".")
        assert one.value
        assert {ref.metric for ref in (*one.by_definition, *one.ours)} <= known, one.item
        assert bool(one.by_definition) == (one.where != "evaluation")
