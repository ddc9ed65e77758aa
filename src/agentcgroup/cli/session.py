"""Runs a session for `agentcgroup run`, in a process that is its own, and tells the user how it went."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from agentcgroup.cli.defaults import with_configured
from agentcgroup.controller.session import Surroundings
from agentcgroup.hosting.session import Hosted, run
from agentcgroup.hosting.settings import settings_of
from agentcgroup.trace.render import render_text


def run_session(options: Mapping[str, Any], given: Collection[str]) -> int:
    """Run one session from the options of `agentcgroup run`; its exit status. AgentcgroupError before it starts.

    Options that were not ``given`` are as configured.
    """
    options = {**with_configured(options, given), "own_policy": not {"policy", "policy_settings"}.isdisjoint(given)}
    settings = settings_of(options)
    hosted = asyncio.run(run(settings, options, _say, Surroundings()))
    _tell(hosted, settings.trace, options)
    return hosted.result.status


def _tell(hosted: Hosted, trace: Path, options: Mapping[str, Any]) -> None:
    if options["as_json"]:
        document = {**hosted.summary.to_json(), "trace": str(trace), "problems": list(hosted.problems)}
        print(json.dumps(document), file=sys.stderr)
        return
    if not options["quiet"]:
        width = shutil.get_terminal_size((100, 24)).columns
        sys.stderr.write(render_text(hosted.summary, width) + f"  trace       {trace}\n")
    for problem in hosted.problems:
        _say(problem)


def _say(line: str) -> None:
    print(f"agentcgroup: {line}", file=sys.stderr, flush=True)
