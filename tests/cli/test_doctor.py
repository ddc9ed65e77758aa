"""`agentcgroup doctor`, as a command on this machine and on made-up surveys."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from agentcgroup.cli import cli, doctor
from agentcgroup.kernel.delegation import How, Plan
from agentcgroup.kernel.features import Feature
from agentcgroup.kernel.features.cgroups import planned
from agentcgroup.kernel.hierarchy import find_unified_mount
from agentcgroup.model import Support

DOCTOR = [sys.executable, "-m", "agentcgroup", "doctor"]
PLAN = Plan(How.PLAIN, Path("/sys/fs/cgroup"), frozenset({"memory", "pids"}))


def test_json_is_one_object_and_agrees_with_the_exit_status() -> None:
    done = subprocess.run([*DOCTOR, "--json"], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert set(report) == {"v", "agentcgroup_version", "kernel", "support", "how", "cgroup", "controllers", "features"}
    assert report["v"] == 1
    assert done.returncode == (0 if report["support"] == "full" else 1)
    for feature in report["features"]:
        assert set(feature) == {"name", "available", "detail", "enables", "fix"}
    names = [feature["name"] for feature in report["features"]]
    assert len(names) == len(set(names))
    assert names[-1] == "lab"
    by_name = {feature["name"]: feature for feature in report["features"]}
    assert (report["support"] == "full") == by_name["memory-controller"]["available"]
    assert done.stderr == ""


def test_the_table_names_all_and_gives_lines_to_copy_whole() -> None:
    done = subprocess.run(DOCTOR, capture_output=True, text=True, check=False)
    report = json.loads(subprocess.run([*DOCTOR, "--json"], capture_output=True, text=True, check=False).stdout)
    lines = done.stdout.splitlines()
    for feature in report["features"]:
        assert any(feature["name"] in line for line in lines)
        if feature["fix"]:
            assert f"    {feature['fix']}" in lines
    assert lines[-1].startswith("run here: ")
    assert "\x1b" not in done.stdout


def test_it_only_looks() -> None:
    mount = find_unified_mount()
    mounts = Path("/proc/self/mountinfo").read_text()
    enabled = (mount / "cgroup.subtree_control").read_text() if mount else ""
    plan = planned(Path("/"))
    CliRunner().invoke(cli, ["doctor"])
    assert planned(Path("/")) == plan
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert mount is None or (mount / "cgroup.subtree_control").read_text() == enabled


@pytest.mark.parametrize(
    ("plan", "level"),
    [
        (PLAN, Support.FULL),
        (Plan(How.PLAIN, Path("/x"), frozenset({"pids"})), Support.GROUPING),
        (None, Support.PROCESS),
    ],
)
def test_support_follows_the_memory_controller(plan: Plan | None, level: Support) -> None:
    assert doctor.support(plan) is level
    report = doctor.report([], plan, level)
    assert report["support"] == level
    assert json.loads(json.dumps(report)) == report


def test_brackets_in_a_detail_are_text() -> None:
    odd = Feature("odd", None, "[red]not markup[/red] [/x]", "e", "f")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(doctor.table([odd]))
    assert "[red]not markup[/red] [/x]" in console.export_text()


def test_the_same_fix_is_given_once() -> None:
    features = [Feature("a", False, "", "", "do x"), Feature("b", True, "", ""), Feature("c", False, "", "", "do x")]
    assert doctor.fixes(features) == {"do x": ["a", "c"]}


@pytest.mark.kernel
def test_the_lab_has_all_that_contains_memory() -> None:
    done = subprocess.run([*DOCTOR, "--json"], capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    by_name = {feature["name"]: feature for feature in report["features"]}
    assert (done.returncode, report["support"], report["how"]) == (0, "full", "plain")
    for name in (
        "memory-controller",
        "pids-controller",
        "cpu-controller",
        "io-controller",
        "cgroup-kill",
        "memory-peak",
    ):
        assert by_name[name]["available"] is True, by_name[name]
    bpf = ("btf", "cap-bpf", "libbpf", "bpf-objects", "exec-tracking", "stall-detection")
    for name in (*bpf, "sched-ext", "sched-ext-btf", "psi", "private-mounts"):
        assert by_name[name]["available"] is True, by_name[name]
    assert by_name["psi"]["detail"] == "triggers with windows of any length up to 10 s"
