"""Django's tasks on poolq: in projects that `django-admin startproject` makes, with the wheel.

On Python 3.11 the project has Django 5.2 and the package django-tasks, on Debian's Python 3.13 the
newest Django.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from poolq.jobs.schedule_plan import decode, head_of
from tests.conftest import OwnMariaDB
from tests.docs import markdown
from tests.support.django_project import SETUP, DjangoProject
from tests.support.fresh import PYTHON, PYTHON313, Environments, finished
from tests.support.servers import MariaDB
from tests.support.wait import until

MakeDjango = Callable[..., DjangoProject]
BY_VERSION = {"5.2": PYTHON, "6": PYTHON313}


@pytest.fixture
def make_django(
    environments: Environments, tmp_path: Path
) -> Iterator[Callable[..., DjangoProject]]:
    with ExitStack() as stack:

        def make(version: str, tasks: str, settings: str = "") -> DjangoProject:
            folder, base = tmp_path / "project", BY_VERSION[version]
            return DjangoProject(stack, folder, environments, base, tasks, settings)

        yield make


pytestmark = pytest.mark.together  # each process that runs some loads both Djangos
versions = pytest.mark.parametrize("version", BY_VERSION)
newest = pytest.mark.parametrize("version", ["6"])

TASKS = """
import sys
from poolq.contrib.django import task
from poolq.contrib.django.tasks_api import task_finished, task_started
from store.notes import note

@task(attempts=2)
def add(left, right=0, fails=0):
    note("add", left, right)
    if fails:
        raise ValueError("no luck")

@task(takes_context=True, attempts=2)
def counted(context, what):
    note("context", what, context.attempt)
    if context.attempt == 1:
        raise ValueError("again")

@task(queue_name="mails")
async def sent(to):
    note("sent", to)

def told(signal, result, sender):
    note(signal, result.task.name, result.status.value, len(result.worker_ids), sender.__name__,
         [one.exception_class_path for one in result.errors])

@task_started.connect
def started(sender, task_result, **_):
    told("started", task_result, sender)

@task_finished.connect
def finished(sender, task_result, **_):
    told("finished", task_result, sender)
    note("raised", getattr(sys.exc_info()[0], "__name__", ""))
"""
QUEUES = 'TASKS["default"]["QUEUES"] = ["default", "mails"]\n'

PRODUCE = """
import asyncio, datetime
from django.utils import timezone
from store.tasks import add, counted, sent
from poolq.contrib.django.tasks_api import task_enqueued
told = []
task_enqueued.connect(lambda task_result, **_: told.append(task_result.id), weak=False)
results = [
    add.enqueue(1, right=2),
    add.enqueue(3, fails=1),
    counted.enqueue("x"),
    asyncio.run(sent.aenqueue("ann")),
    sent.using(queue_name="default").enqueue("bob"),
    add.using(run_after=timezone.now() + datetime.timedelta(hours=1)).enqueue(5),
]
print(json.dumps({
    "ids": [one.id for one in results],
    "told": told,
    "statuses": [one.status.value for one in results],
    "dated": [one.enqueued_at is not None for one in results],
}))
"""


@versions
def test_tasks_run_without_a_module_of_set_up_code(make_django: MakeDjango, version: str) -> None:
    project = make_django(version, TASKS, QUEUES)
    made = project.python_code(PRODUCE)
    assert made["told"] == made["ids"]
    assert made["statuses"] == ["READY"] * 6
    assert all(made["dated"])
    project.engine.cancel([made["ids"][5]])  # the one of the next hour
    log = project.drain("--procs=1")
    notes = project.notes
    assert sorted(one[1:] for one in notes if one[0] == "add") == [[1, 2], [3, 0], [3, 0]]
    assert [one[1:] for one in notes if one[0] == "context"] == [["x", 1], ["x", 2]]
    assert sorted(one[1] for one in notes if one[0] == "sent") == ["ann", "bob"]
    started = [one for one in notes if one[0] == "started"]
    assert len(started) == 7, "with each attempt"
    assert {one[2] for one in started} == {"RUNNING"}
    finished = [one[1:] for one in notes if one[0] == "finished"]
    assert {(name, status, tries, *errors) for name, status, tries, _, errors in finished} == {
        ("add", "SUCCESSFUL", 1),
        ("add", "FAILED", 2, "builtins.ValueError"),
        ("counted", "SUCCESSFUL", 2),
        ("sent", "SUCCESSFUL", 1),
    }
    assert {sender for *_, sender, _ in started + finished} == {"PoolqBackend"}
    assert len(finished) == 5
    raised = sorted(one[1] for one in notes if one[0] == "raised")
    assert raised == ["", "", "", "", "ValueError"], "what Django's receiver logs"
    assert "failed store.tasks:add" in log
    assert len(re.findall(r"ask id=\S+ .*state=(?:RUNNING|SUCCESSFUL|FAILED)", log)) == 12


OPTIONS = """
from poolq import Concurrent, Unique
from {tasks} import task

