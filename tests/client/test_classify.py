"""What is this shell? Real processes: launchers, agents, titles, sessions; and every condition of a rule."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentcgroup.client.image import client_binary, write_stand_ins
from agentcgroup.client.wire import Note, Start
from tests.client.harness import REAL, Controller, Session

PYTHON = str(Path(sys.executable).resolve())

# An agent: starts each shell of its last argument (JSON), one after the other.
AGENT = """
import json, subprocess, sys
for one in json.loads(sys.argv[-1]):
    subprocess.run(one["argv"], executable=one["path"], env=one["env"], start_new_session=one["sid"], check=True)
"""

RULES = """launchers\tbash\tsh\tdash\tnpx\tnpm\tuvx\tenv\tnice\ttimeout
agent\tclaude\tclaude\tclaude.exe
rule\thook\tsid\tchild\targc=3\targ0$sh\targ1=-c\targ2~hook
rule\tprobe\targ1=-c\targ2=true # env
rule\tcall\tsid\tchild\targ1=-c
agent\tcodex\tcodex
rule\tprobe\tnoenv=CODEX_TOOL_CALL_ID
rule\tcall\tsid
"""


@dataclass(frozen=True)
class Seen:
    """What the controller heard of one shell."""

    label: str
    agent: str
    tool_call_id: str = ""


class Ground:
    """A COMMAND that runs launchers and agents whose shells are stand-ins."""

    def __init__(self, session: Session, controller: Controller, folder: Path) -> None:
        self.session, self.controller, self.folder = session, controller, folder
        self.rules = RULES
        self.changes: dict[str, Any] = {}
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        self.bash, self.sh = bin_folder / "bash", bin_folder / "sh"

    def program(self, name: str, text: str = AGENT) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    def shell(self, *argv: str, sid: bool = True, env: dict[str, str] | None = None) -> dict[str, Any]:
        """One shell for an agent to start; ``true`` as its text unless given."""
        path = self.sh if Path(argv[0]).name == "sh" else self.bash
        words = list(argv) if len(argv) > 1 else [argv[0], "-c", "true"]
        return {"argv": words, "path": str(path), "sid": sid, "env": {"PATH": os.environ["PATH"], **(env or {})}}

    def run(self, command: list[str], *shells: dict[str, Any]) -> list[Seen]:
        """Runs COMMAND with the shells as its last argument; what was seen, in order."""
        argv = [str(REAL["sh"]), "-c", 'read go; exec "$@"', "sh", *command, json.dumps(shells)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE) as root:
            config = dataclasses.replace(
                self.session.config, root_pid=root.pid, rules=self.rules, real=str(REAL["bash"]), **self.changes
            )
            write_stand_ins(
                client_binary(), {self.bash: config, self.sh: dataclasses.replace(config, real=str(REAL["sh"]))}
            )
            root.communicate(b"go\n")
        assert root.returncode == 0
        connections = self.controller.settled()
        return [
            Seen(m.label, m.agent) if isinstance(m, Note) else Seen("call", m.agent, m.tool_call_id)
            for connection in connections
            for m in connection.messages
            if isinstance(m, Note | Start)
        ]


@pytest.fixture
def ground(session: Session, controller: Controller, tmp_path: Path) -> Ground:
    return Ground(session, controller, tmp_path)


CALL = Seen("call", "claude")


def _title(title: str) -> list[str]:
    """Python under another command line: argv[0] as a program that sets its title shows it."""
    return [str(REAL["bash"]), "-c", 'exec -a "$0" "$@"', title, PYTHON]


def test_every_condition_of_the_rules(ground: Ground) -> None:
    shells = [
        (ground.shell("bash"), CALL),
        (ground.shell("bash", sid=False), Seen("helper", "claude")),
        (ground.shell("bash", "-c", "true # env"), Seen("probe", "claude")),
        (ground.shell("bash", "-c", "true # env", sid=False), Seen("probe", "claude")),
        (ground.shell("sh", "-c", "true # hook"), Seen("hook", "claude")),
        (ground.shell("/bin/sh", "-c", "true # hook"), Seen("hook", "claude")),
        (ground.shell("sh", "-c", "true # hook", "x"), CALL),
        (ground.shell("bash", "-lc", "true"), Seen("helper", "claude")),
    ]
    seen = ground.run([PYTHON, ground.program("claude")], *(shell for shell, _ in shells))
    assert seen == [expected for _, expected in shells]


def test_conditions_on_the_environment(ground: Ground) -> None:
    seen = ground.run(
        [PYTHON, ground.program("codex")],
        ground.shell("bash"),
        ground.shell("bash", env={"CODEX_TOOL_CALL_ID": "call_1"}),
        ground.shell("bash", env={"CODEX_TOOL_CALL_ID": ""}),
        ground.shell("bash", env={"CODEX_TOOL_CALL_IDS": "x"}),
        ground.shell("bash", env={"CODEX_TOOL_CALL_ID": "x" * 5000}),
    )
    probe = Seen("probe", "codex")
    assert seen == [
        probe,
        Seen("call", "codex", "call_1"),
        Seen("call", "codex"),
        probe,
        Seen("call", "codex", "x" * 256),
    ]


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("argc=3", True),
        ("argc=2", False),
        ("argc=x", False),
        ("arg0=bash", True),
        ("arg1=-c", True),
        ("arg1=-", False),
        ("arg2^true #", True),
        ("arg2^rue", False),
        ("arg2$marker", True),
        ("arg2$mark", False),
        ("arg2~e # m", True),
        ("arg2~x", False),
        ("arg2!~x", True),
        ("arg2!~mark", False),
        ("arg3=x", False),
        ("arg3!~x", True),
        ("arg99999999999=x", False),
        ("arg=x", False),
        ("arg2", False),
        ("arg2!", False),
        ("arg2?x", False),
        ("env=PATH", True),
        ("env=PAT", False),
        ("env=", False),
        ("noenv=PATH", False),
        ("noenv=NO_SUCH", True),
        ("sid", True),
        ("nosid", False),
        ("child", True),
        ("nochild", False),
        ("", False),
        ("unheard-of", False),
    ],
)
def test_a_condition(ground: Ground, condition: str, holds: bool) -> None:
    ground.rules = f"agent\tmine\tmine\nrule\tprobe\t{condition}\n"
    (seen,) = ground.run([PYTHON, ground.program("mine")], ground.shell("bash", "-c", "true # marker"))
    assert seen == Seen("probe" if holds else "helper", "mine")


def test_launchers_are_not_the_agent(ground: Ground) -> None:
    claude = ground.program("claude")
    script = ground.program("start.sh", f'#!{REAL["bash"]}\n{PYTHON} {claude} "$@"; exit $?\n')
    chains = [
        [PYTHON, claude],
        ["env", "A=1", "nice", "-n", "1", PYTHON, claude],
        ["timeout", "60", PYTHON, claude],
        [script],
        [str(REAL["bash"]), script],
        [str(REAL["sh"]), "-c", f'{PYTHON} {claude} "$@"; exit $?', "sh"],
    ]
    for chain in chains:
        ground.controller.clear()
        assert ground.run(chain, ground.shell("bash")) == [CALL], chain


RUN_SHELL = """
import subprocess, sys
command = '%s "$1"; exit $?'
subprocess.run(["sh", "-c", command, "sh", sys.argv[-1]], executable="%s", check=True)
"""


@pytest.mark.parametrize("title", ["npx", "npm exec @anthropic-ai/claude-code", "/usr/bin/uvx"])
def test_the_shells_of_launchers_are_labelled(ground: Ground, title: str) -> None:
    """npx and npm start what they were asked for through `sh -c`, which is a stand-in too."""
    claude = ground.program("claude")
    launcher = ground.program("launch", RUN_SHELL % (f"{PYTHON} {claude}", ground.sh))
    seen = ground.run([*_title(title), launcher], ground.shell("bash"))
    assert seen == [Seen("launcher", "generic"), CALL]


def test_an_unknown_program_is_generic(ground: Ground) -> None:
    home_made = ground.program("home_made.py")
    seen = ground.run(["env", PYTHON, home_made], ground.shell("bash"), ground.shell("bash", sid=False))
    assert seen == [Seen("call", "generic")] * 2


def test_the_highest_unknown_program_is_the_agent(ground: Ground) -> None:
    """Its children may be anything: what they start belongs to it."""
    worker = ground.program("worker.py")
    boss = ground.program(
        "boss.py", f"import subprocess, sys\nsubprocess.run(['{PYTHON}', '{worker}', sys.argv[-1]])\n"
    )
    ground.rules = "launchers\tbash\nagent\tgeneric\nrule\tcall\tnochild\nrule\thelper\n"
    assert ground.run([PYTHON, boss], ground.shell("bash")) == [Seen("call", "generic")]


def test_a_known_agent_below_an_unknown_program(ground: Ground) -> None:
    claude = ground.program("claude")
    boss = ground.program(
        "boss.py", f"import subprocess, sys\nsubprocess.run(['{PYTHON}', '{claude}', sys.argv[-1]])\n"
    )
    assert ground.run([PYTHON, boss], ground.shell("bash")) == [CALL]


@pytest.mark.parametrize(
    "words",
    [
        ["claude"],
        ["my dir/claude"],
        ["-u", "-X", "dev", "claude"],
        ["-u", "-W", "ignore", "claude"],
        ["-m", "claude"],
        ["-um", "claude"],
        ["-mclaude"],
    ],
)
def test_the_script_of_an_interpreter(ground: Ground, words: list[str]) -> None:
    for name in ("claude", "claude.py", "my dir/claude"):
        ground.program(name)
    seen = ground.run(["env", "-C", str(ground.folder), PYTHON, *words], ground.shell("bash"))
    assert seen == [CALL]


def test_a_script_that_only_begins_with_the_name_is_another(ground: Ground) -> None:
    assert ground.run([PYTHON, ground.program("claude.py")], ground.shell("bash")) == [Seen("call", "generic")]


@pytest.mark.parametrize(
    ("title", "known"),
    [
        ("claude", True),
        ("/opt/bin/claude", True),
        ("claude --resume", True),
        ("-claude", True),
        ("node /usr/lib/claude -p", True),
        ("node /usr/lib/claude.js -p", False),
        ("node --import tsx /usr/lib/claude", True),
        ("bun run claude", True),
        ("node server.js claude", False),
        ("claude-like", False),
        ("notclaude", False),
        ("perl -e claude", False),
        ("vim claude", False),
        ("x" * 70 + "/claude", True),
    ],
)
def test_names_and_titles(ground: Ground, title: str, known: bool) -> None:
    agent = ground.program("other.py")
    (seen,) = ground.run([*_title(title), agent], ground.shell("bash"))
    assert seen == (CALL if known else Seen("call", "generic"))


def test_the_agent_can_be_forced(ground: Ground) -> None:
    home_made = ground.program("home_made.py")
    for forced, label in (("claude", "call"), ("codex", "probe"), ("generic", "call"), ("command", "call")):
        ground.controller.clear()
        ground.rules = RULES + f"force\t{forced}\n"
        assert ground.run([PYTHON, home_made], ground.shell("bash")) == [Seen(label, forced)]


def test_a_forced_agent_is_not_mistaken_for_another(ground: Ground) -> None:
    ground.rules = RULES + "force\tgeneric\n"
    assert ground.run([PYTHON, ground.program("claude")], ground.shell("bash", sid=False)) == [Seen("call", "generic")]


def test_an_orphan_is_a_call(ground: Ground) -> None:
    """A daemon of the agent (a tmux server) hangs below init: the chain does not reach COMMAND."""
    daemon = (
        "import json, os, subprocess, sys, time\n"
        "above = os.getpid()\n"
        "if os.fork() == 0:\n"
        "    while os.getppid() == above: time.sleep(0.001)\n"
        "    one = json.loads(sys.argv[-1])[0]\n"
        "    subprocess.run(one['argv'], executable=one['path'], env=one['env'], start_new_session=True)\n"
        "    os._exit(0)\n"
    )
    server = ground.program("server.py", daemon)
    agent = f"import subprocess, sys, time\nsubprocess.run(['{PYTHON}', '{server}', sys.argv[-1]])\ntime.sleep(0.3)\n"
    assert ground.run([PYTHON, ground.program("claude", agent)], ground.shell("bash")) == [Seen("call", "generic")]


def test_command_itself_is_no_call(ground: Ground) -> None:
    """COMMAND can be a shell: it is root_pid, and becomes the real one without a word."""
    claude = ground.program("claude")
    seen = ground.run([str(ground.bash), "-c", f'{PYTHON} {claude} "$@"; exit $?', "bash"], ground.shell("bash"))
    assert seen == [CALL]


def test_outside_of_the_session_nothing_happens(ground: Ground) -> None:
    ground.changes = {"agent_cgroup": "/somewhere/else"}
    assert ground.run([PYTHON, ground.program("claude")], ground.shell("bash")) == []


def test_without_cgroups_the_ancestors_tell(ground: Ground) -> None:
    ground.changes = {"no_cgroup": True, "calls_dir": "", "agent_cgroup": "", "calls_cgroup": ""}
    nested = f"{ground.sh} -c '{ground.bash} -c true; true'; sleep 0.02; {ground.sh} -c true"
    seen = ground.run([PYTHON, ground.program("claude")], ground.shell("bash", "-c", nested), ground.shell("bash"))
    assert seen == [CALL, CALL]


def test_a_deep_tree(ground: Ground) -> None:
    """More ancestors than the client looks at are a broken chain, not a crash."""
    text = f'#!{REAL["sh"]}\nn=$1; shift\n[ $n = 0 ] || {{ "$0" $((n-1)) "$@"; exit $?; }}\n"$@"; exit $?\n'
    deep, claude = ground.program("deep.sh", text), ground.program("claude")
    assert ground.run([deep, "20", PYTHON, claude], ground.shell("bash")) == [CALL]
    ground.controller.clear()
    text = f"import subprocess, sys\nsubprocess.run(['{deep}', '80', '{PYTHON}', '{claude}', sys.argv[-1]])\n"
    assert ground.run([PYTHON, ground.program("boss", text)], ground.shell("bash")) == [Seen("call", "generic")]


@pytest.mark.parametrize("rules", ["", "\n\n\t\t\n", "rule\tcall\n", "agent\n", "agent\t\nrule\tprobe\n", "x" * 16000])
def test_a_table_that_says_nothing(ground: Ground, rules: str) -> None:
    ground.rules = rules
    assert ground.run([PYTHON, ground.program("claude")], ground.shell("bash")) == [Seen("call", "generic")]


def test_an_unknown_label_is_no_rule(ground: Ground) -> None:
    ground.rules = "agent\tclaude\tclaude\nrule\tevil\nrule\tprobe\n"
    assert ground.run([PYTHON, ground.program("claude")], ground.shell("bash")) == [Seen("probe", "claude")]


def test_a_note_carries_the_command_line(ground: Ground, controller: Controller) -> None:
    ground.rules = "agent\tclaude\tclaude\nrule\tprobe\n"
    long = "true " + "x" * 9000
    ground.run([PYTHON, ground.program("claude")], ground.shell("bash", "-c", long))
    (note,) = controller.connections[0].messages
    assert isinstance(note, Note)
    assert note.argv_bytes == len("bash\0-c\0") + len(long) + 1
    assert note.argv == ("bash", "-c", long[: 4096 - len("bash\0-c\0")])
    assert note.pid == controller.connections[0].senders[0]
