"""The sync engine runs a job inside its `dispatch()`, for development and tests.

Delays are ignored, attempts follow immediately, hooks run, and the last error is raised to the
caller of `dispatch()`. A job is asked for its rate limits, so that a mistake in them shows here and
not in production, but they never make it wait. A job may dispatch others, which then run inside it.
"""

import logging
from collections.abc import Sequence

from poolq import config
from poolq.common.names import suggestion
from poolq.engines.base import Push
from poolq.engines.storeless import Storeless
from poolq.errors import UnknownJob
from poolq.jobs import registry
from poolq.jobs.job import Job, inline
from poolq.jobs.message import decode

log = logging.getLogger("poolq")


class SyncEngine(Storeless):
    """`sync://`"""

    effect = "a dispatched job runs inside dispatch()"

    def push(self, pushes: Sequence[Push]) -> None:
        """Run all in order, then raise the first error, if any."""
        first: Exception | None = None
        for push in pushes:
            try:
                inline(_job(decode(push.body).job), push.body, ask_limits=True)
            except Exception as error:  # a job may raise anything; see below
                if first is None:
                    first = error
                else:
                    log.exception("job %s failed; the first error is raised", push.id)
        if first is not None:
            raise first


def _job(name: str) -> type[Job]:
    """The class of that name, known already or found by importing the application's modules."""
    found = registry.known().get(name)
    if found is None:
        settings = config.load()
        registry.import_all(settings.app, settings.folder)
        found = registry.known().get(name)
    if found is None:
        nowhere = "no class here and no module has it"
        hint = suggestion(name, registry.known().names(), nowhere)
        raise UnknownJob(f"no job {name!r}; {hint}")
    return found
