"""The units in packaging/systemd: sound, hardened, and (in the lab) really run by a systemd."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.hierarchy import find_unified_mount
from tests.cli.daemons import until
from tests.kernel import systemd_box

CHECKOUT = Path(__file__).parents[2]
UNITS = CHECKOUT / "packaging" / "systemd"
SYSTEM, USER = UNITS / "agentcgroup.service", UNITS / "user" / "agentcgroup.service"
BOTH = pytest.mark.parametrize("unit", [SYSTEM, USER], ids=["system", "user"])
needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")


@BOTH
@needs_analyze
def test_systemd_takes_every_line(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/usr/bin/agentcgroup", "/bin/true"))
    which = ["--user"] if unit is USER else []
    done = subprocess.run(
        ["systemd-analyze", *which, "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_analyze
def test_the_hosts_daemon_is_exposed_to_little() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(SYSTEM)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1]


@BOTH
def test_it_starts_what_we_have(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert "ExecStart=/usr/bin/agentcgroup daemon" in lines
    assert "Delegate=yes" in lines
    assert "Type=notify" in lines
    assert "RuntimeDirectory=agentcgroup-daemon" in lines  # daemon/places.py


DROP_IN = """\
[Unit]
DefaultDependencies=no
[Service]
ExecStart=
ExecStart={python} -m agentcgroup daemon
WorkingDirectory={checkout}
StandardOutput=append:{out}/log
StandardError=append:{out}/log
{shown}
"""
PROBE = """\
[Unit]
DefaultDependencies=no
Wants=agentcgroup.service
After=agentcgroup.service
[Service]
Type=oneshot
StandardOutput=append:{out}/log
StandardError=append:{out}/log
WorkingDirectory={checkout}
ExecStart=/bin/sh -ec '\\
  {python} -m agentcgroup status --json > {out}/first; \\
  systemctl reload agentcgroup; \\
  systemctl kill --signal=KILL agentcgroup; \\
  for i in $(seq 100); do sleep 0.2; {python} -m agentcgroup status --json > {out}/next && break; done; \\
  systemctl show --property=Delegate,MemoryMin,OOMScoreAdjust agentcgroup > {out}/shown; \\
  mv {out}/next {out}/second'
"""


@pytest.mark.kernel
@pytest.mark.skipif(not systemd_box.SYSTEMD.exists() or os.geteuid() != 0, reason="boots a systemd")
def test_a_systemd_runs_it_as_it_is(tmp_path: Path) -> None:
    units, out = tmp_path / "units", tmp_path / "out"
    where = [CHECKOUT.resolve(), Path(sys.executable).parent.resolve(), Path(sys.executable).resolve()]
    hidden = {"/root": "ProtectHome=read-only", "/home": "ProtectHome=read-only", "/tmp": "PrivateTmp=no"}
    shown = {mend for top, mend in hidden.items() if any(path.is_relative_to(top) for path in where)}
    words = {
        "python": sys.executable,
        "checkout": CHECKOUT,
        "out": out,
        "shown": "\n".join(sorted(shown)),  # what the unit hides and this checkout lies in
    }
    (units / "agentcgroup.service.d").mkdir(parents=True)
    out.mkdir()
    shutil.copy(SYSTEM, units)
    (units / "agentcgroup.service.d" / "box.conf").write_text(DROP_IN.format(**words))
    (units / "probe.service").write_text(PROBE.format(**words))
    (units / "box.target").write_text("[Unit]\nWants=probe.service\n")
    _boot(tmp_path, lambda: (out / "second").exists(), out / "log")
    first, second = (json.loads((out / name).read_text()) for name in ("first", "second"))
    assert (first["uid"], first["socket"], first["policy"]) == (0, "/run/agentcgroup-daemon/socket", "ladder")
    assert second["pid"] != first["pid"]  # it was killed, and is back
    log = (out / "log").read_text()
    assert "the configuration was read again" in log
    assert "pressure of the host is not watched" not in log
    assert "Traceback" not in log
    assert "Delegate=yes" in (out / "shown").read_text()


def _boot(where: Path, done: Callable[[], bool], log: Path) -> None:
    """Boot a systemd in namespaces of its own until ``done()``; see tests/kernel/systemd_box.py."""
    mount = find_unified_mount()
    assert mount is not None
    cgroup = Cgroup(mount).create(f"box-{os.getpid()}")
    console = where / "console"
    console.touch()
    boot = systemd_box._BOOT.format(uid=0, units=where / "units", systemd=systemd_box.SYSTEMD, console=console)
    namespaces = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--mount-proc"]
    with console.open("ab") as said:
        box = subprocess.Popen(
            [*namespaces, "sh", "-c", boot, str(cgroup.path)], stdout=said, stderr=said, stdin=subprocess.DEVNULL
        )
        try:
            until(done, f"booted: {log}, {console}", 240)
        except AssertionError:
            print(console.read_text(), log.read_text() if log.exists() else "no log")
            raise
        finally:
            box.send_signal(signal.SIGKILL)
            box.wait()
            cgroup.remove_tree(30)
