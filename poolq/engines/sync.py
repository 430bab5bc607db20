"""The sync engine: a job runs inside its `dispatch()`. For development and tests.

Delays do not count, attempts follow at once, the hooks run, and the last error is raised to whoever
dispatched. A job is asked for its rate limits, so that a mistake in them shows here and not in
production, but none is waited for. A job may dispatch others, which then run within it.
"""

import difflib
import logging
from collections.abc import Sequence

from poolq import config
from poolq.engines.base import Push
from poolq.engines.storeless import Storeless
from poolq.errors import UnknownJob
from poolq.jobs import registry
from poolq.jobs.job import Job, inline
from poolq.jobs.message import decode

log = logging.getLogger("poolq")


class SyncEngine(Storeless):
    """`sync://`"""

    meaning = "a dispatched job runs inside dispatch()"

    def push(self, pushes: Sequence[Push]) -> None:
        """Run all, in their order; then raise the first error, if there was one."""
        first: Exception | None = None
        for push in pushes:
            try:
                inline(_job(decode(push.body).job), push.body, ask_limits=True)
            except Exception as error:  # whatever the job raises; raised below
                if first is None:
                    first = error
                else:
                    log.exception("job %s failed; the first error is raised", push.id)
        if first is not None:
            raise first


def _job(name: str) -> type[Job]:
    """The class of that name: one that this process has, else one of the application's modules."""
    found = registry.known().get(name)
    if found is None:
        settings = config.load()
        registry.import_all(settings.app, settings.folder)
        found = registry.known().get(name)
    if found is None:
        near = difflib.get_close_matches(name, registry.known().names(), 1)
        hint = f"did you mean {near[0]}?" if near else "no class here and no module has it"
        raise UnknownJob(f"no job {name!r}; {hint}")
    return found
