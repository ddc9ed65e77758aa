"""Run by tests in odd surroundings: acquires a root, uses it, releases it, and writes what it saw as JSON.

Arguments: the file to write. It runs under a private systemd or in a container-like namespace, so it
imports nothing but the package.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from agentcgroup.errors import AgentcgroupError
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.delegation import acquire_root_sync, plan_root
from agentcgroup.kernel.hierarchy import own_cgroup
from agentcgroup.model import Limits


def main(out: Path) -> None:
    seen: dict[str, object] = {"uid": os.geteuid(), "own_before": own_cgroup()}
    try:
        seen |= use()
    except AgentcgroupError as error:
        seen |= {"error": error.message, "fix": error.fix}
    aside = out.with_suffix(".part")
    aside.write_text(json.dumps(seen))
    aside.rename(out)


def use() -> dict[str, object]:
    plan = plan_root()
    root = acquire_root_sync(name="a name/with odd bytes")
    session = root.session("s1")
    missing = session.apply(Limits(memory_max_bytes=256 << 20, pids_max=100, cpu_weight=50))
    session.enable(root.controllers)
    leaf = session.create("leaf")
    child = subprocess.Popen(["sleep", "1000"])
    leaf.attach(child.pid)
    inside = own_cgroup(child.pid)
    again = plan_root()
    session.remove_tree()
    status = child.wait()
    root.release()
    return {
        "plan": [plan.how, str(plan.cgroup), sorted(plan.controllers)],
        "how": root.how,
        "root": str(root.cgroup.path),
        "controllers": sorted(root.controllers),
        "notes": root.notes,
        "missing": missing,
        "own": own_cgroup(),
        "child": inside,
        "child_status": status,
        "again": [again.how, str(again.cgroup)],
        "left": [str(cgroup.path.name) for cgroup in Cgroup(root.cgroup.path.parent).children()],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
