"""``agentcgroup plan``: how many agents such as those in some traces a host carries."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from agentcgroup.errors import UsageError
from agentcgroup.study.engine import one_thread, open_engine

_WIDTH = 120  # where there is no terminal


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--traces",
    "traces",
    multiple=True,
    metavar="PATH...",
    type=click.Path(path_type=Path),
    help="Sessions to plan for.",
)
@click.argument("more", nargs=-1, metavar="", type=click.Path(path_type=Path))
@click.option("--set", "sets", multiple=True, metavar="NAME=GLOB", help="Label runs below PATH; may be repeated.")
@click.option("--memory", required=True, metavar="SIZE", help="Of the host, for all agents together.")
@click.option("--cpus", required=True, type=float, metavar="N", help="Of the host.")
@click.option("--oom-risk", type=float, default=1e-3, show_default=True, help="Lost calls and agents per session-hour.")
@click.option("--slow-down", type=float, default=1.1, show_default=True, help="Of sessions by memory, on the average.")
@click.option("--cpu-share", type=float, default=0.8, show_default=True, help="Of the CPUs, for the mean demand.")
@click.option("--policy", default="ladder", show_default=True, metavar="NAME", help="ladder, static, or any policy.")
@click.option("--call-memory", metavar="SIZE", help="Limit of a call with static.  [default: as the largest needs]")
@click.option("--replicates", type=click.IntRange(0, 999), default=19, show_default=True, help="Draws for intervals.")
@click.option("--effort", type=click.FloatRange(0.05, 1000), default=1.0, show_default=True, help="Rounds to play.")
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", help="Processes.  [default: one per CPU, up to 8]")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed, the same result.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def command(**options: Any) -> None:
    """Say how many agents such as those in the traces a host carries.

    Sessions are drawn from the traces and placed on the host at random instants;
    one that ends is replaced. What they demand meets the memory of the host in
    virtual time, and the very policy that decides live acts on it.

    \b
    The ways to give out memory that are compared:
      peak-reserving   every agent gets what the highest session needs
      p95-reserving    what 95 % of the sessions need at most; the others lose
      no control       all share, and the kernel kills when memory is gone
      ladder           all share, and the policy controls (--policy)

    \b
    The columns of the table:
      agents           the most with which the bounds hold (--oom-risk, --slow-down)
      interval         sessions drawn again, 19 times: from least to most
      bound by         memory, cpu (mean cores within --cpu-share), risk, slow-down
      lost             calls and agents that were killed, per session-hour;
                       "< x": none was, and 95 % sure the rate is below x
      slow-down, held  of sessions against alone; time queued, frozen or throttled
      memory unused    on the average, of the host

    \b
    Exit status: 0 answered; 1 a trace cannot be read; 2 usage, or no traces.

    \b
    Example: the published Haiku runs on a host of 16 GiB:
      agentcgroup plan --traces ../shared/traces/haiku --memory 16g --cpus 24
      agentcgroup plan --traces runs/* --memory 128g --cpus 24 --json |
          jq '.sets[0].ways[] | [.name, .agents]'
    """
    paths = (*options["traces"], *options["more"])
    if not paths:
        raise UsageError("no traces given", "add --traces PATH, the folder of your traces")
    with one_thread():  # polars is not imported before
        from agentcgroup.plan.answer import answer
        from agentcgroup.plan.chart import JSON_VERSION, answer_json
        from agentcgroup.plan.load import load
        from agentcgroup.study.find import parse_set

    question = _question(options)
    found = load(paths, [parse_set(text) for text in options["sets"]], question.memory_bytes)
    workers = options["workers"] or min(8, len(os.sched_getaffinity(0)))
    with open_engine("local", workers) as engine, _progress() as progress:
        answers = [answer(question, sessions, engine, progress) for sessions in found]
    if options["as_json"]:
        head = {"v": JSON_VERSION, "kind": "plan", "memory_bytes": question.memory_bytes, "cpus": question.cpus}
        head |= {"oom_risk": question.risk, "slow_down": question.slowdown, "cpu_share": question.cpu_share}
        head |= {"policy": question.policy, "seed": question.seed}
        click.echo(json.dumps(head | {"sets": [answer_json(question, one) for one in answers]}, allow_nan=False))
    else:
        _print(question, answers)


def _question(options: dict[str, Any]) -> Any:
    from agentcgroup.plan.question import Question
    from agentcgroup.units import parse_size

    call = options["call_memory"]
    return Question(
        memory_bytes=parse_size(options["memory"]),
        cpus=options["cpus"],
        risk=options["oom_risk"],
        slowdown=options["slow_down"],
        cpu_share=options["cpu_share"],
        policy=options["policy"],
        call_bytes=None if call is None else parse_size(call),
        replicates=options["replicates"],
        effort=options["effort"],
        seed=options["seed"],
    )


def _print(question: Any, answers: Any) -> None:
    from rich.console import Console

    from agentcgroup.plan.chart import print_answer

    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console = Console(width=_WIDTH, highlight=False, emoji=False, markup=False)
    for number, one in enumerate(answers):
        if number:
            console.print()
        print_answer(console, question, one)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Shows how far it is, where somebody looks."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as shown:
        task = shown.add_task("", total=None)

        def tell(what: str, done: int, of: int) -> None:
            shown.update(task, description=what, completed=done, total=of)

        yield tell
