"""Small sessions for plans."""

from __future__ import annotations

from agentcgroup.plan.load import Sessions
from agentcgroup.plan.session import Session, session
from agentcgroup.replay.script import Script, Task, Turn, curve

MIB = 1 << 20
GIB = 1 << 30


def idle(size: int, length_s: float = 100.0, cores: float | None = 0.1, name: str = "idle") -> Session:
    """An agent of constant size that calls nothing."""
    return session(Script(name, (Turn(length_s, ()),), agent_bytes=size), length_s, cores)


def busy(agent: int, call: int, cores: float | None = 0.1) -> Session:
    """An agent with one call of constant size, all the time."""
    task = Task("c", ((0.0, call), (100.0, call)))
    return session(Script("busy", (Turn(0.0, (task,)),), agent_bytes=agent), 100.0, cores)


def bursty(agent: int, base: int, peak: int, at_s: float, name: str = "bursty") -> Session:
    """Now and then a call of 20 s that rises to ``peak`` for two seconds."""
    task = Task(
        "c", curve([(0.0, 0), (1.0, base), (9.0, base), (10.0, peak), (12.0, peak), (13.0, base), (20.0, base)])
    )
    turns = (Turn(at_s, (task,)), Turn(100.0, (task,)), Turn(30.0, ()))
    return session(Script(name, turns, agent_bytes=agent), at_s + 170, 0.1)


def sessions(*of: Session) -> Sessions:
    """One set of them."""
    return Sessions("made", of)
