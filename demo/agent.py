"""A small agent whose model is a script: it runs commands as real agents do and carries on after a failure.

Each command is `bash -c` in a session of its own with a tool timeout, as Claude Code, Codex or mini-swe-agent start
theirs. What the model would be shown goes to stdout; progress goes to a file after every command, so that it can be
read however the agent ends.

    python agent.py PROGRESS.json runaway|forkbomb
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TOOL_TIMEOUT_S = 30.0
_RUNAWAY = "x = []\nwhile True: x.append(b'x' * (4 << 20))"
_TESTS = "print('42 tests passed')"
_FORKS = """import os, time
while True:
    try: os.fork()
    except OSError: time.sleep(1)"""

SCRIPTS: dict[str, list[str]] = {
    "runaway": [
        "ls /etc | wc -l",
        f'python3 -S -c "{_TESTS}"',
        f'python3 -S -c "{_RUNAWAY}"',  # a test that loads ever more
        "grep -c processor /proc/cpuinfo",
        f'python3 -S -c "{_TESTS}"',
        "echo submitted",
    ],
    "forkbomb": [
        "ls /usr | wc -l",
        f'python3 -S -c "{_TESTS}"',
        f'python3 -S -c "{_FORKS}" >/dev/null 2>&1 & sleep 3; echo started',  # a test server that restarts itself
        "grep -c processor /proc/cpuinfo",
        f'python3 -S -c "{_TESTS}"',
        "echo submitted",
    ],
}


def run_command(command: str) -> tuple[int | None, str]:
    """Exit status (None: stopped at the tool timeout; negative: signal) and what the command printed."""
    try:
        process = subprocess.Popen(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return 126, str(error)
    try:
        output, _ = process.communicate(timeout=TOOL_TIMEOUT_S)
        return process.returncode, output.decode(errors="replace")
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None, ""


def main() -> None:
    """Play the script; the progress file says which commands ended how, and whether the agent finished."""
    progress, script = Path(sys.argv[1]), SCRIPTS[sys.argv[2]]
    steps: list[dict[str, object]] = []
    state = {"commands": len(script), "steps": steps, "finished": False, "seconds": 0.0}
    began = time.monotonic()
    for command in script:
        started = time.monotonic()
        status, output = run_command(command)
        steps.append({"command": command, "status": status, "seconds": time.monotonic() - started, "output": output})
        state["seconds"] = time.monotonic() - began
        progress.write_text(json.dumps(state))
        print(f"$ {command.splitlines()[0][:70]}\n{output[-600:]}[{status}]", flush=True)
    state["finished"] = steps[-1]["status"] == 0
    progress.write_text(json.dumps(state))


if __name__ == "__main__":
    main()
