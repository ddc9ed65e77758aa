"""One running call of the simulation: how far its work is, what it uses, how fast it goes."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentcgroup.policy.world import CallId, CallState
from agentcgroup.replay.machine import NEVER, Pool
from agentcgroup.replay.memory import brake_bytes, delay_s_per_byte
from agentcgroup.replay.script import Task

_INSTANT_S = 1e-9  # less time than that is none


@dataclass(slots=True, eq=False)
class Call:
    """A call between its beginning and its end. Between two events its work and its memory move in straight lines."""

    id: CallId
    task: Task
    requested_s: float
    began_s: float
    pool: Pool  # of its session
    high: int | None = None
    max: int | None = None
    frozen: bool = False
    debt_s: float = 0.0  # it stands still for so long: its memory is on the way to swap and back

    at_s: float = field(init=False)
    work_s: float = 0.0
    piece: int = 0  # of its curve
    size: float = field(init=False)  # by its curve
    dropped: float = 0.0  # of it: cache that was taken back
    swapped: float = 0.0  # of it: in swap
    speed: float = 0.0
    rate: float = 0.0  # of what it uses, bytes a second
    version: int = 0  # of its next event

    peak: float = 0.0
    frozen_s: float = 0.0
    throttled_s: float = 0.0
    stopping_s: float = NEVER  # when it was told to freeze
    counted: bool = False  # among those that stall

    def __post_init__(self) -> None:
        self.at_s = self.began_s
        self.size = self.peak = float(self.task.curve[0][1])
        self.high, self.max = self.task.high_bytes, self.task.max_bytes

    @property
    def used(self) -> float:
        """What it uses, at ``at_s``."""
        return max(0.0, self.size - self.dropped - self.swapped)

    def used_at(self, now_s: float) -> float:
        """What it uses now."""
        return max(0.0, self.used + self.rate * (now_s - self.at_s))

    @property
    def cache(self) -> float:
        """What of it can be taken back at no cost."""
        return min(self.used, max(0.0, self.size * self.task.cache_share - self.dropped))

    @property
    def grows(self) -> bool:
        """Whether its curve rises here."""
        return self.task.curve[self.piece + 1][1] > self.task.curve[self.piece][1]

    @property
    def stalled(self) -> bool:
        """Whether it is slow for want of memory. A frozen call is not stalled."""
        return not self.frozen and self.speed < 1.0

    def state(self, now_s: float, spare_swap: float) -> CallState:
        """As a policy is shown it."""
        used = self.used_at(now_s)
        spare = self.cache + min(spare_swap, used - self.cache) if spare_swap > 0 else self.cache
        return CallState(
            id=self.id,
            priority=self.task.priority,
            started_s=self.began_s,
            memory_bytes=int(used),
            expected_bytes=self.task.expected_bytes,
            high_bytes=self.high,
            max_bytes=self.max,
            frozen=self.frozen,
            reclaimable_bytes=int(min(used, spare)),
            stood_s=self.frozen_s,
        )

    def advance(self, now_s: float) -> bool:
        """Bring everything up to now; whether its work is done."""
        curve = self.task.curve
        if self.piece == len(curve) - 1:
            return True
        passed = now_s - self.at_s
        self.at_s = now_s
        if self.frozen:
            self.frozen_s += passed
        else:
            self.throttled_s += passed * (1.0 - self.speed)
            self.debt_s = self.debt_s - passed if self.debt_s - passed > _INSTANT_S else 0.0
        self.work_s += self.speed * passed
        (t0, b0), (t1, b1) = curve[self.piece], curve[self.piece + 1]
        if self.work_s >= t1 - _INSTANT_S:
            self._become(float(b1))
            self.work_s = t1
            self.piece += 1
        else:
            self._become(b0 + (b1 - b0) * (self.work_s - t0) / (t1 - t0))
        self.peak = max(self.peak, self.used)
        return self.piece == len(curve) - 1

    def aim(self) -> float:
        """Set speed and rate from how things are; the seconds until they change by themselves."""
        if self.frozen:
            self.speed = self.rate = 0.0
            return NEVER
        if self.debt_s > 0:
            self.speed = self.rate = 0.0
            return self.debt_s
        (t0, b0), (t1, b1) = self.task.curve[self.piece], self.task.curve[self.piece + 1]
        slope = (b1 - b0) / (t1 - t0)
        used = self.used
        delay, chunk = self._brake(used) if slope > 0 else (0.0, NEVER)
        self.speed = 1.0 / (1.0 + slope * delay)
        self.rate = slope * self.speed
        if slope < 0 and self.size > 0:  # what was taken back shrinks with the rest
            self.rate *= used / self.size
        elif slope < 0:
            self.rate = 0.0
        after_s = (t1 - self.work_s) / self.speed
        if self.rate <= 0:
            return after_s
        for limit in (self.high, self.max):
            if limit is not None and limit - 1 > used:
                after_s = min(after_s, (limit - used) / self.rate)
        return min(after_s, chunk / self.rate)

    def _brake(self, used: float) -> tuple[float, float]:
        """The delay per byte of the worse of its limits, and after how many bytes it is to be worked out anew."""
        delay, chunk = 0.0, NEVER
        for usage, high in ((used, self.high), (self.pool.bytes, self.pool.high_bytes)):
            if high is not None and usage >= high - 1:
                step = brake_bytes(int(high))
                chunk = min(chunk, step)
                delay = max(delay, delay_s_per_byte(usage + step / 2, int(high)))
        return delay, chunk

    def _become(self, size: float) -> None:
        """Its curve says ``size`` now; what was taken back shrinks with it."""
        if size < self.size:
            share = size / self.size
            self.dropped *= share
            self.swapped *= share
        self.size = size
