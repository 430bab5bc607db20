"""What running jobs report with `self.progress()`, as the heartbeats of their nodes publish it."""

from collections.abc import Iterable

import msgspec

from poolq.engines.base import NodeRecord


class JobProgress(msgspec.Struct, frozen=True):
    """What a job reports. A `total` of 0 means unknown."""

    done: int
    total: int
    note: str = ""


class _Published(msgspec.Struct, frozen=True):
    """The part of a node's heartbeat that is about progress, by job id."""

    progress: dict[str, tuple[int, int, str]] = {}


_decoder = msgspec.json.Decoder(_Published)


def progress_of(nodes: Iterable[NodeRecord], id: str) -> JobProgress | None:
    """Return the progress of a running job, as the last heartbeat of its node has published it."""
    for node in nodes:
        try:
            found = _decoder.decode(node.info).progress.get(id)
        except (msgspec.MsgspecError, TypeError):  # as in `node_info.decode`
            continue
        if found is not None:
            return JobProgress(*found)
    return None
