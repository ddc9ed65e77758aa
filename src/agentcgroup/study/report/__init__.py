"""The report of a study: findings in sentences, figures, the comparison with the paper, and all numbers.

`write_report` is what ``agentcgroup study --out`` calls. `content.gather` puts together what there is to say, once;
``html`` and ``markdown`` write it down, ``figures`` draws, ``export`` writes the numbers for machines. Nothing of it
depends on when or where it was made: the same traces give the same bytes.
"""

from agentcgroup.study.report.write import require, write_report

__all__ = ["require", "write_report"]
