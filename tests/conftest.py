"""Where the tests marked `kernel` run: in the lab (`make test-kernel`) and on hosts that offer what they need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-kernel",
        action="store_true",
        help="fail where the tests marked kernel cannot run, instead of skipping them",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("kernel")]
    if not marked or memory_controller():
        return
    reason = "needs a writable cgroup v2 with the memory controller; run it in the lab: make test-kernel"
    if config.getoption("--require-kernel"):
        raise pytest.UsageError(reason)
    for item in marked:
        item.add_marker(pytest.mark.skip(reason=reason))


def memory_controller() -> bool:
    """Whether the first cgroup v2 mounted here has the memory controller and lets us make groups."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        if source.startswith("cgroup2 "):
            root = Path(fields.split(" ")[4])
            return "memory" in (root / "cgroup.controllers").read_text().split() and os.access(root, os.W_OK)
    return False
