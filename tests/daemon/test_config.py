"""The configuration: three places, last one wins; what is wrong is named with its place and how to mend it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.daemon import config, config_files
from agentcgroup.daemon.config import Config, examine, load
from agentcgroup.daemon.config_keys import KEYS, settings_of
from agentcgroup.errors import UsageError
from agentcgroup.policy import registry


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No file of this machine is read: that of the system and that of the user are below ``tmp_path``."""
    monkeypatch.setattr(config_files, "SYSTEM_FILE", tmp_path / "etc.toml")
    monkeypatch.setattr(config, "SYSTEM_FILE", tmp_path / "etc.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "agentcgroup").mkdir()
    return tmp_path


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


def problem(text: str, folder: Path) -> str:
    """The one thing that is wrong with a file."""
    file = write(folder, "one.toml", text)
    _, problems = examine(file)
    assert len(problems) == 1, problems
    return str(problems[0]).replace(str(file), "FILE")


def test_without_files_all_is_default() -> None:
    found = load()
    assert found == Config()
    assert found.make_policy().name == "ladder"
    assert found.value("kill_log_size") == 16 << 20
    assert found.value("settings.freeze_s") == 30


def test_the_last_place_wins_and_is_named(own_home: Path) -> None:
    system = write(own_home, "etc.toml", 'reserve = "1g"\nlog_level = "error"\n[run]\nmemory = "4g"\npids = 100\n')
    user = write(own_home, "agentcgroup/config.toml", 'log_level = "warning"\n[run]\nmemory = "2g"\n')
    found = load(sets=["run.call_timeout=10m"], files=config_files.files_of_a_command())
    assert found.reserve_bytes == 1 << 30
    assert found.log_level == "warning"
    assert found.run == {"memory": 2 << 30, "pids": 100, "call_timeout": 600.0}
    assert found.sources == {
        "reserve": f"{system}:1",
        "log_level": f"{user}:1",
        "run.memory": f"{user}:3",
        "run.pids": f"{system}:5",
        "run.call_timeout": "--set run.call_timeout=10m",
    }


def test_a_given_file_is_the_only_one(own_home: Path) -> None:
    write(own_home, "etc.toml", 'log_level = "error"')
    assert load(write(own_home, "other.toml", 'reserve = "1m"')).log_level == "info"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('polcy = "none"', "FILE:1: there is no key 'polcy'; did you mean policy?"),
        ('\npolicy = "laddr"', "FILE:2: there is no policy 'laddr'; did you mean ladder?"),
        ("policy = 3", "FILE:1: policy cannot be 3; write a name, such as"),
        ('policy = ["none"]', "FILE:1: policy cannot be a list; write a name"),
        ('reserve = "lots"', "FILE:1: reserve cannot be 'lots'; write a size, such as"),
        ("reserve = -1", "FILE:1: reserve cannot be -1; write a size"),
        ("reserve = true", "FILE:1: reserve cannot be true; write a size"),
        ('socket = "relative"', "FILE:1: socket cannot be 'relative'; write an absolute path"),
        ('log_level = "loud"', 'FILE:1: log_level cannot be \'loud\'; write one of "debug", "info"'),
        ("settings = 3", "FILE:1: settings is a table; write a line [settings]"),
        ('freeze_s = "3s"', "FILE:1: there is no key 'freeze_s'; did you mean settings.freeze_s?"),
        ("[run]\nmemmory = 1", "FILE:2: there is no key 'run.memmory'; did you mean run.memory?"),
        ("[run]\nzzz = 1", "FILE:2: there is no key 'run.zzz'; there are run.daemon, run.memory"),
        ("[run]\ncpu-weight = 1", "FILE:2: there is no key 'run.cpu-weight'; did you mean run.cpu_weight?"),
        ("[run]\ncpu_weight = 10001", "FILE:2: run.cpu_weight cannot be 10001; write a whole number from 1 to 10000"),
        ("[run]\nsample_hz = nan", "FILE:2: run.sample_hz cannot be nan"),
        ("[zzz]", "FILE:1: there is no key 'zzz'; there are policy"),
        ("[settings]\nfreze_s = 1", "FILE:2: the policy ladder has no setting 'freze_s'; did you mean freeze_s?"),
        ('policy = "none"\n[settings]\nx = 1', "FILE:3: the policy none has no setting 'x'; it has none"),
        ("[settings]\nfreeze_s = 'long'", "FILE:2: settings.freeze_s cannot be 'long'; write a duration"),
        ("[settings]\nrefuse = 1", "FILE:2: settings.refuse cannot be 1; write true or false"),
        ("[settings]\nfreeze_s = 0", "FILE:2: freeze_s 0 must be above 0; leave it out for its default"),
        ("settings = { freeze_s = 0 }", "FILE:1: freeze_s 0 must be above 0"),
        ("a = = b", "FILE is not TOML: "),
        ("reserve = '\\x1b[31m'", "FILE:1: reserve cannot be '\\\\x1b[31m'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_mending(text: str, said: str, tmp_path: Path) -> None:
    assert problem(text, tmp_path).startswith(said)


def test_all_that_is_wrong_is_found_at_once(tmp_path: Path) -> None:
    file = write(tmp_path, "many.toml", 'polcy = 1\nreserve = "x"\nlog_level = "error"\n[settings]\nfreze_s = 1\n')
    found, problems = examine(file, ["nonsense", "run.pids=0"])
    assert len(problems) == 5
    assert found.log_level == "error"  # what is sound is there
    assert (found.settings, found.reserve_bytes) == ({}, 0)
    with pytest.raises(UsageError, match="polcy"):
        load(file)


def test_numbers_that_do_not_fit_together_name_all_their_places(tmp_path: Path) -> None:
    said = problem("[settings]\ncalm_share = 0.95\n", tmp_path)
    assert said.startswith("FILE:2: calm_share 0.95, tight_share 0.9")


def test_settings_are_written_as_people_write_them(tmp_path: Path) -> None:
    text = 'policy = "static"\n[settings]\ncall_bytes = "64m"\n'
    assert load(write(tmp_path, "a.toml", text)).settings == {"call_bytes": 64 << 20}
    text = '[settings]\nfreeze_s = "1m"\nvictim_least_bytes = 1048576\nrefuse = true\n'
    found = load(write(tmp_path, "b.toml", text))
    assert found.settings == {"freeze_s": 60.0, "victim_least_bytes": 1 << 20, "refuse": True}
    found.make_policy()


def test_a_file_that_names_another_policy_begins_without_settings(own_home: Path) -> None:
    write(own_home, "etc.toml", "[settings]\nfreeze_s = 5\n")
    write(own_home, "agentcgroup/config.toml", 'policy = "static"\n')
    files = config_files.files_of_a_command()
    assert load(files=files).settings == {}
    assert load(files=files, sets=["policy=ladder"]).settings == {}
    write(own_home, "agentcgroup/config.toml", 'policy = "ladder"\n')
    assert load(files=files).settings == {"freeze_s": 5.0}


def test_nothing_is_run_and_nothing_imported(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(own_home, "traitor.py", "open('was-imported', 'w')\nclass Policy: pass\n")
    monkeypatch.syspath_prepend(own_home)
    monkeypatch.chdir(own_home)
    _, problems = examine(None, ["policy=traitor:Policy", "settings.x=__import__('os')"])
    assert problems == []
    assert not (own_home / "was-imported").exists()


def test_the_settings_known_here_are_those_of_the_registry() -> None:
    for name in registry.names():
        known = settings_of(name)
        assert known is not None
        with pytest.raises(UsageError) as caught:
            registry.policy(name, no_such_setting=1)
        listed = caught.value.fix.removeprefix("there are ").split(", ") if known else []
        assert sorted(known) == sorted(listed)
        defaults = {key: one.default for key, one in known.items()}
        assert registry.policy(name, **defaults) == registry.policy(name)


def test_defaults_are_values_that_may_be_written() -> None:
    for key, one in KEYS.items():
        if one.default is not None:
            assert one.check(one.default) == one.default, key


def test_the_place_is_found_behind_headers_and_quotes(tmp_path: Path) -> None:
    text = '# reserve = 1\n"reserve" = "x"\n'
    assert problem(text, tmp_path).startswith("FILE:2: reserve")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path / "none.toml", "there is no"),
        (folder, "is not a regular file"),
        (write(tmp_path, "long.toml", "#" * (2 << 20)), "larger than a configuration"),
    ):
        with pytest.raises(UsageError, match=said):
            load(path)
    odd = tmp_path / "odd.toml"
    odd.write_bytes(b"reserve = '\xff'")
    with pytest.raises(UsageError, match="UTF-8"):
        load(odd)


@pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")
def test_root_obeys_nobody_else(own_home: Path) -> None:
    user = write(own_home, "agentcgroup/config.toml", 'policy = "none"\n')
    assert load().policy == "ladder"  # the daemon of root does not read it at all
    assert load(files=config_files.files_of_a_command()).policy == "none"
    os.chown(user, 12345, 12345)
    with pytest.raises(UsageError, match="belongs to user 12345"):
        load(files=config_files.files_of_a_command())
    open_to_all = write(own_home, "etc.toml", 'policy = "none"\n')
    open_to_all.chmod(0o666)
    with pytest.raises(UsageError, match="can be changed by everybody"):
        load()


def test_the_hosts_socket_and_log_are_not_those_of_a_users_daemon(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    write(own_home, "etc.toml", 'socket = "/run/host"\nkill_log = "/var/host"\nreserve = "1g"\n')
    assert (load().socket, load().kill_log, load().reserve_bytes) == (None, None, 1 << 30)
    found = load(files=config_files.files_of_a_command())
    assert (found.socket, found.kill_log) == (Path("/run/host"), None)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(key=st.sampled_from(sorted(KEYS)), value=VALUES)
def test_any_value_is_taken_or_refused_with_words(key: str, value: object) -> None:
    try:
        KEYS[key].check(value)
    except (UsageError, TypeError, ValueError, RuntimeError):
        return


@given(st.text(max_size=200))
def test_any_word_after_set_is_taken_or_refused_with_words(word: str) -> None:
    _, problems = examine(None, [word])
    for one in problems:
        assert one.message.startswith("--set ")
        assert one.fix


@given(st.binary(max_size=300))
def test_any_file_is_taken_or_refused_with_words(data: bytes) -> None:
    file = Path(os.environ["XDG_CONFIG_HOME"]) / "any.toml"
    file.write_bytes(data)
    _, problems = examine(file)
    for one in problems:
        assert one.message.startswith(str(file))
        assert one.fix
