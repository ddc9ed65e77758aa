"""The Debian mirror that the host itself uses, read from its apt sources (sources.list(5)); nothing is written.

The lab's kernel comes from suites that the host need not have configured, so only the place, the keyring
and apt's own acquire settings (a proxy) are taken over.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentcgroup.errors import LabError

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Names by which Debian's main archive is known; -updates, -backports and the like may follow.
_DEBIAN_SUITES = frozenset(
    ("stable", "oldstable", "testing", "unstable", "sid", "bullseye", "bookworm", "trixie", "forky", "duke")
)
_DEBIAN_POCKETS = ("", "-updates", "-proposed-updates", "-backports")
_ONE_LINE = re.compile(r"\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


@dataclass(frozen=True, slots=True)
class Source:
    """One enabled binary source: where, what, and which keys sign it (``""``: apt's own set)."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


def host_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """All binary sources of the host, from sources.list and sources.list.d, in apt's order."""
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    found: list[Source] = []
    for file in files:
        if file.suffix not in {".list", ".sources"} or not file.is_file():
            continue
        text = file.read_text(errors="replace")
        found.extend(_deb822(text) if file.suffix == ".sources" else _one_line(text))
    return found


def debian_mirror(sources: list[Source]) -> Source:
    """The first source that is Debian's main archive; LabError with what to do instead when there is none."""
    for source in sources:
        pockets = {source.suite.removesuffix(pocket) for pocket in _DEBIAN_POCKETS}
        if pockets & _DEBIAN_SUITES and "main" in source.components:
            return source
    raise LabError(
        "this host's apt sources name no Debian mirror to fetch a kernel from",
        "give your own, Linux 6.12 or newer with sched_ext and BTF, its modules installed: "
        "agentcgroup lab run --kernel /boot/vmlinuz-VERSION -- COMMAND",
    )


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].rstrip())
        if match is None:
            continue
        options = dict(option.partition("=")[::2] for option in shlex.split(match["options"] or ""))
        yield Source(
            match["uri"], match["suite"], tuple(match["components"].split()), _keyring(options.get("signed-by", ""))
        )


def _deb822(text: str) -> Iterator[Source]:
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields = _fields(paragraph)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false"}:
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = tuple(fields.get("components", "").split())
                yield Source(uri, suite, components, _keyring(fields.get("signed-by", "")))


def _fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    last = ""
    for line in paragraph.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in {" ", "\t"} and last:
            fields[last] += "\n" + line.strip()
        elif ":" in line:
            last, _, value = line.partition(":")
            last = last.strip().lower()
            fields[last] = value.strip()
    return fields


def _keyring(text: str) -> str:
    """The keyring file of a Signed-By; a key given inline or by fingerprint is not a file, so ``""``."""
    return text if re.fullmatch(r"/[^\s,\]\[]+", text) else ""
