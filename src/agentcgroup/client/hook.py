"""What a hook of an agent says to the controller of its session: open a call, close it (client-protocol.md)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TypeVar

from agentcgroup.client import wire
from agentcgroup.errors import AgentcgroupError, HostError

Answer = TypeVar("Answer", wire.Opened, wire.Done)
_MOST_TEXT = 8192  # characters, of which each may be four bytes of a message
_PATIENCE_S = 10.0  # a move may have to wait for the kernel; what a call left behind is looked at before its end


class NotOpenedError(AgentcgroupError):
    """The controller refused, and said why."""


def open_call(sock: Path, pid: int, command: str, tool_call_id: str = "", hint: str = "") -> str:
    """Open a call for ``command`` in the shell ``pid``, which stays; returns its id once the shell is in its leaf.

    NotOpenedError when the controller refuses, HostError when it cannot be reached.
    """
    return _ask(sock, wire.Open(pid, command[:_MOST_TEXT], tool_call_id, hint[:_MOST_TEXT]), wire.Opened).call


def close_call(sock: Path, call: str, status: int = 0) -> str:
    """Close a call with the exit status (0..255) of its command; returns what the agent should be told, mostly "".

    Raises as `open_call`.
    """
    return _ask(sock, wire.Close(call, status), wire.Done).text


def _ask(sock: Path, message: wire.Open | wire.Close, answer: type[Answer]) -> Answer:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(_PATIENCE_S)
        try:
            link.connect(str(sock))
            link.send(wire.encode(message))
            while packet := link.recv(wire.MESSAGE_MAX):
                heard = wire.decode(packet)
                if isinstance(heard, answer):
                    return heard
                if isinstance(heard, wire.Refuse):
                    raise NotOpenedError(heard.text.strip())
        except OSError as error:
            reason = error.strerror or str(error)
            raise HostError(
                f"the controller of this session does not answer at {sock}: {reason}",
                "the command can run without it; is `agentcgroup run` still there?",
            ) from None
    raise HostError(f"the controller at {sock} hung up", "run both from the same version of agentcgroup")
