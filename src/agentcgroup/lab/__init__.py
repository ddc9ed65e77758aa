"""The lab: a small virtual machine with a modern kernel, for what the host's kernel cannot do.

The guest sees the host's file system at the same paths, read-only below an overlay in its memory, and
full cgroup v2. ``agentcgroup.lab.run.run`` boots it for one command; ``agentcgroup.lab.kernel`` keeps
the kernel in a cache.
"""
