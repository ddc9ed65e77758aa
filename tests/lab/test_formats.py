"""cpio archives, ELF sections, kernel modules and bzImages, each against the real tool where there is one."""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentcgroup.errors import LabError
from agentcgroup.lab import bzimage, cpio, elf, modules
from tests.lab import made_files

FILES = {"bin/a": (0o755, b"x" * 5), "bin/empty": (0o644, b""), "e": (0o600, bytes(range(256)))}


def test_busybox_unpacks_what_the_cpio_writer_wrote(tmp_path: Path) -> None:
    archive = cpio.archive(FILES, ("bin", "new"))
    listed = subprocess.run(["busybox", "cpio", "-t"], input=archive, capture_output=True, check=True)
    assert listed.stdout.decode().split() == ["bin", "new", "bin/a", "bin/empty", "e"]
    subprocess.run(["busybox", "cpio", "-i"], input=archive, cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "new").is_dir()
    for name, (mode, content) in FILES.items():
        assert (tmp_path / name).read_bytes() == content
        assert (tmp_path / name).stat().st_mode & 0o777 == mode


@given(st.dictionaries(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.binary(max_size=50), max_size=4))
def test_archives_end_at_a_multiple_of_4_so_that_they_can_be_joined(files: dict[str, bytes]) -> None:
    assert len(cpio.archive({name: (0o644, content) for name, content in files.items()})) % 4 == 0


def test_sections_are_found_by_name() -> None:
    data = made_files.elf({".one": b"first", ".two": b"second"})
    assert elf.section(data, ".two") == b"second"
    assert elf.section(data, ".three") is None


@pytest.mark.parametrize("cut", [64, 70, 100])
def test_damaged_elf_is_an_error(cut: int) -> None:
    with pytest.raises(LabError):
        elf.section(made_files.elf({".one": b"first"})[:cut], ".one")
    with pytest.raises(LabError):
        elf.section(b"MZ", ".one")


def test_sections_of_a_real_program_agree_with_its_interpreter() -> None:
    shell = Path("/bin/sh").read_bytes()
    assert (elf.section(shell, ".interp") or b"").rstrip(b"\0").startswith(b"/lib")


def _module(directory: Path, name: str, depends: str) -> bytes:
    content = made_files.elf({".modinfo": b"license=GPL\0depends=" + depends.encode() + b"\0name=x\0"})
    packed = {".ko": content, ".xz": lzma.compress(content), ".gz": gzip.compress(content)}
    path = directory / "kernel" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed[path.suffix] if path.suffix in packed else made_files.zstd_packed(content))
    return content


def test_modules_come_in_loading_order_from_every_packing(tmp_path: Path) -> None:
    contents = {
        "a": _module(tmp_path, "a.ko", "b-b,c"),
        "b_b": _module(tmp_path, "b-b.ko.xz", "c"),
        "c": _module(tmp_path, "c.ko.gz", ""),
        "d": _module(tmp_path, "sub/d.ko.zst", "c,built_in"),
    }
    found = modules.collect(tmp_path, ["a", "d", "not_there"])
    assert [name for name, _ in found] == ["c", "b_b", "a", "d"]
    assert dict(found) == contents


@pytest.mark.parametrize("packing", ["zstd", "gzip", "xz"])
def test_the_elf_kernel_comes_out_of_a_bzimage(packing: str) -> None:
    kernel = made_files.elf({".text": b"\x90" * 3000})
    size = struct.pack("<I", len(kernel))
    payload = {
        "zstd": made_files.zstd_packed(kernel) + size,
        "gzip": gzip.compress(kernel),
        "xz": lzma.compress(kernel, check=lzma.CHECK_CRC32) + size,
    }[packing]
    image = made_files.bzimage(payload, "7.3.4-test")
    assert bzimage.vmlinux(image) == kernel
    assert bzimage.version(image) == "7.3.4-test"


def test_what_is_no_kernel_is_an_error() -> None:
    with pytest.raises(LabError, match="unknown way"):
        bzimage.vmlinux(made_files.bzimage(b"????????", "1"))
    with pytest.raises(LabError, match="not a bzImage"):
        bzimage.vmlinux(b"\0" * 2000)
    with pytest.raises(LabError, match="does not contain an ELF"):
        bzimage.vmlinux(made_files.bzimage(gzip.compress(b"text"), "1"))
    assert bzimage.version(b"\0" * 2000) == ""
    assert bzimage.version(b"..Linux version 6.1.2-x (a@b)") == "6.1.2-x"
