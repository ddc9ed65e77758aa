"""Writes a report into a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from agentcgroup.errors import HostError, UsageError
from agentcgroup.study.load import Study
from agentcgroup.study.number import Metric, Number
from agentcgroup.study.report import export, html, markdown
from agentcgroup.study.report.content import Plate, gather
from agentcgroup.study.report.data import Data, make_data

Progress = Callable[[str, int, int], None]  # what is done now, how much of it is done, how much there is


def require() -> None:
    """HostError with the install command when the figures' library is missing; before a long computation, not after."""
    if find_spec("matplotlib") is None:
        raise HostError("figures need matplotlib, which is not installed", "pip install 'agentcgroup[report]'")


def write_report(
    study: Study,
    computed: Sequence[tuple[Metric, list[Number]]],
    out: Path,
    progress: Progress = lambda _what, _done, _of: None,
) -> None:
    """Writes report.html, report.md, numbers.csv, numbers.json and figures/ into ``out``, which is made.

    ``study`` holds all runs, ``computed`` its numbers; figures whose metrics are not among them are left out. Files of
    the same names are replaced. Raises HostError without matplotlib, UsageError when ``out`` cannot be written.
    """
    require()
    figures = out / "figures"
    try:
        figures.mkdir(parents=True, exist_ok=True)
        data = make_data(study, computed)
        plates = _draw(data, figures, progress)
        drawings = {plate.name: (figures / f"{plate.name}.svg").read_text("utf-8") for plate in plates}
        content = gather(study, data, computed, plates)
        for name, text in (
            ("report.html", html.render(content, drawings)),
            ("report.md", markdown.render(content)),
            ("numbers.csv", export.numbers_csv(study, computed)),
            ("numbers.json", export.numbers_json(study, computed)),
        ):
            (out / name).write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}", "give another folder with --out") from error


def _draw(data: Data, folder: Path, progress: Progress) -> list[Plate]:
    """Draws and saves the figures that the computed metrics allow."""
    from agentcgroup.study.report.figures import FIGURES
    from agentcgroup.study.report.style import save, styled

    wanted = [one for one in FIGURES if data.metrics.issuperset(one.needs)]
    plates = []
    with styled():
        for done, picture in enumerate(wanted):
            progress("drawing", done, len(wanted))
            drawn = picture.draw(data)
            if drawn is not None:
                save(drawn.figure, folder, picture.name)
                plates.append(Plate(picture.name, picture.title, drawn.caption))
    progress("drawing", len(wanted), len(wanted))
    return plates
