"""What the agent is told about a call."""
