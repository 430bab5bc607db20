"""Function jobs: checked like the call itself, plain functions otherwise."""

import asyncio
from typing import Any

import pytest

import poolq
from poolq import Concurrent, Job, Limit, OptionError, PayloadError, Unique
from poolq.jobs.function_job import FunctionJob
from poolq.jobs.limits import parse
from tests.unit.refusals import refusal


@poolq.job
def add(a: int, b: int = 2, *, c: int = 0) -> int:
    """Add them up."""
    return a + b + c


@poolq.job(queue="emails", attempts=3, retry_after="10s", rate_limit=Limit(10, seconds=1))
def send_mail(to: str, message: str, **headers: str) -> tuple[str, str, dict[str, str]]:
    return to, message, headers


@poolq.job(name="fetch")
async def fetch(url: str) -> str:
    await asyncio.sleep(0)
    return f"{url} by {poolq.current().attempt}"


def test_it_still_is_the_function() -> None:
    assert add(1) == 3
    assert add(1, b=1, c=1) == 3
    assert (add.__name__, add.__doc__, add.__module__) == ("add", "Add them up.", __name__)
    assert add.__wrapped__ is add.function  # type: ignore[attr-defined]  # of update_wrapper
    assert repr(add) == f"<function job {__name__}:add>"


def test_the_delay_of_celery_gets_one_clear_line() -> None:
    delay = getattr(send_mail, "delay")  # noqa: B009  # unknown to type checkers
    assert refusal(OptionError, lambda: delay("bob", "Hello")) == (
        "send_mail.delay(…) does not dispatch; write send_mail.dispatch(…), "
        'and send_mail.set(delay="+1 hour").dispatch(…) for later'
    )


def test_free_keywords_are_arguments_like_others() -> None:
    sent = send_mail.bind({"to": "bob", "message": "Hi", "subject": "x", "self": "y"})
    assert sent == {"to": "bob", "message": "Hi", "subject": "x", "self": "y"}
    assert send_mail.dispatch_sync("bob", "Hi", subject="x") == ("bob", "Hi", {"subject": "x"})


@pytest.mark.parametrize(
    ("args", "kwargs", "wrong"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1,), {"d": 1}, "got an unexpected keyword argument 'd'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"a": 1}, "multiple values for argument 'a'"),
    ],
)
def test_a_wrong_call_is_refused_as_the_call_itself_would_be(
    args: Any, kwargs: Any, wrong: str
) -> None:
    for refuse in (add.dispatch, add.set(queue="x").dispatch, add.dispatch_sync):
        refused = refusal(TypeError, lambda of=refuse: of(*args, **kwargs))  # type: ignore[misc]
        assert refused == f"job {__name__}:add: {wrong}"


def test_dispatch_sync_runs_the_function_as_a_job() -> None:
    assert add.dispatch_sync(1, c=5) == 8
    assert fetch.dispatch_sync("u") == "u by 1"
    assert fetch.set(attempts=2).dispatch_sync(url="u") == "u by 1"


def test_settings_are_immutable_and_add_up() -> None:
    later = send_mail.set(delay="1m")
    assert isinstance(later, FunctionJob)
    assert later.set(queue="bulk").options == later.options.changed({"queue": "bulk"}, "x")
    assert later.options.queue == "emails"


def test_a_payload_of_many_is_checked_as_arguments() -> None:
    assert add.bind({"a": 1}) == {"a": 1}
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        add.bind({})
    with pytest.raises(PayloadError, match="the arguments are 3; give a dict"):
        add.bind(3)


def test_hooks_and_limits_get_the_job() -> None:
    seen: list[Any] = []

    @poolq.job(
        rate_limit=lambda job: {"limit": job.payload["n"], "seconds": 1},
        on_success=lambda job: seen.append(("done", job.payload)),
        on_failure=lambda job: seen.append(("failed", str(job.error))),
    )
    def check(n: int) -> int:
        return 1 // n

    made = check.job()
    made.payload = {"n": 3}
    assert made.rate_limit() == {"limit": 3, "seconds": 1}
    check.dispatch_sync(1)
    with pytest.raises(ZeroDivisionError) as caught:
        check.dispatch_sync(0)
    assert seen == [("done", {"n": 1}), ("failed", str(caught.value))]


