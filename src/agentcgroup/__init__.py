"""agentcgroup: every tool call of an AI agent in its own kernel resource domain."""

__version__ = "0.1.0"
