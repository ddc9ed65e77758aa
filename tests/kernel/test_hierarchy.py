"""Finding cgroup v2: on this machine, and in the /proc of hosts that are set up differently."""

import os
from pathlib import Path

import pytest

from agentcgroup.errors import HostError
from agentcgroup.kernel import hierarchy
from agentcgroup.kernel.hierarchy import UnifiedMount, locate, own_cgroup, unified_mounts, v1_controllers
from tests.kernel.hosts import make_host

UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
    "32 31 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
LEGACY = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


def test_this_machine(unified: Path) -> None:
    assert (unified / "cgroup.procs").exists()
    own = own_cgroup()
    assert own == own_cgroup(os.getpid())
    path = locate(own)
    assert path is not None
    assert (path / "cgroup.procs").exists()


@pytest.mark.parametrize(
    ("mountinfo", "point"),
    [
        (UNIFIED, "sys/fs/cgroup"),
        (HYBRID, "sys/fs/cgroup/unified"),
        (LEGACY, None),
        ("", None),
        ("nonsense\n - \n", None),
    ],
)
def test_the_mount_of_other_hosts(tmp_path: Path, mountinfo: str, point: str | None) -> None:
    root = make_host(tmp_path, mountinfo=mountinfo)
    assert hierarchy.find_unified_mount(root) == (root / point if point else None)


def test_the_customary_place_comes_first_and_a_hidden_mount_does_not_count(tmp_path: Path) -> None:
    elsewhere = "40 23 0:26 / /mnt/with\\040space rw - cgroup2 none rw\n"
    root = make_host(tmp_path, mountinfo=elsewhere + UNIFIED)
    assert [mount.point for mount in unified_mounts(root)] == [root / "sys/fs/cgroup", root / "mnt/with space"]
    hidden = UNIFIED + "41 30 0:50 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    assert unified_mounts(make_host(tmp_path / "hidden", mountinfo=hidden)) == []


def test_a_read_only_mount_of_a_part(tmp_path: Path) -> None:
    root = make_host(tmp_path, mountinfo="30 23 0:26 /kubepods/pod1 /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n")
    assert unified_mounts(root) == [UnifiedMount(root / "sys/fs/cgroup", "/kubepods/pod1", True)]
    assert locate("/kubepods/pod1/a", root) == root / "sys/fs/cgroup/a"
    assert locate("/kubepods/pod1", root) == root / "sys/fs/cgroup"
    assert locate("/kubepods/pod11", root) is None


@pytest.mark.parametrize("cgroup", ["/../outside", "/a (deleted)"])
def test_cgroups_that_cannot_be_reached(tmp_path: Path, cgroup: str) -> None:
    assert locate(cgroup, make_host(tmp_path, mountinfo=UNIFIED)) is None


def test_own_cgroup_keeps_odd_names_and_misses_cleanly(tmp_path: Path) -> None:
    root = make_host(tmp_path, cgroup="12:memory:/x\n1:name=systemd:/y\n0::/user.slice/a:b::c\n")
    assert own_cgroup(root=root) == "/user.slice/a:b::c"
    assert v1_controllers(root) == {"memory"}
    with pytest.raises(HostError, match="no cgroup v2 membership"):
        own_cgroup(99999999, root)
    with pytest.raises(HostError, match="no cgroup v2 membership"):
        own_cgroup(root=make_host(tmp_path / "v1", cgroup="4:cpu,cpuacct:/\n"))
