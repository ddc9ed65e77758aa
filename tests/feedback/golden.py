"""Golden texts: what an agent reads, in golden/NAME.txt. Changing one is changing the product.

`AGENTCGROUP_GOLDEN=write pytest tests/feedback` writes them anew; then read the diff, all of it.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def compare(name: str, text: str) -> None:
    """``text`` is what golden/NAME.txt holds."""
    file = FOLDER / f"{name}.txt"
    if os.environ.get("AGENTCGROUP_GOLDEN") == "write":
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), "see tests/feedback/golden.py for how to write it anew"


def names() -> set[str]:
    """Of all golden texts."""
    return {file.stem for file in FOLDER.glob("*.txt")}
