"""A traceback without the frames of others."""

from __future__ import annotations

import pytest

from poolq.monitor.tracebacks import fold, location, package_of

SITE = "/srv/venv/lib/python3.12/site-packages"
CHAINED = f'''\
Traceback (most recent call last):
  File "/srv/shop/jobs.py", line 41, in run
    charge(self.payload["card"])
    ~~~~~~^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/shop/cards.py", line 7, in charge
    return requests.post(URL)
  File "{SITE}/requests/api.py", line 115, in post
    return request("post", url)
  File "{SITE}/requests/sessions.py", line 589, in request
  File "{SITE}/urllib3/pool.py", line 12, in again
    again()
  [Previous line repeated 7 more times]
ConnectionError: no route
  to host

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/venv/lib/python3.12/site-packages/poolq/worker/execute.py", line 142, in run
    call(job)
  File "/srv/shop/jobs.py", line 44, in run
    raise PaymentError("card 4242 was declined") from error
  File "/usr/lib/python3.12/contextlib.py", line 81, in inner
shop.errors.PaymentError: card 4242 was declined
'''
FOLDED = """\
Traceback (most recent call last):
  File "/srv/shop/jobs.py", line 41, in run
    charge(self.payload["card"])
    ~~~~~~^^^^^^^^^^^^^^^^^^^^^^
  File "/srv/shop/cards.py", line 7, in charge
    return requests.post(URL)
  … 10 frames of requests and urllib3
ConnectionError: no route
  to host

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  … 1 frame of poolq
  File "/srv/shop/jobs.py", line 44, in run
    raise PaymentError("card 4242 was declined") from error
  … 1 frame of Python
shop.errors.PaymentError: card 4242 was declined"""


def test_only_the_users_frames_are_left_and_others_are_counted() -> None:
    assert fold(CHAINED) == FOLDED
    assert fold(FOLDED) == FOLDED


def test_the_location_is_the_users_last_line() -> None:
    assert location(CHAINED) == "/srv/shop/jobs.py:44 in run"
    library = f'  File "{SITE}/requests/api.py", line 115, in post\nKeyError: 1'
    assert location(library) == f"{SITE}/requests/api.py:115 in post"
    assert location('  File "<string>", line 3\n    x =\nSyntaxError: x') == "<string>:3"
    assert location("ValueError: no frame") == ""
    assert fold("") == ""


def test_frames_of_exception_groups_are_folded_too() -> None:
    group = f'''\
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "{SITE}/anyio/tasks.py", line 1, in a
    |     b()
    |   File "/srv/shop/jobs.py", line 9, in fetch
    |     raise ValueError(1)
    | ValueError: 1
    +------------------------------------'''
    folded = fold(group).split("\n")
    assert folded[3:6] == [
        "    |   … 1 frame of anyio",
        '    |   File "/srv/shop/jobs.py", line 9, in fetch',
        "    |     raise ValueError(1)",
    ]
    assert location(group) == "/srv/shop/jobs.py:9 in fetch"


@pytest.mark.parametrize(
    ("path", "package"),
    [("/srv/shop/jobs.py", ""), ("/home/me/poolq/demo/jobs.py", ""), ("/home/lib/jobs.py", ""),
     ("/home/me/poolq/jobs/running.py", "poolq"), (f"{SITE}/six.py", "six"),
     ("/usr/lib/python3/dist-packages/yaml/__init__.py", "yaml"),
     ("/usr/lib/python3.11/json/decoder.py", "Python"), ("<frozen importlib._bootstrap>", "Python"),
     ("/opt/python3.13t/lib/python3.13t/asyncio/runners.py", "Python")],
)  # fmt: skip
def test_a_path_tells_to_whom_its_code_belongs(path: str, package: str) -> None:
    assert package_of(path) == package
