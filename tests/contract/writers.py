"""What many writers do at once; importable by the processes that do it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tests.contract.helpers import open_engine, push


def push_until_all_have(member: int, url: str, namespace: str, folder: Path, times: int) -> int:
    """Push without pause, every other member thousands at a time, until each member of this crowd
    has pushed so many times, of which a file in `folder` tells. Returns how often this one has."""
    names, pushed = ["x"] * (1000 if member % 2 else 1), 0
    try:
        with closing(open_engine(url, namespace)) as engine:
            while len(list(folder.iterdir())) < 8:
                push(engine, *names)
                pushed += 1
                if pushed == times:
                    (folder / f"{member}").touch()
    except BaseException:
        for other in range(8):  # none is to wait for this one
            (folder / f"{other}").touch()
        raise
    return pushed
