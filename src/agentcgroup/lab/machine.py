"""The virtual machine as QEMU arguments. Everything QEMU opens it gets as an open descriptor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentcgroup.lab import accel

#: Ports between guest and lab, in the order of their devices; the names are used in guest/stage2.
PORTS = ("control", "out", "err")

# Start-up work of a Debian kernel that no run needs, 0.9 s of it when emulated. Certificates are for signed
# modules only; damon and hpet are drivers for hardware and statistics that the guest does not use.
_SKIPPED = "load_system_certificate_list,init_encrypted,crypto_kdf108_init,damon_stat_init,hpet_init"
_COMMAND_LINE = (
    "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr tsc=reliable no_timer_check "
    f"random.trust_cpu=on cryptomgr.notests lsm=bpf psi=1 initcall_blacklist={_SKIPPED}"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware of one run; all ``int`` below but the sizes are descriptors."""

    accelerator: str
    cpus: int
    memory_bytes: int
    kernel: int
    initrd: int
    console: int
    ports: Mapping[str, int]  # PORTS -> socket
    filesystems: Mapping[str, int]  # virtiofs tag -> socket connected to its virtiofsd

    def arguments(self) -> list[str]:
        """QEMU's arguments, without the program itself."""
        mebibytes = f"{self.memory_bytes >> 20}M"
        return [
            *accel.arguments(self.accelerator),
            *("-M", "q35,memory-backend=memory", "-smp", str(self.cpus), "-m", mebibytes),
            # virtiofsd reads and writes the guest's memory, so it must be shared
            *("-object", f"memory-backend-memfd,id=memory,size={mebibytes},share=on"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"),
            *("-chardev", f"socket,id=console,fd={self.console}", "-serial", "chardev:console"),
            *("-device", "virtio-serial-pci"),
            *self._ports(),
            *self._filesystems(),
            *("-kernel", f"/proc/self/fd/{self.kernel}", "-initrd", f"/proc/self/fd/{self.initrd}"),
            *("-append", _COMMAND_LINE),
        ]

    def descriptors(self) -> Sequence[int]:
        """All descriptors that QEMU must inherit."""
        return [self.kernel, self.initrd, self.console, *self.ports.values(), *self.filesystems.values()]

    def _ports(self) -> list[str]:
        arguments = []
        for name in PORTS:
            arguments += ["-chardev", f"socket,id={name},fd={self.ports[name]}"]
            arguments += ["-device", f"virtserialport,name={name},chardev={name}"]
        return arguments

    def _filesystems(self) -> list[str]:
        arguments = []
        for tag, descriptor in self.filesystems.items():
            arguments += ["-chardev", f"socket,id=fs-{tag},fd={descriptor}"]
            arguments += ["-device", f"vhost-user-fs-pci,chardev=fs-{tag},tag={tag}"]
        return arguments
