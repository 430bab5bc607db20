"""Sentry: traces from a dispatch to each attempt, and one event for each job that fails for good.

The application calls `sentry_sdk.init` itself: where it dispatches, and for workers in
`@poolq.on.started`. A payload is sent only with `send_default_pii`. See docs/tracing.md.
"""

import logging
from collections.abc import Callable

try:
    from sentry_sdk.integrations import Integration
except ImportError:
    Integration = object  # type: ignore[assignment,misc]  # jobs run without the SDK, too

log = logging.getLogger("poolq")
_parts: list[Callable[[], None]] = []


class PoolqIntegration(Integration):
    """Give it to `sentry_sdk.init`. `monitors`: whether the jobs of schedules send check-ins."""

    identifier = "poolq"
    origin = "auto.queue.poolq"

    def __init__(self, monitors: bool = False) -> None:
        self.monitors = monitors

    @staticmethod
    def setup_once() -> None:
        """Register the callbacks. The SDK calls this once in each process."""
        for register in _parts:
            register()


try:
    from poolq.contrib.sentry import failures, spans
except ImportError as error:  # the SDK is absent, or too old
    log.warning('jobs have no traces (%s); install "poolq[sentry]"', error)
else:
    _parts += spans.register, failures.register
