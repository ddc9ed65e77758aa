"""``agentcgroup doctor``: what this host offers, what works because of it, and how to get the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from agentcgroup.kernel.delegation import Plan
    from agentcgroup.kernel.features import Feature
    from agentcgroup.model import Support

JSON_VERSION = 1
_WIDTH = 110  # of the table where the output is no terminal


@click.command(short_help="Say what this host offers and how to get the rest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for programs.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Say what this host offers, what of agentcgroup works because of it, and how to get the rest.

    Looks only: no cgroup is made and nothing is changed. The exit status is 0 when `run` can contain
    the memory of a call here, else 1 (`run` works all the same, with less; or use `agentcgroup lab run`).
    """
    from agentcgroup.kernel.features import guarded, survey

    plan = _plan()
    features = [*survey(), guarded("lab", _lab)]
    level = support(plan)
    if as_json:
        click.echo(json.dumps(report(features, plan, level), indent=2))
    else:
        _print(features, level)
    ctx.exit(0 if level == "full" else 1)


def support(plan: Plan | None) -> Support:
    """What control `run` has over a session here: by the memory controller, by grouping alone, or by processes."""
    from agentcgroup.model import Support

    if plan is None:
        return Support.PROCESS
    return Support.FULL if "memory" in plan.controllers else Support.GROUPING


def report(features: Sequence[Feature], plan: Plan | None, level: Support) -> dict[str, object]:
    """The JSON object, as docs/reference/doctor.md describes it."""
    import dataclasses
    import platform

    from agentcgroup import __version__

    return {
        "v": JSON_VERSION,
        "agentcgroup_version": __version__,
        "kernel": platform.release(),
        "support": str(level),
        "how": str(plan.how) if plan else None,
        "cgroup": str(plan.cgroup) if plan else None,
        "controllers": sorted(plan.controllers) if plan else [],
        "features": [dataclasses.asdict(feature) for feature in features],
    }


def table(features: Sequence[Feature]) -> Table:
    """The features as a table: whether it is here, what was found, and what works because of it."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading, ratio in (("", None), ("feature", None), ("on this host", 1), ("what works because of it", 1)):
        made.add_column(heading, ratio=ratio, overflow="fold")
    for feature in features:
        mark, style = _MARKS[feature.available]
        texts = (feature.name, feature.detail, feature.enables)
        made.add_row(Text(mark, style), *(Text(text) for text in texts))  # Text: brackets are no markup
    return made


def fixes(features: Sequence[Feature]) -> dict[str, list[str]]:
    """How to get what is missing, and the features each of these lines brings."""
    found: dict[str, list[str]] = {}
    for feature in features:
        if feature.fix:
            found.setdefault(feature.fix, []).append(feature.name)
    return found


def _print(features: Sequence[Feature], level: Support) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(table(features))
    console.print("\nHow to get the rest", highlight=False)
    for fix, names in fixes(features).items():  # outside of the table, so that lines to copy are whole
        console.print(f"  {', '.join(names)}:\n    {fix}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"\nrun here: {_VERDICTS[str(level)]}", markup=False, highlight=False, soft_wrap=True)


_MARKS = {True: ("yes", "green"), False: ("no", "red"), None: ("?", "yellow")}
_VERDICTS = {
    "full": "full. Every call in its own cgroup, with memory, process and CPU limits as far as marked above.",
    "grouping": "degraded. Every call in its own cgroup that can be frozen and killed whole, but no memory limit; "
    "usage of memory from /proc. For all of it on this machine: agentcgroup lab run -- COMMAND",
    "process": "degraded. No cgroup at all: calls are process groups, ended through a subreaper; usage from /proc. "
    "For all of it on this machine: agentcgroup lab run -- COMMAND",
}


def _plan() -> Plan | None:
    from agentcgroup.errors import HostError
    from agentcgroup.kernel.features.cgroups import planned

    plan = planned(Path("/"))
    return None if isinstance(plan, HostError) else plan


def _lab() -> Feature:
    """Whether the lab can boot: its commands are here, and a kernel is in the cache or can be fetched."""
    from agentcgroup.kernel.features import Feature
    from agentcgroup.lab import cache, packages

    enables = "all of agentcgroup on a modern kernel, in a small virtual machine: agentcgroup lab run"
    if missing := packages.missing():
        fix = f"as root: {packages.install_line(missing)} (agentcgroup lab doctor says more)"
        return Feature("lab", False, f"missing: {', '.join(missing)}", enables, fix)
    loaded = cache.load(cache.root())
    kernel = "the first boot fetches a kernel (40 MB)" if loaded is None else f"kernel {loaded[0].version} is here"
    return Feature("lab", True, f"its commands are here; {kernel}", enables)
