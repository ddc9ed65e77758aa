"""What is appended to the stderr of a process that is none of ours, through a copy of its descriptor."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from agentcgroup.controller.voice import Voice
from agentcgroup.kernel.process import copy_descriptor


@contextmanager
def speaker(stderr: int | IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that says something on its stderr and ends when its stdin does."""
    line = [sys.executable, "-S", "-c", "import sys; sys.stderr.write('its own\\n'); sys.stdin.read()"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stderr=stderr) as process:
        yield process


def test_a_pipe_gets_it_after_the_process_has_ended() -> None:
    with speaker(subprocess.PIPE) as process:
        voice = Voice(process.pid)
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.close()
        process.wait()
        voice.say("ours\n")
        voice.close()
        assert process.stderr.read() == b"its own\nours\n"


def test_so_does_a_socket() -> None:
    ours, its = socket.socketpair()
    with ours, ours.makefile("rb") as end:
        with its, speaker(its.fileno()) as process:
            voice = Voice(process.pid)
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
        voice.say("ours\n")
        assert end.read() == b"its own\nours\n"


def test_a_full_pipe_and_one_that_nobody_reads_hold_nothing_up() -> None:
    read, write = os.pipe()
    with speaker(write) as process:
        os.set_blocking(write, False)
        voices = [Voice(process.pid) for _ in range(2)]
        while True:
            try:
                os.write(write, b"x" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(write, True)
        begun = time.monotonic()
        voices[0].say("ours\n")
        os.close(read)
        voices[1].say("ours\n")
        assert time.monotonic() - begun < 5
    os.close(write)


def test_of_a_process_that_is_gone_there_is_nothing_to_be_had() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
        assert copy_descriptor(process.pid, 2) is None
        Voice(process.pid).say("to nobody")
    with speaker(subprocess.DEVNULL) as process:
        assert copy_descriptor(process.pid, 77) is None
