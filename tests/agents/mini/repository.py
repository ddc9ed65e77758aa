"""A small git repository with a history, a defect, tests that show it and a local wheel: what the agent works on."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import zipfile
from pathlib import Path

WHEEL = "wheels/roundhalf-1.0-py3-none-any.whl"
CLEAN = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": "/usr/bin:/bin"}

_STATS = '''\
"""Statistics of a few numbers."""


def mean(values):
    return sum(values) // len(values)


def spread(values):
    return max(values) - min(values)
'''

_TESTS = """\
import unittest

from stats import mean, spread


class Stats(unittest.TestCase):
    def test_mean(self):
        self.assertEqual(mean([1, 2]), 1.5)

    def test_spread(self):
        self.assertEqual(spread([3, 1, 2]), 2)
"""

# Answers every connection on its socket with one word; what an agent starts to try its change against.
_SERVER = """\
import pathlib
import socket

listener = socket.socket(socket.AF_UNIX)
listener.bind("server.sock")
listener.listen()
while True:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"served\\n")
"""

_CLIENT = """\
import socket

with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("server.sock")
    print(connection.recv(100).decode(), end="")
"""

_HISTORY = (
    ("Statistics of a few numbers", {"stats.py": _STATS}),
    ("Tests for them", {"test_stats.py": _TESTS}),
    ("A server to try it with", {"server.py": _SERVER, "client.py": _CLIENT}),
    ("Leave out what runs leave behind", {".gitignore": "__pycache__/\n*.sock\n*.pid\n*.log\nvendor/\nwheels/\n"}),
)


def build(folder: Path) -> None:
    """Makes the repository in ``folder``, which must not exist yet."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "A. Gent")
    git(folder, "config", "user.email", "agent@example.org")
    for subject, files in _HISTORY:
        for name, text in files.items():
            (folder / name).write_text(text)
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", subject)
    build_wheel(folder / WHEEL)


def git(folder: Path, *arguments: str) -> str:
    """Standard output of one git command in ``folder``, without the settings of this user and machine."""
    done = subprocess.run(["git", *arguments], cwd=folder, env=CLEAN, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def build_wheel(path: Path) -> None:
    """Writes a wheel of one module (PEP 427: a zip file whose RECORD lists every file with its digest)."""
    name, version = path.name.split("-")[:2]
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "def round_half_up(number):\n    return int(number + 0.5)\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},sha256={_digest(text)},{len(text.encode())}\n" for file, text in files.items())
    files[f"{about}/RECORD"] = f"{record}{about}/RECORD,,\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
