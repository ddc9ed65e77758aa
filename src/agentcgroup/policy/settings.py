"""The numbers of the ladder, in one place: what each means, in which unit, and why it is what it is."""

from __future__ import annotations

from dataclasses import dataclass, fields

from agentcgroup.errors import UsageError

_MIB = 1 << 20
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """Settings of the policy ``ladder``. Shares are of the room of a session's calls; seconds and bytes as named.

    UsageError when the numbers do not hold together.
    """

    # When there is pressure
    calm_share: float = 0.80  # below: the pressure is over
    tight_share: float = 0.90  # from here on: throttle
    gone_share: float = 0.97  # from here on: freeze at once, it will not wait for PSI
    host_reserve_share: float = 0.08  # of the host: less available than this is pressure, half of it is "gone" ...
    host_reserve_most_bytes: int = 2 * _GIB  # ... but never more than this, however large the host
    stall_share: float = 0.05  # of a PSI window: less does not hurt
    ahead_s: float = 0.25  # growth that would use up all that is left within this: freeze at once as well
    fresh_s: float = 2.0  # for how long a stall or a moved counter is evidence

    # When to look without a signal: only near a limit, and the nearer the more often
    watch_share: float = 0.60  # a session below this is not watched
    pace_bytes_per_s: int = 2 * _GIB  # growth to reckon with before any is seen: two CPUs that fill memory
    look_least_s: float = 0.02
    look_quiet_s: float = 0.1  # near a limit, and nothing has changed for a while
    look_most_s: float = 60.0

    # The rungs
    victim_least_bytes: int = 16 * _MIB  # throttling, freezing or killing less helps nobody
    step_s: float = 0.05  # between two steps: the last one must show its effect
    confirm_s: float = 0.2  # a throttle gets this long before a stall turns it into a freeze (PSI is 20 to 180 ms late)
    throttle_s: float = 10.0  # a throttle ends after this: frozen, or released and left in peace as long again
    reclaim_least_bytes: int = 8 * _MIB
    reclaim_every_s: float = 1.0  # for one call
    freeze_s: float = 30.0  # one freeze ends after this; an agent's tool timeout is often 120 s
    run_s: float = 2.0  # a thawed call runs at least so long before it can be frozen again
    hold_s: float = 90.0  # queued and frozen together, over the life of a call: no starvation
    push_s: float = 0.5  # who was stopped for somebody of higher priority goes on, braked, so long after the last stall
    thaw_every_s: float = 0.2  # one call at a time, when it is calm
    thaw_near_s: float = 3.0  # and when it is neither calm nor tight
    turns: int = 2  # before a kill, so many of those that are frozen may go on, since one of them may just finish
    turn_s: float = 3.0  # how long such a turn lasts while nobody else gets on
    kill_s: float = 1.0  # without room and with nothing left to freeze, for so long: kill

    # Admission
    queue_s: float = 60.0  # a request is answered by then; well below a tool timeout of 120 s
    refuse: bool = False  # what the answer is then: begin anyway (but no stampede: four at once), or be refused
    unknown_bytes: int = 64 * _MIB  # what a call of unknown need is taken to need ...
    unknown_s: float = 2.0  # ... for so long: after that it has shown what it needs
    expectation_s: float = 60.0  # the same for a declared or remembered need
    ageing_s: float = 10.0  # so long a wait counts as one step of priority
    begin_s: float = 30.0  # an admitted call of which nothing was heard by then gives its room back

    # Protection
    low_share_high: float = 0.8  # of the budget, as memory.low, for sessions of high priority
    low_share_normal: float = 0.4
    low_share_low: float = 0.0
    protect_most_share: float = 0.8  # of the host, for all sessions together
    agent_margin: float = 1.1  # memory.min, over what the agent was seen to use

    def __post_init__(self) -> None:
        if not 0 < self.calm_share < self.tight_share < self.gone_share < 1:
            raise UsageError(
                f"calm_share {self.calm_share:g}, tight_share {self.tight_share:g} and gone_share {self.gone_share:g} "
                "must rise between 0 and 1",
                "such as 0.8, 0.9 and 0.97",
            )
        if self.hold_s < self.queue_s:
            raise UsageError(
                f"hold_s {self.hold_s:g} is below queue_s {self.queue_s:g}, and time in the queue is part of it",
                "raise hold_s or lower queue_s",
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_s", "_bytes")) and value <= 0:
                raise UsageError(f"{field.name} {value:g} must be above 0", "leave it out for its default")
            if "share" in field.name and not 0 <= value < 1:
                raise UsageError(f"{field.name} {value:g} must be from 0 to below 1", "leave it out for its default")

    def host_reserve_bytes(self, host_bytes: int) -> int:
        """What should stay available on a host of ``host_bytes``."""
        return min(int(host_bytes * self.host_reserve_share), self.host_reserve_most_bytes)
