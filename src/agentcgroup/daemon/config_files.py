"""Where the configuration is, and reading one file of it. Light: `run` looks here before it imports anything else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agentcgroup.errors import UsageError

SYSTEM_FILE = Path("/etc/agentcgroup/config.toml")
_MOST_BYTES = 1 << 20


def user_file() -> Path | None:
    """Where this user's configuration is; None for a user without a home."""
    if base := os.environ.get("XDG_CONFIG_HOME"):
        return Path(base, "agentcgroup", "config.toml")
    try:
        return Path.home() / ".config" / "agentcgroup" / "config.toml"
    except RuntimeError:
        return None


def files_of_a_command() -> tuple[Path, ...]:
    """What `run` and its siblings read, in order: the host's file and then the user's."""
    own = user_file()
    return (SYSTEM_FILE,) if own is None else (SYSTEM_FILE, own)


def files_of_a_daemon() -> tuple[Path, ...]:
    """What a daemon reads. Root's decides over everybody, so nobody's own file has a say in it."""
    return (SYSTEM_FILE,) if os.geteuid() == 0 else files_of_a_command()


def read(path: Path, *, must_exist: bool) -> str | None:
    """The text of a file, None when there is none (and none has to be). UsageError: why it cannot be used."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe is not waited for
        try:
            _check_owner(path, os.fstat(descriptor))
            data = b""
            while len(data) <= _MOST_BYTES and (more := os.read(descriptor, 1 << 16)):
                data += more
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            raise UsageError(f"there is no {path}", "write it, or leave it out for the defaults") from None
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check that it is a file you may read") from None
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{path} is larger than a configuration can be", "is it the right file?")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", "save it as UTF-8") from None


def _check_owner(path: Path, info: os.stat_result) -> None:
    """Root takes no word from others: HOME may still be that of the user who called sudo."""
    if not stat.S_ISREG(info.st_mode):
        raise UsageError(f"{path} is not a regular file", "give a file in TOML")
    if os.geteuid() != 0:
        return
    if info.st_mode & stat.S_IWOTH:
        raise UsageError(f"{path} can be changed by everybody, and root would obey it", f"chmod o-w {path}")
    if path == user_file() and info.st_uid != 0:
        raise UsageError(
            f"{path} belongs to user {info.st_uid}, and root would obey it", "use sudo -H, or unset XDG_CONFIG_HOME"
        )
