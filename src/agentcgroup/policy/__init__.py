"""Decisions, and nothing else: no I/O, no clock, no randomness. Live, in replay and in the simulator the same code."""
