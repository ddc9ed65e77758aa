"""``agentcgroup lab``: run a command on a modern kernel, fetch the kernel, say what is missing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from agentcgroup.errors import UsageError
from agentcgroup.units import format_duration, parse_duration, parse_size

_SUITE_HELP = "Debian suite to look for a kernel in; may be repeated.  [default: trixie-backports, sid]"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Run a command on a modern kernel in a small virtual machine.

    The guest sees the files of this host at the same paths, has full cgroup v2, and forgets what is written, except in
    shared directories.
    """


@command.command("run", context_settings={"allow_interspersed_args": False})
@click.option("--memory", type=parse_size, metavar="SIZE", default="2g", show_default=True, help="Memory of the guest.")
@click.option("--cpus", type=click.IntRange(1, 64), default=2, show_default=True, help="CPUs of the guest.")
@click.option("--share", "shares", multiple=True, metavar="DIR", help="Let the guest write to DIR; may be repeated.")
@click.option(
    "--timeout", type=parse_duration, metavar="DURATION", help="End the command after this time, with status 124."
)
@click.option("--env", "variables", multiple=True, metavar="NAME[=VALUE]", help="Pass a variable; may be repeated.")
@click.option("--swap", type=parse_size, metavar="SIZE", help="Give the guest swap in compressed memory (zram).")
@click.option("--kernel", "kernel_path", type=click.Path(path_type=Path), help="Boot this vmlinuz or vmlinux.")
@click.option("--suite", "suites", multiple=True, help=_SUITE_HELP)
@click.option(
    "--accel", type=click.Choice(["auto", "kvm", "tcg"]), default="auto", show_default=True, help="KVM, or emulated."
)
@click.argument("argv", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def run_command(
    memory: int,
    cpus: int,
    shares: tuple[str, ...],
    timeout: float | None,
    variables: tuple[str, ...],
    swap: int | None,
    kernel_path: Path | None,
    suites: tuple[str, ...],
    accel: str,
    argv: tuple[str, ...],
) -> None:
    """Run COMMAND in the guest, as root, in this directory; ends as it did.

    \b
    The exit status is the command's, or 128 + the number of the signal that
    killed it; 124 after a timeout; 125 when the guest could not run it.

    \b
    Example:
      agentcgroup lab run --memory 4g --share . -- pytest tests/kernel
    """
    from agentcgroup.lab.run import run

    with _signals(), _progress() as report:
        try:
            result = run(
                argv,
                memory=memory,
                cpus=cpus,
                shares=shares,
                timeout=timeout,
                env=_environment(variables),
                swap=swap or 0,
                kernel_path=kernel_path,
                suites=suites,
                accelerator=accel,
                report=report,
            )
        except BrokenPipeError:
            _die_of(signal.SIGPIPE)
    for note in result.notes:
        click.echo(f"agentcgroup: {note}", err=True)
    if result.timed_out:
        click.echo(f"agentcgroup: the command did not end within {format_duration(timeout)}", err=True)
    sys.exit(result.status)


@command.command("prepare")
@click.option("--refresh", is_flag=True, help="Look for a newer kernel than the one in the cache.")
@click.option("--version", "wanted", default="", help="Prefer kernels whose version begins so, such as 7.3.")
@click.option("--suite", "suites", multiple=True, help=_SUITE_HELP)
def prepare_command(refresh: bool, wanted: str, suites: tuple[str, ...]) -> None:
    """Fetch and check the guest's kernel (37 MB), and libbpf for BPF, so that `lab run` works offline."""
    from agentcgroup.errors import LabError
    from agentcgroup.lab import libbpf
    from agentcgroup.lab.kernel import prepare

    with _signals(), _progress() as report:
        kernel, manifest = prepare(report, suites=suites, wanted=wanted, refresh=refresh)
        try:
            library = libbpf.prepare(report)
        except LabError as error:
            library = f"none, so no BPF in the guest: {error}"
    click.echo(f"kernel {kernel.version}: {kernel.origin}")
    for note in manifest.notes:
        click.echo(f"  {note}")
    click.echo(f"libbpf {library}")


@command.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor_command(as_json: bool) -> None:
    """Say what the lab needs, what is there, and how to get the rest; status 1 if it cannot work."""
    from agentcgroup.lab.doctor import checks, works

    found = checks()
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps({"works": works(found), "checks": [asdict(check) for check in found]}, indent=1))
    else:
        for check in found:
            mark = "ok" if check.ok else "MISSING" if check.needed else "-"
            click.echo(f"{mark:8}{check.name:20}{check.detail}")
            if not check.ok and check.fix:
                click.echo(f"{'':28}{check.fix}")
    sys.exit(0 if works(found) else 1)


def _environment(variables: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE as given; NAME alone takes this process's value and is left out when there is none."""
    environment = {}
    for variable in variables:
        name, equals, value = variable.partition("=")
        if not name:
            raise UsageError(f"--env {variable!r} has no name", "write NAME=VALUE")
        if equals or name in os.environ:
            environment[name] = value if equals else os.environ[name]
    return environment


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """How long steps are shown: a line that changes on a terminal, else one line a step, both on stderr."""
    if not sys.stderr.isatty():
        yield lambda message: click.echo(f"lab: {message}", err=True)
        return
    from rich.console import Console

    status = Console(stderr=True).status("")
    shown = False

    def report(message: str) -> None:
        nonlocal shown
        if not shown:
            status.start()
            shown = True
        status.update(f"lab: {message}")

    try:
        yield report
    finally:
        if shown:
            status.stop()


class _Ended(BaseException):
    """A signal asked this process to end; unwinds what is running."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _signals() -> Iterator[None]:
    """On SIGINT, SIGTERM and SIGHUP: unwind, so that no helper is left, then die of the signal."""
    handled = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if _not_ignored(number)]

    def end(number: int, frame: FrameType | None) -> None:
        for other in handled:
            signal.signal(other, signal.SIG_IGN)  # the cleaning up takes a moment and must not be interrupted
        raise _Ended(number)

    before = {number: signal.signal(number, end) for number in handled}
    try:
        yield
    except _Ended as ended:
        _die_of(ended.number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _not_ignored(number: int) -> bool:
    return signal.getsignal(number) is not signal.SIG_IGN  # nohup ignores SIGHUP, `&` in a script SIGINT


def _die_of(number: int) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the signal is blocked
