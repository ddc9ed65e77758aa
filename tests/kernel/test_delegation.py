"""Plans on hosts of all kinds, and real acquisitions: on this machine's hierarchy and in real namespaces."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentcgroup.errors import HostError
from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.delegation import INIT, SESSIONS, SUPERVISOR, How, acquire_root_sync, evict, plan_root
from tests.kernel.conftest import Spawn
from tests.kernel.hosts import UNIFIED_LINE, cgroup_files, make_host

JOB = Path(__file__).with_name("delegation_job.py")
ALL = "cpu io memory pids"
TOP = "sys/fs/cgroup"
RW, RO = UNIFIED_LINE.format(options="rw"), UNIFIED_LINE.format(options="ro")
USER = 1000


def host(root: Path, files: dict[str, str], own: str = "/", mountinfo: str = RW) -> Path:
    return make_host(root, mountinfo=mountinfo, cgroup=f"0::{own}\n", files=files)


# What would be done, on hosts as they are found


def test_plain_root_owned_hierarchy(tmp_path: Path) -> None:
    root = host(tmp_path, cgroup_files(TOP, ALL, inner=False))
    plan = plan_root(root=root, uid=0)
    assert (plan.how, plan.cgroup, plan.evict_to) == (How.PLAIN, root / TOP, "")
    assert plan.controllers == {"cpu", "io", "memory", "pids"}


def test_root_under_systemd(tmp_path: Path) -> None:
    files = cgroup_files(TOP, ALL, inner=False) | cgroup_files(f"{TOP}/user.slice/session-1.scope", ALL)
    files["run/systemd/system/x"] = ""
    with pytest.raises(HostError, match="no system bus") as caught:
        plan_root(root=host(tmp_path, files, "/user.slice/session-1.scope"), uid=0)
    assert "systemd-run --scope -p Delegate=yes" in caught.value.fix
    root = host(tmp_path, files | {"run/dbus/system_bus_socket": ""}, "/user.slice/session-1.scope")
    assert plan_root(root=root, uid=0).how is How.SYSTEMD_SYSTEM


def test_user_with_a_user_manager(tmp_path: Path) -> None:
    manager = f"{TOP}/user.slice/user-{USER}.slice/user@{USER}.service"
    files = cgroup_files(TOP, ALL, inner=False) | cgroup_files(manager, "memory pids")
    files |= cgroup_files(f"{TOP}/user.slice/user-{USER}.slice/session-1.scope", "memory pids")
    root = host(
        tmp_path,
        files | {"run/systemd/system/x": "", f"run/user/{USER}/bus": ""},
        f"/user.slice/user-{USER}.slice/session-1.scope",
    )
    plan = plan_root(root=root, uid=USER)
    assert plan.how is How.SYSTEMD_USER
    assert plan.controllers == {"memory", "pids"}
    assert plan.cgroup == root / manager


def test_container_with_a_namespace_of_its_own(tmp_path: Path) -> None:
    root = host(tmp_path, cgroup_files(TOP, "memory pids"))
    plan = plan_root(root=root, uid=0)
    assert (plan.how, plan.evict_to) == (How.CONTAINER, INIT)
    assert plan.controllers == {"memory", "pids"}


def test_container_with_a_read_only_mount(tmp_path: Path) -> None:
    root = host(tmp_path, cgroup_files(TOP, ALL), mountinfo=RO)
    with pytest.raises(HostError, match="mounted read-only") as caught:
        plan_root(root=root, uid=0)
    assert "--cgroupns=private" in caught.value.fix


def test_no_cgroup_v2(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="not mounted") as caught:
        plan_root(root=host(tmp_path, {}, mountinfo=""), uid=0)
    assert "systemd.unified_cgroup_hierarchy=1" in caught.value.fix


def test_root_below_a_limit_stays_below_it(tmp_path: Path) -> None:
    files = cgroup_files(TOP, ALL, inner=False) | cgroup_files(f"{TOP}/pod", ALL, limits={"memory.max": "1000000\n"})
    root = host(tmp_path, files | cgroup_files(f"{TOP}/pod/c1", ALL), "/pod/c1")
    plan = plan_root(root=root, uid=0)
    assert (plan.how, plan.cgroup, plan.evict_to) == (How.GIVEN, root / TOP / "pod/c1", SUPERVISOR)


def test_root_in_a_cgroup_without_limits_uses_the_top(tmp_path: Path) -> None:
    files = cgroup_files(TOP, ALL, inner=False) | cgroup_files(f"{TOP}/openrc.sshd", ALL)
    assert plan_root(root=host(tmp_path, files, "/openrc.sshd"), uid=0).how is How.PLAIN


@pytest.mark.parametrize("systemd", [False, True])
def test_a_session_in_a_call_stays_in_the_call(tmp_path: Path, systemd: bool) -> None:
    call = f"{SESSIONS}/s1/calls/c000001"
    files = cgroup_files(TOP, ALL, inner=False) | cgroup_files(f"{TOP}/{call}", "")
    if systemd:
        files["run/systemd/system/x"] = ""
    root = host(tmp_path, files, f"/{call}")
    assert plan_root(root=root, uid=0).cgroup == root / TOP / call


def test_a_session_in_an_agent_leaf_is_refused(tmp_path: Path) -> None:
    agent = f"{SESSIONS}/s1/agent"
    files = cgroup_files(TOP, ALL, inner=False) | cgroup_files(f"{TOP}/{agent}", ALL)
    with pytest.raises(HostError, match="agent leaf of another session"):
        plan_root(root=host(tmp_path, files, f"/{agent}"), uid=0)


def test_a_path_that_is_no_cgroup(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="not a cgroup v2 directory"):
        plan_root(tmp_path)


# What is done, on the real hierarchy


def test_acquire_use_release(unified: Path, cgroup: Cgroup) -> None:
    root = acquire_root_sync(name="test", path=cgroup.path)
    assert root.how is How.GIVEN
    assert root.cgroup.path == cgroup.path / SESSIONS
    session = root.session("s1")
    assert session.path.parent == root.cgroup.path
    root.release()  # a session is left: it stays
    assert session.exists
    session.remove()
    root.release()
    assert not root.cgroup.exists
    assert root.session("s2").exists  # another run had removed it as empty
    assert set(root.controllers) == set(Cgroup(unified).controllers()) & {"memory", "pids", "cpu", "io"}


def test_evict_empties_a_cgroup_that_forks(cgroup: Cgroup, spawn: Spawn) -> None:
    busy = cgroup.create("busy")
    spawn("sh", "-c", "while :; do sleep 0.01; done", into=busy)
    spawn("sleep", "100", into=busy)
    while len(busy.procs()) < 2:
        pass
    leaf = evict(busy, "supervisor")
    assert busy.procs() == []
    assert len(leaf.procs()) >= 2


def run_job(prefix: list[str], out: Path) -> dict[str, Any]:
    done = subprocess.run([*prefix, sys.executable, str(JOB), str(out)], capture_output=True, text=True, check=False)
    assert out.exists(), done.stderr
    seen: dict[str, Any] = json.loads(out.read_text())
    return seen


@pytest.mark.parametrize(
    "mounting", ['umount "$2" && mount -t cgroup2 none', 'mount --bind "$1"'], ids=["mount", "bind"]
)
def test_in_a_container(cgroup: Cgroup, unified: Path, tmp_path: Path, mounting: str) -> None:
    box = cgroup.create("box")
    # Join the cgroup, make it the root of a namespace, and show only that where cgroup v2 is mounted.
    script = (
        'echo 0 > "$1/cgroup.procs" && exec unshare --cgroup --mount sh -c \''
        "mount --make-rprivate / && mount -t tmpfs none /run && "
        f'{mounting} "$2" && shift 2 && exec "$@"\' sh "$@"'
    )
    seen = run_job(["sh", "-c", script, "sh", str(box.path), str(unified)], tmp_path / "out.json")
    assert "error" not in seen, seen
    assert seen["own_before"] == "/"
    assert seen["how"] == "container"
    assert seen["root"] == str(unified / SESSIONS)
    assert seen["own"] == f"/{INIT}"
    assert seen["child"] == f"/{SESSIONS}/s1/leaf"
    assert seen["left"] == [INIT]
    assert {*seen["controllers"]} == box.controllers() & {"memory", "pids", "cpu", "io"}


def as_user(uid: int) -> list[str]:
    # The checkout may lie where only root can read; CAP_DAC_READ_SEARCH lets a user read it, and write nothing.
    read = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *read]


def test_a_user_who_was_given_a_subtree_by_chown(cgroup: Cgroup, open_dir: Path) -> None:
    given = cgroup.create("given")
    leaf = given.create(SUPERVISOR)
    for path in (given.path, leaf.path):
        for one in (path, path / "cgroup.procs", path / "cgroup.subtree_control"):
            shutil.chown(one, USER)
    script = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"'
    seen = run_job(["sh", "-c", script, "sh", str(leaf.path), *as_user(USER)], open_dir / "out.json")
    assert "error" not in seen, seen
    assert seen["uid"] == USER
    assert seen["how"] == "given"
    assert seen["root"] == str(given.path / SESSIONS)
    assert seen["left"] == [SUPERVISOR]


def test_a_user_without_anything_is_told_the_line(cgroup: Cgroup, open_dir: Path) -> None:
    seen = run_job(["env", "-u", "DBUS_SESSION_BUS_ADDRESS", *as_user(USER)], open_dir / "out.json")
    assert seen["error"] == f"no cgroup is delegated to user {USER}"
    assert "systemd-run --user --scope -p Delegate=yes -- agentcgroup run" in seen["fix"]
    assert f"chown -R {USER}" in seen["fix"]
    assert not (Path("/sys/fs/cgroup") / f"agentcgroup-{USER}").exists()
    assert os.geteuid() == 0 or seen["uid"] == os.geteuid()
