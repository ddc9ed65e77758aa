"""``python -m agentcgroup``."""

from agentcgroup.cli import main

main()
