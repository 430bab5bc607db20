"""The diagram of the layers is the contract that import-linter holds."""

from __future__ import annotations

import re
import tomllib

from tests.docs.markdown import ROOT, blocks, read


def test_the_diagram_is_the_contract() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one.get("containers") == ["poolq"]]
    held = [re.findall(r"\w+", layer) for layer in layers]
    _, after = read("design.md").split("\n## Layers\n")
    diagram, *_ = blocks(after, "text")
    drawn = [re.split(r" {2,}", line)[0].split(", ") for line in diagram.text.splitlines()]
    assert drawn == held
