"""Choosing and fetching a kernel, from a small apt repository made here, with the real apt and dpkg."""

from __future__ import annotations

import multiprocessing
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from agentcgroup.errors import LabError, UsageError
from agentcgroup.lab import apt, bzimage, cache, kernel, sources
from agentcgroup.lab.apt import PrivateApt
from agentcgroup.lab.sources import Source
from tests.lab import made_files

SOUND = dict(kernel.NEEDED_KFUNCS)
BROKEN = {**SOUND, "scx_bpf_kick_cpu": 3}


def _packages(root: Path, version: str, functions: Mapping[str, int], modules: bool = True) -> list[Path]:
    abi = f"{version}-cloud-amd64"
    image = made_files.kernel_image(abi, functions)
    made = [
        made_files.deb(root, f"linux-binary-{abi}", "1", {f"usr/lib/modules/{abi}/vmlinuz": image}),
        made_files.deb(root, f"linux-binary-unsigned-{abi}", "1", {f"usr/lib/modules/{abi}/vmlinuz": b"unsigned"}),
    ]
    if modules:
        overlay = made_files.elf({".modinfo": b"depends=\0"})
        files = {f"usr/lib/modules/{abi}/kernel/fs/overlayfs/overlay.ko": overlay}
        made.append(made_files.deb(root, f"linux-modules-{abi}", "1", files))
    return made


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Source:
    root = tmp_path_factory.mktemp("mirror")
    for suite in kernel.SUITES:
        (root / suite).mkdir()
    backports = root / kernel.SUITES[0]
    debs = [
        *_packages(backports, "7.10.1+deb13", BROKEN),
        *_packages(backports, "7.9.2+deb13", SOUND, modules=False),
        *_packages(backports, "7.3.4+deb13", SOUND),
        *_packages(backports, "7.2.12+deb13", SOUND),
    ]
    made_files.repository(root, kernel.SUITES[0], debs)
    made_files.repository(root, kernel.SUITES[1], _packages(root / kernel.SUITES[1], "7.4-rc1", BROKEN))
    return Source(f"copy:{root}", "bookworm", ("main",))


