"""The lab's loop while a guest runs: moves its output, hears how it fares, keeps the deadlines."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from enum import StrEnum

from agentcgroup.lab.stream import Stream

_CONSOLE_KEPT = 65536
# After the command's status, the rest of its output is on the way; a guest that sends nothing for so long lost it.
_DRAIN_S = 10.0
# QEMU closes its ports when it ends; it may live on when only a virtiofsd ended.
_LAST_WORDS_S = 1.0


class Finish(StrEnum):
    """Why the loop ended."""

    DONE = "done"  # the status and all output are here
    CUT = "cut"  # the status is here, some output got lost in the guest
    DIED = "died"  # QEMU or a virtiofsd ended
    NO_BOOT = "no-boot"  # the guest did not become ready in time
    TIMED_OUT = "timed-out"  # the command did not end in time


class Relay:
    """The lab's ends of a guest's ports."""

    def __init__(self, control: socket.socket, console: socket.socket, streams: Sequence[Stream]) -> None:
        for port in (control, console):
            port.setblocking(False)
        self.status: int | None = None
        self.ready_at: float | None = None  # time.monotonic()
        self._control = control
        self._console = console
        self._streams = streams
        self._said = b""  # on the control port, an unfinished line
        self._console_tail = bytearray()
        self._open = {control, console}
        self._progress_at = 0.0

    def console_tail(self) -> str:
        """The end of what the guest's kernel and boot scripts said."""
        return self._console_tail.decode(errors="replace").replace("\r", "").strip()

    def run(self, watched: Sequence[int], boot_s: float, timeout_s: float | None) -> Finish:
        """Relay until there is a reason to stop. ``watched`` are pidfds of the helpers.

        ``boot_s`` seconds are for becoming ready; ``timeout_s`` counts from then on for the command.
        BrokenPipeError when the reader of the output is gone.
        """
        booted_by = time.monotonic() + boot_s
        while True:
            now = time.monotonic()
            finish = self._finish(now, booted_by, timeout_s)
            if finish is not None:
                return finish
            limits = [booted_by if self.ready_at is None else now + 60.0]
            if self.ready_at is not None and timeout_s is not None:
                limits.append(self.ready_at + timeout_s)
            if self.status is not None:
                limits.append(self._progress_at + _DRAIN_S)
            if self._step(max(0.0, min(limits) - now), watched):
                self._drain()
                return Finish.DONE if self._all_here() else Finish.DIED

    def _finish(self, now: float, booted_by: float, timeout_s: float | None) -> Finish | None:
        if self._all_here():
            return Finish.DONE
        if self.ready_at is None:
            return Finish.NO_BOOT if now >= booted_by else None
        if timeout_s is not None and now >= self.ready_at + timeout_s:
            return Finish.TIMED_OUT
        waiting = any(stream.writing for stream in self._streams)
        if self.status is not None and not waiting and now >= self._progress_at + _DRAIN_S:
            return Finish.CUT
        return None

    def _all_here(self) -> bool:
        return self.status is not None and all(stream.complete and not stream.writing for stream in self._streams)

    def _step(self, wait_s: float, watched: Sequence[int]) -> bool:
        """Wait for one round of events and handle them; True if a helper has ended."""
        poll = select.poll()
        for port in self._open:
            poll.register(port, select.POLLIN)
        for helper in watched:
            poll.register(helper, select.POLLIN)
        for stream in self._streams:
            if stream.writing and stream.sink is not None:
                poll.register(stream.sink, select.POLLOUT)
            elif stream.reading:
                poll.register(stream.source, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(wait_s * 1000)}
        for stream in self._streams:
            if stream.writing and stream.sink in ready:
                stream.send()
                self._progress_at = time.monotonic()
            elif stream.reading and stream.source.fileno() in ready:
                stream.receive()
                self._progress_at = time.monotonic()
        for port in [port for port in self._open if port.fileno() in ready]:
            self._hear(port)
        return not ready.isdisjoint(watched)

    def _drain(self) -> None:
        """A helper is gone: take what the guest had sent before, and write it however slow the reader is."""
        until = time.monotonic() + _LAST_WORDS_S
        while any(stream.writing for stream in self._streams) or (self._open and time.monotonic() < until):
            self._step(0.1, ())

    def _hear(self, port: socket.socket) -> None:
        try:
            data = port.recv(65536)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self._open.discard(port)
        elif port is self._console:
            self._console_tail = (self._console_tail + data)[-_CONSOLE_KEPT:]
        else:
            *lines, self._said = (self._said + data).split(b"\n")
            for line in lines:
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if word == b"ready":
            self.ready_at = self._progress_at = time.monotonic()
        elif word == b"exit" and rest.isdigit() and int(rest) < 256:
            self.status = int(rest)
            self._progress_at = time.monotonic()
