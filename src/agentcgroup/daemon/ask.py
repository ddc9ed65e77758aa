"""Asks the daemon, for the command line: one question, one answer, no event loop."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from agentcgroup.daemon import codec
from agentcgroup.daemon.lines import Lines
from agentcgroup.daemon.link import START, check_owner
from agentcgroup.daemon.messages import Answer, Question, Refused
from agentcgroup.daemon.places import candidates
from agentcgroup.errors import HostError, WireError

_WITHIN_S = 5.0


def ask(question: Question, at: Path | None = None) -> Mapping[str, object]:
    """The answer of the first daemon that there is, at ``at`` or where they usually are.

    HostError: there is none, it cannot be trusted, or it refused.
    """
    for path in candidates(at):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as peer:
            peer.settimeout(_WITHIN_S)
            try:
                peer.connect(os.fspath(path))
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
                continue
            except OSError as error:
                raise HostError(f"cannot reach the daemon at {path}: {error.strerror or error}", START) from None
            if at is None:  # else whoever asks has chosen
                check_owner(peer, path)
            return _exchange(peer, path, question)
    where = f" at {at}" if at is not None else " here"
    raise HostError(f"no daemon is running{where}", START)


def _exchange(peer: socket.socket, path: Path, question: Question) -> Mapping[str, object]:
    lines = Lines()
    try:
        peer.sendall(codec.encode(question))
        while data := peer.recv(1 << 16):
            for line in lines.feed(data):
                message = codec.decode_from_daemon(line, "")
                if isinstance(message, Refused):
                    raise HostError(message.message, message.fix)
                if isinstance(message, Answer):
                    return message.body
    except (OSError, WireError) as error:
        raise HostError(f"the daemon at {path} does not answer: {error}", "systemctl restart agentcgroup") from None
    raise HostError(f"the daemon at {path} closed the connection", "systemctl restart agentcgroup")
