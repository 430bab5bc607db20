"""The commands of the command line (pure): their words and options, and what they do.

They have the names and options of the commands of `poolq`. `command_line.py` edits and completes a
command.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from poolq.common.durations import micros, since
from poolq.common.names import check_name, suggestion
from poolq.dashboard import bulk, questions, selection
from poolq.dashboard.screen_state import Action, Bulk, Question, ScreenState
from poolq.engines.search import JobFilter
from poolq.errors import DurationError, OptionError
from poolq.monitor.snapshot import Snapshot

MAX_QUEUES = 200  # queues of a snapshot; if there are so many, there may be more
MIN_ID_LENGTH = 4  # characters of an id that a command takes


class Mistake(Exception):  # no "Error" in the name, as in errors.py
    """What is wrong with a command, in one sentence."""


class Given(NamedTuple):
    """The words of a command after its name, its options, the state of the screen and the pool."""

    words: list[str]
    options: dict[str, str]
    state: ScreenState
    snapshot: Snapshot


#: What a command returns: an action, a question, or a message.
Result = Action | Question | str


class CommandSpec(NamedTuple):
    """A command. `words` names the kinds of its words, which tab completes, as `options` does for
    the values of options ("": a switch). `changes`: whether it changes the pool or its jobs."""

    name: str
    usage: str
    what: str
    run: Callable[[Given], Result]
    words: tuple[str, ...] = ()
    options: Mapping[str, str] = MappingProxyType({})
    changes: bool = True


def run(text: str, state: ScreenState, snapshot: Snapshot) -> Result:
    """Carry out a command line. Raises Mistake."""
    try:
        name, *words = shlex.split(text)
    except ValueError:
        raise Mistake("a quotation mark is not closed") from None
    command = COMMANDS.get(name)
    if command is None:
        hint = suggestion(name, COMMANDS, "the key ? lists all commands")
        raise Mistake(f"there is no command {name!r}; {hint}")
    if command.changes and state.read_only:
        raise Mistake(f"{name} is refused: this screen is read-only (--read-only)")
    rest, options = _split(command, words)
    if len(rest) > len(command.words):
        raise Mistake(f"{rest[len(command.words)]!r} is too much; {_usage(command)}")
    return command.run(Given(rest, options, state, snapshot))


def _split(command: CommandSpec, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separate a command's words from its options."""
    rest: list[str] = []
    options: dict[str, str] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            rest.append(word)
            continue
        name, equals, value = word.partition("=")
        if name not in command.options:
            hint = suggestion(name, command.options, _usage(command))
            raise Mistake(f"{command.name} has no option {name}; {hint}")
        if command.options[name] and not equals:
            if not left:
                raise Mistake(f"{name} needs a value; {_usage(command)}")
            value = left.pop(0)
        if command.options[name] and not value:
            raise Mistake(f"{name} is empty; {_usage(command)}")
        options[name] = value
    return rest, options


def _usage(command: CommandSpec) -> str:
    filters = [one for one in command.options if one != "--to"]
    end = f"; FILTERS: {' '.join(filters)}" if filters else ""
    return f"usage: {command.name} {command.usage}".rstrip() + end


def _word(given: Given, at: int, name: str) -> str:
    if len(given.words) <= at:
        raise Mistake(_usage(COMMANDS[name]))
    return given.words[at]


def _queue(given: Given, name: str) -> str:
    """Return the name of a queue. Raises Mistake if the screen knows all others, but not it."""
    known = {one.queue for one in given.snapshot.queues}
    if name in known or len(known) >= MAX_QUEUES:
        return name
    hint = suggestion(name, known, f"known are {', '.join(sorted(known)[:5])}" if known else "")
    raise Mistake(f"there is no queue {name!r}" + (f"; {hint}" if hint else ""))


def _job_id(text: str) -> str:
    if len(text) < MIN_ID_LENGTH:
        raise Mistake(f"{text!r} is too short; give at least {MIN_ID_LENGTH} characters of the id")
    return text


def _scale(given: Given) -> Result:
    text = _word(given, 0, "scale")
    if not re.fullmatch(r"[+-]?\d{1,6}", text, re.ASCII):
        raise Mistake(f"{text!r} is not a number of workers; give 4, +1 or -1")
    return Action("scale to" if text[0].isdecimal() else "scale", by=int(text))


def _pause(given: Given) -> Result:
    return Action("pause", _queue(given, given.words[0]) if given.words else "")


def _resume(given: Given) -> Result:
    return Action("resume", _queue(given, given.words[0]) if given.words else "")


def _purge(given: Given) -> Result:
    name = _queue(given, _word(given, 0, "purge"))
    known = (one for one in given.snapshot.queues if one.queue == name)
    return questions.purge(name, next(known, None))


def _names_job(given: Given, verb: str) -> bool:
    """Return whether a command names one job. Otherwise its options select jobs."""
    if given.words and given.options.keys() - {"--to"}:
        raise Mistake(f"give either an id or options; {_usage(COMMANDS[verb])}")
    return bool(given.words)


def _filtered(given: Given, verb: str, to: str = "") -> Question:
    """Return the question about the jobs that the options select."""
    options, now = given.options, given.snapshot.at
    here = datetime.fromtimestamp(now, UTC).astimezone()
    try:
        age = micros(options["--older-than"], "--older-than") if "--older-than" in options else None
        wanted = JobFilter(
            queue=options.get("--queue"),
            job=options.get("--job"),
            error=options.get("--error"),
            since=since(options["--since"], here, "--since") if "--since" in options else None,
            until=None if age is None else int(now * 1e6) - age,
            limit=options.get("--limit-key"),
        )
    except DurationError as error:
        raise Mistake(str(error)) from None
    if wanted == JobFilter() and "--all" not in options:
        raise Mistake(_usage(COMMANDS[verb]))
    _, question = bulk.ask(Bulk(verb, wanted, to))
    return question


