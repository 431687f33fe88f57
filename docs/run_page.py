"""Runs the Python code of a page, in order and in one namespace: ``python docs/run_page.py PAGE``.

For less of it, parts of the code can be replaced: ``python docs/run_page.py PAGE "epochs=25 -> epochs=1"``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any


def blocks(page: Path) -> list[str]:
    """Code of all Python blocks."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def run_page(page: Path, replaced: dict[str, str] | None = None) -> dict[str, Any]:
    """The names that the page's code leaves.

    Args:
        replaced: text of the code → what stands in its place, such as fewer epochs for a test.
    """
    names: dict[str, Any] = {"__name__": page.stem}
    found = blocks(page)
    if missing := [old for old in replaced or {} if not any(old in code for code in found)]:
        raise SystemExit(f"{page.name} has no {', '.join(missing)} to replace")
    for number, code in enumerate(found, start=1):
        for old, new in (replaced or {}).items():
            code = code.replace(old, new)
        exec(compile(code, f"{page.name}, block {number}", "exec"), names)
    return names


if __name__ == "__main__":
    pairs = (argument.split(" -> ") for argument in sys.argv[2:])
    run_page(Path(sys.argv[1]), {old: new for old, new in pairs})  # noqa: C416 - a dict of lists is none
