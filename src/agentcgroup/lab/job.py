"""What one run puts into the guest: its two boot scripts, the settings, and the command as a shell script.

All text from outside is single-quoted for the shell, byte by byte; the guest's scripts never evaluate it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from agentcgroup.errors import UsageError
from agentcgroup.lab import cpio

#: Variables of the caller that the command sees too; --env adds others.
PASSED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV")
#: Variables that the guest sets; --env can change them.
SET = {"TERM": "dumb", "PYTHONDONTWRITEBYTECODE": "1", "AGENTCGROUP_LAB": "1"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# File systems of the guest itself: the host's directories there cannot be seen
_GUEST_OWN = tuple(Path(name) for name in ("/proc", "/sys", "/dev", "/run"))


@dataclass(frozen=True, slots=True)
class Job:
    """One command and its surroundings."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    shares: Sequence[Path]
    swap_bytes: int
    merge: bool  # stdout and stderr are one file: keep the order of what is written
    token: str  # letters and digits; marks the end of the output


def archive(job: Job) -> bytes:
    """The cpio archive that is appended to the kernel's initrd."""
    guest = resources.files("agentcgroup.lab") / "guest"
    shares = b"".join(b"share share%d %s\n" % (number, quoted(str(path))) for number, path in enumerate(job.shares))
    settings = f"token={job.token}\nmerge={int(job.merge)}\nswap_bytes={job.swap_bytes}\n"
    files = {
        "init": (0o755, (guest / "init").read_bytes()),
        "job/stage2": (0o644, (guest / "stage2").read_bytes()),
        "job/settings": (0o644, settings.encode("ascii")),
        "job/shares": (0o644, shares),
        "job/command": (0o644, _command(job)),
    }
    return cpio.archive(files, ("job",))


def environment(extra: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """The command's environment: a few variables of the caller, the guest's own, and ``extra``."""
    passed = {name: os.environ[name] for name in PASSED if name in os.environ}
    for name, value in extra.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise UsageError(f"{name!r} cannot be a variable in the lab", "use letters, digits and _ in its name")
    return {"PATH": os.defpath, "HOME": "/", **passed, **SET, "PWD": str(cwd), **extra}


def checked_shares(shares: Sequence[Path | str]) -> list[Path]:
    """The shares as real paths; UsageError for what is no directory or would cover the guest's own system."""
    checked: list[Path] = []
    for share in shares:
        try:
            path = Path(share).resolve(strict=True)
        except OSError as error:
            raise UsageError(f"cannot share {share}: {error.strerror}", "give an existing directory") from error
        if not path.is_dir():
            raise UsageError(f"cannot share {share}: not a directory", "share the directory it is in")
        if path == Path("/") or any(_below(path, own) for own in _GUEST_OWN[:3]) or path == Path("/run"):
            raise UsageError(f"cannot share {path}: the guest has its own", "share a directory of files")
        if path not in checked:
            checked.append(path)
    return sorted(checked)  # a directory before what is in it


def checked_cwd(cwd: Path | str | None, shares: Sequence[Path]) -> Path:
    """The directory to start in, which must be one that the guest can see."""
    path = Path(cwd if cwd is not None else Path.cwd())
    if not path.is_absolute() or not path.is_dir():
        raise UsageError(f"cannot start in {path}", "give an existing directory by its absolute path")
    hidden = any(_below(path.resolve(), own) for own in _GUEST_OWN)
    if hidden and not any(_below(path.resolve(), share) for share in shares):
        raise UsageError(f"the lab does not see {path}", f"share it: --share {path}, or start elsewhere")
    return path


def quoted(text: str) -> bytes:
    """``text`` as one word for a POSIX shell; undecodable bytes as they were."""
    raw = os.fsencode(text)
    if b"\0" in raw:
        raise UsageError("an argument with a NUL byte cannot be passed to a command", "leave it out")
    return b"'" + raw.replace(b"'", b"'\\''") + b"'"


def _command(job: Job) -> bytes:
    lines = [b"cd -- %s || exit 125" % quoted(str(job.cwd)), b"unset OLDPWD"]
    lines += [b"export %s=%s" % (name.encode("ascii"), quoted(value)) for name, value in job.env.items()]
    lines.append(b"exec " + b" ".join(quoted(argument) for argument in job.argv))
    return b"\n".join(lines) + b"\n"


def _below(path: Path, directory: Path) -> bool:
    return path == directory or directory in path.parents
