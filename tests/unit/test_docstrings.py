"""No docstring has swallowed code, which no linter looks for: ruff's ERA001 reads comments alone.

Code of an example is indented. What stands at the margin of a docstring is prose.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

POOLQ = Path(__file__).parents[2] / "poolq"
STATEMENT = re.compile(r"(import|from|def|class|return|raise|with|for|if|while|try)\b|@|\w+ = ")


def swallowed(source: str) -> Iterator[str]:
    """Lines at the margin of a docstring that are a statement."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            for line in (ast.get_docstring(node) or "").splitlines():
                if STATEMENT.match(line) and (_parses(line) or _parses(f"{line}\n    pass")):
                    yield line


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def test_it_finds_an_import_in_a_docstring() -> None:
    source = (
        'def f():\n    """Read\n    import msgspec\n    the options.\n\n        import x\n    """'
    )
    assert list(swallowed(source)) == ["import msgspec"]


def test_no_docstring_has_swallowed_code() -> None:
    found = {
        str(path.relative_to(POOLQ)): list(swallowed(path.read_text("utf-8")))
        for path in POOLQ.rglob("*.py")
    }
    assert not {path: lines for path, lines in found.items() if lines}
