"""``agentcgroup study``: what agents do to a machine, computed from any set of traces."""

from __future__ import annotations

import json
from pathlib import Path

import click

from agentcgroup.errors import UsageError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="NAME=GLOB", help="Label runs below PATH; may be repeated.")
@click.option("--only", multiple=True, metavar="METRIC", help="Compute this metric only; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Also earlier attempts and runs that are too short.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def command(
    paths: tuple[Path, ...], sets: tuple[str, ...], only: tuple[str, ...], everything: bool, as_json: bool
) -> None:
    """Characterize the sessions below each PATH.

    PATH holds traces of `agentcgroup run --trace`, or runs in the format that was
    published with the AgentCgroup paper, packed or not; at any depth.

    \b
    Sets: a folder of tasks is a set, and has its name. A PATH that holds several
    is refused, because sets are not to be mixed; label them with --set. GLOB is
    a path below PATH, of the runs or of a folder above them; the first that
    matches counts, and what matches none is left out and counted.

    \b
    What counts in the metrics: the last attempt of each task; of published runs
    those that have 10 samples in 60 s or more, the filter of the paper. All runs
    are loaded, and what is left out is in the table of oddities.

    Each value has its 95 % interval below it: sessions are drawn again, with a
    fixed seed. A set of one session has none.

    \b
    Exit status: 0 computed (a broken run is left out and counted); 1 no run can
    be read; 2 usage, or no traces.

    \b
    Example: two sets of published runs, and one metric of all your own traces:
      agentcgroup study ../shared/traces --set glm=glm --set haiku=haiku
      agentcgroup study traces --only phases
      agentcgroup study traces --json | jq '.numbers[] | select(.item == "whole")'
    """
    from agentcgroup.study import tables
    from agentcgroup.study.find import parse_set
    from agentcgroup.study.load import load
    from agentcgroup.study.metrics import find_metrics

    metrics = find_metrics(only)
    study = load(paths, [parse_set(text) for text in sets], everything=everything)
    chosen = study.selected()
    if chosen.sessions.is_empty():
        left = ", ".join(f"{study.oddities.count(name)} {name}" for name in study.oddities.names())
        raise UsageError(f"no session is left to compute with ({left})", "give --all, or more traces")
    computed = [(metric, metric.compute(chosen)) for metric in metrics]
    if as_json:
        click.echo(json.dumps(tables.study_json(study, computed), allow_nan=False))
    else:
        tables.print_study(study, computed)
