from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from agentcgroup.study.load import Study, load
from agentcgroup.study.metrics import find_metrics
from agentcgroup.study.number import Number
from agentcgroup.study.published_table import PUBLISHED
from agentcgroup.study.report import write_report
from agentcgroup.study.report.figures import FIGURES
from agentcgroup.study.report.style import FORMATS, WIDTH
from tests.study.build import call, write_run
from tests.study.report.conftest import SETS, TRACES, Computed

_MAGIC = {"svg": b"<?xml", "pdf": b"%PDF-", "png": b"\x89PNG"}


@pytest.fixture(scope="module")
def out(study: Study, computed: Computed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "not/there yet"
    write_report(study, computed, folder)
    return folder


class _Page(HTMLParser):
    """Tags and ids of a page, what it refers to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.refers.append(value or "")
            self.refers += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def page(folder: Path) -> _Page:
    return _Page((folder / "report.html").read_text("utf-8"))


def test_every_figure_has_its_files_and_something_in_them(out: Path) -> None:
    names = {path.stem for path in (out / "figures").iterdir()}
    assert names == {picture.name for picture in FIGURES}
    for name in names:
        for format_ in FORMATS:
            written = (out / f"figures/{name}.{format_}").read_bytes()
            assert written.startswith(_MAGIC[format_])
            assert len(written) > 4000, name
        drawing = ElementTree.parse(out / f"figures/{name}.svg").getroot()
        assert drawing.attrib["width"] == f"{WIDTH * 72:g}pt"
        assert len(list(drawing.iter("{http://www.w3.org/2000/svg}path"))) > 5


def test_the_page_needs_nothing_else(out: Path) -> None:
    found = page(out)
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert all(refers.startswith("#") for refers in found.refers)
    assert {refers[1:] for refers in found.refers} <= set(found.ids)
    text = (out / "report.html").read_text("utf-8")
    assert "http" not in text
    assert "@import" not in text
    assert found.tags.count("svg") == len(FIGURES)


def test_no_id_is_twice_on_the_page(out: Path) -> None:
    found = page(out).ids
    assert len(found) == len(set(found))


def test_the_page_opens_with_findings_from_the_numbers(out: Path, computed: Computed) -> None:
    text = page(out).text
    assert text.index("Findings") < text.index("The sets") < text.index("Figures") < text.index("All numbers")
    numbers = {(n.metric, n.set, n.item, n.statistic): n for _, found in computed for n in found}
    median = numbers["duration", "old", "whole", "median"]
    assert median.value == 125.0
    assert f"old: A session takes 2.08 min ({median.low / 60:.2f} to {median.high / 60:.2f}) at the median" in text  # type: ignore[operator]
    assert "(n = 6 sessions)" in text


def test_every_caption_says_n(out: Path) -> None:
    text = (out / "report.html").read_text("utf-8")
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    assert len(captions) == len(FIGURES)
    assert all(re.search(r"\bn( = |, set by set: )\d", caption) for caption in captions)


def test_values_and_intervals_do_not_break_over_lines(out: Path) -> None:
    text = (out / "report.html").read_text("utf-8")
    assert re.search(
        r'<span class="q">2\.08 min</span> <span class="q">\([\d.]+ to [\d.]+\)</span> at the median', text
    )
    assert '<span class="q">n = 6</span> sessions' in text


def test_labels_from_outside_stay_text(out: Path) -> None:
    assert SETS[1] in page(out).text
    assert "<b>|" not in (out / "report.html").read_text("utf-8")
    rows = [line for line in (out / "report.md").read_text("utf-8").splitlines() if line.startswith("| new")]
    assert rows
    columns = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert all("\\<b\\>\\|" in row for row in rows)
    assert columns <= {len(re.findall(r"(?<!\\)\|", line)) for line in _heads(out)}


def _heads(folder: Path) -> list[str]:
    return [line for line in (folder / "report.md").read_text("utf-8").splitlines() if line.startswith("| set")]


def test_the_numbers_are_those_of_json(out: Path) -> None:
    told = json.loads((out / "numbers.json").read_text("utf-8"))["numbers"]
    with (out / "numbers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(told) > 500
    for row, number in zip(rows, told, strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in number.items()}


def test_another_process_draws_the_same_bytes(made: Path, out: Path, tmp_path: Path) -> None:
    done = run(made, "--set", f"{SETS[0]}=a", "--set", f"{SETS[1]}=b", "--only", "execution", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    drawn = list((tmp_path / "figures").iterdir())
    assert len(drawn) == len(FORMATS) * sum("execution" in _rooms(picture.needs) for picture in FIGURES) > 0
    for path in drawn:
        assert path.read_bytes() == (out / "figures" / path.name).read_bytes(), path.name


def _rooms(metrics: tuple[str, ...]) -> set[str]:
    return {metric.room for metric in find_metrics(metrics)}


def test_figures_without_their_metric_are_left_out(study: Study, tmp_path: Path) -> None:
    (metric,) = find_metrics(("duration",))
    write_report(study, [(metric, metric.compute(study.selected()))], tmp_path)
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"execution_time"}
    assert "A session takes" in page(tmp_path).text


def test_one_session_without_calls_or_samples(tmp_path: Path) -> None:
    write_run(tmp_path / "s/bare", taken=[], listed=False, log=False)
    write_run(tmp_path / "s/calls", [call("c", 5, 9)], log=False)
    study = load([tmp_path / "s"], everything=True)
    computed = [(metric, metric.compute(study.selected())) for metric in find_metrics(())]
    write_report(study, computed, tmp_path / "out")
    text = page(tmp_path / "out").text
    assert "1 set" in text
    assert "Published values" not in text


def test_progress_goes_from_none_to_all(study: Study, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    (metric,) = find_metrics(("duration",))
    numbers: list[Number] = metric.compute(study.selected())
    write_report(study, [(metric, numbers)], tmp_path, lambda *at: told.append(at))
    assert told == [("drawing", 0, 1), ("drawing", 1, 1)]


def run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentcgroup", "study", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_command_writes_a_report(made: Path, tmp_path: Path) -> None:
    done = run(made / "a", "--only", "duration", "--out", tmp_path / "r")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {tmp_path / 'r/report.html'} and what belongs to it\n"
    printed = run(made / "a", "--only", "duration", "--out", tmp_path / "r", "--json")
    assert printed.stdout == (tmp_path / "r/numbers.json").read_text()


def test_a_folder_that_cannot_be_written_is_refused(made: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(made / "a", "--only", "duration", "--out", tmp_path / "file/r")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "--out" in done.stderr


def test_without_matplotlib_there_is_a_command_to_run(made: Path, tmp_path: Path) -> None:
    hide = "import sys; sys.modules['matplotlib'] = None; from agentcgroup.cli import main; main(sys.argv[1:])"
    args = ["study", str(made / "a"), "--only", "duration"]
    plain = subprocess.run([sys.executable, "-c", hide, *args], capture_output=True, text=True, timeout=60)
    assert plain.returncode == 0
    args += ["--out", str(tmp_path / "r")]
    done = subprocess.run([sys.executable, "-c", hide, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install 'agentcgroup[report]'" in done.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.skipif(
    not (TRACES / "glm").is_dir(),
    reason=f"needs the published traces in {TRACES}: unpack them there, or set AGENTCGROUP_TRACES to their folder",
)
def test_the_published_traces(tmp_path: Path) -> None:
    sets = [part for name in ("glm", "haiku", "haiku18", "hires") for part in ("--set", f"{name}={name}")]
    done = run(TRACES, *sets, "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {picture.name for picture in FIGURES}
    text = page(tmp_path).text
    assert text.index("Findings") < text.index("Published values")
    assert "glm: A session takes 9.83 min (8.55 to 11.0) at the median" in text
    assert "mean 10.8 min (GLM), 5.8 min (Haiku); median of all 8.1 min" in text
    rows = [line for line in (tmp_path / "report.md").read_text().splitlines() if line.startswith("| one task three")]
    assert re.search(r"DevOps.*Hard, least: haiku18 3\.71 min<br>.*greatest: haiku18 6\.70 min", rows[0])
    html = (tmp_path / "report.html").read_text("utf-8")
    assert html.count('<td data-name="which to believe, and why">') == len(PUBLISHED)  # a narrow page has no head
    assert "n = 111 (glm), 33 (haiku), 18 (haiku18), 4 (hires) sessions" in text
