"""The service of a host: one policy over the sessions of all `agentcgroup run`, which carry out what it decides."""
