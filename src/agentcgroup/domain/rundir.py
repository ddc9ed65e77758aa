"""The run-time folder of a session: socket, FIFO of grants, stand-ins, and a lock that says "controlled".

``/run/agentcgroup/<session>`` for root, ``$XDG_RUNTIME_DIR/agentcgroup/<session>`` for users, else one in ``/tmp``: the
first that may hold programs (``/run`` is mounted ``noexec`` on Debian).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.errors import HostError, UsageError
from agentcgroup.kernel import process

_LONGEST_SOCKET_PATH = 107  # sockaddr_un.sun_path less its NUL, unix(7)
_LOCK_TRIES = 5
_VARIABLE = b"AGENTCGROUP_SESSION="  # in the environment of COMMAND and all that it starts


@dataclass(frozen=True, slots=True)
class RunDir:
    """Paths below the run-time folder ``path``; ``lock`` is the descriptor that holds its lock."""

    path: Path
    lock: int

    @property
    def socket(self) -> Path:
        """The controller's SOCK_SEQPACKET socket."""
        return self.path / "sock"

    @property
    def pool(self) -> Path:
        """The FIFO of granted leaves."""
        return self.path / "pool"

    @property
    def journal(self) -> Path:
        """Where clients leave what they could not send."""
        return self.path / "journal"

    @property
    def stand_ins(self) -> Path:
        """One patched client for each shell."""
        return self.path / "shells"

    @property
    def real(self) -> Path:
        """Where the private mount namespace keeps the real shells reachable."""
        return self.path / "real"

    def remove(self) -> None:
        """Remove the folder and let go of the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def create(session: str) -> RunDir:
    """Make the folder of ``session`` and lock it. Raises UsageError when another run holds it."""
    path = _base() / session
    if len(os.fsencode(path / "sock")) > _LONGEST_SOCKET_PATH:
        raise UsageError(f"the session name makes a path too long for a socket: {path}", "choose a shorter --name")
    lock = _locked(path)
    if lock is None:
        raise UsageError(f"a session named {session!r} is running", "choose another --name")
    for old in path.iterdir():  # of a controller that was killed
        if old.name != "lock":
            shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    run = RunDir(path, lock)
    for folder in (run.stand_ins, run.real):
        folder.mkdir(mode=0o711)
    return run


def socket_of(session: str) -> Path:
    """The controller's socket of a session of this user; it need not be there."""
    return RunDir(_base() / session, -1).socket


def live_sessions() -> frozenset[str]:
    """The names of the sessions whose lock is held by a running controller of this user."""
    return frozenset(folder.name for folder in _base().iterdir() if _is_held(folder))


def remove_stale(keep: frozenset[str]) -> list[str]:
    """Remove what killed controllers left: folders that nobody holds and whose session has no process any more.

    While it has one, its shells need the folder: they were started from there. ``keep`` names sessions that are known
    to have processes; others are looked for by the variable that COMMAND was given. Returns the removed names.
    """
    folders = [folder for folder in _base().iterdir() if folder.name not in keep]
    stale = {folder.name: folder for folder in folders if (folder / "lock").exists() and not _is_held(folder)}
    if not stale:
        return []
    removed = []
    for name in stale.keys() - _sessions_of_processes():
        lock = _try_lock(stale[name] / "lock", os.O_RDWR)
        if lock is not None:
            RunDir(stale[name], lock).remove()
            removed.append(name)
    return removed


def _sessions_of_processes() -> set[str]:
    """The sessions of all processes that we may look into, by their environment."""
    found = set()
    for pid in process.pids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        for variable in environment.split(b"\0"):
            if variable.startswith(_VARIABLE):
                found.add(os.fsdecode(variable.removeprefix(_VARIABLE)))
    return found


def _locked(path: Path) -> int | None:
    """The folder made and locked, None when another holds it; those who only look hold it for a moment."""
    for _ in range(_LOCK_TRIES):
        path.mkdir(mode=0o711, exist_ok=True)
        lock = _try_lock(path / "lock", os.O_RDWR | os.O_CREAT)
        if lock is not None:
            if os.fstat(lock).st_nlink:
                return lock
            os.close(lock)  # removed as stale while we waited for it
        time.sleep(0.01)
    return None


def _is_held(folder: Path) -> bool:
    lock = folder / "lock"
    descriptor = _try_lock(lock, os.O_RDWR)
    if descriptor is None:
        return lock.exists()
    os.close(descriptor)
    return False


def _try_lock(path: Path, flags: int) -> int | None:
    """A descriptor of ``path`` with its lock; None when another has that, or there is no such file."""
    try:
        lock = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _base() -> Path:
    candidates = [Path(f"/tmp/agentcgroup-{os.geteuid()}")]  # noqa: S108 (its owner and mode are checked)
    if os.geteuid() == 0:  # whatever XDG_RUNTIME_DIR says: all runs of root must agree on one folder
        candidates.insert(0, Path("/run/agentcgroup"))
    elif runtime := os.environ.get("XDG_RUNTIME_DIR"):
        candidates.insert(0, Path(runtime, "agentcgroup"))
    for base in candidates:
        if _usable(base):
            return base
    raise HostError(
        "no folder for run-time files: " + ", ".join(map(str, candidates)),
        "set XDG_RUNTIME_DIR to a folder of yours that is not mounted noexec",
    )


def _usable(base: Path) -> bool:
    """Whether ``base`` is (or can be made) our own folder, closed to others' writing, and may hold programs."""
    try:
        base.mkdir(mode=0o711, exist_ok=True)
        info = base.lstat()
        executable = not os.statvfs(base).f_flag & os.ST_NOEXEC
    except OSError:
        return False
    own = stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & 0o022
    return own and executable and os.access(base, os.W_OK)
