"""`agentcgroup config`, and `run` with what is configured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentcgroup.daemon.config import load
from agentcgroup.daemon.config_keys import KEYS
from tests.cli.daemons import Host

BAD = """\
polcy = "none"
[settings]
freeze_s = "soon"
[run]
memory = "4 apples"
"""


DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "config.md"


def test_the_document_names_every_key_and_its_example_is_sound(host: Host) -> None:
    text = DOCUMENT.read_text()
    for key in KEYS:
        assert f"`{key.removeprefix('run.')}`" in text, key
    example = text.partition("## Example")[2].partition("## JSON")[0]
    file = host.folder / "example.toml"
    file.write_text("\n".join(line.removeprefix("    ") for line in example.splitlines()))
    found = load(file)
    assert (found.reserve_bytes, found.settings["freeze_s"], found.run["daemon"]) == (1 << 30, 20.0, "require")


def user_file(host: Host, text: str) -> Path:
    file = host.folder / "config" / "agentcgroup" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_check_names_every_fault_with_its_line(host: Host) -> None:
    file = host.folder / "bad.toml"
    file.write_text(BAD)
    done = host.call("config", "check", str(file))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"agentcgroup: {file}:1: there is no key 'polcy'; did you mean policy?",
        f'agentcgroup: {file}:5: run.memory cannot be \'4 apples\'; write a size, such as "512m" or "2g"',
        f'agentcgroup: {file}:3: settings.freeze_s cannot be \'soon\'; write a duration, such as "30s" or "10m"',
    ]


def test_check_of_a_sound_file(host: Host) -> None:
    file = host.folder / "good.toml"
    file.write_text('policy = "static"\n[settings]\nbudget_share = 0.3\n')
    done = host.call("config", "check", str(file))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: sound, policy static\n", "")
    assert host.call("config", "check", str(host.folder / "none.toml")).returncode == 2
    assert host.call("config", "check").returncode == 0


def test_check_imports_no_policy(host: Host) -> None:
    (host.folder / "traitor.py").write_text("raise SystemExit('imported')\n")
    environment = {"PYTHONPATH": str(host.folder)}
    assert host.call("config", "check", "--set", "policy=traitor:Policy", environment=environment).returncode == 0
    assert host.call("config", "show", "--set", "policy=traitor:Policy", environment=environment).returncode == 0


def test_show_says_where_each_value_comes_from(host: Host) -> None:
    file = user_file(host, '[run]\ncall_timeout = "10m"\n[settings]\nfreeze_s = 12\n')
    done = host.call("config", "show", "--json", "--set", "log_level=debug")
    found = json.loads(done.stdout)
    assert {"path": str(file), "read": True} in found["files"]
    values = {one["key"]: (one["value"], one["source"]) for one in found["values"]}
    assert values["run.call_timeout"] == (600.0, f"{file}:2")
    assert values["settings.freeze_s"] == (12.0, f"{file}:4")
    assert values["log_level"] == ("debug", "--set log_level=debug")
    assert values["policy"] == ("ladder", None)
    assert values["settings.queue_s"] == (60.0, None)
    assert values["run.memory"] == (None, None)
    text = host.call("config", "show").stdout
    assert "run.call_timeout" in text
    assert "10 m 0 s" in text
    assert f"{file}:2" in text


def test_run_takes_what_is_configured_and_the_command_line_counts_more(host: Host) -> None:
    user_file(
        host, 'policy = "none"\n[run]\ncall_timeout = "10m"\nsample_hz = 5\nkeep_background = 0\ndaemon = "off"\n'
    )
    trace = host.folder / "trace"
    done = host.call("run", "--quiet", "--sample-hz", "2", "--trace", str(trace), "--", "true")
    assert done.returncode == 0, done.stderr
    start = json.loads((trace / "records.jsonl").read_text().splitlines()[0])
    assert (start["call_timeout_s"], start["sample_hz"], start["keep_background_s"]) == (600.0, 2.0, 0.0)
    assert done.stderr.count("session ") == 0


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (BAD, (), ":1: there is no key 'polcy'; did you mean policy?"),
        ("[settings]\nfreeze_s = 5\n", ("--set", "queue_s=100"), "hold_s 90 is below queue_s 100"),
        ('policy = "nowhere.at.all:Policy"\n', (), "nowhere"),
    ],
)
def test_run_with_a_wrong_configuration_runs_nothing(host: Host, text: str, words: tuple[str, ...], said: str) -> None:
    user_file(host, text)
    made = host.folder / "made"
    done = host.call("run", "--trace", str(host.folder / "trace"), *words, "--", "touch", str(made))
    assert done.returncode == 2
    assert said in done.stderr
    assert not made.exists()


def test_configured_settings_are_of_the_configured_policy_only(host: Host) -> None:
    user_file(host, "[settings]\nfreeze_s = 5\n")
    words = ("run", "--quiet", "--trace", str(host.folder / "trace"), "--policy", "static", "--", "true")
    assert host.call(*words).returncode == 0


def test_the_configured_socket_is_where_the_daemon_is_looked_for(host: Host) -> None:
    host.daemon()
    user_file(host, f'socket = "{host.socket}"\n')
    assert "up " in host.call("status").stdout
    elsewhere = host.call("status", environment={"AGENTCGROUP_DAEMON": str(host.folder / "none")})
    assert elsewhere.returncode == 3


@pytest.mark.parametrize(
    "words",
    [
        ["daemon"], ["status"], ["session"], ["kill-log"], ["config"], ["run"],
        *(["session", name] for name in ("list", "show", "set-priority", "freeze", "thaw", "end")),
        ["config", "check"], ["config", "show"],
    ],
)  # fmt: skip
def test_help_has_an_example(host: Host, words: list[str]) -> None:
    done = host.call(*words, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert f"agentcgroup {' '.join(words)}" in done.stdout.partition("Example")[2]
