"""`agentcgroup kill-log` on logs that were really written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agentcgroup.cli import cli
from agentcgroup.cli.kill_log import instant
from agentcgroup.errors import UsageError
from agentcgroup.trace.kill_log import KillLog, KillRecord

NOW = datetime.now(UTC)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log with a kill of two days ago, one of now, and a damaged line between them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "kills.jsonl"
    old = (NOW - timedelta(days=2)).isoformat()
    kept = KillLog(path)
    kept.append(KillRecord("night", "c000001", "usage", "too much", command="pytest -x\x1b[31m", wall=old))
    with path.open("a") as file:
        file.write("{half\n")
    kept.append(
        KillRecord(
            "day", "c000002", "ladder-room", "no room", command="make -j64", memory_bytes=1 << 30,
            limit_bytes=2 << 30, pressure_percent=12.6,
        )
    )  # fmt: skip
    return path


def shown(*words: str) -> Result:
    return CliRunner().invoke(cli, ["kill-log", *words])


def test_all_are_shown_oldest_first_and_damage_is_said(log: Path) -> None:
    done = shown("--file", str(log))
    assert done.exit_code == 0
    first, second = (done.stdout.index(name) for name in ("night", "day"))
    assert first < second
    assert "1.0 GiB of 2.0 GiB" in done.stdout
    assert "13 %" in done.stdout
    assert "no room" in done.stdout
    assert "\x1b" not in done.stdout  # a command cannot paint the operator's terminal
    assert "skipped 1 damaged line(s)" in done.stderr


def test_json_is_one_object_a_line(log: Path) -> None:
    done = shown("--file", str(log), "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["session"] for one in found] == ["night", "day"]
    assert found[1]["memory_bytes"] == 1 << 30


@pytest.mark.parametrize(
    ("words", "sessions"),
    [
        (("--since", "1d"), ["day"]),
        (("--since", "3d"), ["night", "day"]),
        (("--since", (NOW - timedelta(hours=1)).isoformat()), ["day"]),
        (("--session", "night"), ["night"]),
        (("--session", "night", "--since", "1h"), []),
    ],
)
def test_only_some(log: Path, words: tuple[str, ...], sessions: list[str]) -> None:
    done = shown("--file", str(log), "--json", *words)
    assert [json.loads(line)["session"] for line in done.stdout.splitlines()] == sessions


def test_without_kills_there_is_a_sentence(tmp_path: Path) -> None:
    done = shown("--file", str(tmp_path / "none"), "--since", "1h", "--session", "x")
    assert done.exit_code == 0
    assert done.stdout.startswith("no call was killed in session x since ")


def test_the_configured_log_is_read(log: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "agentcgroup"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'kill_log = "{log}"\n')
    assert "make -j64" in shown().stdout


def test_an_instant_is_a_duration_or_a_date() -> None:
    assert instant("90m", NOW) == NOW - timedelta(minutes=90)
    assert instant("2026-11-20T12:00:00+00:00", NOW) == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert instant("2026-11-20", NOW).astimezone().hour == 0  # local time
    for wrong in ("yesterday", "", "99999999999999d", "2026-13-01"):
        with pytest.raises(UsageError, match="is no instant"):
            instant(wrong, NOW)
