"""The settings: their table, their parsers, and the Config into which they are merged.

These names are loaded on first use, because `poolq health` needs only `project.py`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poolq.config.merged import engine_class, load, load_in_application, open_engine, rows
    from poolq.config.settings import Config

__all__ = ["Config", "engine_class", "load", "load_in_application", "open_engine", "rows"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from poolq.config import merged

    return getattr(merged, name)
