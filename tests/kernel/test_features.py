"""The probes on hosts of all kinds, on odd ones, and on this machine."""

import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcgroup.kernel import namespace
from agentcgroup.kernel.features import Feature, bpf, survey, system
from tests.kernel.hosts import UNIFIED_LINE, cgroup_files, make_host
from tests.kernel.made_btf import FIRST, NEWER, kernel_with
from tests.kernel.test_btf import BLOB

ALL = "cpu io memory pids"
TOP = "sys/fs/cgroup"
RW = UNIFIED_LINE.format(options="rw")
V1 = "9:memory:/\n8:pids:/\n3:cpu,cpuacct:/\n2:blkio:/\n0::/\n"
PSI = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

NAMES = [
    *("cgroup-v2", "delegation", "memory-controller", "pids-controller", "cpu-controller", "io-controller"),
    *("cgroup-freeze", "cgroup-kill", "memory-peak", "root", "private-mounts", "clone-into-cgroup", "psi", "swap"),
    *("btf", "cap-bpf", "sched-ext", "sched-ext-btf", "memcg-struct-ops", "libbpf", "bpf-objects"),
    *("exec-tracking", "stall-detection"),
]
# Told of this machine, whatever root directory is looked at
OF_THIS_MACHINE = ("root", "libbpf", "bpf-objects", "exec-tracking", "stall-detection")


