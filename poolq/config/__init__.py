"""Settings: the table of them, how they are read, and the one Config that they are merged into."""

from poolq.config.merged import Config, engine_class, load, open_engine, rows

__all__ = ["Config", "engine_class", "load", "open_engine", "rows"]
