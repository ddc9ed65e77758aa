"""The kind of one simple command, from the name of its program and what it was told to do.

A regular expression over the whole line would take `grep pytest setup.cfg` for a test run; this looks at programs only.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Kind(StrEnum):
    """What a command is, as far as its need of memory and time goes."""

    TEST = "test"
    BUILD = "build"  # compiles, bundles, lints or type-checks a whole source tree
    INSTALL = "install"
    VCS = "vcs"
    FILE = "file"  # reads, searches, moves files
    INTERPRETER = "interpreter"  # a snippet or a script: anything
    SERVER = "server"  # stays
    OTHER = "other"


def _table(**kinds: str) -> dict[str, Kind]:
    return {name: Kind(kind) for kind, names in kinds.items() for name in names.split()}


_PROGRAMS = _table(
    test="pytest nose nose2 nosetests tox nox jest vitest mocha ava karma cypress ctest phpunit rspec minitest bats "
    "trial stestr unittest doctest behave robot pytest-3 runtests ptw",
    build="cc gcc g++ c++ clang clang++ ld rustc javac kotlinc scalac ghc swiftc tsc esbuild rollup parcel webpack "
    "make gmake ninja cmake meson bazel bazelisk scons ant mvn mvnw gradle gradlew just sphinx-build configure "
    "mypy pyright pylint eslint ruff flake8 xcodebuild msbuild cythonize maturin",
    install="pip-compile pip-sync easy_install rustup debootstrap virtualenv venv ensurepip",
    vcs="git hg svn jj bzr fossil gh glab pre-commit",
    file="ls cat head tail grep egrep fgrep zgrep rg ag ack find fd sed awk gawk cp mv rm mkdir rmdir touch chmod "
    "chown ln stat wc sort uniq diff patch cmp comm tee cut tr tar zip unzip gzip gunzip zstd xz bzip2 du df file tree "
    "xxd od hexdump less more nl rsync scp split paste column jq yq md5sum sha256sum dd install realpath readlink "
    "basename dirname bfs ugrep vim nano",
    server="uvicorn gunicorn hypercorn daphne waitress-serve http.server http-server live-server serve nodemon "
    "webpack-dev-server redis-server postgres mysqld mongod nginx httpd caddy streamlit memcached celery",
    interpreter="python node ruby perl php Rscript lua julia java ts-node tsx ipython pypy torchrun octave R",
)

# Programs whose first words say what is to be done, and their kind when these say nothing.
_TOOLS = _table(
    build="make gmake just rake invoke task mvn mvnw gradle gradlew meson webpack hugo gulp grunt bazel bazelisk ant",
    server="vite next nuxt ng astro flask",
    install="yarn bundle",
    interpreter="deno bun manage.py artisan rails jupyter playwright setup.py",
    other="cargo go npm pnpm dotnet sbt lein mix stack cabal swift zig flutter dart pip pipx uv poetry pipenv pdm "
    "hatch rye pixi conda mamba micromamba apt apt-get aptitude yum dnf apk pacman zypper brew gem composer "
    "django-admin mkdocs docker podman nerdctl buildah docker-compose podman-compose",
)

_SAYS = _table(
    test="test tests t spec e2e verify nextest unit check",
    server="serve server dev start watch preview runserver notebook lab",
    install="install i ci add sync restore deps update upgrade get mod fetch create lock download wheel develop "
    "require build-dep",
    build="build b compile dist bundle package assemble lint typecheck types type tsc clippy doc docs publish release "
    "vet prod",
)
_CONTAINERS = _table(
    build="build bake",
    server="up",
    install="pull load import",
    interpreter="run exec start",
    other="ps rm rmi images image logs stop kill inspect restart tag login push volume network system cp info version "
    "down config context create",
)
_SAYS_TO = {
    **dict.fromkeys(("docker", "podman", "nerdctl", "buildah", "docker-compose", "podman-compose"), _CONTAINERS),
    "cargo": _table(build="check c run r", test="bench"),
    "go": _table(build="run install generate"),
    "dotnet": _table(build="run"),
    "swift": _table(build="run"),
    "mvn": _table(test="install deploy"),
    "mvnw": _table(test="install deploy"),
    "make": _table(build="install"),
    "npm": _table(build="check"),
    "pip": _table(other="check list show freeze cache config"),
}
_SAID_WITHIN = 4  # words that are looked at: `npm --prefix web run build`

_SAME = {"py.test": "pytest", "nodejs": "node", "python2": "python", "gmake": "make", "bazelisk": "bazel"}
_VERSIONED = re.compile(r"(python|pypy|pip|ruby|php|node|perl|lua|gcc|g\+\+|clang\+\+|clang)-?\d[\d.]*")
_MODULES = _table(build="build compileall", install="pip", interpreter="timeit cProfile trace")
_RUNS_CODE = frozenset(("-c", "-e", "--eval", "-p", "--print", "-r"))
_VALUED = frozenset(("-W", "-X", "--require", "--import", "--loader", "-I", "--rcfile", "--source", "--omit", "-o"))
_TEST_SCRIPT = re.compile(r"(run[_-]?)?tests?(\.\w+)?|run[_-]?tests?\b.*", re.IGNORECASE)
_SCRIPT = re.compile(r".+\.(py|sh|bash|js|mjs|cjs|ts|rb|pl|php|R|jl|lua)")
_MAX_STEPS = 4  # `python -m coverage run -m pytest` takes two


def judge(name: str, words: tuple[str, ...], steps: int = _MAX_STEPS) -> tuple[Kind, str, tuple[str, ...]]:
    """``(kind, program, its words)`` of a simple command; ``name`` is a basename."""
    name = canonical(name)
    if name == "coverage" and words[:1] == ("run",):
        return _interpreted("coverage", words[1:], steps)
    if name in _TOOLS:
        return _told(name, words, steps)
    kind = _PROGRAMS.get(name)
    if kind is Kind.INTERPRETER:
        return _interpreted(name, words, steps)
    if kind is None:
        kind = Kind.TEST if _TEST_SCRIPT.fullmatch(name) and "." in name else Kind.OTHER
        if kind is Kind.OTHER and _SCRIPT.fullmatch(name):
            kind = Kind.INTERPRETER
    return kind, name, words


def canonical(name: str) -> str:
    """One name for all the names of a program: `python3.11` is `python`."""
    match = _VERSIONED.fullmatch(name)
    return _SAME.get(name, match[1] if match else name)


def _told(name: str, words: tuple[str, ...], steps: int) -> tuple[Kind, str, tuple[str, ...]]:
    """A tool with subcommands, targets or scripts: the first word that says something decides."""
    said = [word for word in words if not word.startswith("-") and "=" not in word][:_SAID_WITHIN]
    own = _SAYS_TO.get(name, {})
    for place, word in enumerate(said):
        program = canonical(word)
        if (
            place < 2
            and steps
            and _PROGRAMS.get(program, Kind.FILE) is not Kind.FILE
            and name in ("yarn", "pnpm", "bun")
        ):
            return judge(program, words[words.index(word) + 1 :], steps - 1)
        for part in (word, *re.split(r"[:_./-]", word)):
            kind = own.get(part) or _SAYS.get(part)
            if kind is not None:
                return kind, name, words
    if not said and name in ("mkdocs", "flask"):  # nothing is built or served without a word
        return Kind.OTHER, name, words
    if name in ("yarn", "bundle") and said:  # the name of some script
        return Kind.OTHER, name, words
    return _TOOLS[name], name, words


def _interpreted(name: str, words: tuple[str, ...], steps: int) -> tuple[Kind, str, tuple[str, ...]]:
    """`python -m MODULE`, `python FILE`, `python -c TEXT`."""
    index = 0
    while index < len(words) and words[index].startswith("-") and len(words[index]) > 1:
        if words[index] in _RUNS_CODE:
            break
        if words[index] == "-m" and index + 1 < len(words):
            return _module(words[index + 1], words[index + 2 :], steps)
        index += 2 if words[index] in _VALUED else 1
    if index < len(words) and steps and words[index] not in _RUNS_CODE:
        script = words[index].rsplit("/", 1)[-1]
        if script in _TOOLS or _TEST_SCRIPT.fullmatch(script):
            return judge(script, words[index + 1 :], steps - 1)
    if name == "php" and "-S" in words:
        return Kind.SERVER, name, words
    return Kind.INTERPRETER, name, words


def _module(module: str, words: tuple[str, ...], steps: int) -> tuple[Kind, str, tuple[str, ...]]:
    if module in _MODULES and module not in _TOOLS:
        return _MODULES[module], module, words
    if not steps:
        return Kind.INTERPRETER, module, words
    kind, program, rest = judge(module, words, steps - 1)
    return (
        (Kind.INTERPRETER if kind is Kind.OTHER and program == module and module not in _TOOLS else kind),
        program,
        rest,
    )
