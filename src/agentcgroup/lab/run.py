"""Boots the lab's guest for one command and brings back how it ended.

    result = run(["python3", "-c", "print(1)"], stdout=subprocess.PIPE)
    result.status, result.stdout

The guest runs the command as root, sees the host's files at the same paths (what it writes is gone
afterwards, except in ``shares``), and has all of cgroup v2 at /sys/fs/cgroup.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from agentcgroup.errors import LabError, UsageError
from agentcgroup.lab import accel, job, kernel, libbpf, packages, virtiofs
from agentcgroup.lab.cache import Kernel
from agentcgroup.lab.children import QEMU_NAME, Children
from agentcgroup.lab.job import Job
from agentcgroup.lab.machine import PORTS, Machine
from agentcgroup.lab.relay import Finish, Relay
from agentcgroup.lab.stream import Stream

TIMEOUT_STATUS = 124  # as timeout(1)
DEFAULT_MEMORY = 2 << 30
SMALLEST_MEMORY = 256 << 20
# The guest is ready 1.5 s after the start when emulated on an idle host; a loaded one takes its time.
_BOOT_S = 120.0

Output = int | IO[bytes] | IO[str] | None


@dataclass(frozen=True, slots=True)
class LabResult:
    """How a command in the lab ended."""

    status: int  # exit status; 128 + number of the killing signal; 124 after a timeout
    timed_out: bool
    stdout: bytes  # when asked for by subprocess.PIPE, else empty
    stderr: bytes
    kernel: str  # uname -r of the guest
    accelerator: str  # kvm or tcg
    boot_s: float  # from the start of QEMU until the command began
    total_s: float  # until the guest was gone
    notes: tuple[str, ...] = ()  # what the user should know


@dataclass(frozen=True, slots=True)
class _Hardware:
    kernel: Kernel
    cpus: int
    memory_bytes: int


def run(
    argv: Sequence[str],
    *,
    memory: int = DEFAULT_MEMORY,
    cpus: int = 2,
    shares: Sequence[Path | str] = (),
    timeout: float | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdout: Output = None,
    stderr: Output = None,
    swap: int = 0,
    kernel_path: Path | None = None,
    suites: Sequence[str] = (),
    accelerator: str = "auto",
    report: kernel.Report = lambda message: print(f"lab: {message}", file=sys.stderr),
) -> LabResult:
    """Run ``argv`` in the lab.

    ``memory`` and ``swap`` (zram) are bytes, ``timeout`` is seconds for the command once the guest is up,
    ``shares`` are directories that the guest may write to. ``stdout`` and ``stderr`` are descriptors, open
    files, ``subprocess.PIPE`` (the result carries the bytes) or None (this process's own).
    ``kernel_path`` is a kernel of your own, ``suites`` where else to look for one in Debian.
    ``report`` hears of long steps. LabError when the guest cannot do it, with the end of its console.
    """
    hardware = _Hardware(kernel.own(kernel_path) if kernel_path else kernel.obtain(report, suites), cpus, memory)
    _check(argv, hardware, swap)
    shared = job.checked_shares(shares)
    directory = job.checked_cwd(cwd, shared)
    sinks = _sinks(stdout, stderr)
    order = Job(
        argv=argv,
        cwd=directory,
        env=job.environment({**libbpf.environment(), **(env or {})}, directory),
        shares=shared,
        swap_bytes=swap,
        merge=_same_file(*sinks),
        token="agentcgroup-end-" + secrets.token_hex(16),
    )
    choices = accel.order(accelerator)
    for number, choice in enumerate(choices):
        try:
            return _boot(order, hardware, choice, sinks, timeout)
        except _NotBootedError as trouble:
            if number + 1 == len(choices):
                raise LabError(f"kernel {hardware.kernel.origin}: {trouble.message}") from None
            report(f"the guest does not boot with {choice}, trying {choices[number + 1]}")
    raise AssertionError("accel.order is never empty")


class _NotBootedError(LabError):
    """The guest did not get as far as starting the command, so it can be tried in another way."""


def _boot(
    order: Job, hardware: _Hardware, accelerator: str, sinks: tuple[int | None, int | None], timeout: float | None
) -> LabResult:
    started = time.monotonic()
    with ExitStack() as stack:
        children = stack.enter_context(Children())
        ours: dict[str, socket.socket] = {}
        theirs: dict[str, socket.socket] = {}
        for name in (*PORTS, "console"):
            ours[name], theirs[name] = (stack.enter_context(end) for end in socket.socketpair())
        token = order.token.encode()
        streams = [Stream(ours[name], sink, token) for name, sink in zip(("out", "err"), sinks, strict=True)]
        relay = Relay(ours["control"], ours["console"], streams)
        filesystems = {"host": stack.enter_context(virtiofs.serve(children, Path("/"), "host", "always"))}
        for number, share in enumerate(order.shares):
            tag = f"share{number}"
            filesystems[tag] = stack.enter_context(virtiofs.serve(children, share, tag, "auto"))
        _start(stack, children, order, hardware, accelerator, theirs, filesystems)
        watched = [os.pidfd_open(child.process.pid) for child in children.running]
        for descriptor in watched:
            stack.callback(os.close, descriptor)
        finish = relay.run(watched, _BOOT_S, timeout)
        _judge(finish, relay, children)
    return LabResult(
        status=TIMEOUT_STATUS if finish is Finish.TIMED_OUT else relay.status or 0,
        timed_out=finish is Finish.TIMED_OUT,
        stdout=bytes(streams[0].kept),
        stderr=bytes(streams[1].kept),
        kernel=hardware.kernel.version,
        accelerator=accelerator,
        boot_s=(relay.ready_at or started) - started,
        total_s=time.monotonic() - started,
        notes=("the end of the output was lost: the command killed the guest's own processes",)
        if finish is Finish.CUT
        else (),
    )


def _start(
    stack: ExitStack,
    children: Children,
    order: Job,
    hardware: _Hardware,
    accelerator: str,
    theirs: Mapping[str, socket.socket],
    filesystems: Mapping[str, socket.socket],
) -> None:
    """Start QEMU and close this process's copies of what it inherited, so that its end is seen."""
    try:
        image = os.open(hardware.kernel.image, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LabError(f"cannot open the kernel {hardware.kernel.image}: {error.strerror}", "try again") from error
    stack.callback(os.close, image)
    initrd = os.memfd_create("agentcgroup-initrd", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(initrd), "wb") as file:
        stack.callback(os.close, initrd)
        file.write(hardware.kernel.initrd)
        file.write(job.archive(order))
    machine = Machine(
        accelerator=accelerator,
        cpus=hardware.cpus,
        memory_bytes=hardware.memory_bytes,
        kernel=image,
        initrd=initrd,
        console=theirs["console"].fileno(),
        ports={name: theirs[name].fileno() for name in PORTS},
        filesystems={tag: end.fileno() for tag, end in filesystems.items()},
    )
    program = str(packages.need(packages.QEMU))
    children.start(QEMU_NAME, [program, *machine.arguments()], machine.descriptors())
    for end in (*theirs.values(), *filesystems.values()):
        end.close()


def _judge(finish: Finish, relay: Relay, children: Children) -> None:
    """LabError for an end that is the lab's fault, with what its parts said."""
    if finish in {Finish.DONE, Finish.CUT, Finish.TIMED_OUT}:
        return
    details = _last_words(relay, children)
    if finish is Finish.NO_BOOT:
        raise _NotBootedError(f"the guest was not ready within {_BOOT_S:.0f} s; its console ended:\n{details}")
    when = "before the command was started" if relay.ready_at is None else "before the command did"
    kind = _NotBootedError if relay.ready_at is None else LabError
    raise kind(f"{children.culprit()} ended {when}; the guest's console ended:\n{details}")


def _last_words(relay: Relay, children: Children) -> str:
    parts = [relay.console_tail()[-3000:]]
    if children.culprit() != "the guest":
        parts += [f"{child.name}: {child.messages()}" for child in children.running if child.messages()]
    return "\n".join(part for part in parts if part) or "(nothing was said)"


def _check(argv: Sequence[str], hardware: _Hardware, swap: int) -> None:
    if not argv:
        raise UsageError("no command to run in the lab", "give one after --")
    if hardware.memory_bytes < SMALLEST_MEMORY:
        raise UsageError("the guest needs memory to boot", f"give at least {SMALLEST_MEMORY >> 20}m")
    if not 1 <= hardware.cpus <= 64:
        raise UsageError(f"{hardware.cpus} CPUs are out of range", "give 1 to 64")
    if swap < 0 or 0 < swap < 1 << 20:
        raise UsageError("that is too little swap", "give at least 1m, or leave it out")


def _sinks(stdout: Output, stderr: Output) -> tuple[int | None, int | None]:
    first = _sink(stdout, 1)
    return first, first if stderr == subprocess.STDOUT else _sink(stderr, 2)


def _sink(output: Output, default: int) -> int | None:
    """A descriptor to write to, or None to keep the bytes."""
    if output == subprocess.PIPE:
        return None
    if output is None:
        descriptor = default
    elif isinstance(output, int):
        descriptor = output
    else:
        output.flush()
        descriptor = output.fileno()
    try:
        os.fstat(descriptor)
    except (OSError, OverflowError) as error:
        raise UsageError(f"{descriptor} is not a descriptor to write to", "redirect it to a file") from error
    return descriptor


def _same_file(out: int | None, err: int | None) -> bool:
    if out is None or err is None:
        return False
    first, second = os.fstat(out), os.fstat(err)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
