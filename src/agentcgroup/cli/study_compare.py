"""``agentcgroup study compare A B``: how two sets of sessions differ, and what of it is noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentcgroup.errors import UsageError
from agentcgroup.study.engine import one_thread

if TYPE_CHECKING:  # they import polars
    from agentcgroup.study.find import Run, Wanted
    from agentcgroup.study.oddities import Oddities


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("a")
@click.argument("b")
@click.option(
    "--in",
    "paths",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Traces that hold both sets; A and B are then labels. May be repeated.",
)
@click.option("--set", "sets", multiple=True, metavar="NAME=GLOB", help="Label runs below --in; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Also earlier attempts and runs that are too short.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def command(a: str, b: str, paths: tuple[Path, ...], sets: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Compare two sets of sessions: models, versions, policies.

    A and B are folders that hold one set each; with --in, they are the labels of
    two sets in it.

    Differences are B minus A, with the 95 % interval that comes of drawing the
    sessions of both sets again. If it holds 0 the difference is noise. Fewer than
    five sessions of a set are too few to tell, and what the sources count
    differently (recorded and published memory, say) is not compared.

    \b
    Exit status: 0 compared, whatever came out; 1 no run can be read; 2 usage.

    \b
    Example: two models, and two policies of your own:
      agentcgroup study compare ../shared/traces/haiku ../shared/traces/glm
      agentcgroup study compare plain ladder --in traces --set plain='p-*' --set ladder='l-*'
    """
    with one_thread():  # polars is not imported before
        from agentcgroup.study.compare import compare_sets, differences_json
        from agentcgroup.study.compare_table import print_differences
        from agentcgroup.study.find import parse_set
        from agentcgroup.study.load import load_runs
        from agentcgroup.study.oddities import Oddities

    if sets and not paths:
        raise UsageError("--set labels runs below --in, which is not given", "give --in PATH")
    oddities = Oddities()
    find = partial(_two_labels, paths, [parse_set(text) for text in sets]) if paths else _two_folders
    runs, names = find(a, b, oddities)
    study = load_runs(runs, oddities, everything=everything)
    found = compare_sets(study, *names)
    if as_json:
        click.echo(json.dumps(differences_json(*names, found), allow_nan=False))
    else:
        print_differences(*names, found, oddities)


def _two_labels(
    paths: Sequence[Path], wanted: Sequence[Wanted], a: str, b: str, oddities: Oddities
) -> tuple[list[Run], tuple[str, str]]:
    """The runs of two sets below ``paths``, and their labels."""
    from agentcgroup.study.find import find_runs

    runs = find_runs(paths, wanted, oddities)
    known = sorted({run.set for run in runs})
    for name in (a, b):
        if name not in known:
            raise UsageError(f"no set {name!r} in {', '.join(map(str, paths))}", f"there are {', '.join(known)}")
    return [run for run in runs if run.set in (a, b)], (a, b)


def _two_folders(a: str, b: str, oddities: Oddities) -> tuple[list[Run], tuple[str, str]]:
    """The runs of two folders, a set each, and labels for them: the names of the folders, if they differ."""
    from agentcgroup.study.find import find_runs

    found = [find_runs([Path(folder)], (), oddities) for folder in (a, b)]
    labels = tuple(runs[0].set for runs in found)
    if labels[0] == labels[1]:
        labels = (a, b if a != b else f"{b} (again)")
    return [replace(run, set=label) for runs, label in zip(found, labels, strict=True) for run in runs], (
        labels[0],
        labels[1],
    )