@task(queue_name="mails", attempts=4, retry_after="1m", retry_on={{KeyError: "discard"}},
      timeout=30, expires="1h", max_crashes=2, unique=Unique("account"),
      concurrent=Concurrent(by="account", limit=1))
def sync(account, full=False):
    if full:
        raise KeyError(account)
"""
WITH_OPTIONS = """
import poolq.testing
from store.tasks import sync
with poolq.testing.jobs() as jobs:
    first, second = sync.enqueue(account=7, full=True), sync.enqueue(7)
    sync.using(queue_name="default").enqueue(8)
    own = {"attempts": 4, "retry_after": "1m", "timeout": 30, "expires": "1h", "max_crashes": 2}
    jobs.assert_dispatched(sync, payload={"kwargs": {"account": 7}}, queue="mails", count=1, **own)
    jobs.assert_dispatched(sync, payload={"args": [8]}, queue="default", count=1, **own)
    print(json.dumps([second.id == first.id, sorted(one.outcome for one in jobs.run_all())]))
"""


@pytest.mark.parametrize(
    ("version", "tasks"),
    [("5.2", "poolq.contrib.django"), ("6", "poolq.contrib.django"), ("6", "django.tasks")],
)
def test_the_options_of_jobs_are_keywords_of_tasks(
    make_django: MakeDjango, version: str, tasks: str
) -> None:
    project = make_django(version, OPTIONS.format(tasks=tasks), QUEUES)
    assert project.python_code(WITH_OPTIONS) == [True, ["discarded", "done"]]  # of two queues


REFUSED = """
from django.core.exceptions import ImproperlyConfigured
from poolq.contrib.django import task
from poolq.jobs import producer
from store.tasks import add
import poolq
def refused(act):
    try:
        act()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return None
import store.tasks
def made(**options):
    return lambda: task(**options)(add.func)
print(json.dumps({
    "keyword": refused(made(atempts=2)),
    "value": refused(made(attempts="many")),
    "ours": refused(made(queue="mails")),
    "queue": refused(lambda: add.using(queue_name="mail")),
    "priority": refused(lambda: add.using(priority=5)),
    "json": refused(lambda: add.enqueue(object())),
    "arguments": refused(lambda: add.enqueue(1, 2, 3, 4)),
    "result": refused(lambda: add.get_result("1")),
    "stored": len(list(poolq.list())),
}))
"""


@versions
def test_what_makes_no_sense_is_refused_and_nothing_is_stored(
    make_django: MakeDjango, version: str
) -> None:
    project = make_django(version, TASKS, QUEUES)
    told = project.python_code(REFUSED)
    assert told.pop("stored") == 0
    for name in ("keyword", "value", "ours", "queue", "priority"):
        kind, text = told[name]
        assert kind in ("InvalidTask", "InvalidTaskError"), name
        assert "\n" not in text
    assert "atempts" in told["keyword"][1]
    assert "attempts?" in told["keyword"][1]
    assert "mail" in told["queue"][1]
    assert told["ours"][1].endswith("write queue_name, not queue")
    assert told["json"][0] == "TypeError"
    assert told["arguments"][0] == "TypeError"
    assert told["result"][0] == "NotImplementedError"


SCHEDULED = """
import poolq
from poolq.contrib.django import task
from poolq.contrib.django.tasks_api import task_finished
from store.notes import note

@task(every="0 3 * * *", queue_name="mails")
def nightly(what="all"):
    note("nightly", what)

@task()
def fails():
    raise ValueError("no luck")

poolq.every("0 4 * * *", nightly, {"what": "mails"}, name="late")
poolq.every("0 5 * * *", nightly.using(queue_name="default"), name="last")
poolq.every("0 6 * * *", "store.tasks:nightly", name="named")

@task_finished.connect
def finished(sender, task_result, **_):
    note("finished", task_result.args, task_result.kwargs,
         [one.traceback.count("  File ") for one in task_result.errors])
