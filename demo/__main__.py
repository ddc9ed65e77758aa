"""Run the demo where memory can be controlled: here if this host can, else in the lab.

python -m demo [FOLDER]      FOLDER for the report, default demo-report
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from agentcgroup.errors import AgentcgroupError, HostError
from agentcgroup.kernel.delegation import plan_root
from demo.arms import agentcgroup_arm, container_arm
from demo.report import text_table, write_html

REPORT = "report.html"


def main() -> int:
    """Prepare the folder, choose the place, run, show the table."""
    here = "--here" in sys.argv
    words = [word for word in sys.argv[1:] if word != "--here"]
    folder = Path(words[0] if words else "demo-report").resolve()
    if here:
        play(folder)
        return 0
    if folder.exists():
        if not (folder / REPORT).exists() and any(folder.iterdir()):
            print(f"demo: {folder} holds something else; give another folder: python -m demo FOLDER", file=sys.stderr)
            return 2
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "demo", "--here", str(folder)]
    if not controls_memory():
        print("demo: this host does not let cgroup v2 control memory, so the demo runs in the lab (a small VM)")
        lab = [sys.executable, "-m", "agentcgroup", "lab", "run", "--memory", "3g", "--share", str(folder), "--"]
        command = lab + command
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        print(f"\nreport: {folder / REPORT}\ntraces: {folder}/trace-*  (agentcgroup show TRACE)")
    return status


def controls_memory() -> bool:
    """Whether sessions on this host would have the memory controller."""
    try:
        return {"memory", "pids"} <= plan_root().controllers
    except HostError:
        return False


def play(folder: Path) -> None:
    """Both arms, one after the other; in each the two agents run side by side."""
    print("arm 1 of 2: each agent in a container limit …", flush=True)
    started = time.monotonic()
    endings = container_arm(folder)
    print(f"arm 2 of 2: each agent under agentcgroup … (arm 1 took {time.monotonic() - started:.0f} s)", flush=True)
    endings += agentcgroup_arm(folder)
    for ending in endings:
        if ending.arm == "agentcgroup":
            log = (folder / f"agentcgroup-{ending.agent}.log").read_text(errors="replace")
            print(f"\n{log[log.rfind('session demo-') :].rstrip()}")
    print(f"\n{text_table(endings)}")
    write_html(endings, folder / REPORT)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AgentcgroupError as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