def test_a_limit_may_be_written_in_any_form() -> None:
    job = poolq.job(rate_limit=[{"limit": 10, "seconds": 1}])(lambda: None).job()
    assert parse(job.rate_limit(), "x") == (Limit(10, seconds=1),)


def _positional(a: int, /) -> None: ...
def _variadic(*args: int) -> None: ...
def _generator() -> Any:
    yield


WHERE = f"job {__name__}:"


@pytest.mark.parametrize(
    ("decorate", "wrong"),
    [
        (lambda: poolq.job(_positional),
         f"{WHERE}_positional: a: int cannot be given by name, as a job's arguments must be"),
        (lambda: poolq.job(_variadic), f"{WHERE}_variadic: *args: int cannot be given by name"),
        (lambda: poolq.job(_generator), f"{WHERE}_generator has a yield, so its body"),
        (lambda: poolq.job(attempts=0)(lambda: None), "job "),
        (lambda: poolq.job(quue="x")(print), "@poolq.job decorates functions, not <built-in"),
        (lambda: poolq.job(Job),
         "@poolq.job decorates functions, not <class 'poolq.jobs.job.Job'>"),
        (lambda: poolq.job("emails"), "@poolq.job decorates functions, not 'emails'"),
        (lambda: poolq.job(name="a b")(test_it_still_is_the_function), f"{WHERE}test_it_still"),
        (lambda: poolq.job(on_success=3)(_run), f"{WHERE}_run: on_success is 3; it must be a fun"),
        (lambda: poolq.job(rate_limit=3)(_run), f"rate_limit of {__name__}:_run: 3 is not a limit"),
        (lambda: poolq.job(rate_limit={"limit": 0, "seconds": 1})(_run),
         f"rate_limit of {__name__}:_run: limit is 0; it must be a whole number"),
        (lambda: poolq.job(quue="x")(_run),
         f"{WHERE}_run: unknown option quue; did you mean queue?"),
        (lambda: poolq.job(evry="1m")(_run),
         f"{WHERE}_run: unknown option evry; did you mean every?"),
        (lambda: poolq.job(data=1)(_run),
         f"{WHERE}_run: unknown option data; the options are queue, delay, attempts, "),
        (lambda: poolq.job(every="0 3 * * *", tz="Europe/Berlin")(_run),
         f"{WHERE}_run: tz is an option of its schedule; leave out every, and write poolq."),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_when_it_is_decorated(decorate: Any, wrong: str) -> None:
    assert refusal(OptionError, decorate).startswith(wrong)


def _run() -> None: ...


@poolq.job(unique=Unique("user", "full"), concurrent=Concurrent(1, by="tenant"))
def sync(user: int, full: bool = False, tenant: str = "none", note: str = "") -> None: ...


@pytest.mark.usefixtures("engine")
def test_an_omitted_argument_counts_as_its_default_in_a_key() -> None:
    ids = [sync.dispatch(7), sync.dispatch(7, full=False), sync.dispatch(7, True)]
    assert [one.new for one in ids] == [True, False, True]
    assert not sync.set(queue="other").dispatch(7).new
    many = poolq.dispatch_many(sync, [{"user": 7}, {"user": 8}])
    assert [one.new for one in many] == [False, True]
    found = poolq.find(ids[0])
    assert found is not None
    assert found.payload == {"user": 7, "full": False, "tenant": "none"}


def test_a_key_of_an_argument_that_the_function_does_not_have_is_rejected() -> None:
    def no_user(usr: int) -> None: ...
    def any_user(**users: int) -> None: ...

    name = f"job {__name__}:.*no_user: "
    with pytest.raises(OptionError, match=f"{name}unique names 'user', .*; did you mean usr"):
        poolq.job(unique=Unique("user"))(no_user)
    with pytest.raises(OptionError, match=f"{name}concurrent names 'shop', .*; it has usr"):
        poolq.job(concurrent=Concurrent(1, by="shop"))(no_user)
    assert poolq.job(unique=Unique("user"))(any_user)
