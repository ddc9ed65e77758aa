"""What agentcgroup adds to one call, end to end: an agent in a real session, its commands interleaved with controls.

Arms, in random order in every round:
    plain    the real bash, as without agentcgroup
    call     bash as the agent finds it: a call with its own leaf, recorded
    wrapper  the control people write: a shell script that forks mkdir, date and cat around bash

    python -m bench.call_cost [--rounds 400] [--json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.statistics import compare

ARMS = ("plain", "call", "wrapper")

_WRAPPER = """#!{bash}
id=$(date +%s%N)
mkdir -p {folder}/$id
echo "{{\\"start\\": \\"$(date -Is)\\", \\"cmd\\": \\"$2\\"}}" >> {folder}/log
{bash} "$@"
status=$?
cat /proc/self/cgroup > {folder}/$id/cgroup
echo "{{\\"end\\": \\"$(date -Is)\\", \\"status\\": $status}}" >> {folder}/log
exit $status
"""

# Runs inside the session. The real bash is what the session's run-time folder keeps of it.
_INSIDE = """
import glob, json, os, random, sys, time
rounds, folder = int(sys.argv[1]), sys.argv[2]
session = os.environ["AGENTCGROUP_SESSION"]
real = glob.glob(f"/run/agentcgroup/{session}/real/*/bash") + glob.glob(f"/tmp/agentcgroup-*/{session}/real/*/bash")
wrapper = folder + "/wrapper.sh"
with open(wrapper, "w") as file:
    file.write(open(folder + "/wrapper.in").read().replace("{bash}", real[0]).replace("{folder}", folder))
os.chmod(wrapper, 0o755)
arms = {"plain": real[0], "call": "/usr/bin/bash", "wrapper": wrapper}
times = {name: [] for name in arms}
for round in range(rounds + 5):
    for name in random.sample(list(arms), len(arms)):
        started = time.perf_counter()
        pid = os.posix_spawn(arms[name], ["bash", "-c", "true"], os.environ, setsid=False)
        os.waitpid(pid, 0)
        if round >= 5:
            times[name].append((time.perf_counter() - started) * 1000)
json.dump(times, open(folder + "/times.json", "w"))
"""


def measure(rounds: int) -> dict[str, list[float]]:
    """Milliseconds per command for each arm, in the order of the rounds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "wrapper.in").write_text(_WRAPPER.replace("{{", "{").replace("}}", "}"))
        (folder / "inside.py").write_text(_INSIDE)
        inside = [sys.executable, "-S", str(folder / "inside.py"), str(rounds), name]
        run = [sys.executable, "-m", "agentcgroup", "run", "--quiet", "--trace", str(folder / "trace"), "--"]
        subprocess.run([*run, *inside], check=True)
        times: dict[str, list[float]] = json.loads((folder / "times.json").read_text())
    return times


def results(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """The comparisons that the project promises numbers for."""
    found = {}
    for arm in ("call", "wrapper"):
        for q in (0.5, 0.99):
            found[f"{arm} p{q * 100:g}"] = compare(times[arm], times["plain"], q)
    over = [[t - p for t, p in zip(times[arm], times["plain"], strict=True)] for arm in ("wrapper", "call")]
    found["wrapper's overhead over the call's p50"] = compare(over[0], over[1], 0.5)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = results(measure(options.rounds))
    if options.json:
        print(json.dumps(found))
        return
    for name, r in found.items():
        print(
            f"{name:40s} n={r['n']:.0f}  {r['arm']:.3f} ms against {r['control']:.3f} ms: added {r['added']:.3f} ms "
            f"[{r['added_low']:.3f}, {r['added_high']:.3f}], ratio {r['ratio']:.2f} "
            f"[{r['ratio_low']:.2f}, {r['ratio_high']:.2f}]"
        )


if __name__ == "__main__":
    main()
