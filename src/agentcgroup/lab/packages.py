"""The host's programs that the lab needs, and the packages that they come in.

The lab never installs anything; what is missing is named with the line that installs it. The list for the
project's own set-up is tools/apt-packages.txt.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from agentcgroup.errors import LabError

QEMU = "qemu-system-x86_64"
# Debian 13 and Ubuntu 24.04 ship the Rust virtiofsd in a package of its own; QEMU before 8.0 brought one in C.
_VIRTIOFSD_PLACES = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")

# program -> package, in Debian's and Ubuntu's names
PACKAGES = {
    QEMU: "qemu-system-x86",
    "busybox": "busybox-static",
    "zstd": "zstd",
    "setpriv": "util-linux",
    "virtiofsd": "virtiofsd",
}


def find(program: str) -> Path | None:
    """Where ``program`` (a key of PACKAGES) is on this host, or None."""
    found = shutil.which(program)
    if found is None and program == "virtiofsd":
        found = next((place for place in _VIRTIOFSD_PLACES if shutil.which(place)), None)
    if found is None or (program == "busybox" and not _is_static(Path(found))):
        return None
    return Path(found)


def need(program: str) -> Path:
    """Where ``program`` is; LabError with the line that installs all that is missing, if it is not there."""
    found = find(program)
    if found is None:
        raise LabError(f"the lab needs {program}, which is not installed", f"run: {install_line(missing())}")
    return found


def missing() -> list[str]:
    """The programs of PACKAGES that this host does not have."""
    return [program for program in PACKAGES if find(program) is None]


def install_line(programs: list[str]) -> str:
    """The command that installs ``programs`` on Debian and Ubuntu."""
    names = [PACKAGES[program] for program in programs]
    if QEMU in programs and "virtiofsd" in programs and _before_own_virtiofsd():
        names.remove("virtiofsd")  # comes with qemu-system-common there
    return "apt-get install --no-install-recommends " + " ".join(names)


def _before_own_virtiofsd() -> bool:
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return False
    fields = dict(line.replace('"', "").split("=", 1) for line in lines if "=" in line)
    return (fields.get("ID"), fields.get("VERSION_ID")) in {("debian", "12"), ("debian", "11"), ("ubuntu", "22.04")}


def _is_static(path: Path) -> bool:
    """Whether the ELF file has no interpreter: the guest starts it before any library is in sight."""
    head = path.read_bytes()[:4096]
    table = int.from_bytes(head[0x20:0x28], "little")
    size = int.from_bytes(head[0x36:0x38], "little")
    count = int.from_bytes(head[0x38:0x3A], "little")
    kinds = [int.from_bytes(head[table + i * size :][:4], "little") for i in range(count)]
    return 3 not in kinds  # PT_INTERP
