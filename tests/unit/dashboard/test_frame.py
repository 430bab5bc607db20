"""The whole screen, at any size and with anything in it."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from poolq.dashboard import exit_summary, questions
from poolq.dashboard.drawing import frame
from poolq.dashboard.drawing.help_page import COMMAND_HELP
from poolq.dashboard.job_list import FoundFailures
from poolq.dashboard.key_bindings import KEYS, press
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import (
    HELP,
    Action,
    CommandLine,
    Detail,
    Order,
    ScreenState,
    yes_no,
)
from poolq.engines.base import ServerInfo
from poolq.engines.progress import JobProgress
from poolq.monitor.limit_status import LimitStatus
from poolq.monitor.snapshot import EventView, Snapshot, Throughput
from tests.support import snapshots
from tests.unit.dashboard.frames import ASCII, COLOURED, screen_text, shown

POOLS = {
    "well": snapshots.well(),
    "troubled": snapshots.troubled(),
    "hostile": snapshots.hostile(),
    "crowd": snapshots.crowd(40),
    "new": Snapshot(at=snapshots.AT, head=snapshots.head(state="starting", generation=0, age=None)),
}


def states() -> list[ScreenState]:
    key = str(snapshots.STUCK.pid)
    blocks = {"payload": '{"to": "a@example.com"}', "traceback": "x\x1b[2J\n" * 50}
    return [
        *(ScreenState(pane=name) for name in PANES),
        ScreenState(detail=Detail(HELP)),
        ScreenState(filter="\x1b[31m漢字"),
        ScreenState(typing=True, filter="漢字" * 50),
        ScreenState(question=yes_no("forget \x1b[2J?", Action("forget", "1"))),
        ScreenState(command=CommandLine("pu\x1b漢字" * 50)),
        ScreenState(command=CommandLine("move ", offers=("\x1b漢字",) * 50)),
        ScreenState(command=CommandLine("purge x", error="there is no \x1b漢字 " * 30)),
        ScreenState(pane="queues", orders={"queues": Order("READY", True)}),
        ScreenState(progress="retrying: 5 of 7 jobs"),
        ScreenState(detail=Detail("workers", key, blocks, scroll=10_000)),
        ScreenState(detail=Detail("failures", "gone", waits=True)),
        ScreenState(message="no \x07 pool" * 40, until=1.0, level="error"),
        ScreenState(own=True, read_only=True),
    ]


@pytest.mark.parametrize("name", POOLS)
@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 220), st.integers(1, 60)),
    state=st.sampled_from(states()),
    drawn=st.sampled_from((COLOURED, ASCII)),
)
def test_it_never_leaves_the_terminal_nor_obeys_a_text(
    name: str, size: tuple[int, int], state: ScreenState, drawn: object
) -> None:
    width, height = size
    lines = frame.draw(POOLS[name], state, drawn, size, 0.0)  # type: ignore[arg-type]
    assert len(lines) == height
    for line in lines:
        text = "".join(segment.text for segment in line)
        assert cell_len(text) <= width, text
        assert text.isprintable(), text
        if drawn is ASCII:
            assert text.isascii(), text


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (100, 30), (200, 50)])
def test_a_stranger_sees_what_is_wrong_and_how_to_stop_it(size: tuple[int, int]) -> None:
    screen = screen_text(snapshots.troubled(), size)
    assert re.search(r"worker 2 stuck: \S+:Invoice runs 12m03s", screen)
    assert "worker 3 leaks: 412M, +24M a minute" in screen
    assert "SendMail holds back: 84 wait until " in screen
    assert "2 STUCK" in screen
    assert "3 LEAKS" in screen
    assert "D drain and stop" in screen


def test_a_row_in_trouble_is_seen_however_many_there_are() -> None:
    found = snapshots.crowd(30)
    stuck = msgspec.structs.replace(snapshots.STUCK, slot=37)
    found = msgspec.structs.replace(found, workers=(*found.workers, stuck))
    for state in (ScreenState(), ScreenState(pane="queues")):
        assert "37 STUCK" in "".join(shown(found, (60, 15), state))


@pytest.mark.parametrize(("name", "title"), [(name, name.upper()) for name in PANES])
def test_the_pane_with_the_keys_is_always_there(name: str, title: str) -> None:
    for height in (5, 8, 15, 30):
        assert any(
            title in line for line in shown(POOLS["troubled"], (60, height), ScreenState(pane=name))
        )


def test_every_pool_of_the_namespace_is_shown_with_what_it_does() -> None:
    for state in (ScreenState(), ScreenState(pane="nodes")):
        screen = screen_text(snapshots.troubled(), (200, 50), state)
        assert re.search(r"NODES 2 +WORKERS +BUSY +HEARD +POOLQ +PYTHON +NODE", screen)
        assert re.search(r"shop@web1 +4 +3 +0.5s +0.1.0 +3.11.7 +9f2c", screen)
        assert re.search(r"shop@web2 +8 +8 +3.5s +0.1.0 +3.11.7 +17aa", screen)


def test_a_high_screen_shows_every_pane() -> None:
    lines = shown(snapshots.well(), (200, 50))
    for title in PANES:
        assert any(f" {title.upper()} " in line for line in lines)


@pytest.mark.parametrize(
    ("more", "text"),
    [({}, "RUNNING g3"), ({"state": "paused"}, "PAUSED g3"), ({"trial": 4}, "RELOADING g4"),
     ({"state": "draining"}, "DRAINING g3"), ({"state": "starting", "generation": 0}, "STARTING")],
)  # fmt: skip
def test_the_head_tells_the_pools_state(more: dict[str, object], text: str) -> None:
    pool = Snapshot(at=snapshots.AT, head=snapshots.head(**more))
    for size in ((60, 15), (100, 30)):
        assert f"● {text}  " in shown(pool, size)[0]


@pytest.mark.parametrize(
    ("ignored", "own", "said"),
    [
        (0.3, True, "too soon: press ctrl-c"),
        (7.0, True, "draining: jobs"),
        (0.3, False, "draining"),
    ],
)
def test_a_ctrl_c_that_came_too_soon_is_said_in_place_of_a_message(
    ignored: float, own: bool, said: str
) -> None:
    head = snapshots.head(state="draining", interrupts=1, interrupt_ignored=ignored)
    state = ScreenState(own=own, message="draining: jobs may finish", until=9.0)
    last = shown(Snapshot(at=snapshots.AT, head=head), (100, 30), state)[-1]
    assert said in last
    assert ("too soon" in last) is said.startswith("too soon")


@pytest.mark.parametrize(
    ("reachable", "said"), [(True, "up 3h05m  ping 0.4ms"), (False, "up 3h05m  engine GONE")]
)
def test_a_short_head_rather_says_how_the_broker_is_than_the_master_s_pid(
    reachable: bool, said: str
) -> None:
    pool = Snapshot(at=snapshots.AT, head=snapshots.head(reachable=reachable))
    first = shown(pool, (60, 15))[0]
    assert said in first
    assert "master" not in first


def test_a_tiny_terminal_shows_the_pool_its_trouble_and_a_worker() -> None:
    lines = shown(snapshots.troubled(), (20, 5))
    assert lines[0].startswith(" shop  ● RUNNING g3")
    assert lines[1].startswith("! worker 2 stuck")
    assert "2 STUCK" in lines[3]


def test_a_question_and_an_error_are_read_on_any_width() -> None:
    question = ScreenState(
        question=yes_no("Forget failed job shop.jobs:Charge 0192f3?", Action("forget"))
    )
    assert shown(snapshots.well(), (100, 30), question)[-1].startswith(" Forget failed job shop.")
    for size in ((40, 15), (24, 15), (24, 4)):
        found = [line.strip() for line in shown(snapshots.well(), size, question)]
        assert found[-1].endswith("y/N")
    error = ScreenState(message="give the --engine of this pool, " * 3, until=1.0, level="error")
    found = " ".join(shown(snapshots.well(), (60, 15), error)[-2:])
    assert found.split() == error.message.split()


@pytest.mark.parametrize("height", [4, 5, 10, 15])
def test_the_keys_that_answer_are_shown_in_full_on_any_width(height: int) -> None:
    kill = ScreenState(question=questions.kill(snapshots.STUCK))
    for width in range(12, 140):
        lines = shown(snapshots.well(), (width, height), kill)
        assert lines[-1].rstrip().endswith("c/g/N"), (width, lines)


@pytest.mark.parametrize(
    ("url", "text"),
    [("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
     ("sqlite:////home/shop/current/poolq.db", "sqlite:…p/current/poolq.db"),
     ("sqlite:////srv/a_name_longer_than_the_room.db?timeout=5", "sqlite:…r_than_the_room.db"),
     ("unix:///run/user/1000/valkey/valkey.sock?db=2", "unix:…0/valkey/valkey.sock"),
     ("redis://worker:***@broker.shop:6379/0", "redis://broker.shop:6379/0"),
     ("mysql://poolq:***@db.internal.example.com/shop", "mysql://db.internal.examp…"),
     ("redis+sentinel://:***@s1:26379,s2:26379/main", "redis+sentinel://s1:26379…")],
)  # fmt: skip
def test_a_long_url_keeps_its_engine_and_its_host_or_file(url: str, text: str) -> None:
    pool = Snapshot(at=snapshots.AT, head=snapshots.head(broker=url))
    assert f" engine {text}  " in shown(pool, (100, 30))[1]


def test_a_wide_screen_has_room_for_the_database() -> None:
    url = "mysql://poolq:***@db.internal.example.com/shop"
    pool = Snapshot(at=snapshots.AT, head=snapshots.head(broker=url))
    assert " engine mysql://db.internal.example.com/shop  " in shown(pool, (120, 30))[1]


def test_jobs_on_workers_that_leave_are_counted_apart() -> None:
    pool = Snapshot(at=snapshots.AT, head=snapshots.head(busy=4, leaving=3))
    for size in ((60, 15), (100, 30)):
        assert " 4/4 busy +3 leaving  " in shown(pool, size)[0]
    assert "leaving" not in shown(snapshots.well(), (60, 15))[0]


def test_old_data_is_called_stale() -> None:
    old = Snapshot(at=snapshots.AT, head=snapshots.head(age=4.1, period=2.0))
    fresh = Snapshot(at=snapshots.AT, head=snapshots.head(age=3.9, period=2.0))
    for size in ((60, 15), (100, 30)):
        assert "STALE" in shown(old, size)[0] + shown(old, size)[1]
        assert "STALE" not in "".join(shown(fresh, size))


def test_the_smallest_screen_keeps_what_limits_hold_back() -> None:
    assert any(" held (times) 84" in line for line in shown(snapshots.troubled(), (60, 15)))


def test_what_a_limit_holds_back_is_counted_in_times() -> None:
    limited = msgspec.structs.replace(snapshots.STUCK, limited=3, parked=4)
    pool = msgspec.structs.replace(snapshots.troubled(), workers=(limited,))
    detail = ScreenState(detail=Detail("workers", str(limited.pid)))
    assert "held back 7 times" in screen_text(pool, (100, 30), detail)
    assert "84 times held back" in exit_summary.summary(pool, ended=True)[0]


def test_a_limit_that_a_person_has_set_shows_the_one_in_the_code() -> None:
    limit = msgspec.structs.replace(snapshots.MAILS, limit=25, declared=10)
    pool = msgspec.structs.replace(snapshots.troubled(), limits=(limit, snapshots.OPEN))
    lines = shown(pool, (200, 50), ScreenState(pane="limits"))
    at = next(at for at, line in enumerate(lines) if "IN CODE" in line)
    header, first, second = lines[at : at + 3]
    at = header.index("IN CODE") + len("IN CODE")
    assert (first[:at].split()[-1], "10/25" in first) == ("10", True)
    assert second[at - len("IN CODE") : at].strip() == ""
    detail = ScreenState(pane="limits", detail=Detail("limits", f"{limit.key} {limit.window}"))
    text = " ".join(shown(pool, (200, 50), detail))
    assert "by a person, instead of 10, the limit in the code" in text


@pytest.mark.parametrize("width", [60, 100, 150, 200])
def test_columns_stay_where_they_are_when_their_values_end(width: int) -> None:
    def headers(pool: Snapshot) -> list[str]:
        lines = shown(pool, (width, 50), state)
        return [
            re.sub(r"\d+", "#", line)
            for line in lines
            if line[2:].startswith(("WORKERS", "LIMITS"))
        ]

    state = ScreenState()
    progress = msgspec.structs.replace(snapshots.LEAKING, progress=JobProgress(done=1, total=3))
    without = msgspec.structs.replace(progress, progress=None, deadline=None)
    busy = msgspec.structs.replace(snapshots.troubled(), workers=(progress,))
    before = headers(busy)
    assert "PROGRESS" in before[0]
    assert headers(msgspec.structs.replace(busy, workers=(without,))) == before
    assert headers(busy) == before


@pytest.mark.parametrize("pane", PANES)
@pytest.mark.parametrize("width", range(17, 62))
def test_a_number_is_shown_in_full_or_not_at_all(width: int, pane: str) -> None:
    worker = msgspec.structs.replace(snapshots.LEAKING, running=4567.0)
    limit = msgspec.structs.replace(snapshots.MAILS, waiting=98765)
    pool = msgspec.structs.replace(
        snapshots.troubled(), workers=(worker,), limits=(limit,),
        queues=(snapshots.queue("emails", ready=98765),),
        head=snapshots.head(pool="default", busy=98, procs=98),
    )  # fmt: skip

    def numbers(size: tuple[int, int]) -> set[str]:
        lines = shown(pool, size, ScreenState(pane=pane))
        at = next(at for at, line in enumerate(lines) if f" {pane.upper()} " in line)
        words = f"{lines[0]} {lines[at + 1]}".replace(" busy", "").split()
        return {word for word in words if re.search(r"\d", word) and "…" not in word}

    assert numbers((width, 6)) <= numbers((300, 6))


def test_limits_show_starts_against_what_is_allowed() -> None:
    screen = screen_text(snapshots.troubled(), (200, 50), ScreenState(pane="limits"))
    assert re.search(r"SendMail +HOLDS BACK +10/10 per 1m +84 ", screen)
    assert re.search(r"geocode +open +6.0/100 per s +0 now ", screen)


@pytest.mark.parametrize("width", [80, 120, 160])
def test_a_limit_of_jobs_at_once_shows_how_many_run(width: int) -> None:
    """Even if there is no room for the column USED."""
    gate = LimitStatus(key="load", limit=2, window=0.0, used=1, starts=4.0, parked=3, waiting=3)
    pool = msgspec.structs.replace(snapshots.well(), limits=(gate,))
    screen = screen_text(pool, (width, 50), ScreenState(pane="limits"))
    assert re.search(r"load +open +1/2 at once +3 ", screen)


@pytest.mark.parametrize("width", [60, 100, 200])
def test_a_slow_limit_shows_the_starts_of_its_window_at_once(width: int) -> None:
    """A rate of 0.017 starts per second says nothing, and only changes when the window ends."""
    hour = msgspec.structs.replace(
        snapshots.MAILS, key="report", limit=1, window=60.0, used=1, starts=0.0, allowed=1 / 60
    )
    idle = msgspec.structs.replace(
        hour, key="export", used=0, starts=1 / 60, resets_in=None, next_slot=0.0, waiting=0
    )
    sliding = msgspec.structs.replace(idle, key="any", sliding=True)
    found = msgspec.structs.replace(snapshots.well(), limits=(hour, idle, sliding))
    screen = screen_text(found, (width, 24), ScreenState(pane="limits"))
    for text in ("any .*0/1 in any 1m", "report .*1/1 per 1m", "export .*0/1 per 1m"):
        assert re.search(text, screen)
    assert "0.017" not in screen
    detail = ScreenState(pane="limits", detail=Detail("limits", "export 60.0"))
    screen = screen_text(found, (width, 30), detail)
    assert re.search(r"rate +1.0/min of 1.0 allowed\s+window ends +no window is open", screen)


def test_a_point_in_time_that_no_calendar_has_is_drawn() -> None:
    limit = msgspec.structs.replace(snapshots.MAILS, window=1e12, next_slot=1e12, empty_in=1e15)
    found = msgspec.structs.replace(snapshots.well(), limits=(limit,))
    assert "never in 31ky" in screen_text(found, (200, 50), ScreenState(pane="limits"))


@pytest.mark.parametrize("size", [(150, 40), (200, 50), (300, 80)])
@pytest.mark.parametrize("name", ["well", "troubled", "crowd"])
def test_the_right_half_of_a_wide_screen_is_used(name: str, size: tuple[int, int]) -> None:
    lines = shown(POOLS[name], size)
    right = [line[size[0] // 2 + 1 :].strip() for line in lines]
    used = [number for number, text in enumerate(right) if len(text) > 8]
    assert {"FAILURES", "NODES"} <= {text.split(" ")[0] for text in right}
    assert len(used) >= 4


def test_a_wide_screen_shows_long_events_whole() -> None:
    text = "reloads the code, because these files have changed: " + ", ".join(["shop/jobs.py"] * 8)
    event = EventView(at=snapshots.AT, level="info", who="master", text=text)
    for name in ("well", "troubled"):
        pool = msgspec.structs.replace(POOLS[name], events=(event,))
        assert any(text in line for line in shown(pool, (200, 50)))


def test_a_wide_head_says_what_stores_the_jobs() -> None:
    state = ScreenState()
    for server, text in (
        (ServerInfo("Redis 7.2.4", 3 << 20, 1 << 30), "ping 0.4ms  Redis 7.2.4 3M/1.0G  data"),
        (ServerInfo("Valkey 8.0", 3 << 20), "Valkey 8.0 3M  data"),
        (ServerInfo("MariaDB 10.11.6"), "MariaDB 10.11.6  data"),
        (None, "ping 0.4ms  data"),
    ):
        state.failures = FoundFailures(server=server)
        assert text in re.sub(" {3,}", "  ", shown(snapshots.well(), (200, 50), state)[1])
        assert "Redis 7" not in shown(snapshots.well(), (60, 30), state)[1]


def test_what_comes_and_goes_moves_nothing_else() -> None:
    """An alert, a failure of a worker's job and new numbers leave each pane in its place, where
    there is room for all rows."""
    pool, calm = snapshots.troubled(), snapshots.well()
    quiet = msgspec.structs.replace(
        pool, head=calm.head, workers=tuple(snapshots.idle(slot) for slot in range(1, 5)),
        limits=tuple(msgspec.structs.replace(one, state="open", waiting=0) for one in pool.limits),
        queues=tuple(snapshots.queue(one.queue) for one in pool.queues),
    )  # fmt: skip
    for size in ((200, 50), (240, 60)):
        state = ScreenState()
        before, after = titles(shown(pool, size, state)), titles(shown(quiet, size, state))
        assert "no trouble" in "".join(shown(quiet, size, state))
        assert before == after
        assert len(before) > 4
        twin = msgspec.structs.replace(pool.workers[0], state="leaving", pid=999)
        reload = msgspec.structs.replace(pool, workers=(*pool.workers, twin))
        renamed = {(at, x, re.sub(r"\d+", "#", title)) for at, x, title in before}
        found = titles(shown(reload, size, state))
        assert {(at, x, re.sub(r"\d+", "#", title)) for at, x, title in found} == renamed


@pytest.mark.parametrize("size", [(80, 24), (100, 30)])
def test_lines_for_problems_that_there_are_not_go_to_panes_that_are_cut(
    size: tuple[int, int],
) -> None:
    pool = msgspec.structs.replace(
        snapshots.well(), queues=tuple(snapshots.queue(f"q{n}") for n in range(30))
    )
    few = msgspec.structs.replace(pool, queues=pool.queues[:1], failures=(), events=(), limits=())
    lines = [shown(one, size) for one in (pool, few)]
    starts = [next(at for at, line in enumerate(one) if "WORKERS 4" in line) for one in lines]
    assert "no trouble" in lines[0][2]
    assert lines[0][3].strip()
    if size == (100, 30):
        assert (starts[1] - starts[0], lines[1][3]) == (2, ""), "nothing is cut"


@pytest.mark.parametrize("size", [(80, 24), (100, 30)])
def test_a_pane_may_have_the_whole_screen(size: tuple[int, int]) -> None:
    pool = msgspec.structs.replace(
        snapshots.troubled(), queues=tuple(snapshots.queue(f"q{n:02}") for n in range(60))
    )
    state = ScreenState(pane="queues")
    press("z", state, pool, 0.0)
    lines = shown(pool, size, state)
    (at,) = [at for at, line in enumerate(lines) if line.startswith("▶ QUEUES 60")]
    assert (at, lines[at + 1][:5], lines[-2][:5]) == (2, "  q00", f"  q{size[1] - 5:02}")
    press("tab", state, pool, 0.0)
    assert shown(pool, size, state)[2].startswith("▶ LIMITS")
    press("shift-tab", state, pool, 0.0)
    press("esc", state, pool, 0.0)
    assert "WORKERS 4" in "".join(shown(pool, size, state))


def test_marks_stand_apart_from_names_and_the_focus_is_seen_without_colours() -> None:
    pool = msgspec.structs.replace(
        snapshots.troubled(), queues=(snapshots.queue("mails", paused=True),)
    )
    for theme, sign in ((COLOURED, "▶"), (ASCII, ">")):
        lines = shown(pool, (80, 24), ScreenState(pane="queues"), theme)
        assert [line for line in lines if line.startswith("! mails ")]
        assert [line[:8] for line in lines if line.startswith(sign)] == [f"{sign} QUEUES"]


def test_queues_are_sorted_by_trouble_then_by_jobs_then_by_name() -> None:
    some = [
        snapshots.queue("b", ready=1, delayed=0), snapshots.queue("a", ready=1, delayed=0),
        snapshots.queue("c", ready=0, delayed=9), snapshots.queue("d", ready=2, delayed=0),
        snapshots.queue("paused", ready=0, delayed=0, paused=True),
        snapshots.queue("lost", ready=3, delayed=0, served=False),
    ]  # fmt: skip
    pool = msgspec.structs.replace(snapshots.troubled(), queues=tuple(some))
    names = [one.queue for one in PANES["queues"].shown(pool, ScreenState())]
    assert names == ["lost", "paused", "c", "d", "a", "b"]


def titles(lines: list[str]) -> set[tuple[int, int, str]]:
    """The line and column of each title of a pane."""
    names = r"(WORKERS|QUEUES|LIMITS|KINDS|FAILURES|EVENTS|NODES) \d.{40}"
    return {
        (number, found.start(), found[0])
        for number, line in enumerate(lines)
        for found in re.finditer(names, line)
    }


def test_a_note_is_readable_at_100_columns() -> None:
    note = "customers-2024-07-31.csv"
    worker = msgspec.structs.replace(
        snapshots.IMPORTING, progress=JobProgress(done=43, total=100, note=note)
    )
    pool = msgspec.structs.replace(snapshots.troubled(), workers=(worker, snapshots.STUCK))
    for size in ((100, 30), (200, 50)):
        (line,) = [line for line in shown(pool, size) if "shop.jobs:Import " in line]
        assert f"███░░░░░  43% {note}" in line


@pytest.mark.parametrize("size", [(60, 15), (100, 30), (200, 50)])
def test_sparklines_say_their_scale(size: tuple[int, int]) -> None:
    screen = screen_text(snapshots.troubled(), size)
    if size[1] == 15:
        well = screen_text(snapshots.well(), size)
        assert re.search(r"done +0/s  60 s [▁▂▃▄▅▆▇█ ]+ max +0", well)
        return
    assert re.search(r" PER SECOND .* TOTAL  LAST 60 S +MAX", screen)
    assert re.search(r" done .* 123k  +[▁▂▃▄▅▆▇█]{30,60}  85.0", screen)
    assert re.search(r"READY, 60 S +MAX", screen)
    assert re.search(r"billing .* [▁▂▃▄▅▆▇█]{15}    20", screen)


@pytest.mark.parametrize(
    ("size", "texts"),
    [
        ((60, 15), ["ready  1524  in  12.0/s  out  13.5/s  empty in 25m12s"]),
        ((100, 30), ["ready  1524  in  12.0/s  out  13.5/s  empty in 25m12s   oldest  1m01s"]),
        ((200, 50), ["empty in 25m12s   oldest  1m01s  in default  60 s ",
                     "9 delayed, 84 parked, 17 failed"]),
    ],
)  # fmt: skip
def test_it_says_whether_the_pool_keeps_up(size: tuple[int, int], texts: list[str]) -> None:
    screen = screen_text(snapshots.troubled(), size)
    assert all(text in screen for text in texts)


def test_kinds_of_jobs_say_what_is_slow_and_what_fails() -> None:
    lines = shown(snapshots.troubled(), (100, 30), ScreenState(pane="kinds"))
    at = next(at for at, line in enumerate(lines) if line.startswith("▶ KINDS 3 "))
    titles = "KINDS 3 JOBS/S DONE FAILED RETRIED HELD USUAL 95% IN TIME IN ALL"
    assert lines[at].split()[1:] == titles.split()
    rows = [" ".join(line.split()) for line in lines[at + 1 : at + 4]]
    assert rows[0] == "shop.jobs:Export 4.5 1200 0 0 0 12s 48s 70% 2h30m"
    assert rows[1].startswith("shop.jobs:Charge 4.5 1200 17 203 ")


def test_queues_that_are_left_out_are_counted() -> None:
    pool = msgspec.structs.replace(snapshots.troubled(), left_out=4997, left_out_ready=10_000)
    for size in ((60, 15), (100, 30), (200, 50)):
        screen = screen_text(pool, size)
        assert " QUEUES 3 of 5000 " in screen
        assert re.search(r"\bready +11524 ", screen)
    screen = screen_text(pool, (100, 30), ScreenState(pane="queues", filter="mail"))
    assert " QUEUES 1 of 5000 " in screen, "a filter hides queues, and they are still there"


def test_an_arrow_stands_beside_a_title_that_fills_its_column() -> None:
    many = tuple(snapshots.queue(f"q{number}") for number in range(100))
    pool = msgspec.structs.replace(snapshots.well(), queues=many)
    state = ScreenState(pane="queues", orders={"queues": Order("", descending=False)})
    assert "▶ QUEUES 100▲" in screen_text(pool, (100, 30), state)


@pytest.mark.parametrize(
    ("pane", "words"),
    [("workers", "enter open  K kill  L log  / filter"),
     ("queues", "enter open  p pause  X purge  / filter"),
     ("failures", "enter open  r retry  A all like it  X forget  m move  L log")],
)  # fmt: skip
def test_the_last_line_names_the_keys_that_the_selected_row_allows(pane: str, words: str) -> None:
    pool = snapshots.troubled()
    assert words in shown(pool, (160, 30), ScreenState(pane=pane))[-1]
    assert "enter open  / filter" in shown(pool, (160, 30), ScreenState(pane="events"))[-1]
    last = shown(pool, (160, 30), ScreenState(pane=pane, read_only=True))[-1]
    assert ("enter open  / filter" if pane == "queues" else "enter open  L log  / filter") in last


@pytest.mark.parametrize(("column", "gap"), [("READY", ""), ("", "QUEUES 3")])
def test_an_arrow_shows_the_column_by_which_a_pane_is_sorted(column: str, gap: str) -> None:
    pool = snapshots.troubled()

    def header(state: ScreenState) -> str:
        lines = shown(pool, (120, 30), state)
        line = next(line for line in lines if line.startswith("  QUEUES 3"))
        return line.rstrip(" ▼")  # the sign that there are more rows below

    plain = header(ScreenState())
    for descending, arrow in ((True, "▼"), (False, "▲")):
        marked = header(ScreenState(orders={"queues": Order(column, descending)}))
        assert f"{gap or column}{arrow}" in marked
        assert marked.replace(arrow, " ").rstrip() == plain, "no title moves"


@pytest.mark.parametrize("width", [60, 100])
def test_every_word_of_the_help_can_be_read(width: int) -> None:
    text = " ".join(
        " ".join(shown(snapshots.well(), (width, 300), ScreenState(detail=Detail(HELP)))).split()
    )
    for key in KEYS:
        assert key.keys in text
        assert set(key.what.split()) <= set(text.split()), key.what
    for sentence in COMMAND_HELP:
        assert set(sentence.split()) <= set(text.split()), sentence
    assert "…" not in text


@pytest.mark.parametrize("size", [(60, 15), (100, 30), (200, 50)])
def test_changing_numbers_move_nothing(size: tuple[int, int]) -> None:
    """Numbers of one digit and of five, a queue that is empty and one that is not."""

    def places(small: bool) -> list[list[int]]:
        one = snapshots.rate(7.0 if small else 54_321.0, 100)
        queue = snapshots.queue(
            "default", ready=0 if small else 99_999, oldest=None if small else 754.0,
            incoming=3.0 if small else 99_999.0, outgoing=4.0 if small else 10_000.0, paused=True,
        )  # fmt: skip
        pool = msgspec.structs.replace(
            snapshots.crowd(16), queues=(queue,), throughput=Throughput(done=one, limited=one),
            head=snapshots.head(procs=16, busy=3 if small else 16, ping=0.0004 if small else 0.01),
        )  # fmt: skip
        words = r"\b(out|oldest|up|ping|data|log|max|wait|MAX)\b"
        lines = shown(pool, size)
        above = next(at for at, line in enumerate(lines) if line.startswith("▶ WORKERS"))
        kept = [line for line in lines[:above] if line.strip() and line[0] != "!"]
        return [[found.start() for found in re.finditer(words, line)] for line in kept]

    assert places(small=True) == places(small=False)
