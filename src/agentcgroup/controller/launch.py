"""Starts COMMAND in the agent leaf, behind its stand-ins, and reports why when that fails.

The child waits until the stand-ins are written, since they must know its pid; what fails before its execve comes back
through a pipe that the execve closes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agentcgroup.errors import AgentcgroupError, HostError, UsageError

_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)  # Python ignores these; a command expects the default


class CommandError(UsageError):
    """COMMAND cannot be executed; ``exit_status`` is 127 (not found) or 126, as shells do."""

    def __init__(self, message: str, fix: str, exit_status: int) -> None:
        super().__init__(message, fix)
        self.exit_status = exit_status


@dataclass(frozen=True, slots=True)
class Child:
    """The forked child before its execve. ``release`` lets it go."""

    pid: int
    _go: int
    _failed: int

    def release(self) -> None:
        """Let the child execute COMMAND; raises CommandError or HostError when it could not."""
        os.write(self._go, b"1")
        os.close(self._go)
        report = b""
        while part := os.read(self._failed, 4096):
            report += part
        os.close(self._failed)
        if report:
            os.waitpid(self.pid, 0)
            raise _error(report)

    def abandon(self) -> None:
        """The preparations failed: end the child before it did anything."""
        os.close(self._go)
        os.close(self._failed)
        os.waitpid(self.pid, 0)


def fork(argv: Sequence[str], environment: Mapping[str, str], steps: Sequence[Callable[[], None]]) -> Child:
    """Fork the child that will be COMMAND. Once released it runs ``steps`` (join the leaf, enter the namespace), then
    ``argv`` by PATH of ``environment``."""
    go_read, go_write = os.pipe()
    failed_read, failed_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go_write)
        os.close(failed_read)
        _child(argv, environment, steps, go_read, failed_write)
    os.close(go_read)
    os.close(failed_write)
    return Child(pid, go_write, failed_read)


def _child(
    argv: Sequence[str], environment: Mapping[str, str], steps: Sequence[Callable[[], None]], go: int, failed: int
) -> None:
    try:
        if os.read(go, 1) != b"1":
            os._exit(125)  # the parent gave up, or died
        for number in _RESTORED:
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGQUIT):  # the parent's own settings are not COMMAND's
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        for step in steps:
            step()
        os.execvpe(argv[0], list(argv), dict(environment))  # noqa: S606 (no shell is the point)
    except AgentcgroupError as error:
        os.write(failed, b"host\0" + str(error).encode(errors="surrogateescape"))
    except OSError as error:
        os.write(failed, f"{error.errno}\0{argv[0]}".encode(errors="surrogateescape"))
    finally:
        os._exit(127)


def _error(report: bytes) -> AgentcgroupError:
    kind, _, rest = report.decode(errors="surrogateescape").partition("\0")
    if kind == "host":
        return HostError(rest)
    return command_error(rest, int(kind))


def command_error(name: str, number: int) -> CommandError:
    """Why ``name`` cannot be executed, by errno ``number``."""
    if number in (2, 20):  # ENOENT, ENOTDIR
        return CommandError(f"{name!r}: command not found", "check its name and PATH", 127)
    return CommandError(f"{name!r} cannot be executed: {os.strerror(number)}", "check the file and its mode", 126)
