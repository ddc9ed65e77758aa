"""Which tests a run has: several share them (`--turns`), each file is run by one of them, and none is left out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_runs_that_share_the_tests_run_each_file_once(tmp_path: Path) -> None:
    ran, turns, tests = (tmp_path / name for name in ("ran", "turns", "tests"))
    for folder in (ran, turns, tests):
        folder.mkdir()
    for name in ("a", "b", "c", "d", "e"):
        (tests / name).mkdir()  # folders of their own: what is set up for one is torn down before the next
        one = f"def test_{{0}}():\n time.sleep(0.2)\n pathlib.Path(r'{ran}/{name}{{0}}').mkdir()\n"
        (tests / name / f"test_{name}.py").write_text("import pathlib, time\n" + one.format(1) + one.format(2))
    line = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--noconftest"]
    line += ["--rootdir", str(tests), "--turns", str(turns), str(tests)]
    runs = [subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said  # a file that ran twice fails in mkdir
    assert sorted(path.name for path in ran.iterdir()) == [f"{name}{n}" for name in "abcde" for n in (1, 2)]


def test_a_run_for_the_kernels_tests_imports_no_others(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_one(): ...  # not marked, but it says mark.kernel\n")
    (tmp_path / "test_two.py").write_text("raise RuntimeError('it is imported')\n")
    line = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "--noconftest"]
    line += ["--rootdir", str(tmp_path), "--require-kernel", str(tmp_path)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
