"""A transient scope with Delegate=yes, asked of a systemd manager over D-Bus.

The protocol is that of org.freedesktop.systemd1(5): StartTransientUnit with ``PIDs`` moves this
process into the new scope, the job's end is told by the JobRemoved signal, and with
``Delegate=yes`` systemd leaves everything below the scope's cgroup to us (systemd's
CGROUP_DELEGATION document). dbus-fast is imported only when a bus is spoken to.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentcgroup.errors import HostError

if TYPE_CHECKING:
    from dbus_fast import Message
    from dbus_fast.aio import MessageBus

SLICE = "agentcgroup.slice"
_SERVICE = "org.freedesktop.systemd1"
_OBJECT = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_TIMEOUT_S = 25.0  # as D-Bus itself has it


def is_booted(root: Path = Path("/")) -> bool:
    """Whether systemd is the init system here, as sd_booted(3) decides it."""
    return (root / "run/systemd/system").is_dir()


def has_system_bus(root: Path = Path("/")) -> bool:
    """Whether the system bus has a socket at its customary place, or is said to be elsewhere by the environment."""
    if root == Path("/") and os.environ.get("DBUS_SYSTEM_BUS_ADDRESS"):
        return True
    return (root / "run/dbus/system_bus_socket").exists()


def user_bus(root: Path = Path("/"), uid: int | None = None) -> str | None:
    """The address of the user manager's bus of ``uid`` (default: ours), None where there is none."""
    own = uid is None or uid == os.geteuid()
    address = os.environ.get("DBUS_SESSION_BUS_ADDRESS") if own and root == Path("/") else None
    if address:
        return address
    socket = root / f"run/user/{os.geteuid() if uid is None else uid}/bus"
    return f"unix:path={socket}" if socket.exists() else None


def scope_name(name: str) -> str:
    """The unit name of a session's scope; bytes outside of a unit name's alphabet become ``\\xNN``."""
    escaped = "".join(c if re.fullmatch(r"[A-Za-z0-9_.:]", c) else _escape(c) for c in name)[:120]
    return f"agentcgroup-{escaped.rstrip(chr(92))}-{os.getpid()}.scope"


async def start_scope(name: str, *, address: str | None = None) -> None:
    """Put this process into a new delegated scope ``name`` of the system manager, or of the bus at ``address``.

    Returns when the job is done, so that /proc/self/cgroup shows the scope. Raises HostError when
    the bus cannot be reached, the manager refuses, or nothing has happened within 25 s.
    """
    from dbus_fast import BusType, DBusError
    from dbus_fast.aio import MessageBus

    bus = MessageBus(bus_address=address, bus_type=BusType.SYSTEM)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            await bus.connect()
            await _start(bus, name)
    except (OSError, EOFError, ValueError, DBusError, TimeoutError) as error:
        raise _unreachable(address, error) from None
    finally:
        if bus.connected:
            bus.disconnect()


async def _start(bus: MessageBus, name: str) -> None:
    from dbus_fast import Variant

    results: dict[str, str] = {}  # job path -> result; the signal may overtake the reply
    arrived = asyncio.Event()
    bus.add_message_handler(_job_listener(results, arrived))
    match = f"type='signal',sender='{_SERVICE}',interface='{_MANAGER}',member='JobRemoved'"
    await _call(bus, "AddMatch", "s", [match], "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    await _call(bus, "Subscribe", "", [])
    properties = [
        ["Description", Variant("s", "agentcgroup session")],
        ["Slice", Variant("s", SLICE)],
        ["Delegate", Variant("b", True)],
        ["PIDs", Variant("au", [os.getpid()])],
        ["CollectMode", Variant("s", "inactive-or-failed")],
    ]
    (job,) = await _call(bus, "StartTransientUnit", "ssa(sv)a(sa(sv))", [name, "fail", properties, []])
    while job not in results:
        arrived.clear()
        await arrived.wait()
    if results[job] != "done":
        raise HostError(f"systemd could not start {name}: job result {results[job]!r}", f"see journalctl -u {name}")


def _job_listener(results: dict[str, str], arrived: asyncio.Event) -> Callable[[Message], None]:
    def listen(message: Message) -> None:
        if message.member == "JobRemoved" and message.interface == _MANAGER and len(message.body) == 4:
            results[message.body[1]] = message.body[3]
            arrived.set()

    return listen


async def _call(
    bus: MessageBus,
    member: str,
    signature: str,
    body: list[Any],
    destination: str = _SERVICE,
    path: str = _OBJECT,
    interface: str = _MANAGER,
) -> list[Any]:
    from dbus_fast import Message, MessageType

    request = Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=body
    )
    reply = await bus.call(request)
    if reply is None or reply.message_type is MessageType.ERROR:
        name, text = (reply.error_name, reply.body[0] if reply.body else "") if reply else ("no reply", "")
        raise HostError(
            f"systemd refused {member}: {text} ({name})",
            "start it in a scope yourself: systemd-run --scope -p Delegate=yes -- agentcgroup run … (rootless: --user)",
        )
    return reply.body


def _unreachable(address: str | None, error: BaseException) -> HostError:
    which = "user" if address else "system"
    reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    option = "--user " if address else ""
    return HostError(
        f"the {which} bus of systemd cannot be reached ({reason})",
        f"install and start dbus, or run: systemd-run {option}--scope -p Delegate=yes -- agentcgroup run …",
    )


def _escape(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
