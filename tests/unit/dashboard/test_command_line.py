"""The command line: what a command does, what is wrong with one, completion and history."""

from __future__ import annotations

import msgspec
import pytest

from poolq.dashboard.command_line import READ_ONLY, offers
from poolq.dashboard.commands import COMMANDS, MAX_QUEUES, Mistake, run
from poolq.dashboard.job_list import FoundJobs, JobView
from poolq.dashboard.key_bindings import press
from poolq.dashboard.screen_state import Action, Bulk, Question, ScreenState
from poolq.engines.base import StoredJob
from poolq.engines.search import JobFilter
from poolq.jobs.message import State
from tests.support import snapshots

POOL = snapshots.troubled()
ID = POOL.failures[0].id
AGAIN = "It does not run again; if it is running, it has 10 s to end before it is killed."
SECOND = 1_000_000  # microseconds
NOW = int(POOL.at) * SECOND


def typed(state: ScreenState, text: str, *keys: str) -> Action | None:
    """Type a command, then these keys. Returns the last action."""
    action = None
    for key in (*([] if state.command else [":"]), *text, *keys):
        action = press(key, state, POOL, 0.0)
    return action


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("scale 8", Action("scale", "8")),
        ("scale +2", Action("scale", "+2")),
        ("scale -1", Action("scale", "-1")),
        ("pause", Action("pause")),
        ("pause emails", Action("pause", "emails")),
        ("resume billing", Action("resume", "billing")),
        (f"retry {ID}", Action("retry", ID)),
        ("retry 0192f3", Action("retry", "0192f3")),
        ("move 0192 emails", Action("move", "0192", to="emails")),
        ("move --to=emails 0192", Action("move", "0192", to="emails")),
    ],
)  # fmt: skip
def test_a_command_acts_at_once(text: str, action: Action) -> None:
    state = ScreenState()
    assert typed(state, text, "enter") == action
    assert (state.command, state.question) == (None, None)


