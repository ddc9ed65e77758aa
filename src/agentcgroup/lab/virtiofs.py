"""virtiofsd: one process per directory that the guest sees.

Two programs bear the name. The C one came with QEMU up to 7.2 and needs root; the Rust one replaced it.
Both take a listening socket as a descriptor, so no socket is left in the file system.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from agentcgroup.errors import LabError
from agentcgroup.lab import packages
from agentcgroup.lab.children import Children


def serve(children: Children, directory: Path, tag: str, cache_mode: str) -> socket.socket:
    """Start a virtiofsd for ``directory``; returns the connected socket for QEMU.

    ``cache_mode`` is virtiofsd's: ``always`` for a tree that nobody changes meanwhile, else ``auto``.
    """
    program = packages.need("virtiofsd")
    listener, connected = _connection()
    # Through a descriptor no path, whatever is in its name, goes through an option parser.
    handle = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        argv = _arguments(program, listener.fileno(), f"/proc/self/fd/{handle}/.", cache_mode)
        children.start(f"virtiofsd ({tag})", argv, (listener.fileno(), handle))
    finally:
        os.close(handle)
        listener.close()
    return connected


def _arguments(program: Path, listener: int, source: str, cache_mode: str) -> list[str]:
    if is_rust(program):
        # --no-announce-submounts: else every mount point below is EREMOTE under overlayfs
        sandbox = ["--sandbox", "none", "--no-announce-submounts"]
        return [str(program), f"--fd={listener}", "--shared-dir", source, "--cache", cache_mode, *sandbox]
    if os.geteuid() != 0:
        raise LabError(f"{program} works for root only", "run the lab as root, or install the Rust virtiofsd")
    options = f"source={source},cache={cache_mode},sandbox=chroot,no_xattr"
    return [str(program), f"--fd={listener}", "-o", options]


@cache
def is_rust(program: Path) -> bool:
    """Whether ``program`` is the Rust virtiofsd, told by its options."""
    done = subprocess.run([str(program), "--help"], capture_output=True, check=False, timeout=10)
    return b"--shared-dir" in done.stdout + done.stderr


def _connection() -> tuple[socket.socket, socket.socket]:
    """A listening socket that one connection waits on, and that connection; nobody else can connect."""
    listener = socket.socket(socket.AF_UNIX)
    connected = socket.socket(socket.AF_UNIX)
    with tempfile.TemporaryDirectory(prefix="agentcgroup-lab-") as private:  # mode 0700, gone after this block
        listener.bind(f"{private}/fs")
        listener.listen(1)
        connected.connect(f"{private}/fs")
    return listener, connected
