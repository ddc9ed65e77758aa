"""What a call will need, as far as anybody can tell: its hint, this session's history, the kind of the command. Pure.

Three sources, and none of them is a reason to kill:

* A hint is advice. It says what to expect, moves memory.high, and may lift the limit of a call, within the budget.
* History does not predict. In 136 repeats of a command within 186 published runs (growth above 20 MB, 1 Hz samples)
  the next peak was within 1.0, 1.5, 3 and 4 times the largest so far in 47, 72, 82 and 83 % of the cases, and 23 times
  it in a tenth. So a margin of 3 takes what a margin can take; the rest is for the ladder.
* A kind gives a number for admission, and a limit at twice what nearly all commands of that kind need.

memory.high is where a call is first slowed, so it is wide, and a policy lifts it when it is met and there is room
(work-conserving): it tells who is beyond what was expected. memory.max stays what it is without all this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from agentcgroup.commands import Kind
from agentcgroup.policy.hints import Hint, Level, render
from agentcgroup.units import format_size

MiB = 1 << 20

TYPICAL: Mapping[Kind, tuple[int, int, int]] = MappingProxyType(
    {
        Kind.TEST: (64 * MiB, 256 * MiB, 2048 * MiB),
        Kind.BUILD: (64 * MiB, 512 * MiB, 2048 * MiB),
        Kind.INSTALL: (64 * MiB, 256 * MiB, 1024 * MiB),
        Kind.SERVER: (64 * MiB, 256 * MiB, 1024 * MiB),
        Kind.INTERPRETER: (32 * MiB, 128 * MiB, 1024 * MiB),
        Kind.VCS: (16 * MiB, 64 * MiB, 512 * MiB),
        Kind.FILE: (16 * MiB, 32 * MiB, 256 * MiB),
        Kind.OTHER: (16 * MiB, 64 * MiB, 512 * MiB),
    }
)
"""Bytes that commands of a kind need: low (half of them), medium (95 of 100), high (nearly all).

