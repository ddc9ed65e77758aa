"""Recorded and synthetic sessions played against a policy, in virtual time (docs/reference/policies.md).

script     what a session does: turns of calls, each with its memory over time
recorded   scripts from traces                 synthetic  scripts from a seed: bursts on a baseline
memory     the model of memory, and what it assumes
machine    the host of the simulation, and pools of memory that calls share
call       one running call of the simulation
simulator  plays scripts on a machine against a policy
result     what came of it, and the comparison of policies

The policies are the very objects that decide live: what is modelled is only what a kernel and programs do.
"""
