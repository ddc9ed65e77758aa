"""A timer that can be set again and again, and taken back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Timer:
    """Calls ``fire`` once each time that it runs out. Use it on the running loop."""

    def __init__(self, fire: Callable[[], None]) -> None:
        self._fire = fire
        self._handle: asyncio.TimerHandle | None = None
        self._at_s = 0.0

    @property
    def running(self) -> bool:
        """Whether it is set and has not run out."""
        return self._handle is not None

    def start(self, delay_s: float) -> None:
        """Run out in ``delay_s``, whatever was set before."""
        self.cancel()
        delay_s = max(0.0, delay_s)
        self._at_s = time.monotonic() + delay_s
        self._handle = asyncio.get_running_loop().call_later(delay_s, self._over)

    def start_by(self, delay_s: float) -> None:
        """Run out in ``delay_s`` at the latest."""
        if self._handle is None or time.monotonic() + delay_s < self._at_s:
            self.start(delay_s)

    def cancel(self) -> None:
        """Do not run out."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _over(self) -> None:
        self._handle = None
        self._fire()