@pytest.mark.parametrize(
    ("text", "question", "action"),
    [
        ("purge billing", "Delete 12 ready, 3 delayed and 0 parked jobs of queue 'billing'?",
         Action("purge", "billing")),
        ("move 0192 emial",
         "There is no queue 'emial' yet (did you mean emails?). Move the job there?",
         Action("move", "0192", to="emial")),
        ("cancel 0192f3",
         f"Cancel job 0192f3? {AGAIN}", Action("cancel", "0192f3")),
        ("forget 0192f3", "Forget failed job 0192f3 permanently?", Action("forget", "0192f3")),
        ("reload", "Reload the application's code?", Action("reload")),
        ("drain", "End the pool when its running jobs have finished?", Action("drain")),
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_undone_asks(text: str, question: str, action: Action) -> None:
    for answer in ("y", "n"):
        state = ScreenState()
        assert typed(state, text, "enter") is None
        assert state.question is not None
        assert state.question.text == question
        assert press(answer, state, POOL, 0.0) == (action if answer == "y" else None)


@pytest.mark.parametrize(
    ("text", "bulk"),
    [
        ("retry --job shop.jobs:Charge", Bulk("retry", JobFilter(job="shop.jobs:Charge"))),
        ("retry --all", Bulk("retry", JobFilter())),
        ('forget --queue=billing --error "no such user"',
         Bulk("forget", JobFilter(queue="billing", error="no such user"))),
        ("cancel --queue emails", Bulk("cancel", JobFilter(queue="emails"))),
        ("cancel --limit-key geocode", Bulk("cancel", JobFilter(limit="geocode"))),
        ("retry --since 2h --older-than=30m",
         Bulk("retry", JobFilter(since=NOW - 7200 * SECOND, until=NOW - 1800 * SECOND))),
        ("move --queue emails --to billing", Bulk("move", JobFilter(queue="emails"), "billing")),
    ],
)  # fmt: skip
def test_a_command_on_many_jobs_counts_them_before_it_asks(text: str, bulk: Bulk) -> None:
    state = ScreenState()
    action = typed(state, text, "enter")
    assert action == Action("count", bulk=bulk)
    assert state.question is not None
    assert state.question.counts == action
    assert typed(state, "") is None
    assert press("y", state, POOL, 0.0) is None, "there is nothing to answer yet"
    assert state.question is not None


RUNNING = ", ".join(f"{one.id} (pid {one.pid})" for one in POOL.workers if one.id)
FAILED = "FILTERS: --queue --job --error --since --older-than --all"
WAITING = "FILTERS: --queue --job --error --since --older-than --all --limit-key"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("prge mails", "there is no command 'prge'; did you mean purge?"),
        ("xyzzy", "there is no command 'xyzzy'; the key ? lists all commands"),
        ("scale", "usage: scale N | +N | -N"),
        ("scale many", "'many' is not a number of workers; give 4, +1 or -1"),
        ("scale --3", "'--3' is not a number of workers; give 4, +1 or -1"),
        ("purge", "usage: purge QUEUE"),
        ("purge emial", "there is no queue 'emial'; did you mean emails?"),
        ("pause a b", "'b' is too much; usage: pause [QUEUE]"),
        ("cancel 019", "'019' is too short for an id; give at least 4 characters"),
        ("cancel", "usage: cancel ID | FILTERS; " + WAITING),
        ("retry --jbo x", "option --jbo not recognized; usage: retry ID | FILTERS; " + FAILED),
        ("cancel --job",
         "option --job requires argument; usage: cancel ID | FILTERS; " + WAITING),
        ("move 0192", "usage: move ID QUEUE | FILTERS --to QUEUE; " + WAITING),
        ("forget --since x",
         "--since is 'x'; write how long ago, such as '2h', or text such as 'yesterday 09:00'"),
        ("cancel --queue=", "--queue is empty; usage: cancel ID | FILTERS; " + WAITING),
        ("cancel 0192f3 --job a:B",
         "give either an id or options; usage: cancel ID | FILTERS; " + WAITING),
        ("move 0192 emails --to billing",
         "usage: move ID QUEUE | FILTERS --to QUEUE; " + WAITING),
        ('retry --error "no', "a quotation mark is not closed"),
        ("kill 4", "worker 4 runs no job; busy: 1, 2, 3"),
        ("kill 0192f3", f"0192f3 is ambiguous; it may be {RUNNING}"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_one_line_and_the_text_stays(text: str, mistake: str) -> None:
    state = ScreenState(pane="queues")
    assert typed(state, text, "enter") is None
    assert state.command is not None
    assert (state.command.text, state.command.error) == (text, mistake)
    press("backspace", state, POOL, 0.0)
    assert state.command.error == ""


@pytest.mark.parametrize("name", ["2", str(snapshots.STUCK.pid), snapshots.STUCK.id])
def test_a_worker_is_named_by_its_slot_its_pid_or_its_job(name: str) -> None:
    state = ScreenState()
    typed(state, f"kill {name}", "enter")
    assert state.question is not None
    assert state.question.answers["g"] == Action(
        "kill and give back", snapshots.STUCK.id, snapshots.STUCK.pid
    )


def test_a_queue_may_be_unknown_if_there_are_many() -> None:
    many = tuple(snapshots.queue(f"q{number}") for number in range(MAX_QUEUES))
    found = run("purge mails", msgspec.structs.replace(POOL, queues=many))
    assert isinstance(found, Question)
    assert found.text == "Delete all jobs that wait in queue mails?"
    new = msgspec.structs.replace(POOL, queues=())
    with pytest.raises(Mistake, match=r"^there is no queue 'mails'$"):
        run("purge mails", new)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", list(COMMANDS)),
        ("re", ["reload", "resume", "retry"]),
        ("pause ", ["billing", "default", "emails"]),
        ("pause e", ["emails"]),
        ("pause emails ", []),
        ("move 0192 e", ["emails"]),
        ("move --queue b", ["billing"]),
        ("move --to emails --queue ", ["billing", "default", "emails"]),
        ("move --to emails 0192f3a1b2c37d4e8f90a1b2c3d4e5f1 b", ["billing"]),
        ("retry --", ["--all", "--error", "--job", "--older-than", "--queue", "--since"]),
        ("cancel --limit-key ", ["geocode", "shop.jobs:SendMail"]),
        ("retry --all --q", ["--queue"]),
        ("retry --job shop.jobs:C", ["shop.jobs:Charge"]),
        ("retry --error ", ["PaymentError"]),
        ("retry 0192", [one.id for one in POOL.failures]),
        ("nonsense ", []),
    ],
)  # fmt: skip
def test_tab_offers_what_may_follow(text: str, words: list[str]) -> None:
    assert offers(text, ScreenState(pane="queues"), POOL) == sorted(words)


def test_tab_offers_the_ids_of_the_jobs_that_are_listed() -> None:
    state = ScreenState(pane="queues")
    press("enter", state, POOL, 0.0)
    assert state.jobs is not None
    state.jobs.found = FoundJobs([], True, 0, 0.0)
    for id, status in (("1a", "ready"), ("1b", "running")):
        stored = StoredJob(id, "billing", status, 0, b"", State())
        state.jobs.jobs.append(JobView(stored, "a:B", "{}", 1, ""))
    assert offers("cancel 1", state, POOL) == ["1a", "1b"]


def test_tab_completes_as_far_as_all_offers_agree_and_then_takes_each_in_turn() -> None:
    state = ScreenState()
    typed(state, "pu", "tab")
    assert state.command is not None
    assert state.command.text == "purge "
    typed(state, "", "tab")
    assert state.command.text == "purge "
    assert state.command.offers == ("billing", "default", "emails")
    seen = []
    for _ in range(4):
        typed(state, "", "tab")
        seen.append(state.command.text)
    assert seen == ["purge billing", "purge default", "purge emails", "purge billing"]
    typed(state, "", "ctrl-w", *"em", "tab", "enter")
    assert state.question is not None


def test_arrows_bring_back_earlier_commands() -> None:
    state = ScreenState()
    for text in ("scale 3", "pause emails", "scale 3"):
        typed(state, text, "enter")
    assert state.history == ["pause emails", "scale 3"], "each is there once"
    seen = []
    for key in ("up", "up", "up", "down", "down"):
        typed(state, "" if seen else "dr", key)
        assert state.command is not None
        seen.append(state.command.text)
    assert seen == ["scale 3", "pause emails", "pause emails", "scale 3", "dr"]


@pytest.mark.parametrize(
    "keys", [("esc",), ("ctrl-c",), ("ctrl-u", "backspace"), ("ctrl-u", "enter")]
)
def test_a_command_is_given_up(keys: tuple[str, ...]) -> None:
    state = ScreenState()
    assert typed(state, "drain", *keys) is None
    assert (state.command, state.question, state.history) == (None, None, [])


@pytest.mark.parametrize("text", ["scale 3", "pause emails", "drain", "quit", "retry --all"])
def test_a_read_only_screen_takes_no_letter_of_a_command_for_a_key(text: str) -> None:
    state = ScreenState(read_only=True)
    assert typed(state, text, "enter") is None
    assert state == ScreenState(read_only=True, command=state.command)
    assert state.command is not None
    assert (state.command.text, state.command.error) == (text, READ_ONLY)
    press("esc", state, POOL, 0.0)
    assert state.command is None