"""
TICKS = """
import poolq.testing
import store.tasks
from poolq.jobs import periodic
with poolq.testing.jobs() as jobs:
    ran = jobs.run_all(until="+1 day")
    store.tasks.fails.enqueue()
    jobs.run_all(raises=False)
    print(json.dumps([[one.job for one in ran], sorted({one[1] for one in periodic.declared})]))
"""


@versions
def test_tasks_have_schedules(make_django: MakeDjango, version: str) -> None:
    project = make_django(version, SCHEDULED, QUEUES)
    ran, places = project.python_code(TICKS)
    assert ran == ["store.tasks:nightly"] * 4
    assert all(one.startswith("every() in store.tasks:") for one in places)
    notes = project.notes
    assert sorted(one[1] for one in notes if one[0] == "nightly") == ["all"] * 3 + ["mails"]
    finished = [one[1:] for one in notes if one[0] == "finished"]
    assert finished[-1] == [[], {}, [2]], "the user's frame, and the one that tells Django"
    assert [[], {"what": "mails"}, []] in finished
    project.pool("--procs=1")
    until(lambda: len(project.engine.schedules.all()) == 4, 60)
    stored = {one.name: one.spec for one in project.engine.schedules.all()}
    queues = {name: head_of(decode(spec)).queue for name, spec in stored.items()}
    assert (queues["store.tasks:nightly"], queues["last"]) == ("mails", "default")


@newest
def test_what_a_user_of_django_types_first_is_answered(
    make_django: MakeDjango, version: str
) -> None:
    project = make_django(version, TASKS, QUEUES)
    made = project.manage("poolq", "make", "job", "SendMail")
    assert (made.returncode, made.stdout) == (1, "")
    assert "write SendMail as a task of Django" in made.stderr
    assert not (project.folder / "poolq").exists()
    plain = finished(project.python, "-m", "poolq", "run", cwd=project.folder)
    assert plain.returncode == 3
    assert "python manage.py poolq" in plain.stdout + plain.stderr
    with (project.folder / "shop" / "settings.py").open("a") as settings:
        settings.write('TASKS["default"]["OPTIONS"] = {"enqueue": "later"}\n')
    for command in ("run", "dev"):
        done = project.manage("poolq", command, "--no-dashboard")
        assert (done.returncode, done.stdout) == (78, "")
        said = """TASKS["default"]["OPTIONS"]["enqueue"] is 'later'; write one of after_commit, """
        assert done.stderr == f"poolq: {said}within, now\n"
    assert project.manage("poolq", "queue", "ls").returncode == 0


ATOMIC = """
from django.db import transaction
from poolq.engines.sqlite import SQLiteEngine
from store.tasks import add
import poolq
pushed = []
push = SQLiteEngine.push
def counting(self, pushes):
    pushed.append(len(pushes))
    return push(self, pushes)
SQLiteEngine.push = counting
count = lambda: sum(1 for _ in poolq.list())

class No(Exception):
    pass

def rolled_back():
    try:
        with transaction.atomic():
            add.enqueue(1)
            raise No
    except No:
        return count()

def savepoint():
    with transaction.atomic():
        add.enqueue(1)
        try:
            with transaction.atomic():
                add.enqueue(2)
                raise No
        except No:
            pass
        with transaction.atomic():
            add.enqueue(3)
        inside = count()
    return [inside, sorted(one.payload["args"][0] for one in poolq.list())]

def many():
    pushed.clear()
    with transaction.atomic():
        results = [add.enqueue(number) for number in range(1000)]
        inside = [results[0].enqueued_at is None, len(results[0].id), list(pushed)]
    return [inside, list(pushed), results[0].enqueued_at is not None,
            poolq.find(results[999].id) is not None]

print(json.dumps({"rolled back": rolled_back(), "savepoint": savepoint(), "many": many()}))
"""


@versions
def test_tasks_are_stored_after_the_commit(make_django: MakeDjango, version: str) -> None:
    project = make_django(version, TASKS, QUEUES)
    told = project.python_code(ATOMIC)
    assert told["rolled back"] == 0
    assert told["savepoint"] == [0, [1, 3]]
    assert told["many"] == [[True, 32, []], [1000], True, True]


WITHIN = """
from django.db import connection, transaction
from django.contrib.auth.models import User
from store.tasks import add
import poolq

