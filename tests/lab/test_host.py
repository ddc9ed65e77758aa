"""What the lab finds on this host: programs, accelerators, and what the doctor makes of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from agentcgroup.cli.lab import command
from agentcgroup.errors import LabError, UsageError
from agentcgroup.lab import accel, doctor, packages, virtiofs


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host that has nothing but the programs put into this directory."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "_VIRTIOFSD_PLACES", ())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_this_host_has_all_that_the_lab_needs() -> None:
    assert packages.missing() == []


def test_a_missing_program_is_named_with_the_line_that_installs_all(bare: Path) -> None:
    with pytest.raises(LabError, match=r"apt-get install --no-install-recommends qemu-system-x86 busybox-static zstd"):
        packages.need("zstd")


def test_a_busybox_that_needs_libraries_does_not_count(bare: Path) -> None:
    shutil.copy("/bin/sh", bare / "busybox")
    assert packages.find("busybox") is None


def test_the_doctor_of_a_bare_host(bare: Path) -> None:
    found = {check.name: check for check in doctor.checks()}
    assert not doctor.works(list(found.values()))
    assert not found["zstd"].ok
    assert "apt-get install" in found["zstd"].fix
    assert found["kernel"].fix == "run: agentcgroup lab prepare"


def test_the_doctor_for_programs_and_for_people() -> None:
    machine = CliRunner().invoke(command, ["doctor", "--json"])
    report = json.loads(machine.output)
    assert machine.exit_code == 0
    assert report["works"] is True
    names = [check["name"] for check in report["checks"]]
    assert names[:3] == ["architecture", "qemu-system-x86_64", "busybox"]
    people = CliRunner().invoke(command, ["doctor"]).output
    assert all(name in people for name in names)


def test_the_probe_runs_its_guest_when_the_cpu_is_emulated() -> None:
    assert accel.boot_trouble(accel.TCG) == ""


def test_the_choice_of_accelerators_follows_what_works() -> None:
    works = accel.kvm_trouble() == ""
    assert accel.order("auto") == ([accel.KVM, accel.TCG] if works else [accel.TCG])
    assert accel.order("tcg") == [accel.TCG]
    if works:
        assert accel.order("kvm") == [accel.KVM]
    else:
        with pytest.raises(LabError, match="KVM does not work"):
            accel.order("kvm")
    with pytest.raises(UsageError):
        accel.order("xen")


def test_which_virtiofsd_this_is(tmp_path: Path) -> None:
    assert isinstance(virtiofs.is_rust(packages.need("virtiofsd")), bool)
    fake = tmp_path / "virtiofsd"
    fake.write_text("#!/bin/sh\necho '  --shared-dir <shared-dir>'\n")
    fake.chmod(0o755)
    assert virtiofs.is_rust(fake)