@pytest.fixture(autouse=True)
def no_real_mounts(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Made-up hosts are looked at as root, and without the one probe that acts and so would ask this machine."""
    if "real" not in request.node.name:
        monkeypatch.setattr("os.geteuid", lambda: 0)
        monkeypatch.setattr(namespace, "can_private_mounts", lambda: None)


def look(root: Path) -> dict[str, Feature]:
    return {feature.name: feature for feature in survey(root)}


def test_names_are_stable_and_this_real_machine_answers_all() -> None:
    found = survey()
    assert [feature.name for feature in found] == NAMES
    for feature in found:
        assert feature.available is not None, feature
        assert feature.detail
        assert feature.enables
        assert bool(feature.fix) == (not feature.available), feature


def test_a_modern_host(tmp_path: Path) -> None:
    files = cgroup_files(TOP, ALL, inner=False) | cgroup_files(f"{TOP}/a.slice", ALL)
    more = {
        "proc/self/status": "CapEff:\t000001ffffffffff\n",
        "proc/pressure/memory": PSI,
        "proc/meminfo": "MemTotal: 100 kB\nSwapTotal:       2097152 kB\n",
        "sys/kernel/sched_ext/state": "disabled\n",
    }
    found = look(make_host(tmp_path, mountinfo=RW, files=files | more))
    for name in [*NAMES[:9], "clone-into-cgroup", "psi", "swap", "cap-bpf", "sched-ext"]:
        assert found[name].available is True, found[name]
        assert found[name].fix == ""
    assert found["cgroup-kill"].detail == "cgroup.kill (Linux 5.14)"  # seen, not guessed
    assert found["swap"].detail == "2.0 GiB"
    assert found["psi"].detail == "triggers with windows of any length up to 10 s"


def test_a_hybrid_host_whose_controllers_are_v1(tmp_path: Path) -> None:
    root = make_host(tmp_path, mountinfo=RW, cgroup=V1, files=cgroup_files(TOP, "hugetlb", inner=False))
    found = look(root)
    assert found["cgroup-v2"].available is True
    assert "cgroup v1 holds blkio, cpu, cpuacct, memory, pids" in found["cgroup-v2"].detail
    for name in ("memory", "pids", "cpu", "io"):
        assert found[f"{name}-controller"].available is False
        assert found[f"{name}-controller"].detail == "held by cgroup v1"
        assert "systemd.unified_cgroup_hierarchy=1" in found[f"{name}-controller"].fix
    assert found["memory-peak"].available is False


@pytest.mark.parametrize(
    ("release", "freeze", "kill", "peak"),
    [
        ("4.19.0", False, False, False),
        ("5.4", True, False, False),
        ("5.15.0-1", True, True, False),
        ("6.1", True, True, True),
    ],
)
def test_older_kernels_by_their_version(tmp_path: Path, release: str, freeze: bool, kill: bool, peak: bool) -> None:
    files = cgroup_files(TOP, ALL, inner=False)  # no cgroup but the root: the files cannot be seen
    found = look(make_host(tmp_path, mountinfo=RW, release=release, files=files))
    assert (found["cgroup-freeze"].available, found["cgroup-kill"].available) == (freeze, kill)
    assert found["memory-peak"].available is peak
    assert found["clone-into-cgroup"].available is (freeze and release != "5.4")


def test_a_kernel_that_lacks_a_file_is_believed_more_than_its_version(tmp_path: Path) -> None:
    files = cgroup_files(TOP, ALL, inner=False) | cgroup_files(f"{TOP}/a", ALL)
    del files[f"{TOP}/a/cgroup.kill"]
    found = look(make_host(tmp_path, mountinfo=RW, release="6.1", files=files))
    assert found["cgroup-kill"].available is False
    assert "5.14" in found["cgroup-kill"].fix


def test_a_user_manager_that_does_not_delegate_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    manager = f"{TOP}/user.slice/user-1000.slice/user@1000.service"
    files = cgroup_files(TOP, ALL, inner=False) | cgroup_files(manager, "memory pids") | cgroup_files(f"{TOP}/s", "")
    more = {"run/systemd/system/x": "", "run/user/1000/bus": ""}
    found = look(make_host(tmp_path, mountinfo=RW, cgroup="0::/s\n", files=files | more))
    assert found["memory-controller"].available is True
    assert found["cpu-controller"].available is False
    assert "Delegate=cpu cpuset io memory pids" in found["cpu-controller"].fix
    assert found["root"].available is False


def test_a_host_without_anything(tmp_path: Path) -> None:
    found = look(tmp_path)
    assert {found[name].available for name in NAMES if name not in OF_THIS_MACHINE} == {False}
    for name in ("exec-tracking", "stall-detection"):
        assert found[name].available is None  # another root cannot be tried
    assert "not mounted" in found["delegation"].detail


@pytest.mark.parametrize(
    ("blob", "available", "detail"),
    [
        (b"", None, "could not be told: this is not sound BTF"),
        (b"\x9f\xeb nonsense that is long enough to be a header", None, "could not be told"),
        (BLOB, False, "unsound: scx_bpf_create_dsq, scx_bpf_dsq_insert, scx_bpf_kick_cpu"),
        (BLOB.replace(b"sched_ext_ops", b"other_ext_ops"), False, "no sched_ext in the BTF"),
    ],
)
def test_the_btf_of_sched_ext(tmp_path: Path, blob: bytes, available: bool | None, detail: str) -> None:
    root = make_host(tmp_path, files={"sys/kernel/btf/vmlinux": blob})
    feature = look(root)["sched-ext-btf"]
    assert feature.available is available
    assert feature.detail.startswith(detail)


@pytest.mark.parametrize(
    ("files", "available", "detail"),
    [
        ({"state": "disabled\n"}, True, "/sys/kernel/sched_ext"),
        ({"state": "enabled\n", "root/ops": "agentcgroup\n"}, True, "ours is enabled"),
        ({"state": "enabled\n", "root/ops": "lavd\n"}, False, "lavd is enabled, and lets none attach below it"),
        (
            {"state": "enabled\n", "root/ops": "qmap\n", "root/sub/one/ops": "x\n"},
            True,
            "qmap is enabled, and lets ours attach below it",
        ),
    ],
)
def test_the_scheduler_that_the_kernel_has(tmp_path: Path, files: dict[str, str], available: bool, detail: str) -> None:
    root = make_host(tmp_path, files={f"sys/kernel/sched_ext/{name}": text for name, text in files.items()})
    feature = look(root)["sched-ext"]
    assert (feature.available, feature.detail) == (available, detail)
    assert bool(feature.fix) == (not available)


def test_sound_btf_of_sched_ext(tmp_path: Path) -> None:
    strings, types = bytearray(b"\0"), bytearray()

    def add(kind: int, vlen: int, text: str, target: int, extra: bytes = b"") -> None:
        types.extend(struct.pack("<III", len(strings) if text else 0, kind << 24 | vlen, target) + extra)
        strings.extend(text.encode() + b"\0" if text else b"")

    for number, (name, count) in enumerate(
        {"scx_bpf_create_dsq": 2, "scx_bpf_kick_cpu": 2, "scx_bpf_dsq_insert": 4}.items()
    ):
        add(13, count, "", 0, bytes(8 * count))
        add(12, 0, name, 2 * number + 1)
    add(4, 0, "sched_ext_ops", 8)
    blob = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings
    root = make_host(tmp_path, files={"sys/kernel/btf/vmlinux": bytes(blob)})
    assert look(root)["sched-ext-btf"].detail == "sound"


@pytest.mark.parametrize(
    ("blob", "available", "detail"),
    [
        (kernel_with(FIRST), True, "memcg_bpf_ops, first generation: delays and protection"),
        (kernel_with(NEWER), True, "memcg_bpf_ops, newer generation: delays and protection; not used: memcg_uncharged"),
        (kernel_with(("later",)), False, "this kernel's memcg_bpf_ops is of a generation that is not known (later)"),
        (kernel_with(FIRST, name="other"), False, "this kernel has no memcg_bpf_ops (no release has, up to Linux 7.3)"),
        (b"", None, "could not be told: this is not sound BTF"),
    ],
)
def test_what_of_memcg_bpf_ops_there_is(tmp_path: Path, blob: bytes, available: bool | None, detail: str) -> None:
    feature = look(make_host(tmp_path, files={"sys/kernel/btf/vmlinux": blob}))["memcg-struct-ops"]
    assert feature.available is available
    assert feature.detail.startswith(detail)
    assert bool(feature.fix) == (available is False)


def test_libbpf_that_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGENTCGROUP_LIBBPF", str(tmp_path / "none.so"))
    feature = bpf.libbpf(Path("/"))
    assert feature.available is False
    assert "libbpf 1.4" in feature.fix
    assert bpf.exec_tracking(Path("/")).available is False
    assert bpf.stall_detection(Path("/")).available is False


def test_capabilities_of_a_user(tmp_path: Path) -> None:
    root = make_host(tmp_path, files={"proc/self/status": "CapEff:\t000000c000000000\n"})
    assert bpf.capabilities(root).detail == "CAP_BPF and CAP_PERFMON"
    root = make_host(tmp_path, files={"proc/self/status": "CapEff:\t0000000000000000\n", "proc/pressure/memory": PSI})
    assert bpf.capabilities(root).available is False
    assert system.pressure(root).detail == "triggers with windows of 2, 4, 6, 8 or 10 s"


PATHS = [
    *("proc/self/mountinfo", "proc/self/cgroup", "proc/self/status", "proc/sys/kernel/osrelease", "proc/meminfo"),
    *("proc/pressure/memory", "sys/kernel/btf/vmlinux", "sys/kernel/sched_ext", "run/systemd/system", "run/user/0/bus"),
    *(f"{TOP}/{file}" for file in ("cgroup.procs", "cgroup.controllers", "cgroup.type", "memory.max")),
]
TEXTS = st.sampled_from(
    [RW, UNIFIED_LINE.format(options="ro"), V1, "0::/a\n", "0::/../x\n", "CapEff: zz\n", PSI, "max\n"]
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(PATHS), TEXTS.map(str.encode) | st.binary(max_size=60) | st.none(), max_size=8))
def test_an_odd_host_never_ends_in_an_error(tree: dict[str, bytes | None]) -> None:
    with tempfile.TemporaryDirectory() as name:
        for path, content in tree.items():
            place = Path(name) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                place.mkdir(exist_ok=True)  # a directory where a file should be
            elif not place.is_dir():
                place.write_bytes(content)
        assert [feature.name for feature in survey(Path(name))] == NAMES