def _cancel(given: Given) -> Result:
    if not _names_job(given, "cancel"):
        return _filtered(given, "cancel")
    return questions.find("cancel", _job_id(given.words[0]))


def _move(given: Given) -> Result:
    words = given.words
    places = [*words[1:], *(value for name, value in given.options.items() if name == "--to")]
    if len(places) != 1:
        raise Mistake(_usage(COMMANDS["move"]))
    (to,) = places
    try:
        check_name(to, "the queue")
    except OptionError as error:
        raise Mistake(str(error)) from None
    if not _names_job(given, "move"):
        return _filtered(given, "move", to)
    action = Action("move", _job_id(words[0]), to=to)
    known = {one.queue for one in given.snapshot.queues}
    return action if to in known else questions.new_queue(action, suggestion(to, known))


def _retry(given: Given) -> Result:
    if not _names_job(given, "retry"):
        return _filtered(given, "retry")
    return Action("retry", _job_id(given.words[0]))


def _forget(given: Given) -> Result:
    if not _names_job(given, "forget"):
        return _filtered(given, "forget")
    return questions.find("forget", _job_id(given.words[0]))


def _kill(given: Given) -> Result:
    text = _word(given, 0, "kill")
    running = [one for one in given.snapshot.workers if one.id]
    found = [one for one in running if text in (str(one.slot), str(one.pid))]
    if not found and len(text) >= MIN_ID_LENGTH:
        found = [one for one in running if one.id.startswith(text)]
    if not found:
        known = ", ".join(str(one.slot) for one in running[:10]) or "none"
        raise Mistake(f"no worker {text!r} runs a job, nor does that job run; busy: {known}")
    if len(found) > 1:
        raise Mistake(f"{text!r} fits several workers; give a pid, or more of the job's id")
    return questions.kill(found[0])


def _sort(given: Given) -> Result:
    state, pane = given.state, selection.pane_of(given.state)
    titles = pane.sorts
    if not given.words:
        return selection.order_by(None, state)
    text = given.words[0]
    found = next((one for one in titles if one.casefold() == text.casefold() and one), None)
    if found is None:
        names = [one.lower() for one in titles if one]
        hint = suggestion(text.lower(), names, f"it can be sorted by {', '.join(names)}")
        raise Mistake(f"pane {pane.name} cannot be sorted by {text!r}; {hint}")
    return selection.order_by(found, state)


def _filter(given: Given) -> Result:
    given.state.filter = given.words[0] if given.words else ""
    return ""


def _help(given: Given) -> Result:
    given.state.help = True
    return ""


_FAILED = {
    "--queue": "queue", "--job": "job", "--error": "error", "--since": "time",
    "--older-than": "age", "--all": "",
}  # fmt: skip
_WAITING = {**_FAILED, "--limit-key": "limit"}
#: What FILTERS stands for in the usage of commands.
FILTERS_HELP = (
    "FILTERS: --queue QUEUE, --job JOB, --error TEXT, --since TIME, --older-than AGE, or --all",
    "TEXT is in the last error; TIME is such as '2h' or 'yesterday 09:00', and AGE such as '30d'",
    "cancel and move also take --limit-key KEY: jobs that wait for this rate limit",
)
COMMANDS = {
    one.name: one
    for one in (
        CommandSpec("scale", "N | +N | -N", "sets the number of workers", _scale, ("number",)),
        CommandSpec("pause", "[QUEUE]", "pauses a queue, or this pool", _pause, ("queue",)),
        CommandSpec("resume", "[QUEUE]", "resumes a queue, or this pool", _resume, ("queue",)),
        CommandSpec("purge", "QUEUE", "deletes the jobs that wait in a queue", _purge, ("queue",)),
        CommandSpec(
            "cancel", "ID | FILTERS", "cancels a job, or jobs that wait", _cancel, ("waiting id",),
            _WAITING,
        ),
        CommandSpec(
            "move", "ID QUEUE | FILTERS --to QUEUE", "moves jobs that wait to another queue",
            _move, ("id", "queue"), {**_WAITING, "--to": "queue"},
        ),
        CommandSpec(
            "retry", "ID | FILTERS", "puts failed jobs back into their queues", _retry,
            ("failed id",), _FAILED,
        ),
        CommandSpec(
            "forget", "ID | FILTERS", "deletes failed jobs", _forget, ("failed id",), _FAILED
        ),
        CommandSpec(
            "kill", "WORKER | ID", "kills a worker; asks what becomes of its job", _kill,
            ("worker",),
        ),
        CommandSpec(
            "reload", "", "reloads the application's code", lambda _: questions.RELOAD
        ),
        CommandSpec("drain", "", "ends the pool after its running jobs", lambda _: questions.DRAIN),
        CommandSpec(
            "sort", "[COLUMN]", "sorts the pane by a column; again: reversed", _sort,
            ("column",), changes=False,
        ),
        CommandSpec(
            "filter", "[TEXT]", "shows only rows that contain a text", _filter, ("text",),
            changes=False,
        ),
        CommandSpec("help", "", "shows all keys and commands", _help, changes=False),
    )
}  # fmt: skip
