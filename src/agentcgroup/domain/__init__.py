"""The cgroup tree of sessions and calls: created, filled, metered, ended."""
