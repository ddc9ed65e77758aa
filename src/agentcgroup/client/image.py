"""Stand-ins: copies of the static client with the configuration of one session written into them.

The layout of the block is in docs/reference/client-protocol.md and in config.h.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from agentcgroup.errors import HostError, UsageError

MAGIC = b"ACG-CLIENT-CONF1"
VERSION = 1
FLAG_NO_CGROUP = 1
BLOCK_SIZE = 20480
SOCKET_PATH_MAX = 107
"""Bytes of a Unix socket's path, ``sun_path`` of unix(7) without its NUL."""

_LAYOUT = struct.Struct("<16sIIII8QQ24s256s256s256s256s512s512s512s1408s16384s")
_MAX_INODES = 8


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What one stand-in must know. Paths are absolute; ``""`` where there is none."""

    real: str  # the real shell
    root_pid: int  # COMMAND, in the PID namespace of the stand-in
    sock: str  # the controller's socket, at most 107 bytes
    pool: str = ""  # the FIFO of prepared leaves
    journal: str = ""  # where START and END go without a controller
    agent_cgroup: str = ""  # as /proc/self/cgroup shows it
    calls_cgroup: str = ""  # as /proc/self/cgroup shows it, without a trailing "/"
    calls_dir: str = ""  # file system path of calls/
    rules: str = ""  # the rule table
    deadline_ms: int = 50
    no_cgroup: bool = False
    inodes: tuple[int, ...] = ()  # st_ino of the stand-ins of this session
    device: int = 0  # st_dev of the stand-ins
    oom_score_adj: int | None = None  # of calls; None: as inherited

    def pack(self) -> bytes:
        """The block as it lies in the binary; UsageError when a value does not fit."""
        if len(self.inodes) > _MAX_INODES or 0 in self.inodes:
            raise UsageError(
                f"{len(self.inodes)} stand-in inodes do not fit", f"give at most {_MAX_INODES}, none of them 0"
            )
        if not self.real.startswith("/"):
            raise UsageError(f"the real shell {self.real!r} is not an absolute path", "give its whole path")
        inodes = self.inodes + (0,) * (_MAX_INODES - len(self.inodes))
        return _LAYOUT.pack(
            MAGIC,
            VERSION,
            FLAG_NO_CGROUP if self.no_cgroup else 0,
            self.root_pid,
            self.deadline_ms,
            *inodes,
            self.device,
            b"" if self.oom_score_adj is None else b"%d" % self.oom_score_adj,
            _text("real", self.real, 255),
            _text("sock", self.sock, SOCKET_PATH_MAX),
            _text("pool", self.pool, 255),
            _text("journal", self.journal, 255),
            _text("agent_cgroup", self.agent_cgroup, 511),
            _text("calls_cgroup", self.calls_cgroup, 511),
            _text("calls_dir", self.calls_dir, 511),
            b"",
            _text("rules", self.rules, 16383),
        )


def client_binary() -> Path:
    """The unpatched client that was built with the package; HostError when it is missing."""
    path = Path(__file__).with_name("agentcgroup-client")
    if not path.is_file():
        raise HostError(
            f"the client is not built: {path} is missing", f"install a C compiler and run `make -C {path.parent}`"
        )
    return path


def write_stand_ins(source: Path, stand_ins: Mapping[Path, ClientConfig]) -> None:
    """Write copies of the client ``source``, each with its configuration in it and mode 0755.

    All files are made before the first is written, so that each can hold the inodes of all (they replace ``inodes``
    and ``device`` of the configurations); the targets must be on one file system. A target is replaced at once or not
    at all. UsageError when a value does not fit, HostError when ``source`` is no client or a target cannot be written.
    """
    image = bytearray(_read(source))
    offset = _find_block(source, image)
    fresh: dict[Path, Path] = {}
    try:
        for target in stand_ins:
            fresh[target] = _new_file_beside(target)
        about = [path.stat() for path in fresh.values()]
        inodes = tuple(stat.st_ino for stat in about)
        for target, config in stand_ins.items():
            config = replace(config, inodes=inodes, device=about[0].st_dev)
            image[offset : offset + BLOCK_SIZE] = config.pack()
            fresh[target].write_bytes(image)
            fresh[target].replace(target)
    except OSError as error:
        raise HostError(f"cannot write a stand-in: {error}", "make its folder writable") from error
    finally:
        for path in fresh.values():
            path.unlink(missing_ok=True)


def write_stand_in(source: Path, target: Path, config: ClientConfig) -> None:
    """Write one stand-in, whose own inode is the only one it knows; see write_stand_ins."""
    write_stand_ins(source, {target: config})


def _text(field: str, value: str, size: int) -> bytes:
    encoded = os.fsencode(value)
    if len(encoded) > size:
        raise UsageError(f"{field} has {len(encoded)} bytes and the client holds {size}", "use a shorter path or text")
    if b"\0" in encoded:
        raise UsageError(f"{field} contains a NUL byte", "take it out")
    return encoded


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise HostError(f"cannot read the client {source}: {error.strerror}", "reinstall agentcgroup") from error


def _find_block(source: Path, image: bytearray) -> int:
    offset = image.find(MAGIC)
    if offset < 0 or offset + BLOCK_SIZE > len(image) or image.find(MAGIC, offset + 1) >= 0:
        raise HostError(f"{source} is not an agentcgroup client", "reinstall agentcgroup")
    return offset


def _new_file_beside(target: Path) -> Path:
    """A file that becomes the target: not the old one again, which may be running (ETXTBSY)."""
    handle, name = tempfile.mkstemp(prefix=".stand-in-", dir=target.parent)
    with os.fdopen(handle):
        os.fchmod(handle, 0o755)
    return Path(name)
