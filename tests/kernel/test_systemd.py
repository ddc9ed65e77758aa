"""Delegation by a real systemd, asked as root and as a user. Runs in the lab."""

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentcgroup.errors import HostError
from agentcgroup.kernel import systemd
from tests.kernel.systemd_box import SYSTEMD, systemd_box

_BOOT_AND_JOBS_S = 150

Seen = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    """What the two jobs saw: one as root, one as a user who has a user manager."""
    assert SYSTEMD.exists(), "install what the lab needs: apt-get install systemd dbus"
    with tempfile.TemporaryDirectory(prefix="agentcgroup-test-") as name:
        where = Path(name)
        where.chmod(0o755)
        with systemd_box(where) as files:
            deadline = time.monotonic() + _BOOT_AND_JOBS_S
            while not all(file.exists() for file in files.values()):
                assert time.monotonic() < deadline, (where / "console").read_text(errors="replace")
                time.sleep(0.1)
            yield {name: json.loads(file.read_text()) for name, file in files.items()}


@pytest.mark.kernel
def test_root_gets_a_scope_of_the_system_manager(seen: Seen) -> None:
    job = seen["system"]
    assert job["own_before"] == "/system.slice/system.service"
    how, root, controllers = job["plan"]
    assert (how, root) == ("systemd-system", "/sys/fs/cgroup")
    assert set(controllers) >= {"cpu", "cpuset", "io", "memory", "pids"}  # what more there is depends on the kernel
    assert job["how"] == "systemd-system"
    assert job["controllers"] == ["cpu", "io", "memory", "pids"]
    assert Path(job["root"]).parts[:5] == ("/", "sys", "fs", "cgroup", "agentcgroup.slice")


@pytest.mark.kernel
def test_a_user_gets_a_scope_of_the_user_manager(seen: Seen) -> None:
    job = seen["user"]
    manager = f"/user.slice/user-{job['uid']}.slice/user@{job['uid']}.service"
    assert job["uid"] != 0
    assert job["own_before"] == "/system.slice/user.service"
    assert job["plan"] == ["systemd-user", f"/sys/fs/cgroup{manager}", ["cpu", "memory", "pids"]]
    assert job["how"] == "systemd-user"
    assert job["controllers"] == ["cpu", "memory", "pids"]  # as delegated: io is not
    assert job["root"].startswith(f"/sys/fs/cgroup{manager}/agentcgroup.slice/")


@pytest.mark.kernel
@pytest.mark.parametrize("who", ["system", "user"])
def test_the_scope_is_ours_to_use_and_left_clean(seen: Seen, who: str) -> None:
    job = seen[who]
    scope = str(Path(job["root"]).parent).removeprefix("/sys/fs/cgroup")
    assert scope.endswith(".scope")
    assert r"a\x20name\x2fwith\x20odd\x20bytes" in scope
    assert job["own"] == f"{scope}/supervisor"
    assert job["child"] == f"{scope}/agentcgroup/s1/leaf"
    assert job["child_status"] == -signal.SIGKILL
    assert job["missing"] == []
    assert job["notes"] == []
    assert job["left"] == ["supervisor"]
    assert job["again"] == ["given", f"/sys/fs/cgroup{scope}"]  # a second session stays in the same scope


@pytest.mark.parametrize("name", ["plain", "a b/c", "ünï", "x" * 500, "back\\slash", "\udcff", "-dash", "a@b"])
def test_scope_names_are_unit_names(name: str) -> None:
    unit = systemd.scope_name(name)
    assert unit.startswith("agentcgroup-")
    assert unit.endswith(".scope")
    assert len(unit) < 256
    assert all(c.isascii() and (c.isalnum() or c in ":-_.\\") for c in unit)


def test_a_bus_that_is_not_there_is_an_error_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="user bus of systemd cannot be reached") as caught:
        asyncio.run(systemd.start_scope("x.scope", address=f"unix:path={tmp_path / 'none'}"))
    assert "systemd-run --user --scope -p Delegate=yes" in caught.value.fix
