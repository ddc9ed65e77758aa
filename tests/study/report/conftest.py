from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentcgroup.study.compute import compute
from agentcgroup.study.engine import Inline
from agentcgroup.study.find import parse_set
from agentcgroup.study.load import Study, load
from agentcgroup.study.metrics import METRICS
from agentcgroup.study.number import Metric, Number
from tests.study.build import call, write_run
from tests.study.metrics.made import curve

ROOT = Path(__file__).parents[3]
TRACES = Path(os.environ.get("AGENTCGROUP_TRACES", ROOT.parent / "shared" / "traces"))
Computed = list[tuple[Metric, list[Number]]]
SETS = ("old", "new $x$ <b>|")  # the second is what a careless shell makes of a label


def write_sets(folder: Path, size: int = 6) -> Path:
    """Two sets of ``size`` sessions; those of the second take longer and more memory."""
    for place in range(2):
        for n in range(size):
            levels = [180.0 + n + (150.0 + 60 * place if 20 <= t < 30 + n else 0) for t in range(80)]
            percents = [50.0 - t / 4 + (t % 7) for t in range(80)]
            command = ("pytest -q", "pip install x", "git status", "python -c 1")[n % 4]
            calls = [call("c1", 5, 9), call("c2", 19, 32 + n, command=command), call("c3", 40, 41, "Read")]
            calls += [call(f"t{k}", 45 + 3 * k, 47 + 3 * k) for k in range(3)]
            taken = curve(levels, percents)
            image = {"image": f"i{n}", "image_info": {"size_bytes": 3_000_000_000 + n * 10**8}}
            write_run(folder / ("a", "b")[place] / f"task{n}", calls, taken, **image)  # type: ignore[arg-type]
            results = folder / ("a", "b")[place] / f"task{n}" / "results.json"
            results.write_text(results.read_text().replace("100.0", str(100.0 + 10 * n + 300 * place)))
    return folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sets ``a`` and ``b``."""
    return write_sets(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def study(made: Path) -> Study:
    return load([made], [parse_set(f"{SETS[0]}=a"), parse_set(f"{SETS[1]}=b")])


@pytest.fixture(scope="session")
def computed(study: Study) -> Computed:
    return compute(study, METRICS, Inline())
