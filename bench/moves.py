"""What one process does and others notice: instants and delays in memory that they share."""

from __future__ import annotations

import mmap
import struct
import time

_SLOT = struct.Struct("id")
_DELAY = struct.Struct("dd")  # until it was noticed, until it was decided


class Moves:
    """What was moved when, written by another process: the number of a leaf and an instant of perf_counter."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._memory = mmap.mmap(-1, (count + 1) * _SLOT.size)

    def stamp(self, number: int, leaf: int) -> None:
        """Write the move ``number``; slot 0 counts them."""
        _SLOT.pack_into(self._memory, (number + 1) * _SLOT.size, leaf, time.perf_counter())
        _SLOT.pack_into(self._memory, 0, number + 1, 0.0)

    def stamped(self) -> int:
        """How many there are."""
        return int(_SLOT.unpack_from(self._memory, 0)[0])

    def get(self, number: int) -> tuple[int, float]:
        """Leaf and instant."""
        leaf, at = _SLOT.unpack_from(self._memory, (number + 1) * _SLOT.size)
        return leaf, at


class Arm:
    """One way of noticing: milliseconds for each move, readable from other processes."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._memory = mmap.mmap(-1, (moves.count + 1) * _DELAY.size)
        self._looked = 0
        self._open: dict[int, list[int]] = {}
        self._noticed: list[tuple[int, float]] = []

    def saw(self, leaf: int) -> None:
        """The counter of ``leaf`` was found to have moved; the policy is about to be asked."""
        now = time.perf_counter()
        while self._looked < self._moves.stamped():
            self._open.setdefault(self._moves.get(self._looked)[0], []).append(self._looked)
            self._looked += 1
        self._noticed += [(number, now) for number in self._open.pop(leaf, ())]

    def decided(self) -> None:
        """The policy has answered."""
        now = time.perf_counter()
        for number, seen in self._noticed:
            moved = self._moves.get(number)[1]
            _DELAY.pack_into(self._memory, (number + 1) * _DELAY.size, (seen - moved) * 1000, (now - moved) * 1000)
        _DELAY.pack_into(self._memory, 0, self.count() + len(self._noticed), 0.0)
        self._noticed = []

    def count(self) -> int:
        """How many moves it has seen."""
        return int(_DELAY.unpack_from(self._memory)[0])

    def delays(self) -> dict[int, tuple[float, float]]:
        """Milliseconds until noticed and until decided, by the number of the move, for those that were seen."""
        found = enumerate(_DELAY.iter_unpack(self._memory[_DELAY.size :]))
        return {number: (noticed, decided) for number, (noticed, decided) in found if decided}
