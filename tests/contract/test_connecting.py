"""What the first connection of a process costs: a pool's workers are forked before it, so whatever
they import for it is private to each."""

from __future__ import annotations

import subprocess
import sys

from tests.contract.helpers import every_engine
from tests.support.cli import environment

pytestmark = every_engine

CODE = """
import sys
from contextlib import closing, suppress
from poolq.config import engine_class, load
from poolq.errors import EngineError

config = load({"engine": sys.argv[1], "namespace": sys.argv[2]})
kind = engine_class(config)  # as a template does
before = set(sys.modules)
with closing(kind(config.engine, config.namespace)) as engine, suppress(EngineError):
    engine.registered()  # it connects, although MariaDB has no tables
print(*sorted(set(sys.modules) - before))
"""


def test_connecting_imports_nothing(engine_url: str, namespace: str) -> None:
    words = [sys.executable, "-c", CODE, engine_url, namespace]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
