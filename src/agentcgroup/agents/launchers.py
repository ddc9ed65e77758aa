"""Programs that start an agent and are none: their shells stay out of the calls.

Being here costs something. A shell below nothing but launchers is no call, so the calls of a home-made agent
that bears a launcher's name are missed (`--agent command` is the way out). Missing here costs something too: the
launcher would pass for the agent, and the shell through which it starts the real one for a call.

So a program is here when it stays in the process tree above what it starts, and is not plausibly the name of
somebody's agent. Wrappers that only set something and then become the command (env, nice, nohup …) are needed
for reading a command line, and are kept out of the client's table.
"""

from __future__ import annotations

from dataclasses import dataclass

SHELLS = ("sh", "bash", "dash", "zsh", "ash", "ksh", "mksh", "fish", "busybox")
_LOGIN_SHELLS = ("-sh", "-bash", "-dash", "-zsh", "-fish")  # login(1), su - and terminals put the dash there


@dataclass(frozen=True, slots=True)
class Launcher:
    """How to read the command line of one launcher.

    Its options come first; then ``positionals`` words of its own; then the command.
    """

    name: str
    valued: frozenset[str] = frozenset()  # options whose value is the next word
    command_options: frozenset[str] = frozenset()  # options whose value is a command in shell syntax
    positionals: int = 0
    assignments: bool = False  # NAME=VALUE words may stand before the command
    subcommands: tuple[str, ...] = ()  # space-separated; one of them must follow the name ("tool run")
    stays: bool = True  # goes into the client's table; False: becomes the command by execve(2), or must not
    also: tuple[str, ...] = ()  # further names of its processes


def _launcher(
    name: str,
    valued: str = "",
    *,
    command: str = "",
    positionals: int = 0,
    assignments: bool = False,
    subcommands: tuple[str, ...] = (),
    stays: bool = True,
    also: tuple[str, ...] = (),
) -> Launcher:
    return Launcher(
        name, frozenset(valued.split()), frozenset(command.split()), positionals, assignments, subcommands, stays, also
    )


_UV_RUN = "--from --with --with-editable --with-requirements -w -p --python --extra --group --directory --project"
_UV_RUN += " --index --index-url -i --env-file --package --config-file --cache-dir"

_WRAPPERS = (
    _launcher("env", "-u --unset -C --chdir", command="-S --split-string", assignments=True, stays=False),
    _launcher("nice", "-n --adjustment", stays=False),
    _launcher("ionice", "-c -n --class --classdata", stays=False),
    _launcher("nohup", stays=False),
    _launcher("stdbuf", "-i -o -e --input --output --error", stays=False),
    _launcher("chrt", "-T -P -D", positionals=1, stays=False),
    _launcher("taskset", positionals=1, stays=False),
    _launcher("numactl", "-C -m -N -i -p --physcpubind --membind --cpunodebind --interleave", stays=False),
    _launcher("chroot", positionals=1, stays=False),
    _launcher("exec", "-a", stays=False),  # the shells' own
    _launcher("command", stays=False),
    _launcher("prlimit", stays=False),
    _launcher("setsid"),
    _launcher("timeout", "-k --kill-after -s --signal", positionals=1),
    _launcher("time", "-f --format -o --output"),
    _launcher("sudo", "-u --user -g --group -h --host -p --prompt -C -D -R -T -r -t", assignments=True),
    _launcher("doas", "-u -C"),
    _launcher("su", "-s --shell -g -G -w", command="-c --command"),
    _launcher("runuser", "-u --user -s --shell -g -G -w", command="-c --command"),
    _launcher("unshare", "-S -G -R -w --setuid --setgid --root --wd"),
    _launcher("nsenter", "-t --target -S -G"),
    _launcher("bwrap"),  # its options differ in their number of values: only a command after -- is read
    _launcher("firejail"),
    _launcher("strace", "-o -e -p -s -u -E -a -O -S -P -I -b -X"),
    _launcher("ltrace", "-o -e -p -s -u -a -n -l -x"),
    _launcher("flock", "-w --wait -E --conflict-exit-code", command="-c --command", positionals=1),
    _launcher("systemd-run", "-p -u -E -M -H --property --unit --slice --setenv --uid --gid --description"),
    _launcher("systemd-inhibit"),
    _launcher("dbus-run-session"),
    _launcher("xvfb-run", "-n -s -w -e -f -p --server-num --server-args"),
    _launcher("fakeroot", "-l -s -i -b"),
    _launcher("tini", "-p -e", also=("tini-static",)),
    _launcher("dumb-init", "-r --rewrite"),
    _launcher("catatonit"),
    _launcher("script", "-E -I -O -B -T -m -o -t", command="-c --command"),
    _launcher("tmux", "-c -f -L -S -T -n -s -t -x -y -e -F", subcommands=("new-session", "new", "new-window", "neww")),
    _launcher("screen", "-c -e -h -p -s -S -t -T", also=("SCREEN",)),
    _launcher("agentcgroup"),
)

