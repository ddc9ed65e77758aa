"""apt with a state of its own: other suites are searched and fetched from, the host's apt is not touched.

apt checks the archive's signature and every hash itself. The host's hooks (APT::Update::Post-Invoke and
the like) and preferences are left out on purpose; how it reaches its mirror is taken over: proxies, auth.conf,
and whether an old index will do, as on a host that uses a frozen mirror.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from agentcgroup.errors import LabError
from agentcgroup.lab.sources import DEBIAN_KEYRING, Source

ARCHITECTURE = "amd64"
_SAFE = re.compile(r"[A-Za-z0-9._~:/+%@=,-]+")


class PrivateApt:
    """One suite of a mirror, with lists and downloads below ``directory``."""

    def __init__(self, directory: Path, mirror: Source, suite: str) -> None:
        self.directory = directory
        self.suite = suite
        for name in ("etc", "lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "status").write_bytes(b"")
        keyring = mirror.signed_by or DEBIAN_KEYRING
        for text in (mirror.uri, keyring, str(directory)):
            if not _SAFE.fullmatch(text):
                raise LabError(f"{text!r} cannot be written into an apt configuration", "use a plain path or address")
        if not Path(keyring).is_file():
            raise LabError(f"the keyring {keyring} is missing", "run: apt-get install debian-archive-keyring")
        (directory / "etc/sources.list").write_text(f"deb [signed-by={keyring}] {mirror.uri} {suite} main\n")
        (directory / "apt.conf").write_text(self._configuration())

    def update(self) -> None:
        """Fetch the suite's index; LabError if the mirror cannot be reached or its signature is wrong."""
        self._run("apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update")

    def packages(self, pattern: re.Pattern[str]) -> list[str]:
        """The names of all packages that match ``pattern`` whole and can be fetched."""
        names = self._run("apt-cache", "pkgnames", "linux-").split()
        return [name for name in names if pattern.fullmatch(name) and self.has(name)]

    def has(self, package: str) -> bool:
        """Whether the suite offers ``package`` (a name may be known only because another one refers to it)."""
        try:
            return "Version:" in self._run("apt-cache", "show", "--no-all-versions", package)
        except LabError:
            return False

    def download(self, package: str, directory: Path) -> Path:
        """Fetch the newest ``package`` into the empty ``directory``; returns the .deb."""
        directory.mkdir(parents=True)
        self._run("apt-get", "-qq", "download", package, cwd=directory)
        files = list(directory.glob("*.deb"))
        if len(files) != 1:
            raise LabError(f"apt-get download {package} left {len(files)} files", "try again")
        return files[0]

    def _configuration(self) -> str:
        lines = [
            f'Dir::Etc "{self.directory}/etc";',
            'Dir::Etc::parts "/dev/null";',
            'Dir::Etc::main "/dev/null";',
            'Dir::Etc::netrc "/etc/apt/auth.conf";',
            'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
            f'Dir::State "{self.directory}";',
            f'Dir::State::lists "{self.directory}/lists";',
            f'Dir::State::status "{self.directory}/status";',
            f'Dir::Cache "{self.directory}/cache";',
            'Acquire::Languages "none";',
            # the cache is often below a home directory that the user _apt cannot enter
            'APT::Sandbox::User "root";',
            f'APT::Architecture "{ARCHITECTURE}";',
            f'APT::Architectures {{ "{ARCHITECTURE}"; }};',
        ]
        dump = _apt(["apt-config", "dump", "--no-empty", "--format", '%F "%v";%n', "Acquire"], dict(os.environ), None)
        taken = re.compile(
            r'Acquire::(https?|ftp|tor|Retries|ForceIPv[46]|Check-Valid-Until|Check-Date)\b[^"]*"[^"\n]*";'
        )
        return "\n".join([*(line for line in dump.splitlines() if taken.fullmatch(line)), *lines]) + "\n"

    def _run(self, *argv: str, cwd: Path | None = None) -> str:
        return _apt(argv, {**os.environ, "APT_CONFIG": str(self.directory / "apt.conf"), "LC_ALL": "C.UTF-8"}, cwd)


def _apt(argv: list[str] | tuple[str, ...], environment: dict[str, str], cwd: Path | None) -> str:
    try:
        done = subprocess.run(
            argv, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise LabError(
            f"{argv[0]} is not on this host, so no kernel can be fetched",
            "give one: agentcgroup lab run --kernel PATH -- COMMAND",
        ) from error
    if done.returncode != 0:
        said = " ".join(done.stderr.split())[:600] or f"exit status {done.returncode}"
        raise LabError(
            f"{argv[0]} failed: {said}", "check the network and the mirror in the host's apt sources, then try again"
        )
    return done.stdout
