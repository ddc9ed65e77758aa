"""What a call costs more than the plain shell: `bash -c true`, with and without the client.

Arms, interleaved in random order within each round, so that drift and other load hit all alike:

    plain      bash -c true
    inside     the stand-in inside a call: decides by its cgroup and becomes the real shell
    call       the stand-in as a new call in a leaf of its own, against a controller that prepares leaves
    wrapper    a shell script that runs mkdir, date and cat around the command, as people write them

Needs a writable cgroup v2 hierarchy. `python -m bench.client_cost [-n N] [--json] [--arms plain,call]`
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from agentcgroup.client import wire
from agentcgroup.client.image import ClientConfig, client_binary, write_stand_in
from bench.statistics import compare

POOL_LEAVES = 32
RULES = "launchers\tbash\tsh\tdash\tnpx\tenv\nagent\tclaude\tclaude\nrule\tcall\tsid\tchild\nforce\tcommand\n"
WRAPPER = '#!/bin/dash\nd=$(mktemp -d)\ndate +%s%N >"$d/start"\n/bin/bash "$@"\ndate +%s%N >"$d/end"\n'
WRAPPER += 'cat "$d/start" "$d/end" >/dev/null\nmkdir "$d/sub"\nrm -r "$d"\n'


def unified_mount() -> Path:
    """The mount point of cgroup v2; exits when there is none to write to."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2" and os.access(fields[1], os.W_OK):
            return Path(fields[1])
    sys.exit("no writable cgroup v2 hierarchy; run this as root or in a delegated cgroup")


def own_cgroup() -> str:
    """Our path in the unified hierarchy, as /proc/self/cgroup shows it."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


def control(listener: socket.socket, pool: Path, calls: Path) -> None:
    """A minimal controller: prepares leaves, records ends, removes leaves. One process, one client at a time."""
    fifo = os.open(pool, os.O_RDWR | os.O_CLOEXEC)
    number = 0

    def prepare() -> None:
        nonlocal number
        number += 1
        (calls / f"c{number}").mkdir()
        os.write(fifo, wire.grant_entry(f"c{number}"))

    for _ in range(POOL_LEAVES):
        prepare()
    done = wire.encode(wire.Done())
    while True:
        peer, _ = listener.accept()
        leaf = ""
        with peer, suppress(BrokenPipeError, ConnectionResetError):  # by the arm that does not wait
            while packet := peer.recv(wire.MESSAGE_MAX):
                message = wire.decode(packet)
                if isinstance(message, wire.Start):
                    leaf = message.leaf
                elif isinstance(message, wire.End):
                    peer.send(done)
        if leaf:
            (calls / leaf).rmdir()
            prepare()


def measure(argv: list[str]) -> float:
    """Milliseconds from the start of a session leader to its end, as an agent sees it."""
    begin = time.perf_counter_ns()
    pid = os.posix_spawn(argv[0], argv, os.environ, setsid=True)
    _, status = os.waitpid(pid, 0)
    end = time.perf_counter_ns()
    if status != 0:
        sys.exit(f"{argv[0]} ended with the wait status {status}")
    return (end - begin) / 1e6


def summarize(times: dict[str, list[float]]) -> dict[str, Any]:
    """Every arm against the plain one: p50 and p99 in milliseconds, with 95 % intervals (bench.statistics)."""
    return {
        arm: {name: compare(values, times["plain"], q) for name, q in (("p50_ms", 0.5), ("p99_ms", 0.99))}
        for arm, values in times.items()
    }


def table(result: dict[str, Any]) -> str:
    """The summary as text."""
    lines = [
        f"{'arm':<9}{'n':>6}{'p50 ms':>9}{'added p50 [95 %]':>26}{'p99 ms':>9}{'added p99 [95 %]':>26}{'ratio':>7}"
    ]
    for arm, entry in result.items():
        line = f"{arm:<9}{entry['p50_ms']['n']:>6}"
        for q in ("p50_ms", "p99_ms"):
            e = entry[q]
            added = f"{e['added']:+.3f} [{e['added_low']:+.3f}, {e['added_high']:+.3f}]"
            line += f"{e['arm']:>9.3f}{added:>26}"
        lines.append(line + f"{entry['p50_ms']['ratio']:>7.2f}")
    return "\n".join(lines)


def bench(n: int, wanted: Sequence[str]) -> dict[str, list[float]]:
    """Times of the wanted arms, in milliseconds."""
    mount, before = unified_mount(), own_cgroup()
    root = mount / f"agentcgroup-bench-{os.getpid()}"
    agent, calls = root / "agent", root / "calls"
    for folder in (root, agent, calls, calls / "inside"):
        folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="acg-") as name:
        folder = Path(name)
        try:
            return run_arms(n, wanted, folder, mount, agent, calls)
        finally:
            (mount / before.lstrip("/") / "cgroup.procs").write_text("0")
            for leaf in [*calls.iterdir(), calls, agent, root]:
                if leaf.is_dir():
                    leaf.rmdir()


def run_arms(n: int, wanted: Sequence[str], folder: Path, mount: Path, agent: Path, calls: Path) -> dict[str, Any]:
    """Prepares stand-ins and controller, then runs the arms in turn."""
    bash, pool = str(Path("/bin/bash").resolve()), folder / "pool"
    base: dict[str, Any] = {
        "real": bash,
        "root_pid": os.getpid(),
        "sock": str(folder / "s"),
        "pool": str(pool),
        "journal": str(folder / "journal"),
        "agent_cgroup": f"/{agent.relative_to(mount)}",
        "calls_cgroup": f"/{calls.relative_to(mount)}",
        "calls_dir": str(calls),
        "rules": RULES,
    }
    write_stand_in(client_binary(), folder / "bash", ClientConfig(**base))
    (folder / "wrapper").write_text(WRAPPER)
    (folder / "wrapper").chmod(0o755)
    os.mkfifo(pool)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(base["sock"])
    listener.listen(64)
    controller = get_context("fork").Process(target=control, args=(listener, pool, calls), daemon=True)
    controller.start()
    listener.close()
    programs = {
        "plain": (bash, agent),
        "inside": (str(folder / "bash"), calls / "inside"),
        "call": (str(folder / "bash"), agent),
        "wrapper": (str(folder / "wrapper"), agent),
    }
    times: dict[str, list[float]] = {arm: [] for arm in programs if arm in wanted}
    order = random.Random(0)
    try:
        for index in range(-10, n):  # the first ten warm the caches up
            for arm in order.sample(list(times), len(times)):
                program, place = programs[arm]
                (place / "cgroup.procs").write_text("0")
                took = measure([program, "-c", "true"])
                time.sleep(0.0005)  # the controller has tidied up before the next one starts
                if index >= 0:
                    times[arm].append(took)
    finally:
        controller.kill()
        controller.join()
    journal = folder / "journal"
    late = len(list(wire.read_journal(journal.read_bytes()))) if journal.exists() else 0
    if late > n / 20:
        sys.exit(f"{late} of {n} calls had no answer within the deadline: this host is too busy to measure")
    return times


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("-n", type=int, default=500, help="runs of each arm (default 500)")
    parser.add_argument("--arms", default="plain,inside,call,wrapper", help="which arms, with plain among them")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    result = summarize(bench(options.n, ["plain", *options.arms.split(",")]))
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
