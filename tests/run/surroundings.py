"""Sessions on other hosts than this one: real namespaces, mounts, users and capabilities around the real command.

A *surrounding* is the front of a command line: it makes the host what the test needs, in namespaces of its own, and
executes the rest.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.hierarchy import find_unified_mount
from agentcgroup.trace.reader import read_trace
from tests.run.running import AGENTCGROUP, PATIENT, Ran

USER = 12345
CHECKOUT = Path(__file__).parents[2]
# Readable for every user, unlike an interpreter below somebody's home.
PYTHON = next((path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists()), sys.executable)


def shell(setup: str, *arguments: str) -> list[str]:
    """``setup`` in sh with ``arguments`` as $1 …, then the rest of the command line."""
    return ["sh", "-ec", f'{setup}\nshift {len(arguments)}\nexec "$@"', "sh", *arguments]


def own_mounts(setup: str) -> list[str]:
    """In a mount namespace of its own, after ``setup``."""
    return ["unshare", "--mount", *shell(setup)]


def without_cgroups() -> list[str]:
    """No cgroup v2 is mounted."""
    return own_mounts("for point in $(findmnt -rno TARGET -t cgroup2); do umount -l $point; done")


def without_privilege(uid: int = USER) -> list[str]:
    """As a plain user, without any capability but, where the checkout needs it, that of reading it."""
    read: list[str] = []
    if not _open_to_all(CHECKOUT):
        read = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *read]
    return ["env", "-u", "XDG_RUNTIME_DIR", "-u", "DBUS_SESSION_BUS_ADDRESS", f"HOME=/tmp/no-home-{uid}", *user]


def start(
    folder: Path,
    surrounding: Sequence[str],
    command: Sequence[str],
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """`agentcgroup run` there, in the background; its trace in ``folder/trace``."""
    run = [*AGENTCGROUP, "run", "--trace", str(folder / "trace"), *PATIENT, *options, "--", *command]
    return subprocess.Popen(
        [*surrounding, *run],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        cwd=folder,
    )


def run(
    folder: Path,
    surrounding: Sequence[str],
    command: Sequence[str],
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """A whole session there."""
    process = start(folder, surrounding, command, *options, environment=environment)
    stdout, stderr = process.communicate(timeout=120)
    assert (folder / "trace" / "records.jsonl").exists(), stderr
    return Ran(process.returncode, stdout, stderr, read_trace(folder / "trace"))


def said(ran: Ran) -> list[str]:
    """What `run` itself said on stderr, line by line, without the summary."""
    return [line for line in ran.stderr.splitlines() if line.startswith("agentcgroup: ")]


@contextmanager
def cgroup_box() -> Iterator[Cgroup]:
    """An empty cgroup with all controllers there are, for a container or a user; removed with all that is in it."""
    mount = find_unified_mount()
    assert mount is not None, "these tests need cgroup v2: mount -t cgroup2 none /sys/fs/cgroup/unified"
    top = Cgroup(mount)
    controllers = top.controllers() & {"memory", "pids", "cpu", "io"}
    top.enable(controllers)
    box = top.create(f"agentcgroup-test-{os.getpid()}-{time.monotonic_ns()}")
    try:
        box.enable(controllers)
        yield box
    finally:
        box.remove_tree(10)


def in_a_container(box: Cgroup) -> list[str]:
    """In ``box`` as the root of a cgroup namespace, which is all that is mounted of cgroup v2."""
    mount = find_unified_mount()
    front = shell('umount -l "$1"; mount -t cgroup2 none "$1"; mount -t tmpfs none /run', str(mount))
    return [*shell('echo 0 > "$1/cgroup.procs"', str(box.path)), "unshare", "--cgroup", "--mount", *front]


def in_the_subtree(box: Cgroup, uid: int = USER) -> list[str]:
    """In a subtree that root gave to a user as docs/how-to/delegation.md says, and as that user."""
    leaf = box.create("supervisor")
    for path in (box.path, leaf.path):
        for one in (path, path / "cgroup.procs", path / "cgroup.subtree_control"):
            shutil.chown(one, uid, uid)
    return [*shell('echo 0 > "$1/cgroup.procs"', str(leaf.path)), *without_privilege(uid)]


@contextmanager
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users can reach and write, unlike tmp_path."""
    with tempfile.TemporaryDirectory(prefix="agentcgroup-test-") as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))
