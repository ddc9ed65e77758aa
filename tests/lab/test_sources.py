"""Finding the host's Debian mirror in its apt sources, in both of apt's forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcgroup.errors import LabError
from agentcgroup.lab.sources import Source, debian_mirror, host_sources

DEB822 = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/own.gpg

Types: deb
# in the middle
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example.org/debian
Suites: trixie
Components: main

Types: deb
URIs: http://inline.example.org/tool
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS
 -----END PGP PUBLIC KEY BLOCK-----
"""
ONE_LINE = """\
# deb http://commented.example.org/debian sid main
deb-src http://mirror.example.net/debian bookworm main
deb [arch=amd64 signed-by=/etc/keys/a.gpg] https://tools.example.net/apt tools main
deb [ signed-by=/etc/keys/debian.gpg ] mirror+file:/etc/apt/mirrors/debian.list bookworm-backports main contrib # why
"""


def _etc(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        place = "sources.list" if name == "main" else f"sources.list.d/{name.replace('__', '.')}"
        (tmp_path / place).write_text(text)
    return tmp_path


def test_deb822(tmp_path: Path) -> None:
    found = host_sources(_etc(tmp_path, debian__sources=DEB822))
    assert [(source.uri, source.suite) for source in found] == [
        ("http://mirror.example.org/debian", "bookworm"),
        ("http://mirror.example.org/debian", "bookworm-updates"),
        ("http://mirror.example.org/debian-security", "bookworm-security"),
        ("http://inline.example.org/tool", "stable"),
    ]
    assert found[0].signed_by == "/usr/share/keyrings/own.gpg"
    assert found[3].signed_by == ""
    assert debian_mirror(found) is found[0]


def test_one_line_form(tmp_path: Path) -> None:
    found = host_sources(_etc(tmp_path, main=ONE_LINE, ignored__list__save=DEB822))
    assert found == [
        Source("https://tools.example.net/apt", "tools", ("main",), "/etc/keys/a.gpg"),
        Source(
            "mirror+file:/etc/apt/mirrors/debian.list",
            "bookworm-backports",
            ("main", "contrib"),
            "/etc/keys/debian.gpg",
        ),
    ]
    assert debian_mirror(found).uri == "mirror+file:/etc/apt/mirrors/debian.list"


@pytest.mark.parametrize("suites", ["noble noble-updates", "bookworm-security", "jammy"])
def test_a_host_without_debian_is_told_to_give_a_kernel(tmp_path: Path, suites: str) -> None:
    text = f"Types: deb\nURIs: http://archive.example.org/ubuntu\nSuites: {suites}\nComponents: main universe\n"
    with pytest.raises(LabError, match="--kernel"):
        debian_mirror(host_sources(_etc(tmp_path, ubuntu__sources=text)))


def test_a_host_without_apt_has_no_sources(tmp_path: Path) -> None:
    assert host_sources(tmp_path / "none") == []
