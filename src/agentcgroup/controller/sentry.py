"""Thaws calls that have no client when their controller has died.

A call's client does that for its call. One that was caught past the clients, or opened in a shell that stays, has none:
for those a small shell waits at a pipe that only this process holds, and thaws every leaf of the session at its end.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

# The last line of a session that ends as it should is "over"; the end of the file without it is our death.
_SCRIPT = 'read -r word; [ "$word" = over ] || for file in "$0"/*/cgroup.freeze; do echo 0 > "$file"; done'


class Sentry:
    """Watches over the leaves below ``calls``, once it was asked to."""

    def __init__(self, calls: Path) -> None:
        self._calls = calls
        self._shell: subprocess.Popen[bytes] | None = None

    def stand(self) -> None:
        """Begin to watch; nothing happens when it does already. Where no shell can be had, nobody watches."""
        if self._shell is not None:
            return
        try:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, str(self._calls)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what a terminal sends to all of us must not end it before us
            )
        except OSError:
            return

    def close(self) -> None:
        """The session is over."""
        if self._shell is not None:
            self._shell.communicate(b"over\n")
            self._shell = None
