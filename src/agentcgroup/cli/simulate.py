"""``agentcgroup simulate``: sessions played against policies in virtual time, and one table that compares them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentcgroup.errors import UsageError

if TYPE_CHECKING:
    from agentcgroup.policy.world import Policy
    from agentcgroup.replay.result import Result, Totals
    from agentcgroup.replay.script import Script

JSON_VERSION = 1
_WIDTH = 110  # of the table where there is no terminal


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--trace",
    "traces",
    multiple=True,
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Play the sessions of this trace, or of all traces in this folder; again for more.  [default: made-up ones]",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="NAME",
    help="none, static, user-space, ladder, or package.module:attribute. Again for more.  [default: the four]",
)
@click.option("--memory", required=True, metavar="SIZE", help="Of the host, for all sessions together.")
@click.option("--budget", metavar="SIZE", help="Of each session.  [default: no limit but the host's]")
@click.option("--swap", metavar="SIZE", help="Of the host.  [default: none]")
@click.option("--sessions", type=click.IntRange(1, 10_000), default=3, show_default=True, help="On the host at once.")
@click.option("--hosts", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Alike, with other seeds.")
@click.option("--calls", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Of a made-up session.")
@click.option("--peak", metavar="SIZE", default="600m", show_default=True, help="Of a made-up burst, about.")
@click.option("--priorities", metavar="LIST", help="Of the sessions in turn, such as high,low,low.")
@click.option("--tool-timeout", metavar="DURATION", help="An agent gives a call up after this.  [default: never]")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the policies that know it, such as freeze_s=20, or of one: ladder.freeze_s=20.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed, the same result.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
def command(**options: Any) -> None:
    """Play sessions against policies, in virtual time, and compare them.

    The policies are the very code that decides live; memory, its limits and the
    kernel are modelled (docs/reference/policies.md lists what is assumed, and how
    far it was off against a real kernel). Without --trace, sessions are made up
    from the seed: short calls, and now and then a burst.

    \b
    The columns of the table:
      agents     that lived, of all
      calls ok   that ended as they would alone, of all
      oom        calls the kernel killed
      killed     calls the policy killed; refused, timed out: never begun, given up
      high lost  calls of high sessions that did not end well
      work kept  of all the work there was to do, what ended well
      slow-down  of a session, against alone with endless memory: median, worst;
                 below 1 where calls were cut short
      queued, frozen, throttled   time of all calls together
      held       queued and frozen, the most of any call
      peak       of the host

    \b
    Exit status: 0 simulated; 1 a trace cannot be read; 2 usage.

    \b
    Example: three sessions of a trace on a host that is too small for them:
      agentcgroup simulate --trace traces/fix-tests --memory 2g --sessions 3 \\
          --priorities high,low,low
      agentcgroup simulate --memory 4g --sessions 20 --policy ladder \\
          --set freeze_s=20 --json | jq .policies[0]
    """
    plans = _plans(options)
    settings = _settings(options["settings"])
    policies = {name: _policy(name, settings) for name in options["policies"] or _built_in()}
    _check_used(settings, policies)
    results = _run(plans, policies, _host(options))
    if options["as_json"]:
        click.echo(json.dumps(_json(options, results)))
    else:
        _print([total for total, _ in results.values()])


def _plans(options: Mapping[str, Any]) -> list[list[Script]]:
    """The sessions of each host."""
    from dataclasses import replace

    from agentcgroup.replay import recorded, synthetic
    from agentcgroup.units import parse_size

    memory, budget = parse_size(options["memory"]), _size(options["budget"])
    count, seeds = options["sessions"], range(options["seed"], options["seed"] + options["hosts"])
    priorities = _priorities(options["priorities"])
    found = [script for folder in options["traces"] for script in recorded.scripts(folder, memory, budget)]
    if options["traces"]:
        return [recorded.fleet(found, count, seed, priorities) for seed in seeds]
    plans = []
    for seed in seeds:
        made = synthetic.sessions(count, seed, options["calls"], parse_size(options["peak"]))
        turns = [priorities[index % len(priorities)] for index in range(count)] if priorities else None
        plans.append(
            [
                replace(script, budget_bytes=budget, priority=turns[index] if turns else script.priority)
                for index, script in enumerate(made)
            ]
        )
    return plans


def _run(
    plans: Sequence[Sequence[Script]], policies: Mapping[str, Policy], host: Any
) -> dict[str, tuple[Totals, list[Result]]]:
    from rich.console import Console
    from rich.progress import track

    from agentcgroup.replay.result import total
    from agentcgroup.replay.simulator import simulate

    console = Console(stderr=True)
    jobs = [(name, plan) for name in policies for plan in plans]
    results: dict[str, list[Result]] = {name: [] for name in policies}
    shown: Iterable[tuple[str, Sequence[Script]]] = track(
        jobs, "simulating", console=console, transient=True, disable=not console.is_terminal
    )
    for name, plan in shown:
        results[name].append(simulate(plan, policies[name], host))
    return {name: (total(runs), runs) for name, runs in results.items()}


def _host(options: Mapping[str, Any]) -> Any:
    from agentcgroup.replay.memory import Host
    from agentcgroup.units import parse_duration, parse_size

    timeout = options["tool_timeout"]
    return Host(
        parse_size(options["memory"]),
        swap_bytes=_size(options["swap"]) or 0,
        tool_timeout_s=None if timeout is None else parse_duration(timeout),
    )


def _size(text: str | None) -> int | None:
    from agentcgroup.units import parse_size

    return None if text is None else parse_size(text)


def _priorities(text: str | None) -> list[Any]:
    from agentcgroup.model import Priority

    names = {priority.name.lower(): priority for priority in Priority}
    words = [word.strip().lower() for word in (text or "").split(",") if word.strip()]
    for word in words:
        if word not in names:
            raise UsageError(f"{word!r} is no priority", "give high, normal or low, such as high,low,low")
    return [names[word] for word in words]


def _settings(words: Sequence[str]) -> dict[tuple[str, str], int | float | bool]:
    """By policy ("" for all) and name."""
    found: dict[tuple[str, str], int | float | bool] = {}
    for word in words:
        name, equals, text = word.partition("=")
        policy, _, key = name.strip().rpartition(".")
        value = _value(text.strip())
        if not equals or not key or value is None:
            raise UsageError(f"--set {word}: not a setting", "write KEY=NUMBER or KEY=true, such as freeze_s=20")
        found[policy, key] = value
    return found


def _value(text: str) -> int | float | bool | None:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    from agentcgroup.units import parse_size

    for parse in (int, float, parse_size):
        try:
            return parse(text)
        except (ValueError, UsageError):
            continue
    return None


def _built_in() -> tuple[str, ...]:
    from agentcgroup.policy.registry import names

    return names()


def _policy(name: str, settings: Mapping[tuple[str, str], int | float | bool]) -> Policy:
    from agentcgroup.policy.registry import policy, settings_of

    known = settings_of(name)
    chosen = {key: value for (owner, key), value in settings.items() if not owner and (known is None or key in known)}
    chosen |= {key: value for (owner, key), value in settings.items() if owner == name}
    return policy(name, **chosen)


def _check_used(settings: Mapping[tuple[str, str], object], policies: Iterable[str]) -> None:
    from agentcgroup.policy.registry import settings_of

    for owner, key in settings:
        known = [settings_of(name) for name in policies if owner in ("", name)]
        if not any(names is None or key in names for names in known):
            full = f"{owner}.{key}" if owner else key
            raise UsageError(f"--set {full}: no policy that is played has it", "see docs/reference/policies.md")


def _json(options: Mapping[str, Any], results: Mapping[str, tuple[Totals, list[Result]]]) -> dict[str, object]:
    return {
        "v": JSON_VERSION,
        "kind": "simulation",
        "seed": options["seed"],
        "policies": [
            {
                **total.to_json(),
                "by_session": [
                    {
                        "name": session.name,
                        "priority": session.priority.name.lower(),
                        "agent_alive": session.agent_alive,
                        "seconds": session.seconds,
                        "alone_s": session.alone_s,
                        "slowdown": session.slowdown,
                        "calls": len(session.calls),
                        "kills": [
                            {"call": call.id.call, "ending": str(call.ending), "rule": call.rule, "why": call.why}
                            for call in session.calls
                            if call.ending != "ok"
                        ],
                    }
                    for run in runs
                    for session in run.sessions
                ],
            }
            for total, runs in results.values()
        ],
    }


def _print(totals: Sequence[Totals]) -> None:
    from rich.console import Console
    from rich.table import Table

    from agentcgroup.units import format_duration, format_size

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("")
    for total in totals:
        table.add_column(total.policy, justify="right")
    rows = {
        "agents": [f"{total.agents_alive} / {total.sessions}" for total in totals],
        "calls ok": [f"{total.calls_ok} / {total.calls}" for total in totals],
        "oom": [str(total.oom) for total in totals],
        "killed": [str(total.killed) for total in totals],
        "refused, timed out": [f"{total.refused}, {total.timed_out}" for total in totals],
        "high lost": [str(total.high_lost) for total in totals],
        "work kept": [f"{total.work_kept:.1%}" for total in totals],
        "slow-down, median": [f"{total.slowdown_p50:.3f}" for total in totals],
        "slow-down, worst": [f"{total.slowdown_max:.3f}" for total in totals],
        "queued": [format_duration(total.queued_s) for total in totals],
        "frozen": [format_duration(total.frozen_s) for total in totals],
        "throttled": [format_duration(total.throttled_s) for total in totals],
        "held": [format_duration(total.longest_hold_s) for total in totals],
        "peak": [format_size(total.peak_bytes) for total in totals],
    }
    for name, cells in rows.items():
        table.add_row(name, *cells)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(table)
