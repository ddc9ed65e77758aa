"""A shell that showed up in the leaf of the agent: did no client stand in for it, and what is it then?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from agentcgroup.client.rules import Names, RuleTable, Shell, Verdict, names_of
from agentcgroup.controller.sampler import FileId, file_ids
from agentcgroup.kernel import process

_SHELL = re.compile(r"-?(ba|da|z|a|k|mk|rba|fi|)sh([\d.-]*)")  # also bash-5.2, ksh93, and -bash of a login
_MULTI_CALL = frozenset(("busybox", "toybox"))
_DEPTH = 64  # as far as the client looks


def is_shell(path: str, argv: Sequence[str]) -> bool:
    """Whether a program is a shell, by its path; a file that is many programs, by what it is called."""
    name = path.rpartition("/")[2].removesuffix(" (deleted)")
    if name not in _MULTI_CALL:
        return _SHELL.fullmatch(name) is not None
    called = [word.rpartition("/")[2] for word in argv[:2]]
    applet = called[1:] if called[:1] and called[0] in _MULTI_CALL else called[:1]
    return any(_SHELL.fullmatch(word) for word in applet)


@dataclass(frozen=True)
class Process:
    """A process at the moment of its exec; what /proc says is read when it is needed, and nothing once it has ended."""

    pid: int
    parent: int
    argv: tuple[str, ...]

    @cached_property
    def variables(self) -> dict[str, str]:
        """Its environment."""
        try:
            pairs = Path(f"/proc/{self.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return {}
        texts = (pair.decode(errors="surrogateescape").partition("=") for pair in pairs if pair)
        return {name: value for name, _, value in texts}

    @cached_property
    def stat(self) -> process.ProcessStat | None:
        """/proc/PID/stat."""
        return process.stat(self.pid)

    @property
    def cwd(self) -> str:
        """The directory that it is in."""
        try:
            return str(Path(f"/proc/{self.pid}/cwd").readlink())
        except OSError:
            return ""

    @property
    def on_terminal(self) -> bool:
        """Whether its stdin is a terminal, by the name of that."""
        try:
            stdin = str(Path(f"/proc/{self.pid}/fd/0").readlink())
        except OSError:
            return False
        return stdin.startswith(("/dev/pts/", "/dev/tty", "/dev/console"))


@dataclass(slots=True)
class Inspector:
    """Judges shells by the rules of the session.

    ``folder``: of its run-time files, with the stand-ins and, for a private mount namespace, the real shells.
    ``tells_clients``: the kernel tells when a client is executed; else what has ended before we look is no suspect.
    """

    rules: RuleTable
    stand_ins: frozenset[FileId]
    folder: Path
    root_pid: int
    tells_clients: bool = False

    def is_ours(self, path: str) -> bool:
        """Whether a program that was executed by this path is a client, or what a client becomes."""
        return path.startswith(f"{self.folder}/")

    def judge(self, who: Process, path: str, told: bool = True) -> Verdict | None:
        """What a process that executed ``path`` is; None when it is no shell, or a client, or one became it.

        It may be another program by now: `bash -c COMMAND` becomes a simple COMMAND. And it may have ended: then, if
        the kernel has not ``told`` of it, it may have been a client.
        """
        interpreter = who.argv[0] if who.argv and who.argv[0].startswith("/") else ""  # of a script, by its `#!`
        if not is_shell(path, who.argv) and not is_shell(interpreter, who.argv):
            return None
        exe, file = process.exe(who.pid), file_ids((Path(f"/proc/{who.pid}/exe"),))
        if exe is None or not file:
            if not (told and self.tells_clients):
                return None
        elif self.is_ours(exe) or file & self.stand_ins:
            return None
        lineage, complete, in_a_call = self._lineage(who.parent)
        if in_a_call:
            return None
        shell = Shell(
            argv=who.argv,
            session_leader=lambda: who.stat is not None and who.stat.sid == who.pid,
            terminal=lambda: who.on_terminal,
            has_variable=partial(_has, who),
        )
        return self.rules.decide(lineage, complete, shell)

    def _lineage(self, pid: int) -> tuple[list[Names], bool, bool]:
        """The processes from ``pid`` up to COMMAND; whether that was reached; whether a client is among them."""
        names: list[Names] = []
        while pid and len(names) < _DEPTH:
            try:
                cmdline = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                return names, False, False
            names.append(names_of(cmdline[:4096]))
            if pid == self.root_pid:
                return names, True, False
            if names[-1].name in ("", "agentcgroup") and file_ids((Path(f"/proc/{pid}/exe"),)) & self.stand_ins:
                return names, False, True
            stat = process.stat(pid)
            pid = 0 if stat is None else stat.ppid
        return names, False, False


def _has(who: Process, name: str) -> bool:
    return name in who.variables
