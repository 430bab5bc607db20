"""Gives stored jobs other options than those that they were dispatched with."""

from collections.abc import Iterable

from poolq.config import Config
from poolq.engines.base import StoredJob
from poolq.errors import JobError, PayloadError, UnknownJob
from poolq.jobs import registry
from poolq.jobs.job import options_of
from poolq.jobs.message import decode, with_fields
from poolq.jobs.message_template import with_options


class Revision:
    """Gives jobs the options of their classes in the application of `settings`, then the number of
    `attempts`. Each of the two is left out if it is None."""

    def __init__(self, attempts: int | None, settings: Config | None) -> None:
        self._attempts = attempts
        self._known = registry.load(settings.app, settings.folder) if settings else None
        self._app = ", ".join(settings.app) if settings else ""

    def __call__(self, jobs: Iterable[StoredJob]) -> tuple[dict[str, bytes], dict[str, str]]:
        """Return the new bodies by id, and why jobs stay as they are."""
        found, refused = {}, {}
        for stored in jobs:
            try:
                found[stored.id] = self._body(stored.body)
            except (JobError, PayloadError) as error:
                refused[stored.id] = str(error)
        return found, refused

    def _body(self, body: bytes) -> bytes:
        if self._known is not None:
            name = decode(body).job
            cls = self._known.get(name)
            if cls is None:
                raise UnknownJob(f"there is no job {name!r} in {self._app}")
            body = with_options(body, options_of(cls))
        return with_fields(body, {"attempts": self._attempts}) if self._attempts else body
