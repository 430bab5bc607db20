"""The settings: their table, their parsers, and the Config into which they are merged."""

from poolq.config.merged import (
    Config,
    engine_class,
    load,
    load_in_application,
    open_engine,
    rows,
)

__all__ = ["Config", "engine_class", "load", "load_in_application", "open_engine", "rows"]
