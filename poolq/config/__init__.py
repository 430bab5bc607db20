"""The settings: their table, their parsers, and the Config into which they are merged."""

from poolq.config.merged import (
    PROJECT_FILES,
    Config,
    engine_class,
    load,
    load_in_application,
    open_engine,
    rows,
)

__all__ = [
    "PROJECT_FILES", "Config", "engine_class", "load", "load_in_application", "open_engine", "rows",
]  # fmt: skip