_PACKAGE_RUNNERS = (
    _launcher("npx", "-p --package -w --workspace", command="-c --call", also=("npx-cli.js",)),
    _launcher(
        "npm",
        "-p --package --prefix -w --workspace -C",
        command="-c --call",
        subcommands=("exec", "x"),
        also=("npm-cli.js",),
    ),
    _launcher("pnpm", "-C --dir --package --filter -F", subcommands=("dlx", "exec"), also=("pnpm.cjs",)),
    _launcher("pnpx", "--package", also=("pnpx.cjs",)),
    _launcher("yarn", "-p --package --cwd", subcommands=("dlx", "exec", "run"), also=("yarn.js", "yarnpkg")),
    _launcher("bunx", "-p --package"),
    # Also an interpreter: `bun agent.ts` is an agent, and its own scripts need no shell.
    _launcher("bun", "--cwd --filter", subcommands=("x", "run"), stays=False),
    _launcher("corepack", also=("corepack.js",)),
    _launcher("volta", subcommands=("run",)),
    _launcher("fnm", "--using", subcommands=("exec",)),
    _launcher("uv", _UV_RUN, subcommands=("run", "tool run")),
    _launcher("uvx", _UV_RUN),
    _launcher("pipx", "--spec --python --pip-args --index-url", subcommands=("run",)),
    _launcher("poetry", "-C -P --directory --project", subcommands=("run",)),
    _launcher("hatch", "-e --env -p --project", subcommands=("run",)),
    _launcher("pdm", "-p --project", subcommands=("run",)),
    _launcher("pipenv", subcommands=("run",)),
    _launcher("rye", subcommands=("run",)),
    _launcher("pixi", "-e --environment --manifest-path", subcommands=("run",)),
    _launcher("conda", "-n --name -p --prefix --cwd", subcommands=("run",)),
    _launcher("mamba", "-n --name -p --prefix --cwd", subcommands=("run",)),
    _launcher("micromamba", "-n --name -p --prefix --cwd", subcommands=("run",)),
    _launcher("mise", "-C --cd -E --env", command="-c --command", subcommands=("exec", "x")),
    _launcher("asdf", subcommands=("exec",)),
    _launcher("direnv", positionals=1, subcommands=("exec",)),
    _launcher("nix-shell", "-p --packages", command="--run --command"),
    _launcher("devbox", subcommands=("run",)),
    _launcher("doppler", "-p -c --project --config", subcommands=("run",)),
    _launcher("cross-env", assignments=True, also=("cross-env-shell",)),
    _launcher("dotenv", "-e -f --env-file"),
    _launcher("dotenvx", "-f --env-file", subcommands=("run",)),
)

# They start what a file of theirs says, which is not read here: only their names matter.
_TASK_RUNNERS = ("make", "gmake", "just", "npm-run-all", "run-s", "run-p", "concurrently", "turbo", "tox", "nox")

LAUNCHERS: dict[str, Launcher] = {each.name: each for each in (*_WRAPPERS, *_PACKAGE_RUNNERS)}
"""Every launcher whose command line can be read, by name; the shells are not among them."""


def table_names() -> tuple[str, ...]:
    """The names for the client's rule table: all that stay above what they start."""
    names: list[str] = [*SHELLS, *_LOGIN_SHELLS, *_TASK_RUNNERS]
    for each in LAUNCHERS.values():
        if each.stays:
            names += (each.name, *each.also)
    return tuple(dict.fromkeys(names))


def table_line() -> str:
    """The launchers' line of the client's rule table."""
    return "\t".join(("launchers", *table_names())) + "\n"
