"""Many calls in one session: none lost, no cgroup left, the controller's memory flat.

python -m bench.many_calls [--calls 1000] [--at-once 64] [--json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agentcgroup.kernel import process
from agentcgroup.trace.reader import read_trace

_INSIDE = """
import subprocess, sys
calls, at_once, ready = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def start(n): return subprocess.Popen(["bash", "-c", f": {n}"])
for n in range(20): start(n).wait()
open(ready, "w").write("warm")
sys.stdin.readline()
for n in range(calls): start(n).wait()
for _ in range(3):
    for each in [start(n) for n in range(at_once)]: each.wait()
open(ready, "w").write("done")
sys.stdin.readline()
"""


def measure(calls: int, at_once: int) -> dict[str, float]:
    """Counts of calls, lost calls, cgroups left, and the controller's RSS in KiB after 20 calls and at the end."""
    with tempfile.TemporaryDirectory() as name:
        folder, ready = Path(name), Path(name, "ready")
        (folder / "inside.py").write_text(_INSIDE)
        inside = [sys.executable, "-S", str(folder / "inside.py"), str(calls), str(at_once), str(ready)]
        run = [sys.executable, "-m", "agentcgroup", "run", "--quiet", "--trace", str(folder / "trace"), "--"]
        started = time.monotonic()
        with subprocess.Popen([*run, *inside], stdin=subprocess.PIPE) as controller:
            assert controller.stdin is not None
            _wait_for(ready, "warm")
            before = _rss_kib(controller.pid)
            controller.stdin.write(b"\n")
            controller.stdin.flush()
            _wait_for(ready, "done")
            after = _rss_kib(controller.pid)
            controller.stdin.write(b"\n")
            controller.stdin.close()
        session = read_trace(folder / "trace").sessions[0]
        cgroup = session.start.cgroup if session.start is not None else None
    expected = 20 + calls + 3 * at_once
    return {
        "calls": expected,
        "lost": expected - sum(call.end is not None for call in session.calls),
        "unmanaged": sum(call.start is not None and not call.start.managed for call in session.calls),
        "cgroups_left": int(cgroup is not None and Path(cgroup).exists()),
        "rss_before_kib": before,
        "rss_after_kib": after,
        "seconds": time.monotonic() - started,
    }


def _wait_for(file: Path, text: str) -> None:
    while not file.exists() or file.read_text() != text:
        time.sleep(0.02)


def _rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no VmRSS: {process.stat(pid)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.calls, options.at_once)
    if options.json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        print(f"{key:16s} {value:.6g}")


if __name__ == "__main__":
    main()
