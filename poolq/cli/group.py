"""Groups of commands, which suggest a name for a misspelled command. The root group imports only
the command that is called.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from poolq.common.names import suggestion


class Group(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        given = args[0]
        names = self.list_commands(ctx)
        if given not in names and not given.startswith("-"):
            hint = suggestion(given, names, f"the commands are {', '.join(names)}")
            raise click.UsageError(f"there is no command {given!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """Imports a command when it is called. `modules` maps each command to its module."""

    def __init__(self, *args: Any, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(self._modules)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if name not in self._modules:
            return None
        command = getattr(importlib.import_module(self._modules[name]), name)
        assert isinstance(command, click.Command)
        return command
