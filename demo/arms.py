"""The two arms: what people have today, and agentcgroup. Both run the same two agents side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.delegation import acquire_root_sync
from agentcgroup.trace.reader import read_trace
from agentcgroup.trace.views import Call

MEMORY_MIB = 512  # of each agent: its container's limit, or its session's budget
CALL_MEMORY_MIB = 256
PIDS = 384
AGENT_PATIENCE_S = 150.0
AGENTS = ("runaway", "forkbomb")
_AGENT = Path(__file__).with_name("agent.py")


@dataclass(frozen=True, slots=True)
class Ending:
    """How one agent came through."""

    arm: str
    agent: str
    status: int | None  # None: still running when patience ended; negative: killed by a signal
    done: int  # commands that were run
    commands: int
    failed_after: int  # commands after the misbehaving one that failed
    finished: bool
    left_behind: int  # processes of its commands alive when the agent had ended
    seconds: float  # until its last command had ended
    told: str  # what the misbehaving command's output told the model
    calls: tuple[Call, ...] = ()  # from the trace


def container_arm(folder: Path) -> list[Ending]:
    """One cgroup per agent as Kubernetes sets it for a container: memory.max, memory.oom.group, pids.max."""
    root = acquire_root_sync(name="demo")
    started = time.monotonic()
    running = []
    try:
        for agent in AGENTS:
            cgroup = root.session(f"container-{agent}")
            for file, value in (
                ("memory.max", MEMORY_MIB << 20),
                ("memory.swap.max", 0),
                ("memory.oom.group", 1),
                ("pids.max", PIDS),
            ):
                cgroup.write(file, value)
            running.append((agent, cgroup, _start(_in_cgroup(cgroup), folder, "container", agent)))
        return [_wait("container", agent, process, folder, started, cgroup) for agent, cgroup, process in running]
    finally:
        for _, cgroup, _ in running:
            cgroup.remove_tree()
        root.release()


def agentcgroup_arm(folder: Path) -> list[Ending]:
    """The same agents, each under `agentcgroup run` with the same amounts."""
    started = time.monotonic()
    running = []
    for agent in AGENTS:
        trace = folder / f"trace-{agent}"
        prefix = [
            *(sys.executable, "-m", "agentcgroup", "run", "--trace", str(trace), "--name", f"demo-{agent}"),
            *("--memory", f"{MEMORY_MIB}m", "--call-memory", f"{CALL_MEMORY_MIB}m", "--pids", str(PIDS)),
            *("--call-timeout", "60s", "--client-deadline", "5s", "--"),
        ]
        running.append((agent, trace, _start(prefix, folder, "agentcgroup", agent)))
    return [_wait("agentcgroup", agent, process, folder, started, None, trace) for agent, trace, process in running]


def _in_cgroup(cgroup: Cgroup) -> list[str]:
    return ["sh", "-c", 'echo 0 > "$0" && exec "$@"', str(cgroup.path / "cgroup.procs")]


def _start(prefix: list[str], folder: Path, arm: str, agent: str) -> subprocess.Popen[bytes]:
    progress = folder / f"{arm}-{agent}.json"
    with (folder / f"{arm}-{agent}.log").open("wb") as log:
        command = [*prefix, sys.executable, str(_AGENT), str(progress), agent]
        # The system's own programs: version managers put slow shell scripts in front of python3.
        environment = {**os.environ, "PATH": f"/usr/bin:/bin:{os.environ.get('PATH', '')}"}
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
        )


def _wait(
    arm: str,
    agent: str,
    process: subprocess.Popen[bytes],
    folder: Path,
    started: float,
    cgroup: Cgroup | None,
    trace: Path | None = None,
) -> Ending:
    try:
        status: int | None = process.wait(max(0.1, AGENT_PATIENCE_S - (time.monotonic() - started)))
    except subprocess.TimeoutExpired:
        status = None
    left = len(cgroup.procs()) if cgroup is not None else 0
    if cgroup is not None:
        cgroup.kill()
    elif status is None:
        process.terminate()
    process.wait()
    progress = folder / f"{arm}-{agent}.json"
    nothing: dict[str, Any] = {"commands": 0, "steps": [], "finished": False, "seconds": 0.0}
    state: dict[str, Any] = json.loads(progress.read_text()) if progress.exists() else nothing
    steps = state["steps"]
    return Ending(
        arm=arm,
        agent=agent,
        status=status,
        done=len(steps),
        commands=state["commands"],
        failed_after=sum(step["status"] != 0 for step in steps[3:]),
        finished=bool(state["finished"]),
        left_behind=left,
        seconds=state["seconds"],
        told=steps[2]["output"].strip() if len(steps) > 2 else "",
        calls=read_trace(trace).sessions[0].calls if trace is not None else (),
    )
