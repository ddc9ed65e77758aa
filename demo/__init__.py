"""`make demo`: two agents, each with one command that misbehaves, under a container limit and under agentcgroup."""
