"""Writes a trace in other formats: a Perfetto file, or calls and samples as CSV or Parquet."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from agentcgroup.errors import TraceError, UsageError
from agentcgroup.trace.frames import calls_frame, read_samples
from agentcgroup.trace.perfetto import Event, perfetto_events
from agentcgroup.trace.views import Damage, Trace

if TYPE_CHECKING:
    import polars as pl


class Format(StrEnum):
    """A format to export to."""

    PERFETTO = "perfetto"  # one JSON file
    CSV = "csv"  # a folder with calls.csv and samples.csv
    PARQUET = "parquet"  # a folder with calls.parquet and samples.parquet


def default_out(trace: Trace, form: Format) -> Path:
    """Where an export goes when nothing is said: beside other work, in the current folder, named after the trace."""
    name = trace.folder.resolve().name or "trace"
    return Path(f"{name}.perfetto.json" if form is Format.PERFETTO else f"{name}-{form}")


def export(trace: Trace, form: Format, out: Path, *, force: bool = False) -> tuple[list[Path], tuple[Damage, ...]]:
    """Write ``trace`` to ``out``; the files written, and what of the samples could not be read.

    UsageError when ``out`` exists (unless ``force``), TraceError when it cannot be written; nothing is
    left behind then.
    """
    import polars as pl

    write = {Format.PERFETTO: _perfetto, Format.CSV: _csv, Format.PARQUET: _parquet}[form]
    folder = form is not Format.PERFETTO
    try:
        _check(trace, out, folder, force)
        with tempfile.TemporaryDirectory(prefix=".agentcgroup-export-", dir=out.parent) as scratch:
            partial = Path(scratch) / "export"
            names, damage = write(trace, partial)
            _put(partial, out, names)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TraceError(f"{out} cannot be written: {reason}", "free space there, or give another --out") from error
    return ([out / name for name in names] if folder else [out]), damage


def _check(trace: Trace, out: Path, folder: bool, force: bool) -> None:
    if out.name in ("", ".."):
        raise UsageError(f"{str(out)!r} names no file", "give another --out")
    if force and out.exists() and trace.folder.resolve() in (out.resolve(), out.resolve().parent):
        what = "is the trace itself" if out.is_dir() else "is a part of the trace"
        raise UsageError(f"{out} {what}", "give another --out")
    if out.exists() and (not force or out.is_dir() != folder):
        fix = "give another --out" if out.is_dir() != folder else "give another --out, or --force to replace it"
        raise UsageError(f"{out} exists", fix)
    if not out.parent.is_dir():
        raise UsageError(f"the folder {out.parent} does not exist", "make it first, or give another --out")


def _put(partial: Path, out: Path, names: Iterable[str]) -> None:
    """Move what is complete to its place; in a folder that is there, other files stay."""
    if not out.is_dir():
        partial.rename(out)
        return
    for name in names:
        (partial / name).rename(out / name)


def _perfetto(trace: Trace, out: Path) -> tuple[list[str], tuple[Damage, ...]]:
    samples, damage = read_samples(trace.folder)
    events = perfetto_events(trace, samples)
    with out.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit":"ms","otherData":')
        file.write(json.dumps(_other_data(trace)))
        file.write(',"traceEvents":[\n')
        file.writelines(_separated(events))
        file.write("\n]}\n")
    return [], damage


def _separated(events: Iterable[Event]) -> Iterable[str]:
    for number, event in enumerate(events):
        yield (",\n" if number else "") + json.dumps(event, separators=(",", ":"))


def _other_data(trace: Trace) -> dict[str, object]:
    first = trace.sessions[0] if trace.sessions else None
    version = first.start.agentcgroup_version if first and first.start else ""
    return {"agentcgroup_version": version, "started": first.start_wall if first else "", "cut": trace.cut}


def _csv(trace: Trace, out: Path) -> tuple[list[str], tuple[Damage, ...]]:
    return _frames(trace, out, "csv", lambda frame, path: frame.write_csv(path))


def _parquet(trace: Trace, out: Path) -> tuple[list[str], tuple[Damage, ...]]:
    return _frames(trace, out, "parquet", lambda frame, path: frame.write_parquet(path))


def _frames(
    trace: Trace, out: Path, ending: str, write: Callable[[pl.DataFrame, Path], None]
) -> tuple[list[str], tuple[Damage, ...]]:
    samples, damage = read_samples(trace.folder)
    frames = {f"calls.{ending}": calls_frame(trace.calls), f"samples.{ending}": samples}
    out.mkdir()
    for name, frame in frames.items():
        write(frame, out / name)
    return list(frames), damage
