"""Where the tests marked `kernel` run: in the lab (`make test-kernel`) and on hosts that offer what they need.

Several runs can share the work (`--turns`): whoever comes first to a file of tests has it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-kernel",
        action="store_true",
        help="fail where the tests marked kernel cannot run, instead of skipping them; read no file that has none",
    )
    parser.addoption(
        "--turns",
        type=Path,
        metavar="DIR",
        help="share the tests with other runs that name this DIR, empty at first: one of them runs a file of tests",
    )


def pytest_configure(config: pytest.Config) -> None:
    if (folder := config.getoption("--turns")) is not None:
        config.pluginmanager.register(Turns(folder))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Importing all tests takes the emulated CPU of the lab more than a minute."""
    if not config.getoption("--require-kernel") or not collection_path.match("test_*.py"):
        return None
    return True if b"mark.kernel" not in collection_path.read_bytes() else None


class Turns:
    """Takes a file of tests by making a folder of its name, which only one run can; leaves out what others took."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ours: dict[str, bool] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """As the usual loop, over the items that are ours; what comes next decides what is torn down."""
        ours = (item for item in session.items if self._is_ours(item))
        following = next(ours, None)
        while (item := following) is not None:
            following = next(ours, None)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        return True

    def _is_ours(self, item: pytest.Item) -> bool:
        name = item.nodeid.partition("::")[0].replace("/", ".")
        if name not in self._ours:
            self._ours[name] = self._take(name)
        return self._ours[name]

    def _take(self, name: str) -> bool:
        try:
            (self._folder / name).mkdir()
        except FileExistsError:
            return False
        return True


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
