"""Advice for installations of packages: one at a time, without what is not needed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agentcgroup.commands import Command

_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "npm": "Run one install at a time, without audit: `npm ci --no-audit --no-fund --maxsockets=2`.",
        "pnpm": "Run one install at a time: `pnpm install --network-concurrency=2 --child-concurrency=1`.",
        "yarn": "Run one install at a time: `yarn install --network-concurrency 2`.",
        "pip": "Install one package at a time, without building it: `pip install --no-cache-dir --prefer-binary NAME`.",
        "uv": "Install with fewer builds at once: `UV_CONCURRENT_BUILDS=1 UV_CONCURRENT_INSTALLS=1` before it.",
        "cargo": "Build fewer crates at once: `cargo install -j 1 CRATE`.",
    }
)


def advise(command: Command) -> str:
    """One sentence for an installation by this program."""
    return _ADVICE.get(command.program, "Install one package at a time.")
