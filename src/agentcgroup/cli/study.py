"""``agentcgroup study``: what agents do to a machine, computed from any set of traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from agentcgroup.cli.study_progress import Watched, progress
from agentcgroup.study.engine import automatic_workers, one_thread, open_engine


class _Study(click.Command):
    """Takes paths, but for one word: ``study compare`` is a command of its own (a folder of that name: ./compare)."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args[:1] == ["compare"]:
            from agentcgroup.cli.study_compare import command as compare

            return compare.make_context(f"{info_name} compare", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_Study, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="NAME=GLOB", help="Label runs below PATH; may be repeated.")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a report there: HTML, Markdown, figures, numbers.",
)
@click.option("--only", multiple=True, metavar="METRIC", help="Compute this metric only; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Also earlier attempts and runs that are too short.")
@click.option("--engine", default="local", show_default=True, metavar="NAME", help="Where to compute: local or dask.")
@click.option(
    "--workers", type=click.IntRange(1, 1024), metavar="N", help="Processes; by default as many as are worth it."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def command(
    paths: tuple[Path, ...],
    sets: tuple[str, ...],
    out: Path | None,
    only: tuple[str, ...],
    everything: bool,
    engine: str,
    workers: int | None,
    as_json: bool,
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

    --out writes report.html (one file, for a browser, without a server),
    report.md, figures/ as SVG, PDF and PNG, numbers.csv and numbers.json, and
    prints nothing but where; it needs the extra agentcgroup[report]. Two sets are
    compared by `agentcgroup study compare`.

    \b
    Engines: local computes in processes of this machine, --workers of them; dask
    in those of the cluster that DASK_SCHEDULER_ADDRESS names (which must see the
    traces at the same path), else of this machine. Results are the same.

    \b
    Exit status: 0 computed (a broken run is left out and counted); 1 no run can
    be read; 2 usage, or no traces.

    \b
    Example: two sets of published runs, and one metric of all your own traces:
      agentcgroup study ../shared/traces --set glm=glm --set haiku=haiku
      agentcgroup study traces --only phases
      agentcgroup study traces --out report
      agentcgroup study traces --json | jq '.numbers[] | select(.item == "whole")'
    """
    with one_thread():  # polars is not imported before
        from agentcgroup.study import tables
        from agentcgroup.study.compute import compute
        from agentcgroup.study.find import find_runs, parse_set
        from agentcgroup.study.load import load_runs
        from agentcgroup.study.metrics import find_metrics
        from agentcgroup.study.oddities import Oddities

    metrics = find_metrics(only)
    if out is not None:
        from agentcgroup.study.report import require

        require()
    oddities = Oddities()
    runs = find_runs(paths, [parse_set(text) for text in sets], oddities)
    with progress() as tell:
        with open_engine(engine, workers or automatic_workers(len(runs))) as chosen:
            study = load_runs(runs, oddities, everything=everything, engine=Watched(chosen, tell, "reading"))
            computed = compute(study, metrics, Watched(chosen, tell, "computing"))
        if out is not None:
            from agentcgroup.study.report import write_report

            write_report(study, computed, out, tell)
    if as_json:
        click.echo(json.dumps(tables.study_json(study, computed), allow_nan=False))
    elif out is not None:
        click.echo(f"wrote {out / 'report.html'} and what belongs to it")
    else:
        tables.print_study(study, computed)