def jobs():
    return sorted(one.payload["args"][0] for one in poolq.list())

found = []
with transaction.atomic():
    User.objects.create(username="ann")
    result = add.enqueue(1)
    found += [jobs(), len(result.id), result.enqueued_at is not None]
    try:
        with transaction.atomic():
            add.enqueue(2)
            1 / 0
    except ZeroDivisionError:
        pass
found += [jobs(), poolq.find(result.id) is not None]
try:
    with transaction.atomic():
        add.enqueue(3)
        with poolq.after_commit("default"):
            poolq.dispatch("jobs:A", {"args": [4]})
        1 / 0
except ZeroDivisionError:
    pass
add.enqueue(5)
with transaction.atomic(), poolq.after_commit("default"):
    poolq.dispatch("jobs:A", {"args": [6]})
print(json.dumps([*found, jobs()]))
for one in poolq.list():
    if one.job == "jobs:A":
        poolq.cancel(one.id)
"""
IN_DATABASE = """
DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 60}
POOLQ = {"engine": f"sqlite:///{BASE_DIR / 'db.sqlite3'}"}
"""


@versions
def test_tasks_may_be_stored_in_the_transaction(make_django: MakeDjango, version: str) -> None:
    options = 'TASKS["default"]["OPTIONS"] = {"enqueue": "within"}\n'
    project = make_django(version, TASKS, QUEUES + options + IN_DATABASE)
    assert project.manage("migrate").returncode == 0
    assert project.manage("poolq", "db", "migrate").returncode == 0
    assert project.manage("check").returncode == 0
    found = project.python_code(WITHIN)
    assert found == [[], 32, True, [1], True, [1, 5, 6]]
    log = project.drain("--procs=1")
    assert log.count("done ") == 2, log


AT_ONCE = """
import poolq.contrib.django.jobs
from django.db import connection, transaction
from store.tasks import add
with transaction.atomic():
    connection.cursor().execute("CREATE TABLE one (id integer)")
    before = connection.connection
    add.enqueue(1)
    print(json.dumps(connection.connection is before))
"""


@newest
def test_a_task_that_runs_within_a_transaction_closes_no_connection(
    make_django: MakeDjango, version: str
) -> None:
    now = 'TASKS["default"]["OPTIONS"] = {"enqueue": "now"}\nPOOLQ = {"engine": "sync"}\n'
    project = make_django(version, TASKS, QUEUES + now)
    assert project.python_code(AT_ONCE) is True
    assert ["add", 1, 0] in project.notes


KILLED = """
import os, signal
from poolq.contrib.django import task
from poolq.contrib.django.tasks_api import task_finished
from store.notes import note

@task(max_crashes=1)
def dies():
    os.kill(os.getpid(), signal.SIGKILL)

def finished(task_result, **_):
    note(task_result.status.value, task_result.errors[0].exception_class_path)
task_finished.connect(finished)
"""


@newest
def test_a_task_whose_worker_was_killed_is_finished_once(
    make_django: MakeDjango, version: str
) -> None:
    project = make_django(version, KILLED)
    project.python_code("from store.tasks import dies; dies.enqueue()")
    project.drain("--procs=1")
    assert project.notes == [["FAILED", "poolq.errors.JobCrashed"]]


# settings and checks

WHERE = """
from poolq.jobs import producer
print(json.dumps([producer.engine().url, producer._chosen["settings"].procs]))
"""


@versions
def test_web_processes_and_pools_have_the_same_settings_in_the_same_order(
    make_django: MakeDjango, version: str, tmp_path: Path
) -> None:
    engine = f"sqlite:///{tmp_path / 'own.db'}"
    project = make_django(
        version, TASKS, QUEUES + f'POOLQ = {{"engine": {engine!r}, "procs": 3}}\n'
    )
    (project.folder / ".env").write_text("POOLQ_PROCS=5\nPOOLQ_ENGINE=null://\n")

    def both(**env: str) -> list[Any]:
        done = project.manage("poolq", "config", "show", "--json", **env)
        assert done.returncode == 0, done.stderr
        settings = json.loads(done.stdout)["settings"]
        shown = {name: one["value"] for name, one in settings.items()}
        assert project.python_code(WHERE, **env) == [shown["engine"], shown["procs"]]
        assert shown["app"] == ["poolq.contrib.django.jobs"]
        return [shown["engine"], shown["procs"]]

    assert both() == [engine, 3]
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert both(POOLQ_ENGINE=other) == [other, 3]


WITHOUT_APP = """
from store.tasks import add
try:
    add.enqueue(1)
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


