"""``python -m agentcgroup``."""

from agentcgroup.cli import main

if __name__ == "__main__":  # workers that are spawned import this module, too
    main()
