"""The form of an agent's description: names, rules over its shells, needs. No agent is named here.

A rule says what one shell of an agent is. Its conditions become tab-separated text that the C client
interprets (docs/reference/client-protocol.md, "The rule table"); nothing in them is ever evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentcgroup.model import Label

# A field of the table ends at a tab and a line at a newline, and the table itself at the first NUL.
_SEPARATORS = frozenset("\t\n\0")
_TABLE_LABELS = frozenset({Label.CALL, Label.PROBE, Label.HOOK, Label.HELPER})


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a shell, in the text form of the rule table."""

    text: str

    def __post_init__(self) -> None:
        if not self.text or _SEPARATORS & set(self.text):
            raise ValueError(f"condition {self.text!r} is empty or holds a tab, a newline or a NUL")


SESSION_LEADER = Condition("sid")
NO_SESSION_LEADER = Condition("nosid")
TERMINAL = Condition("tty")
NO_TERMINAL = Condition("notty")
CHILD = Condition("child")
NO_CHILD = Condition("nochild")


def argc(count: int) -> Condition:
    """The shell has ``count`` arguments, ``argv[0]`` included."""
    return Condition(f"argc={count}")


def arg_is(index: int, text: str) -> Condition:
    """``argv[index]`` is ``text``."""
    return Condition(f"arg{index}={text}")


def arg_begins(index: int, text: str) -> Condition:
    """``argv[index]`` begins with ``text``."""
    return Condition(f"arg{index}^{text}")


def arg_ends(index: int, text: str) -> Condition:
    """``argv[index]`` ends with ``text``."""
    return Condition(f"arg{index}${text}")


def arg_contains(index: int, text: str) -> Condition:
    """``argv[index]`` contains ``text``."""
    return Condition(f"arg{index}~{text}")


def arg_lacks(index: int, text: str) -> Condition:
    """``argv[index]`` does not contain ``text``, or is not there."""
    return Condition(f"arg{index}!~{text}")


def env_has(name: str) -> Condition:
    """The variable ``name`` is in the environment of the shell."""
    return Condition(f"env={name}")


def env_lacks(name: str) -> Condition:
    """The variable ``name`` is not in the environment of the shell."""
    return Condition(f"noenv={name}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A shell for which all conditions hold is what ``label`` says; the first such rule of an agent wins.

    Without conditions it holds for every shell.
    """

    label: Label
    conditions: tuple[Condition, ...]

    def __post_init__(self) -> None:
        if self.label not in _TABLE_LABELS:
            raise ValueError(f"label {self.label.value!r} is given by the client itself, not by a rule")

    def line(self) -> str:
        """This rule as one line of the table, without the newline."""
        return "\t".join(("rule", self.label.value, *(condition.text for condition in self.conditions)))


def rule(label: Label, *conditions: Condition) -> Rule:
    """A rule; shorter to read in a list than the class."""
    return Rule(label, conditions)


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """What is known about one agent framework.

    ``documentation`` says in a sentence or two how its calls are caught and what is not.
    """

    id: str
    title: str
    documentation: str
    names: tuple[str, ...] = ()  # of its processes, as the client sees them (client-protocol.md)
    packages: tuple[str, ...] = ()  # what npx, uvx, pipx … know it by
    rules: tuple[Rule, ...] = ()
    baseline_bytes: int | None = None  # memory (PSS of its tree) while it waits for the model; None: unknown
    shell_variables: tuple[str, ...] = ()  # fallback placement: variables whose value is the stand-in of bash
    uses_path: bool = False  # fallback placement: it looks its shell up in PATH
    environment: tuple[tuple[str, str], ...] = ()  # set in every placement

    def __post_init__(self) -> None:
        for word in (self.id, *self.names):
            if not word or _SEPARATORS & set(word) or "/" in word:
                raise ValueError(f"{word!r} is no name of an agent or a process")

    def section(self) -> str:
        """This agent's section of the rule table, each line with its newline."""
        lines = ["\t".join(("agent", self.id, *self.names)), *(each.line() for each in self.rules)]
        return "".join(f"{line}\n" for line in lines)
