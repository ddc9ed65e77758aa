"""The cgroups of tests/kernel."""

from tests.kernel.conftest import cgroup, spawn, unified

__all__ = ["cgroup", "spawn", "unified"]
