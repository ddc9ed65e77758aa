"""The client's parsers under ASan and UBSan: arbitrary bytes, and sound inputs with damage."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

import pytest

from agentcgroup.client import wire
from agentcgroup.client.image import ClientConfig

WIRE, BUILDER, RULES, NAMES, PROC, BLOCK = range(6)

TABLE = b"""launchers\tbash\tsh\tnpx\tenv
agent\tclaude\tclaude
rule\thook\tsid\tchild\targc=3\targ1=-c
rule\tcall\tsid\tchild\targ1=-c\targ2~/shell-snapshots/\targ2!~SNAPSHOT_FILE\tenv=CLAUDECODE
rule\tprobe\tnosid\targ2^SNAP\targ2$env\tnoenv=A\tnochild
agent\tcodex\tcodex
force\tclaude
"""
SEEDS: list[tuple[int, bytes]] = [
    (WIRE, wire.encode(wire.Grant("c000001"))),
    (WIRE, wire.encode(wire.Done("killed\n" * 40))),
    (WIRE, wire.encode(wire.Request(1, 2))),
    (WIRE, wire.encode(wire.Wait(5000))),
    (WIRE, wire.encode(wire.Refuse("no room\n"))),
    (WIRE, wire.grant_entry("c000001")),
    (BUILDER, bytes(range(256))),
    (RULES, TABLE + b"\0python3 -um claude\0npm exec claude\0bash\0-c\0eval x && pwd -P\0"),
    (RULES, TABLE.replace(b"force\tclaude\n", b"") + b"\0node /usr/bin/claude.js -p\0bash\0sh\0-c\0x"),
    (NAMES, b"/usr/bin/node\0--import\0tsx\0/opt/my dir/agent.mjs\0"),
    (NAMES, b"-bash\0"),
    (NAMES, b"npm exec @anthropic-ai/claude-code\0\0\0"),
    (NAMES, b"python3.11\0-X\0dev\0-Bm\0minisweagent.run.mini\0"),
    (PROC, b"12 (a) b) S 1 12 12 0 -1 4194560"),
    (PROC, b"9:name=systemd:/\n0::/s/calls/c000001\n"),
    (PROC, b"0::/s/agent\n"),
    (BLOCK, ClientConfig(real="/bin/sh", root_pid=1, sock="/s", rules=TABLE.decode()).pack()),
]
TOKENS = [b"\t", b"\n", b"\0", b"arg", b"!~", b"=", b"99999999999", b"agent\t", b"rule\tcall\t", b"force\t", b"/", b")"]


def _damage(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(0, 8)):
        at = rng.randint(0, len(out))
        match rng.randrange(5):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del out[at : at + rng.randint(1, 20)]
            case 2:
                out[at:at] = rng.choice(TOKENS)
            case 3:
                out[at:at] = out[at : at + rng.randint(1, 300)]
            case _:
                out[at : at + 4] = struct.pack("<I", rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(out)]))
    return bytes(out)


def _feed(harness: Path, inputs: list[bytes]) -> None:
    stream = b"".join(struct.pack("<I", len(data)) + data for data in inputs)
    done = subprocess.run([harness], input=stream, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    assert int(done.stdout) == len(inputs)


@pytest.mark.parametrize("seed", range(3))
def test_parsers_survive_damage(fuzz_harness: Path, seed: int) -> None:
    rng = random.Random(seed)
    inputs = [bytes([kind]) + data for kind, data in SEEDS]
    for _ in range(15_000):
        kind, data = rng.choice(SEEDS)
        inputs.append(bytes([kind]) + _damage(rng, data))
    for _ in range(5_000):
        inputs.append(bytes([rng.randrange(6)]) + rng.randbytes(rng.randint(0, 300)))
    _feed(fuzz_harness, inputs)


def test_the_harness_would_notice(fuzz_harness: Path) -> None:
    """Its parser 255 reads one byte too far on purpose."""
    stream = struct.pack("<I", 11) + b"\xff" + b"x" * 10
    done = subprocess.run([fuzz_harness], input=stream, capture_output=True, check=False)
    assert done.returncode != 0
    assert b"heap-buffer-overflow" in done.stderr