#: What the checks find if the settings file has the text that is put before this.
SETTINGS = "import shop.settings as settings\nexec({text!r}, vars(settings))\n"
CHECK = """
from django.core import checks
print(json.dumps([[one.id, one.is_serious(), str(one)] for one in checks.run_checks()]))
"""
OPTIONS_ARE = 'TASKS["default"]["OPTIONS"] = '
#: What a settings file may add, the check that fails, and what it says.
WRONG = [
    (OPTIONS_ARE + '{"enqeue": "now"}', "E001", "did you mean enqueue?"),
    (OPTIONS_ARE + '{"enqueue": "within"}', "E005", 'let POOLQ and "using" name one database'),
    ('POOLQ = {"engin": "x"}', "E002", "did you mean engine?"),
    ('DEBUG, POOLQ = False, {"engine": "null"}', "W001", "stores no jobs"),
]
NO_CONNECTION = 'POOLQ = {"engine": "redis://127.0.0.1:1"}'
NO_APP = 'INSTALLED_APPS.remove("poolq.contrib.django")'


@versions
def test_the_checks_name_what_is_wrong(make_django: MakeDjango, version: str) -> None:
    project = make_django(version, TASKS, QUEUES)

    def found(text: str) -> Any:
        return project.python_code(CHECK, SETTINGS.format(text=text) + SETUP)

    assert found(NO_CONNECTION) == []
    for text, id, hint in WRONG:
        ((id_, is_serious, said),) = found(text)
        assert (id_, is_serious) == (f"poolq.{id}", id.startswith("E")), text
        assert hint in said
    # Django checks TASKS once something has imported `django.tasks`, such as the app's models.
    (project.folder / "store" / "models.py").write_text("from store import tasks")
    assert [one[0] for one in found(NO_APP)] == ["poolq.E003"]
    with (project.folder / "shop" / "settings.py").open("a") as settings:
        settings.write(NO_APP)
    done = project.manage("check")
    assert done.returncode == 1
    assert 'add "poolq.contrib.django" to INSTALLED_APPS' in done.stderr
    without = "TASKS names a backend of poolq, but INSTALLED_APPS lacks poolq.contrib.django"
    refused = project.python_code(WITHOUT_APP)
    assert refused == [
        "ImproperlyConfigured",
        f'{without}: add "poolq.contrib.django" to INSTALLED_APPS',
    ]


# in tests

TESTS = """
import poolq.testing
from django.db import transaction
from django.test import TestCase, TransactionTestCase
from store.tasks import add

class Commits(TransactionTestCase):
    def test_it(self):
        with poolq.testing.jobs() as jobs:
            with transaction.atomic():
                add.enqueue(1)
                jobs.assert_not_dispatched(add)
            jobs.assert_dispatched(add, payload={"args": [1]}, count=1)
            assert [one.outcome for one in jobs.run_all()] == ["done"]

class RollsBack(TestCase):
    def setUp(self):
        add.enqueue(0)  # that of a fixture: nobody calls it

    def test_it(self):
        with poolq.testing.jobs() as jobs:
            for number in (2, 3):
                with self.captureOnCommitCallbacks(execute=True) as callbacks:
                    add.enqueue(number)
                assert len(callbacks) == 1
                jobs.assert_dispatched(add, payload={"args": [number]}, count=1)
                assert [one.outcome for one in jobs.run_all()] == ["done"]
"""


@versions
def test_the_tests_of_a_project_run_its_tasks(make_django: MakeDjango, version: str) -> None:
    project = make_django(version, TASKS, QUEUES)
    (project.folder / "store" / "tests.py").write_text(TESTS)
    done = project.manage("test")
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr
    assert sorted(one[1] for one in project.notes if one[0] == "add") == [1, 2, 3]
    assert not (project.folder / "poolq.db").exists()


# MariaDB

