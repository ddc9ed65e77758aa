"""Commands in the real guest. A boot takes about 2.5 s when emulated, so each asks for much."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentcgroup.errors import LabError, UsageError
from agentcgroup.lab import kernel
from agentcgroup.lab.run import LabResult, run

EVERY_BYTE = bytes(range(1, 256))

SURVEY = """
import json, os, pathlib, platform, socket, sys
def text(path): return pathlib.Path(path).read_text().split()
def mounts(): return dict(line.split()[1:3] for line in pathlib.Path("/proc/mounts").read_text().splitlines())
group = pathlib.Path("/sys/fs/cgroup/t"); group.mkdir()
pathlib.Path("/tmp/agentcgroup-lab-guest").write_text("x")
env, fds = dict(os.environ), sorted(os.listdir("/proc/self/fd"))
listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen(); listener.close()
import polars
polars.DataFrame({"a": [1, 2]}).write_parquet("/tmp/agentcgroup-lab.parquet")
json.dump({
    "argv": [os.fsencode(word).hex() for word in sys.argv[1:]],
    "env": env,
    "cwd": os.getcwd(),
    "kernel": platform.release(),
    "controllers": text("/sys/fs/cgroup/cgroup.controllers"),
    "enabled": text("/sys/fs/cgroup/cgroup.subtree_control"),
    "group": sorted(path.name for path in group.iterdir()),
    "mounts": mounts(),
    "btf": os.path.getsize("/sys/kernel/btf/vmlinux"),
    "hostname": socket.gethostname(),
    "cpus": os.cpu_count(),
    "swap": text("/proc/swaps")[5:8],
    "pty": os.ttyname(os.openpty()[1]),
    "oom": text("/proc/self/oom_score_adj"),
    "stdin": os.read(0, 9).hex(),
    "sum": polars.read_parquet("/tmp/agentcgroup-lab.parquet")["a"].sum(),
    "fds": fds,
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def surveyed() -> tuple[LabResult, dict[str, object]]:
    result = run(
        [sys.executable, "-W", "error", "-c", SURVEY, os.fsdecode(EVERY_BYTE), "", "a\nb"],
        env={"EXTRA": os.fsdecode(EVERY_BYTE).replace("\udcff", "")},
        swap=64 << 20,
        memory=1 << 30,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert result.stderr == b""
    assert result.status == 0
    return result, json.loads(result.stdout)


def test_the_guest_is_what_the_kernel_work_needs(surveyed: tuple[LabResult, dict[str, object]]) -> None:
    result, seen = surveyed
    assert seen["kernel"] == result.kernel
    controllers = seen["controllers"]
    assert isinstance(controllers, list)
    assert {"cpu", "io", "memory", "pids", "cpuset"} <= set(controllers)
    assert seen["enabled"] == controllers
    mounts, group = seen["mounts"], seen["group"]
    assert isinstance(mounts, dict)
    assert isinstance(group, list)
    assert {"memory.max", "memory.peak", "memory.pressure", "cgroup.kill", "cgroup.freeze", "pids.max"} <= set(group)
    expected = {
        "/": "overlay",
        "/dev/pts": "devpts",
        "/dev/shm": "tmpfs",
        "/sys/fs/bpf": "bpf",
        "/sys/fs/cgroup": "cgroup2",
        "/sys/kernel/tracing": "tracefs",
    }
    assert {place: mounts.get(place) for place in expected} == expected
    assert int(str(seen["btf"])) > 1 << 20
    assert seen["hostname"] == "lab"
    assert seen["cpus"] == 2
    assert seen["swap"] == ["/dev/zram0", "partition", str((64 << 10) - 4)]
    assert str(seen["pty"]).startswith("/dev/pts/")


def test_the_command_is_started_as_it_was_given(surveyed: tuple[LabResult, dict[str, object]]) -> None:
    _, seen = surveyed
    assert seen["argv"] == [EVERY_BYTE.hex(), "", b"a\nb".hex()]
    assert seen["cwd"] == str(Path.cwd())
    env = seen["env"]
    assert isinstance(env, dict)
    assert os.fsencode(env.pop("EXTRA")) == EVERY_BYTE[:-1]
    passed = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    assert passed.items() <= env.items()
    assert (env["TERM"], env["AGENTCGROUP_LAB"]) == ("dumb", "1")
    assert set(env) <= {*passed, "LC_ALL", "TZ", "USER", "LOGNAME", "VIRTUAL_ENV", "PWD", "TERM", "AGENTCGROUP_LAB"} | {
        "AGENTCGROUP_LIBBPF",  # where the host's own is too old
        "PYTHONDONTWRITEBYTECODE",
        "LC_CTYPE",  # Python's own, where no locale is set
    }
    assert seen["oom"] == ["0"]
    assert seen["stdin"] == ""
    assert seen["fds"] == ["0", "1", "2", "3"]  # 3 is the listing itself


def test_python_with_polars_runs_in_the_guest_and_the_host_keeps_nothing(
    surveyed: tuple[LabResult, dict[str, object]],
) -> None:
    _, seen = surveyed
    assert seen["sum"] == 3
    assert not Path("/tmp/agentcgroup-lab-guest").exists()
    assert not Path("/tmp/agentcgroup-lab.parquet").exists()


def test_files_of_a_share_and_large_outputs_come_back_unaltered(tmp_path: Path) -> None:
    share = tmp_path / 'it\'s, a "share"\n$(x)'
    share.mkdir()
    (share / "in").write_bytes(EVERY_BYTE)
    script = (
        "cat in; head -c 8000000 /dev/urandom | tee random >/dev/stderr; mkdir d; ln in d/hard; mv in moved; "
        "(sleep 0.2; echo late; sleep 1000) & kill -9 $$"
    )
    out, err = tmp_path / "out", tmp_path / "err"
    out.write_bytes(b"before ")
    with out.open("ab") as stdout, err.open("wb") as stderr:
        result = run(["sh", "-c", script], cwd=share, shares=[share], stdout=stdout, stderr=stderr)
    assert result.status == 128 + 9
    assert out.read_bytes() == b"before " + EVERY_BYTE
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (err, share / "random")}
    assert len(digests) == 1
    assert err.stat().st_size == 8_000_000
    assert (share / "d/hard").read_bytes() == EVERY_BYTE
    assert sorted(path.name for path in share.iterdir()) == ["d", "moved", "random"]


def test_one_file_for_both_outputs_keeps_the_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        script = "for n in 1 2 3 4 5 6 7 8 9; do echo out $n; echo err $n >&2; done; exit 7"
        result = run(["sh", "-c", script], stdout=log, stderr=subprocess.STDOUT)
    assert result.status == 7
    wanted = [f"{name} {number}" for number in range(1, 10) for name in ("out", "err")]
    assert (tmp_path / "log").read_text().splitlines() == wanted


def test_a_command_that_is_not_there_ends_as_in_a_shell() -> None:
    result = run(["no-such-command"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert result.status == 127
    assert b"not found" in result.stderr


def test_a_kernel_that_panics_is_the_labs_trouble_with_the_console(tmp_path: Path) -> None:
    script = "echo c >/proc/sysrq-trigger"
    with pytest.raises(LabError, match=r"(?s)ended before the command did.*sysrq.*panic") as error:
        run(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert error.value.exit_status == 125


def test_a_guest_that_cannot_boot_is_the_labs_trouble_with_the_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = kernel.obtain(lambda message: None)
    image = tmp_path / "vmlinux"
    image.symlink_to(chosen.image)  # no modules beside it: the root cannot be put together
    with pytest.raises(LabError, match=r"(?s)no /lib/modules.*the kernel needs overlayfs"):
        run(["true"], kernel_path=image)


def test_a_full_disk_is_said() -> None:
    with Path("/dev/full").open("wb") as full, pytest.raises(LabError, match="cannot write the output: No space"):
        run(["echo", "text"], stdout=full)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"argv": []}, "no command"),
        ({"memory": 1 << 20}, "256m"),
        ({"cpus": 0}, "1 to 64"),
        ({"swap": 1}, "at least 1m"),
        ({"stdout": -7}, "descriptor"),
        ({"stderr": 999}, "descriptor"),
        ({"env": {"A=B": ""}}, "variable"),
        ({"accelerator": "magic"}, "accelerator"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_boots(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(complaint)):
        run(**{"argv": ["true"], **arguments})  # type: ignore[arg-type]
