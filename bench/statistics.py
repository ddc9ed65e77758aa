"""Quantiles and their bootstrap intervals; differences and ratios of two arms of one interleaved run."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_RESAMPLES = 1000


def quantile(values: Sequence[float], q: float) -> float:
    """The ``q`` quantile (0..1) by linear interpolation."""
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def interval(statistic: Callable[[list[int]], float], n: int, seed: int = 1) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of ``statistic``, a function of resampled indexes 0..n-1."""
    generator = random.Random(seed)
    found = sorted(statistic(generator.choices(range(n), k=n)) for _ in range(_RESAMPLES))
    return quantile(found, 0.025), quantile(found, 0.975)


def compare(arm: Sequence[float], control: Sequence[float], q: float) -> dict[str, float]:
    """Quantile ``q`` of both, their difference and ratio with 95 % intervals; the pairs are resampled together."""
    n = min(len(arm), len(control))

    def difference(indexes: list[int]) -> float:
        return quantile([arm[i] for i in indexes], q) - quantile([control[i] for i in indexes], q)

    def ratio(indexes: list[int]) -> float:
        return quantile([arm[i] for i in indexes], q) / quantile([control[i] for i in indexes], q)

    low, high = interval(difference, n)
    ratio_low, ratio_high = interval(ratio, n)
    everything = list(range(n))
    return {
        "n": n,
        "arm": quantile(arm, q),
        "control": quantile(control, q),
        "added": difference(everything),
        "added_low": low,
        "added_high": high,
        "ratio": ratio(everything),
        "ratio_low": ratio_low,
        "ratio_high": ratio_high,
    }
