"""OpenTelemetry: spans and metrics of dispatches and attempts, and the trace in a job's headers.

Exporters have threads, so a pool's workers set their provider in `@poolq.on.started`: see
docs/tracing.md.
"""

import logging

log = logging.getLogger("poolq")
_instrumented: list[bool] = []


def instrument(parent: bool = False) -> None:
    """Make spans and metrics of all that this process dispatches and runs from now on. `parent`:
    whether an attempt is a child of its dispatch, and not only linked to it. A second call does
    nothing."""
    if _instrumented:
        return
    try:
        from poolq.contrib.otel import spans
    except ImportError as error:
        log.warning('jobs have no traces (%s); install "poolq[otel]"', error)
        return
    _instrumented.append(parent)
    spans.register(parent)
