"""Removing the domains of calls that have ended."""

from __future__ import annotations

import asyncio

from agentcgroup.domain.leaf import Leaf
from agentcgroup.errors import CgroupError

_FIRST_RETRY_S, _RETRY_S = 0.01, 0.05


class Removals:
    """The kernel may need a moment after the last exit: what cannot be removed yet is tried again."""

    def __init__(self) -> None:
        self._pending: list[Leaf] = []
        self._loop = asyncio.get_running_loop()

    def take(self, leaf: Leaf) -> None:
        """Remove ``leaf``, now or soon."""
        try:
            leaf.remove()
        except CgroupError:
            if not self._pending:
                self._loop.call_later(_FIRST_RETRY_S, self._retry)
            self._pending.append(leaf)

    def _retry(self) -> None:
        pending, self._pending = self._pending, []
        for leaf in pending:
            try:
                leaf.remove()
            except CgroupError:
                self._pending.append(leaf)
        if self._pending:
            self._loop.call_later(_RETRY_S, self._retry)
