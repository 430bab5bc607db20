"""A group of commands that guesses what a misspelled one was meant to be."""

import difflib

import click


class Group(click.Group):
    """Lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        given = args[0]
        if given not in self.commands and not given.startswith("-"):
            near = difflib.get_close_matches(given, self.commands, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.commands)}"
            raise click.UsageError(f"there is no command {given!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)
