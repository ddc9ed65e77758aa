"""The same workload recorded by `agentcgroup run` and looked at once a second: what the looks do not see."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from agentcgroup.kernel.delegation import plan_root
from agentcgroup.study.find import parse_set
from agentcgroup.study.load import Study, load
from tests.run.running import agent, start
from tests.study.build import Json
from tests.study.metrics.made import values

pytestmark = pytest.mark.kernel
MB = 1_000_000
BURST_MB = 150
SHORT = 6  # calls

# A call needs its memory for a moment only, and begins just after a look: what a sampler misses by chance is missed.
SOURCE = f"""
    def after_a_look(command):
        looks = len([name for name in os.listdir() if name.startswith("look")])
        while not os.path.exists(f"look{{looks + 1}}"):
            time.sleep(0.01)
        sh(command)

    time.sleep(1)
    after_a_look("dd if=/dev/zero of=/dev/null bs={BURST_MB}MB count=1")
    for number in range({SHORT}):
        after_a_look(":")
"""


class Looks:
    """A sampler as in the published harness: memory and the average load since the start, once a second."""

    def __init__(self, cgroup: Path, folder: Path) -> None:
        self.taken: list[Json] = []
        self.cpu_s = 0.0
        self._cgroup, self._folder = cgroup, folder
        self._begin = 0.0

    def follow(self, process: subprocess.Popen[str]) -> None:
        """Look until the process has ended."""
        while process.poll() is None:
            began = time.monotonic()
            self._look()
            while process.poll() is None and time.monotonic() < began + 1:
                time.sleep(0.01)

    def _look(self) -> None:
        try:
            used = int((self._cgroup / "memory.current").read_text())
            stat = dict(line.split() for line in (self._cgroup / "cpu.stat").read_text().splitlines())
        except (FileNotFoundError, OSError):
            return  # not there yet, or no more
        now = time.time()
        self._begin = self._begin or now - 0.3
        self.cpu_s = int(stat["usage_usec"]) / 1e6
        share = 100 * self.cpu_s / (now - self._begin)
        local = datetime.fromtimestamp(now, UTC).replace(tzinfo=None).isoformat()
        memory = f"{used / MB:.1f}MB / 4GB"
        self.taken.append({"timestamp": local, "epoch": now, "mem_usage": memory, "cpu_percent": f"{share:.2f}%"})
        (self._folder / f"look{len(self.taken)}").touch()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Looks]:
    """A study with the sets ``recorded`` and ``sampled`` of one run, and the sampler."""
    folder = tmp_path_factory.mktemp("both")
    process = start(folder, agent(folder, SOURCE), "--name", "beats-sampling", "--sample-hz", "10", "--memory", "1g")
    looks = Looks(plan_root().cgroup / "agentcgroup" / "beats-sampling", folder)
    looks.follow(process)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    sampled = folder / "sampled"
    sampled.mkdir()
    (sampled / "resources.json").write_text(json.dumps({"samples": looks.taken}))
    (sampled / "results.json").write_text(json.dumps({"image": "none"}))
    sets = [parse_set("recorded=trace"), parse_set("sampled=sampled")]
    return load([folder], sets, everything=True), looks


def test_the_counters_have_every_call_and_the_sampler_has_not(both: tuple[Study, Looks]) -> None:
    study, looks = both
    recorded = study.only(pl.col("set") == "recorded")
    calls = recorded.calls
    assert calls.height == 1 + SHORT
    assert calls["memory_peak_bytes"][0] > BURST_MB * MB
    assert calls["memory_peak_bytes"].min() > 0  # type: ignore[operator]
    assert calls["cpu_time_s"].min() > 0  # type: ignore[operator]
    zero = recorded.sessions["start_epoch_s"][0]
    instants = [float(str(one["epoch"])) - zero for one in looks.taken]
    spans = calls.select("start_s", "end_s").rows()
    seen = [any(start <= at <= end for at in instants) for start, end in spans]
    # Most begin and end between two looks; on a slow and busy machine some last until the next.
    assert not all(seen[1:]), (instants, spans)


def test_the_sampler_takes_an_idle_agent_for_the_peak(both: tuple[Study, Looks]) -> None:
    study, looks = both
    sampled, recorded = (study.only(pl.col("set") == name) for name in ("sampled", "recorded"))
    counted = values(recorded, "memory_level")["peak by the kernel's counter", "greatest"]
    seen = values(sampled, "memory_level")["peak of the samples", "greatest"]
    assert counted is not None
    assert seen is not None
    assert counted > BURST_MB * MB
    assert seen < counted / 2
    assert looks.cpu_s < recorded.sessions["cpu_time_s"][0]  # the last call came after the last look


def test_the_report_says_what_a_sampler_would_have_missed(both: tuple[Study, Looks]) -> None:
    """From the recording alone: a sampler made of its own samples, of each second the first."""
    study, _ = both
    found = values(study.only(pl.col("set") == "recorded"), "missed_by_sampling")
    assert found["calls", "unseen"] is not None
    assert 0 <= found["calls", "unseen"] <= 1
    assert found["peak of the session, missed", "median"] is not None
    assert found["CPU of the session, missed", "median"] is not None
    assert found["CPU of the session, missed", "median"] > 0
    assert found["peak of a call", "missed, mean"] is not None
