"""A real systemd with a D-Bus daemon and a user manager, alone in namespaces of its own, for tests.

Its PID, mount, cgroup, UTS and IPC namespaces are private and its unit path holds nothing but the
units written here, so the machine's own units and services are never touched. It wants a cgroup v2
hierarchy that it may manage, as in the lab.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentcgroup.kernel.cgroup import Cgroup
from agentcgroup.kernel.hierarchy import find_unified_mount

SYSTEMD = Path("/usr/lib/systemd/systemd")
USER = "games"  # some user that every Debian has; its manager runs as if it had logged in
JOB = Path(__file__).with_name("delegation_job.py")

_BUS = """
[Unit]
DefaultDependencies=no
[Socket]
ListenStream={address}
"""
_BUS_SERVICE = """
[Unit]
DefaultDependencies=no
Requires=dbus.socket
After=dbus.socket
[Service]
ExecStart=/usr/bin/dbus-daemon --{which} --address=systemd: --nofork --nopidfile --systemd-activation
"""
_USER_MANAGER = """
[Unit]
DefaultDependencies=no
Requires=dbus.service
After=dbus.service
[Service]
Type=notify
User={user}
Slice=user-{uid}.slice
Delegate={delegate}
Environment=XDG_RUNTIME_DIR=/run/user/{uid} DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{uid}/bus
Environment=SYSTEMD_UNIT_PATH={units}/user
ExecStart=/usr/lib/systemd/systemd --user --unit=dbus.service
"""
_JOB = """
[Unit]
DefaultDependencies=no
Requires={after}
After={after}
[Service]
Type=oneshot
{settings}
StandardOutput=append:{out}/log
StandardError=append:{out}/log
ExecStart={python} -X dev {job} {out}/{name}.json
"""
# Everything in the box sees the box's own cgroup namespace as the whole of /sys/fs/cgroup, and an empty /run.
_BOOT = """
echo 0 > "$0/cgroup.procs" && exec unshare --cgroup sh -c '
mount --make-rprivate / && mount --bind {console} /dev/console &&
umount /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup &&
mount -t tmpfs -o mode=755 none /run && mkdir -p /run/dbus /run/user/{uid} && chown {uid} /run/user/{uid} &&
exec env -i container=box PATH=/usr/bin:/bin SYSTEMD_UNIT_PATH={units} \
  {systemd} --system --unit=box.target --log-target=console --show-status=0'
"""


@contextmanager
def systemd_box(where: Path, *, delegate: str = "pids memory cpu") -> Iterator[dict[str, Path]]:
    """Boot it with the jobs ``system`` (as root) and ``user``; yields the JSON files they will write."""
    mount = find_unified_mount()
    assert mount is not None
    uid = int(subprocess.run(["id", "-u", USER], check=True, capture_output=True, text=True).stdout)
    units, out = where / "units", where / "out"
    _write_units(units, out, uid, delegate)
    cgroup = Cgroup(mount).create(f"box-{os.getpid()}")
    console = where / "console"
    console.touch()
    boot = _BOOT.format(uid=uid, units=units, systemd=SYSTEMD, console=console)
    # The waiting unshare stays outside of the cgroup: systemd must be alone at the root of its namespace.
    namespaces = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--mount-proc"]
    with console.open("ab") as log:
        box = subprocess.Popen(
            [*namespaces, "sh", "-c", boot, str(cgroup.path)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            yield {name: out / f"{name}.json" for name in ("system", "user")}
        finally:
            box.send_signal(signal.SIGKILL)
            box.wait()
            cgroup.remove_tree(30)


def _write_units(units: Path, out: Path, uid: int, delegate: str) -> None:
    (units / "user").mkdir(parents=True)
    out.mkdir()
    shutil.chown(out, USER)
    # The checkout may lie where only root can read; reading it takes nothing away from what the job has to prove.
    jobs = {
        "system": ("dbus.service", ""),
        "user": (f"user@{uid}.service", f"User={USER}\nAmbientCapabilities=CAP_DAC_READ_SEARCH"),
    }
    texts = {
        "box.target": "[Unit]\nWants=system.service user.service\n",
        "dbus.socket": _BUS.format(address="/run/dbus/system_bus_socket"),
        "dbus.service": _BUS_SERVICE.format(which="system"),
        f"user@{uid}.service": _USER_MANAGER.format(user=USER, uid=uid, units=units, delegate=delegate),
        "user/dbus.socket": _BUS.format(address=f"/run/user/{uid}/bus"),
        "user/dbus.service": _BUS_SERVICE.format(which="session"),
    }
    for name, (after, settings) in jobs.items():
        texts[f"{name}.service"] = _JOB.format(
            name=name, after=after, settings=settings, out=out, python=sys.executable, job=JOB
        )
    for name, text in texts.items():
        (units / name).write_text(text)
