"""Which methods a job's class overrides, so that workers call no others."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from poolq.jobs.retry_policy import ErrorRule


class Hooks(NamedTuple):
    """Which hooks a job's class overrides, and what it says about errors (`retry_on`)."""

    limit: bool
    success: bool
    failure: bool
    discard: bool = False
    expired: bool = False
    retry: bool = False
    rules: Mapping[type[BaseException], ErrorRule] = MappingProxyType({})


def overridden(
    cls: type[Any], base: type[Any], rules: Mapping[type[BaseException], ErrorRule]
) -> Hooks:
    """Return which hooks of `base` the class overrides. `rules`: what it says about errors."""
    return Hooks(
        cls.rate_limit is not base.rate_limit,
        cls.on_success is not base.on_success,
        cls.on_failure is not base.on_failure,
        cls.on_discard is not base.on_discard,
        cls.on_expired is not base.on_expired,
        cls.retry is not base.retry,
        rules,
    )
