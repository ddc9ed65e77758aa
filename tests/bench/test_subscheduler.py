"""The schedulers of the benchmark of sub-schedulers can be built; what they cost is measured in the lab."""

from __future__ import annotations

from pathlib import Path

from bench.subscheduler import compiled

_MACHINE_BPF = 247  # EM_BPF, elf.h


def test_both_are_built_with_the_headers_of_the_package(tmp_path: Path) -> None:
    objects = compiled(tmp_path)
    assert sorted(objects) == ["queue", "root"]
    for file in objects.values():
        head = file.read_bytes()[:20]
        assert head[:4] == b"\x7fELF"
        assert int.from_bytes(head[18:20], "little") == _MACHINE_BPF
    assert b"bench_sub_attach" in objects["root"].read_bytes()
    assert b"bench_sub_attach" not in objects["queue"].read_bytes()
