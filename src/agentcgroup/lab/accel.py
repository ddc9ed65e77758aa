"""How fast the guest runs: with KVM where it really works, else emulated."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from agentcgroup.errors import LabError, UsageError
from agentcgroup.lab import packages

KVM = "kvm"
TCG = "tcg"
CHOICES = ("auto", KVM, TCG)

# Emulated CPU, measured on QEMU 7.2:
#   AVX2, FMA and BMI, which polars needs, as QEMU 7.2 and later emulate them;
#   -erms: the kernel and libc would take `rep stosb`, which is emulated 5 times slower than plain stores;
#   +rdrand: else Python waits 2 s for the kernel's random numbers;
#   the others are not emulated by 7.2, which warns.
_TCG_CPU = "Haswell-noTSX,-erms,+rdrand,-pcid,-x2apic,-tsc-deadline,-invpcid"

_ARGUMENTS = {
    KVM: ("-accel", "kvm", "-cpu", "host"),
    # One thread: with one per CPU the guest dies when sched_ext patches hot scheduler code (QEMU 7.2 and 10.0).
    TCG: ("-accel", "tcg,thread=single", "-cpu", _TCG_CPU),
}

_PROBE_EXIT = 0x21  # isa-debug-exit: value written * 2 + 1
# At the reset vector, 16 bytes before the end: mov al,0x10; out 0xf4,al; hlt; jmp to the hlt
_PROBE_CODE = b"\xb0\x10\xe6\xf4\xf4\xeb\xfd"


def arguments(accelerator: str) -> list[str]:
    """QEMU's arguments for ``kvm`` or ``tcg``."""
    return list(_ARGUMENTS[accelerator])


def order(choice: str) -> list[str]:
    """The accelerators to try, best first, for ``auto``, ``kvm`` or ``tcg``; LabError if KVM is asked in vain."""
    if choice not in CHOICES:
        raise UsageError(f"{choice!r} is not an accelerator", f"use one of {', '.join(CHOICES)}")
    if choice == TCG:
        return [TCG]
    trouble = kvm_trouble()
    if choice == KVM:
        if trouble:
            raise LabError(f"KVM does not work on this host: {trouble}", "leave --accel out to have the CPU emulated")
        return [KVM]
    return [TCG] if trouble else [KVM, TCG]


@cache
def kvm_trouble() -> str:
    """Why KVM cannot be used here; empty if a guest of a few instructions ran in it.

    /dev/kvm may open and still be of no use: virtual hosts offer it without what QEMU expects of it.
    """
    if not Path("/dev/kvm").exists():
        return "there is no /dev/kvm"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "/dev/kvm cannot be opened by this user"
    return boot_trouble(KVM)


def boot_trouble(accelerator: str) -> str:
    """Why a guest of four instructions does not run with ``accelerator``; empty if it did."""
    rom = bytearray(b"\xf4" * 65536)
    rom[-16 : -16 + len(_PROBE_CODE)] = _PROBE_CODE
    image = os.memfd_create("agentcgroup-kvm-probe", os.MFD_CLOEXEC)
    try:
        os.write(image, rom)
        return _boot(accelerator, image)
    finally:
        os.close(image)


def _boot(accelerator: str, image: int) -> str:
    argv = [str(packages.need(packages.QEMU)), *_ARGUMENTS[accelerator], "-M", "q35", "-m", "16", "-nodefaults"]
    argv += ["-no-user-config", "-display", "none", "-no-reboot", "-bios", f"/proc/self/fd/{image}"]
    argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=(image,), timeout=5, check=False
        )
    except subprocess.TimeoutExpired:
        return "a small guest does not run in it"
    if done.returncode == _PROBE_EXIT:
        return ""
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said[-1] if said else f"QEMU ended with status {done.returncode}"
