"""The rule table read by Python says what the client says: the same C sources, compiled here, are asked as well."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentcgroup.agents.registry import PROFILES, rule_table
from agentcgroup.client import image
from agentcgroup.client.rules import RuleTable, Shell, Verdict, names_of
from agentcgroup.model import Label

CLIENT = Path(image.__file__).parent
SOURCES = ("rules.c", "names.c", "conditions.c", "str.c", "sys.c")


@dataclass(frozen=True)
class Case:
    """One shell and what is above it; ``lineage`` are the bytes of /proc/PID/cmdline, its parent first."""

    table: str
    lineage: tuple[bytes, ...]
    argv: tuple[str, ...]
    variables: tuple[str, ...] = ()
    leader: bool = True
    complete: bool = True

    def in_python(self) -> Verdict:
        shell = Shell(self.argv, lambda: self.leader, lambda: False, lambda name: name in self.variables)
        return RuleTable(self.table).decide([names_of(line) for line in self.lineage], self.complete, shell)

    def words(self) -> list[bytes]:
        flags = [b"1" if flag else b"0" for flag in (self.leader, self.complete)]
        texts = [str(len(self.argv)), *self.argv, str(len(self.variables)), *(f"{name}=x" for name in self.variables)]
        return [self.table.encode(), *flags, str(len(self.lineage)).encode(), *self.lineage, *map(str.encode, texts)]


class Client:
    """The client's own rules, in a process that answers."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, case: Case) -> tuple[Verdict, list[tuple[str, str]]]:
        """What the shell is, and the names of the processes above it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for word in case.words():
            self._process.stdin.write(struct.pack("=I", len(word)) + word)
        self._process.stdin.flush()
        answer = b""
        while answer.count(b"\0") < 2 * (1 + len(case.lineage)):
            part = os.read(self._process.stdout.fileno(), 65536)
            assert part, "it has ended"
            answer += part
        label, agent, *names = answer.decode(errors="surrogateescape").split("\0")[:-1]
        return Verdict(Label(label), agent), list(zip(names[::2], names[1::2], strict=True))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    program = tmp_path_factory.mktemp("rules") / "rules"
    sources = [CLIENT / name for name in SOURCES]
    driver = Path(__file__).with_name("rules_driver.c")
    subprocess.run(["cc", "-O1", "-DHOSTED", f"-I{CLIENT}", *sources, driver, "-o", program], check=True)
    client = Client(program)
    yield client
    client.close()


AGENTS = [name for each in PROFILES for name in each.names]
WORDS = st.sampled_from(
    [
        *("-c", "-lc", "-i", "-l", "--login", "env", "true", "SNAPSHOT_FILE=x", "bash", "ps aux", ""),
        *(
            "x /shell-snapshots/snapshot-1 y",
            "eval 'x' && pwd -P >| /tmp/cwd",
            "# Snapshot file",
            "/usr/bin/lsb_release",
        ),
    ]
) | st.text(st.characters(blacklist_characters="\0", codec="ascii"), max_size=8)
LINES = st.sampled_from(
    [
        *(b"bash\0-c\0x\0", b"-bash\0", b"npx claude", b"/usr/bin/node\0--import\0tsx\0/opt/a b/gemini.js\0", b"sh\0"),
        *(b"python3.11\0-um\0minisweagent\0", b"python3\0-mmini\0", b"bun run agent.ts", b"deno\0run\0-A\0opencode\0"),
        *(b"python\0-X\0dev\0/srv/openhands\0", b"npm exec @openai/codex\0\0", b"node\0-e\0claude\0", b"/opt/x/\0a\0"),
        *(f"/usr/bin/{name}\0run\0".encode() for name in AGENTS),
        b"",
    ]
) | st.binary(max_size=70)
VARIABLES = st.sampled_from(
    ["CODEX_TOOL_CALL_ID", "GEMINI_CLI", "GEMINI_PROJECT_DIR", "CLAUDE_PROJECT_DIR", "CLAUDE_PID", "PATH"]
)
CONDITIONS = st.sampled_from(
    [
        *(
            "sid",
            "nosid",
            "child",
            "nochild",
            "notty",
            "tty",
            "",
            "x",
            "argc=3",
            "argc=03",
            "argc=",
            "argc=99999999999",
        ),
        *("arg1=-c", "arg2~env", "arg2^e", "arg2$v", "arg2!~v", "arg9!~v", "arg9=v", "arg=v", "arg2", "arg2?v"),
        *("env=PATH", "env=", "noenv=PATH", "noenv=", "arg99999999999=x", "arg0~", "arg2!v", "arg4294967295!~x"),
        "arg01=-c",
    ]
)
TABLES = st.sampled_from([rule_table(), *(rule_table(each.id) for each in PROFILES)]) | st.builds(
    lambda rules, force: (
        "launchers\tbash\tsh\tnpx\n\tskipped\nagent\tclaude\tclaude\n"
        + "".join(f"rule\t{label}\t" + "\t".join(conditions) + "\n" for label, conditions in rules)
        + "agent\tcodex\tcodex\nrule\tprobe\n"
        + force
    ),
    st.lists(st.tuples(st.sampled_from(["call", "probe", "hook", "nonsense"]), st.lists(CONDITIONS, max_size=3))),
    st.sampled_from(["", "force\tclaude\n", "force\tcommand\n", "force\tno-such\n", "force\n"]),
)
CASES = st.builds(
    Case,
    table=TABLES,
    lineage=st.lists(LINES, max_size=5).map(tuple),
    argv=st.lists(WORDS, min_size=1, max_size=6).map(tuple),
    variables=st.sets(VARIABLES, max_size=3).map(tuple),
    leader=st.booleans(),
    complete=st.booleans(),
)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CASES)
def test_python_says_what_the_client_says(client: Client, case: Case) -> None:
    verdict, names = client.ask(case)
    assert [(found.name, found.script) for found in map(names_of, case.lineage)] == names
    assert case.in_python() == verdict


@pytest.mark.parametrize(
    ("agent", "argv", "variables", "leader", "label"),
    [
        ("claude", ("/bin/bash", "-c", "source /x/shell-snapshots/snapshot-1 && eval 'ls'"), (), True, Label.CALL),
        ("claude", ("/bin/bash", "-c", "env"), (), False, Label.PROBE),
        ("codex", ("/bin/bash", "-c", "ls"), ("CODEX_TOOL_CALL_ID",), True, Label.CALL),
        ("codex", ("/bin/sh", "-c", "notify"), (), True, Label.HOOK),
        ("opencode", ("/bin/bash", "-c", "ls"), (), True, Label.CALL),
        ("opencode", ("/bin/bash", "-c", "ls"), (), False, Label.HELPER),
        ("gemini", ("bash", "-c", "ls"), ("GEMINI_CLI",), True, Label.CALL),
        ("mini", ("/bin/sh", "-c", "ls"), (), True, Label.CALL),
        ("openhands", ("bash", "-i"), (), True, Label.HELPER),
        ("aider", ("/bin/sh", "-c", "pytest"), (), False, Label.CALL),
        ("inspect", ("bash", "--login", "-c", "ls"), (), False, Label.CALL),
    ],
)
def test_the_shells_of_each_agent(
    agent: str, argv: tuple[str, ...], variables: tuple[str, ...], leader: bool, label: Label
) -> None:
    lineage = (f"/opt/bin/{agent}\0--option\0".encode(), b"npx\0x\0")
    assert Case(rule_table(), lineage, argv, variables, leader).in_python() == Verdict(label, agent)
