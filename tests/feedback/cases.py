"""The calls whose texts are golden: one per thing that an agent can be told, and per kind of advice."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentcgroup.feedback.text import explain
from agentcgroup.feedback.told import NOTHING, Told
from agentcgroup.model import CallEnd, Leftovers, Limits, Outcome, Usage

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Case:
    """One call that ended, and what there is to know about it."""

    command: str
    outcome: Outcome = Outcome.OK
    peak: int | None = 900 * MIB
    limits: Limits = field(default_factory=lambda: Limits(memory_max_bytes=GIB, pids_max=160))
    budget: int | None = 4 * GIB
    told: Told = NOTHING
    status: int = 0
    reason: str = ""
    leftovers: Leftovers = field(default_factory=Leftovers)

    def text(self) -> str:
        """What its agent reads."""
        oom = 1 if self.outcome is Outcome.OOM else 0
        end = CallEnd(
            "c000007",
            0,
            0,
            self.status,
            0,
            self.outcome,
            Usage(memory_peak_bytes=self.peak, oom_kill_events=oom),
            self.leftovers,
            self.reason,
        )
        argv = ("bash", "-c", self.command)
        return explain(end, self.limits, argv=argv, told=self.told, budget_bytes=self.budget)


SHARED = Limits(pids_max=160)
SLOWED = Limits(memory_high_bytes=GIB, pids_max=160)


def oom(command: str, **more: object) -> Case:
    return Case(command, Outcome.OOM, GIB, status=137, **more)  # type: ignore[arg-type]


CASES: dict[str, Case] = {
    "oom-pytest-tree": oom("cd repo && python -m pytest tests 2>&1 | tail -20"),
    "oom-pytest-workers": oom("pytest -n 8 -q"),
    "oom-pytest-file": oom("pytest -n auto tests/test_big.py"),
    "oom-make": oom("make -j64"),
    "oom-ninja": oom("ninja -C out", budget=2 * GIB, limits=SHARED),
    "oom-cargo-test": oom("cargo test"),
    "oom-go-test": oom("go test ./..."),
    "oom-gradle": oom("./gradlew build"),
    "oom-jest": oom("npx jest --maxWorkers=8"),
    "oom-npm-install": oom("npm ci"),
    "oom-npm-build": oom("npm run build"),
    "oom-host-full": oom("npm run build", limits=SHARED, told=Told(host_full=True)),
    "oom-pip-install": oom("pip install torch"),
    "oom-snippet-csv": oom("python -c 'import pandas; d = pandas.read_csv(\"big.csv\")'"),
    "oom-snippet-read": oom("python3 - <<'EOF'\ntext = open('big.log').read()\nEOF"),
    "oom-script": oom("python train.py --epochs 3"),
    "oom-docker-build": oom("docker build -t app ."),
    "oom-docker-run": oom("docker run --rm -v $PWD:/src app make -j64"),
    "oom-make-tree": oom("cd /src && bash -lc 'cmake --build build -j64'"),
    "oom-search": oom("grep -r needle /"),
    "oom-unknown": oom("./solve --depth 9"),
    "oom-budget-reached": oom("make -j8", budget=GIB, limits=SHARED),
    "oom-shared-limit": Case(
        "node report.js",
        Outcome.OOM,
        1200 * MIB,
        SHARED,
        2 * GIB,
        Told(neighbours=(("c000004", 600 * MIB), ("c000005", 200 * MIB), ("c000006", 20 * MIB))),
        status=137,
    ),
    "oom-in-a-pipeline": Case("pytest tests | tail -5", Outcome.OOM, GIB),
    "oom-without-budget": oom("pytest tests", budget=None),
    "killed-by-policy": Case(
        "pytest -n 4 tests",
        Outcome.KILLED,
        1700 * MIB,
        SHARED,
        told=Told(
            throttled_s=4.2,
            frozen_s=30.0,
            killed_rule="session-out-of-room",
            killed_reason="the calls of the session are out of room for 1.2 s, and freezing others did not help; "
            "of the lowest priority it grew most (1.7 GiB)",
            neighbours=(("make -j8", 2 * GIB),),
        ),
        status=137,
    ),
    "timed-out": Case(
        "pytest tests",
        Outcome.TIMED_OUT,
        reason="ran longer than --call-timeout (600 s)",
        status=137,
    ),
    "timed-out-unknown": Case("./solve", Outcome.TIMED_OUT, reason="ran longer than --call-timeout (600 s)"),
    "pids": Case("make -j500", Outcome.PIDS, 40 * MIB, status=2),
    "pids-unknown": Case("./fork-many", Outcome.PIDS, 40 * MIB, status=1),
    "throttled": Case("cargo build", limits=SLOWED, peak=GIB, told=Told(throttled_s=12.4)),
    "frozen": Case("npm install", limits=SHARED, told=Told(throttled_s=0.4, frozen_s=3.0)),
    "queued": Case("pytest tests/a.py", limits=SHARED, peak=300 * MIB, told=Told(queued_s=41.0)),
    "refused": Case(
        "make -j8",
        Outcome.FAILED,
        None,
        SHARED,
        told=Told(
            queued_s=60.0, refused_reason="no room for 3.0 GiB in 1 m 0 s: try again later, or with less at a time"
        ),
        status=75,
    ),
    "hint-problems": Case(
        "AGENT_RESOURCE_HINT=memory=2g,disk:3 pytest tests/a.py",
        told=Told(
            hint_problems=(
                "The hint 'memory=2g' was ignored: write a colon, such as memory:2g.",
                "The hint 'disk:3' was ignored: known are memory:2g, cpu:2, time:10m, priority:low.",
            )
        ),
    ),
    "hint-verdict": Case(
        "AGENT_RESOURCE_HINT=memory:300m pytest tests/a.py",
        told=Told(
            hint_verdict="It declared 300 MiB of memory and used 900 MiB: declare memory:1536m for such a command."
        ),
    ),
    "leftovers": Case("npm run dev & sleep 1", leftovers=Leftovers(killed=3)),
    "one-leftover": Case("sleep 100 &", leftovers=Leftovers(killed=1)),
}
