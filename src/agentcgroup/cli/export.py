"""``agentcgroup export``: a trace in a format that other tools read."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("trace", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(["perfetto", "csv", "parquet"]),
    help="perfetto: one JSON file. csv, parquet: a folder with calls and samples.",
)
@click.option(
    "--out",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Where to write. Default: TRACE.perfetto.json, TRACE-csv or TRACE-parquet in the current folder.",
)
@click.option("--force", is_flag=True, help="Replace what is there.")
def command(trace: Path, form: str, out: Path | None, force: bool) -> None:
    """Export TRACE, the folder that `agentcgroup run --trace` wrote, for other tools.

    \b
    perfetto  Chrome JSON trace events. Open the file in the Perfetto viewer or in
              chrome://tracing: one track per call with its queue, command and
              return, what it left in the background, counters of memory (MiB)
              and CPU (percent of one CPU), and events as marks.
    csv       calls.csv, one row per call, and samples.csv, one row per domain
    parquet   and instant; or the same as Parquet.

    A cut or damaged trace is exported as far as it is sound; one line on stderr
    says what is missing. Bytes of a command line that are not UTF-8 read \\xff.

    \b
    Exit status: 0 written; 1 TRACE cannot be read or PATH not written; 2 usage.

    \b
    Example:
      agentcgroup export traces/fix-tests --to perfetto --out fix-tests.json
      agentcgroup export traces/fix-tests --to csv && head fix-tests-csv/calls.csv
    """
    from agentcgroup.cli.show import open_trace
    from agentcgroup.trace.export import Format, default_out, export

    found = open_trace(trace)
    kind = Format(form)
    files, damage = export(found, kind, out or default_out(found, kind), force=force)
    for file in files:
        click.echo(file)
    for place in damage[:1]:
        more = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
        click.echo(f"agentcgroup: {trace}: samples: skipped {place}{more}", err=True)
