"""The daemon from start to end: configuration, socket, arbiter, pressure of the host, signals."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from agentcgroup.daemon import config as configuration
from agentcgroup.daemon.arbiter import Arbiter
from agentcgroup.daemon.config import Config
from agentcgroup.daemon.config_files import files_of_a_daemon
from agentcgroup.daemon.desk import Desk
from agentcgroup.daemon.detection import Detection
from agentcgroup.daemon.notify import notify
from agentcgroup.daemon.places import own_socket
from agentcgroup.daemon.scheduling import OURS, Scheduling
from agentcgroup.daemon.server import Server
from agentcgroup.errors import AgentcgroupError, HostError
from agentcgroup.kernel.meminfo import read_meminfo
from agentcgroup.kernel.psi import PsiTrigger
from agentcgroup.kernel.urgent import Urgent
from agentcgroup.policy.world import Stalled
from agentcgroup.trace.kill_log import KillLog

_log = logging.getLogger("agentcgroup")
_PRESSURE = Path("/proc/pressure/memory")
_TRIGGERS = ((100_000, 1_000_000), (150_000, 2_000_000))  # stall and window; the second one without privileges


def run(file: Path | None, sets: Sequence[str], at: Path | None) -> None:
    """Serve until SIGTERM or SIGINT. ``at`` overrides the socket of the configuration. Raises AgentcgroupError."""
    config = configuration.load(file, sets)
    logging.basicConfig(
        stream=sys.stderr, format="agentcgroup daemon: %(message)s", level=config.log_level.upper(), force=True
    )
    path = at or config.socket or own_socket()
    lock = _lock(path)
    try:
        asyncio.run(Service(config, file, sets, path).serve())
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(lock)


class Service:
    """One daemon."""

    def __init__(self, config: Config, file: Path | None, sets: Sequence[str], path: Path) -> None:
        self._config = config
        self._file = file
        self._sets = tuple(sets)
        self._path = path
        self._started_s = time.monotonic()

    async def serve(self) -> None:
        """See ``run``."""
        loop = asyncio.get_running_loop()
        config = self._config
        self._arbiter = Arbiter(config.make_policy(), read_meminfo, config.reserve_bytes)
        self._server = Server(
            self._path,
            self._arbiter,
            Desk(self._arbiter, self._about, self._reload),
            KillLog(config.kill_log, config.kill_log_bytes),
        )
        self._scheduling = Scheduling(self._arbiter, OURS if config.enforcer == "scx" else config.scheduler)
        self._server.scheduler_of = self._scheduling.of
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        await self._scheduling.start()  # before the first session, which is told of it once
        self._detection = Detection(self._arbiter, config.enforcer, self._scheduling.brake)
        try:
            await self._server.start()
            self._detection.start()
            with _watched_pressure(self._arbiter):
                _log.info("the policy %s decides for the sessions that join at %s", config.policy, self._path)
                notify("READY=1")
                await stop.wait()
        finally:
            notify("STOPPING=1")
            self._detection.close()
            self._scheduling.close()
            self._arbiter.close()
            self._server.close()

    def _about(self) -> Mapping[str, object]:
        return {
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "socket": str(self._path),
            "policy": self._arbiter.policy.name,
            "enforcer": self._detection.enforcer,
            "enforcer_why": self._detection.why,
            "scheduler": self._scheduling.scheduler,
            "scheduler_why": self._scheduling.why,
            "config": [str(self._file)] if self._file else [str(path) for path in files_of_a_daemon() if path.exists()],
            "reserve_bytes": self._arbiter.reserve_bytes,
            "up_s": round(time.monotonic() - self._started_s, 1),
        }

    def _reload(self) -> str:
        """Take the configuration as it is now; what is wrong with it (then all stays as it was), or nothing."""
        old = self._config
        try:
            new = configuration.load(self._file, self._sets)
            policy = new.make_policy()
        except AgentcgroupError as error:
            _log.error("the configuration was not read again: %s", error)
            return f"the configuration stays as it was: {error}"
        self._config = new
        _log.setLevel(new.log_level.upper())
        logging.getLogger().setLevel(new.log_level.upper())
        self._server.kill_log = KillLog(new.kill_log, new.kill_log_bytes)
        self._arbiter.reserve_bytes = new.reserve_bytes
        if (new.policy, new.settings) != (old.policy, old.settings):
            self._arbiter.replace_policy(policy)
        if new.scheduler != old.scheduler:
            _log.warning("the CPU scheduler stays as it is until the daemon is restarted")
        if new.socket != old.socket:
            _log.warning("the socket stays %s until the daemon is restarted", self._path)
        _log.info("the configuration was read again; the policy %s decides", new.policy)
        return ""


@contextmanager
def _watched_pressure(arbiter: Arbiter) -> Iterator[None]:
    """Meanwhile the arbiter is told when the host stalls on memory."""
    loop, problem = asyncio.get_running_loop(), ""
    for stall_us, window_us in _TRIGGERS:
        try:
            trigger = PsiTrigger(_PRESSURE, "some", stall_us, window_us)
        except HostError as error:
            problem = str(error)
            continue
        with trigger, Urgent(trigger) as urgent:
            loop.add_reader(urgent, arbiter.stalled, Stalled(None, stall_us, window_us))
            try:
                yield
            finally:
                loop.remove_reader(urgent)
        return
    _log.warning("the pressure of the host is not watched: %s", problem)
    yield


def _lock(path: Path) -> int:
    """Make the folder of the socket and lock it; HostError when another daemon has it. An old socket is removed."""
    folder, root = path.parent, os.geteuid() == 0
    try:
        folder.mkdir(mode=0o755 if root else 0o700, parents=True, exist_ok=True)
        info = folder.stat()
        if info.st_uid not in (0, os.geteuid()) or (info.st_mode & 0o002 and not info.st_mode & stat.S_ISVTX):
            raise HostError(f"{folder} is not a safe folder for a socket", "use one of your own: --socket PATH")
        lock = os.open(
            path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError as error:
        raise HostError(f"{folder} cannot be used: {error.strerror}", "give another with --socket PATH") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise HostError(f"a daemon is running already at {path}", "`agentcgroup status` shows it") from None
    with suppress(OSError):  # what cannot be removed is in the way of listening, which says so
        path.unlink()
    return lock
