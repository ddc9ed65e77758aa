"""What is held until ``close``: a ``with`` block closes it at its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """A base for those that have ``close``."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held; may be called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