@pytest.fixture
def here(mirror: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the made repository as the host's mirror, taken without a signature."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "host_sources", lambda: [mirror])
    monkeypatch.setattr(kernel, "PrivateApt", _Trusting)
    return cache.root()


class _Trusting(PrivateApt):
    """apt that takes an unsigned repository: only the tests' own is."""

    def __init__(self, directory: Path, mirror: Source, suite: str) -> None:
        super().__init__(directory, mirror, suite)
        (directory / "etc/sources.list").write_text(f"deb [trusted=yes] {mirror.uri} {suite} main\n")


def test_the_newest_sound_kernel_is_taken_and_the_others_are_named(here: Path) -> None:
    said: list[str] = []
    chosen, manifest = kernel.prepare(said.append)
    assert chosen.version == "7.3.4+deb13-cloud-amd64"
    assert manifest.suite == kernel.SUITES[0]
    assert manifest.notes == (
        f"7.10.1+deb13-cloud-amd64 from {kernel.SUITES[0]} passed over: scx_bpf_kick_cpu has 3 parameters instead of 2",
    )
    assert manifest.notes[0] in said
    assert sorted(manifest.packages) == [
        "linux-binary-7.3.4+deb13-cloud-amd64_1",
        "linux-modules-7.3.4+deb13-cloud-amd64_1",
    ]
    listed = subprocess.run(["busybox", "cpio", "-t"], input=chosen.initrd, capture_output=True, check=True).stdout
    assert {b"bin/busybox", b"mods/boot/00-overlay.ko"} <= set(listed.split())
    assert not list(here.glob("work.*"))


def test_a_good_cache_needs_no_network(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.prepare(lambda message: None)
    monkeypatch.setattr(sources, "host_sources", lambda: [])
    said: list[str] = []
    assert kernel.obtain(said.append).version.startswith("7.3.4")
    assert kernel.prepare(said.append)[0].version.startswith("7.3.4")
    assert said == []
    with pytest.raises(LabError, match="no Debian mirror"):
        kernel.prepare(said.append, refresh=True)
    assert cache.load(here, full=True) is not None


def test_a_wanted_version_is_preferred_and_missed_aloud(here: Path) -> None:
    assert kernel.prepare(lambda message: None, wanted="7.2")[0].version.startswith("7.2.12")
    said: list[str] = []
    chosen, manifest = kernel.prepare(said.append, wanted="7.1")
    assert chosen.version.startswith("7.3.4")
    assert manifest.notes[0] == f"{kernel.SUITES[0]} does not have kernel 7.1 any more: taking the newest that is sound"
    assert manifest.notes[0] in said


def test_no_sound_kernel_says_what_was_looked_at(here: Path) -> None:
    with pytest.raises(LabError, match=r"7\.4-rc1.*kick_cpu.*--kernel"):
        kernel.prepare(lambda message: None, suites=["sid"])
    with pytest.raises(LabError, match="apt-get failed"):
        kernel.prepare(lambda message: None, suites=["forky"])
    with pytest.raises(UsageError):
        kernel.prepare(lambda message: None, suites=["sid main\ndeb http://mirror.example.org x"])


def test_a_package_that_is_not_what_the_index_says_is_refused(
    mirror: Source, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "damaged"
    (root / "a").mkdir(parents=True)
    debs = _packages(root / "a", "7.3.4", SOUND)
    made_files.repository(root, "sid", debs)
    debs[0].write_bytes(debs[0].read_bytes()[:-1] + b"?")
    monkeypatch.setattr(sources, "host_sources", lambda: [Source(f"copy:{root}", "sid", ("main",))])
    with pytest.raises(LabError, match="apt-get failed"):
        kernel.prepare(lambda message: None, suites=["sid"])
    assert cache.load(here) is None


def test_an_unsigned_repository_is_refused(mirror: Source, tmp_path: Path) -> None:
    own = PrivateApt(tmp_path / "apt", mirror, kernel.SUITES[0])
    with pytest.raises(LabError, match="not signed"):
        own.update()


def test_a_mirror_cannot_write_into_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cannot be written"):
        PrivateApt(tmp_path, Source('http://mirror.example.org/";x', "sid", ("main",)), "sid")
    with pytest.raises(LabError, match="keyring"):
        PrivateApt(tmp_path, Source("http://mirror.example.org", "sid", ("main",), "/nonexistent.gpg"), "sid")


def test_the_hosts_hooks_are_not_taken_over(mirror: Source, tmp_path: Path) -> None:
    own = PrivateApt(tmp_path, mirror, "sid")
    dumped = apt._apt(["apt-config", "dump"], {"PATH": "/usr/bin:/bin", "APT_CONFIG": str(tmp_path / "apt.conf")}, None)
    settings = dict(line.rstrip(";").split(" ", 1) for line in dumped.splitlines())
    assert settings["Dir::State::lists"] == f'"{tmp_path}/lists"'
    assert not [name for name in settings if "Invoke" in name and settings[name] != '""']
    assert own.suite == "sid"


def _prepare_version(queue: multiprocessing.Queue[str]) -> None:
    queue.put(kernel.prepare(lambda message: None)[0].version)


def test_two_prepares_at_once_agree(here: Path) -> None:
    context = multiprocessing.get_context("fork")  # the children keep the made repository
    queue: multiprocessing.Queue[str] = context.Queue()
    both = [context.Process(target=_prepare_version, args=(queue,)) for _ in range(2)]
    for process in both:
        process.start()
    assert {queue.get(timeout=60) for _ in both} == {"7.3.4+deb13-cloud-amd64"}
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert cache.load(here, full=True) is not None


def test_own_kernel_is_named_and_brings_its_modules(tmp_path: Path) -> None:
    (tmp_path / "modules/kernel").mkdir(parents=True)
    (tmp_path / "modules/kernel/overlay.ko").write_bytes(made_files.elf({".modinfo": b"depends=\0"}))
    (tmp_path / "vmlinuz").write_bytes(made_files.kernel_image("6.14.0-own", SOUND))
    given = kernel.own(tmp_path / "vmlinuz")
    assert given.version == "6.14.0-own"
    assert b"mods/boot/00-overlay.ko" in given.initrd
    assert bzimage.is_bzimage(given.image.read_bytes())
    with pytest.raises(LabError, match="cannot read"):
        kernel.own(tmp_path / "none")
    (tmp_path / "text").write_text("no kernel")
    with pytest.raises(LabError, match="not a Linux kernel"):
        kernel.own(tmp_path / "text")


def test_versions_are_ordered_as_numbers_and_candidates_after() -> None:
    names = ["7.3.4+deb13-cloud-amd64", "7.10.1+deb13-cloud-amd64", "7.3-rc7-cloud-amd64", "7.3-cloud-amd64"]
    ordered = sorted(names, key=kernel._order)
    assert ordered == [names[2], names[3], names[0], names[1]]


def test_the_kernel_in_the_real_cache_is_sound() -> None:
    real = kernel.obtain(lambda message: None)
    image = real.image.read_bytes()
    assert bzimage.version(image) == real.version
    assert kernel._problems(image) == []
    assert kernel._problems(image[: 1 << 20])  # cut short: said, not raised