From the growth of the container's memory during 2,273 shell calls of the published runs, at p50, p95 and p99, rounded
up (test 37, 141 and 1,136 MB; install 40, 121, 278; interpreter 0, 51, 98; vcs 0, 11, 66; file 1, 12, 35). They hold
13 builds and no server that counts: these two rows are judgement, and so is every `high` that is far above its p99.
"""

KEPT_PEAKS = 8
"""Calls that are remembered of one command: enough to see its largest, and what it no longer is gets forgotten."""
KEPT_KEYS = 256
"""Commands that are remembered; the one that was not run for longest goes first."""
HISTORY_MARGIN = 3.0
"""memory.high over the largest remembered peak: see above."""
HINT_MARGIN = 1.5
"""memory.high over a declared size: 72 % of repeats stay within it of the largest peak before."""
LEVEL_MARGIN = 2.0
"""memory.high over the number behind a declared level, which is vaguer than a size; and over the `high` of a kind."""
LEAST_HIGH = 512 * MiB
"""memory.high is never set lower on grounds of history, level or kind: below it is not worth slowing anybody."""
_FAR_ABOVE = 3.0
_FAR_BELOW = 0.25
_WORTH_SAYING = 256 * MiB  # of memory that was declared and not used


class Source(StrEnum):
    """Who says what to expect."""

    HINT = "hint"
    HISTORY = "history"
    KIND = "kind"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Expectation:
    """What to expect of a call. ``high_bytes`` None: no memory.high. ``max_bytes`` None: only what all calls share."""

    memory_bytes: int | None
    high_bytes: int | None
    max_bytes: int | None
    source: Source


@dataclass(frozen=True, slots=True)
class Seen:
    """One call that has ended."""

    kind: Kind
    peak_bytes: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class History:
    """What the commands of one session needed. Immutable: ``observe`` gives the next history."""

    calls: Mapping[str, tuple[Seen, ...]] = field(default_factory=dict)  # by key, oldest first in both

    def observe(self, key: str, kind: Kind, peak_bytes: int | None, duration_s: float) -> History:
        """With a call that has ended; unchanged when its peak is not known or its command has no key."""
        if not key or peak_bytes is None or peak_bytes <= 0:
            return self
        seen = (*self.calls.get(key, ()), Seen(kind, peak_bytes, duration_s))[-KEPT_PEAKS:]
        calls = {each: past for each, past in self.calls.items() if each != key}
        while len(calls) >= KEPT_KEYS:
            del calls[next(iter(calls))]
        return History({**calls, key: seen})

    def expected(
        self,
        key: str,
        kind: Kind,
        hint: Hint,
        budget_bytes: int | None,
        host_bytes: int,
        *,
        call_bytes: int | None = None,
    ) -> Expectation:
        """What to expect of a call that is about to begin.

        ``budget_bytes`` is what the calls of the session may use together (None: the host's ``host_bytes``); nothing
        goes beyond it, whatever was declared. ``call_bytes`` is the limit of a call by the settings: it is memory.max
        of every call, and only a declared size lifts it.
        """
        budget = host_bytes if budget_bytes is None else min(budget_bytes, host_bytes)
        usual = Expectation(None, None, _below(call_bytes, budget), Source.NONE)
        past = self.calls.get(key, ())
        if isinstance(hint.memory, Level):
            typical = TYPICAL[kind][tuple(Level).index(hint.memory)]
            return _expect(usual, Source.HINT, typical, max(LEVEL_MARGIN * typical, LEAST_HIGH), budget)
        if hint.memory is not None:
            expectation = _expect(usual, Source.HINT, hint.memory, HINT_MARGIN * hint.memory, budget)
            return replace(expectation, max_bytes=_lifted(call_bytes, hint.memory, budget))
        if past:
            peak = max(seen.peak_bytes for seen in past)
            return _expect(usual, Source.HISTORY, peak, max(HISTORY_MARGIN * peak, LEAST_HIGH), budget)
        if kind is not Kind.OTHER:
            _, usually, nearly_always = TYPICAL[kind]
            return _expect(usual, Source.KIND, usually, max(LEVEL_MARGIN * nearly_always, LEAST_HIGH), budget)
        return usual


def verdict(hint: Hint, peak_bytes: int | None) -> str:
    """A sentence for the agent when the size it declared was far from the peak, else an empty text."""
    declared = hint.memory
    if not isinstance(declared, int) or peak_bytes is None:
        return ""
    better = render(Hint(memory=_rounded_up(peak_bytes)))
    if peak_bytes >= _FAR_ABOVE * declared:
        return (
            f"It declared {format_size(declared)} of memory and used {format_size(peak_bytes)}: "
            f"declare {better} for such a command."
        )
    if peak_bytes < _FAR_BELOW * declared and declared - peak_bytes >= _WORTH_SAYING:
        return (
            f"It declared {format_size(declared)} of memory and used only {format_size(peak_bytes)}: "
            f"declare {better}, and it waits less for room."
        )
    return ""


def _expect(usual: Expectation, source: Source, memory: int, high: float, budget: int) -> Expectation:
    """``high`` counts only below memory.max and the budget: above them something else stops the call first."""
    limit = budget if usual.max_bytes is None else usual.max_bytes
    return replace(
        usual,
        source=source,
        memory_bytes=min(memory, budget),
        high_bytes=_below(int(high), limit),
    )


def _lifted(call_bytes: int | None, declared: int, budget: int) -> int | None:
    if call_bytes is None:
        return None
    return _below(max(call_bytes, int(HINT_MARGIN * declared)), budget)


def _below(limit: int | None, budget: int) -> int | None:
    return limit if limit is not None and limit < budget else None


def _rounded_up(peak_bytes: int) -> int:
    """A size to declare for this peak: a quarter more, in steps a person would write."""
    wanted = int(1.25 * peak_bytes)
    step = 64 * MiB if wanted <= 1024 * MiB else 512 * MiB
    return max(1, -(-wanted // step)) * step