CONNECTIONS = """
import os
from asgiref.sync import sync_to_async
from django.db import connection
from poolq.contrib.django import task
from store.notes import note

def own_id():
    with connection.cursor() as cursor:
        cursor.execute("SELECT CONNECTION_ID()")
        return cursor.fetchone()[0]

note("import", os.getpid(), own_id())

@task(attempts=3, retry_after="1s")
def query(name=""):
    note("query", os.getpid(), own_id(), name)

@task(attempts=3, retry_after="1s")
async def query_async(name=""):
    note("query", os.getpid(), await sync_to_async(own_id)(), name)
"""
DATABASE = """
import pymysql, django.db.backends.mysql
pymysql.version_info = (2, 2, 8, "final", 0)
pymysql.install_as_MySQLdb()
DATABASES["default"] = {{
    "ENGINE": "django.db.backends.mysql", "NAME": {name!r}, "USER": "root",
    "HOST": {host!r}, "PORT": {port}, "CONN_MAX_AGE": {age},
}}
"""


def database(server: MariaDB, age: object) -> str:
    return DATABASE.format(name=server.database, host=server.host, port=server.port, age=age)


@pytest.mark.parametrize(("version", "age"), [("5.2", None), ("6", None), ("6", 0)])
def test_no_two_processes_use_one_connection(
    make_django: MakeDjango, mariadb_server: MariaDB, version: str, age: int | None
) -> None:
    project = make_django(version, CONNECTIONS, database(mariadb_server, age))
    many = "from store.tasks import query\nfor _ in range(200): query.enqueue()"
    project.python_code(many)
    project.drain("--procs=8")
    users: dict[int, set[int]] = defaultdict(set)
    opened: dict[int, set[int]] = defaultdict(set)
    for what, pid, connection, *_ in project.notes:
        users[connection].add(pid)
        if what == "query":
            opened[pid].add(connection)
    assert sum(one[0] == "query" for one in project.notes) == 200
    assert all(len(pids) == 1 for pids in users.values())
    if age is None:
        assert all(len(connections) == 1 for connections in opened.values())


@newest
@pytest.mark.parametrize("task", ["query", "query_async"])
def test_a_task_that_meets_a_restart_of_the_database_succeeds_next(
    make_django: MakeDjango, own_mariadb: OwnMariaDB, version: str, task: str
) -> None:
    """Also if coroutines use the database, for which asgiref calls it in a thread of its own."""
    server = own_mariadb()
    project = make_django(version, CONNECTIONS, database(server, None))
    project.python_code(f"from store.tasks import {task}; {task}.enqueue('before')")
    project.pool("--procs=1")
    until(lambda: any(one[-1] == "before" for one in project.notes), 60)
    server.kill()
    payload = {"args": ["after"], "kwargs": {}}
    later = f"poolq.dispatch('store.tasks:{task}', {payload}, attempts=99, retry_after='1s')"
    project.python_code(f"import poolq; {later}")
    until(lambda: f"retried store.tasks:{task} " in (project.folder / "pool.log").read_text(), 60)
    server.start()
    until(lambda: any(one[-1] == "after" for one in project.notes), 60)
    done = re.compile(rf"done store.tasks:{task} \S+ queue=default attempt=[2-9]")
    until(lambda: done.search((project.folder / "pool.log").read_text()), 60)


# the page

CALLED = """
from django.test import RequestFactory
from shop.views import sign_up
answer = sign_up(RequestFactory().post("/", {"address": "ann@example.com"}))
print(json.dumps(answer.content.decode()))
"""
USED = """
from shop.tasks import welcome
welcome.using(queue_name="mails").enqueue("bob@example.com")
"""


@versions
def test_the_page_on_django_works(make_django: MakeDjango, version: str) -> None:
    blocks = [block.text for block in markdown.blocks(markdown.read("django.md"), "python")]
    settings = [text for text in blocks if text.startswith("# settings.py")]
    # The newest Django's projects print their mails anyway.
    mail = 'EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"' * (version != "6")
    own = [*settings, mail, 'INSTALLED_APPS += ["shop"]']
    project = make_django(version, "", "\n".join(own).replace('["poolq.contrib.django"]', "[]"))
    for text in blocks:
        name = text.splitlines()[0].removeprefix("# ")
        if name != "settings.py":
            with (project.folder / name).open("a") as file:
                file.write(text)
    env = {"POOLQ_ENGINE": f"sqlite:///{project.folder / 'poolq.db'}"}
    project.python_code(USED, **env)
    assert project.python_code(CALLED, **env) == "welcome"
    log = project.drain("--procs=1", **env)
    assert log.count("Subject: Welcome!") == 2
    assert "To: ann@example.com" in log
    assert log.count("done shop.tasks:welcome") == 2
    assert {one.name for one in project.engine.schedules.all()} == {"shop.tasks:nightly", "weekly"}
