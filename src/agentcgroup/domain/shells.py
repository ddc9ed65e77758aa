"""Which shells of this host the client stands in for: every distinct bash, dash (sh) and zsh an agent could reach."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

NAMES = ("bash", "sh", "dash", "zsh")
_DIRECTORIES = ("/usr/bin", "/bin", "/usr/local/bin")
# One file that is many programs cannot be replaced as a shell alone.
_MULTI_CALL = frozenset({"busybox", "toybox", "coreutils"})


@dataclass(frozen=True, slots=True)
class Shell:
    """A real shell: ``path`` is the file itself (links resolved), ``names`` what it is called by (``sh``, ``dash``)."""

    path: Path
    names: tuple[str, ...]

    @property
    def key(self) -> str:
        """A file name for its stand-in, unique on this host: its path with dashes."""
        return "-".join(self.path.parts[1:])


def find_shells(search_path: str | None = None) -> list[Shell]:
    """All shells to stand in for, by the usual directories and by PATH; each file once."""
    names: dict[Path, list[str]] = {}
    for name in NAMES:
        candidates = [Path(directory, name) for directory in _DIRECTORIES]
        if found := shutil.which(name, path=search_path):
            candidates.append(Path(found))
        for candidate in candidates:
            try:
                real = candidate.resolve(strict=True)
            except OSError:
                continue
            if real.name in _MULTI_CALL or not os.access(real, os.X_OK):
                continue
            known = names.setdefault(real, [])
            if name not in known:
                known.append(name)
    return [Shell(path, tuple(called)) for path, called in names.items()]
