"""The loop that joins signals, domains and records; embedded in `run`."""
