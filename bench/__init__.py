"""Benchmarks: each runs its arms interleaved with their control in one run, and prints n, quantiles and intervals."""
