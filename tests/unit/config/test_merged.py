"""Settings: which place wins, what each may be, and what a wrong one says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from poolq import config
from poolq.config import Config
from poolq.config.settings import BY_NAME, SETTINGS, cores
from poolq.errors import ConfigError


def load(folder: Path, flags: dict[str, object] | None = None, **environ: str) -> Config:
    """Load with nothing of this machine in it; a warning is an error."""

    def refuse(text: str) -> None:
        raise AssertionError(text)

    return config.load(flags, environ, folder, refuse)


def refused(folder: Path, flags: dict[str, object] | None = None, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, flags, **environ)
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.exit_code == 78
    return text


def test_defaults(tmp_path: Path) -> None:
    made = load(tmp_path)
    assert made.engine == f"sqlite:///{tmp_path}/poolq.db"
    assert made.folder == tmp_path
    assert (made.namespace, made.app, made.queue) == ("poolq", ("jobs",), None)
    assert made.procs == cores() >= 1
    assert (made.sleep, made.cooldown, made.stop_timeout, made.node_ttl) == (5, 0, 60, 30)
    assert (made.prefetch, made.until_empty, made.max_payload) == (0, False, 1024 * 1024)
    assert (made.name, made.unknown_job_for) == (tmp_path.name, 600)
    assert set(made.sources.values()) == {"default"}


def test_every_default_passes_its_own_parser() -> None:
    for setting in SETTINGS:
        value = setting.default_value()
        assert value is None or setting.parse(value) == value, setting.name


def test_flag_before_environment_before_dotenv_before_file_before_default(tmp_path: Path) -> None:
    (tmp_path / "poolq.toml").write_text("procs = 1\nsleep = 1\ncooldown = 1\nstop_timeout = 1\n")
    (tmp_path / ".env").write_text("POOLQ_PROCS=2\nPOOLQ_SLEEP=2\nPOOLQ_COOLDOWN=2\n")
    made = load(tmp_path, {"procs": "4", "name": None}, POOLQ_PROCS="3", POOLQ_SLEEP="3")
    assert (made.procs, made.sleep, made.cooldown, made.stop_timeout) == (4, 3, 2, 1)
    assert made.sources["procs"] == "--procs"
    assert made.sources["sleep"] == "POOLQ_SLEEP in the environment"
    assert made.sources["cooldown"] == f"POOLQ_COOLDOWN in {tmp_path}/.env"
    assert made.sources["stop_timeout"] == f"stop_timeout in {tmp_path}/poolq.toml"
    assert made.sources["name"] == "default"


def test_pyproject_has_a_table(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.poolq]\napp = ["shop.jobs", "mail"]\nqueue = "b, a"\nuntil_empty = true\n'
    )
    made = load(tmp_path)
    assert (made.app, made.queue, made.until_empty) == (("shop.jobs", "mail"), ("b", "a"), True)
    assert made.sources["app"] == f"[tool.poolq] app in {tmp_path}/pyproject.toml"


def test_own_file_replaces_the_table_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.poolq]\nprocs = 2\n")
    (tmp_path / "poolq.toml").write_text("sleep = 2\n")
    said: list[str] = []
    made = config.load({}, {}, tmp_path, said.append)
    assert (made.procs, made.sleep) == (cores(), 2)
    assert len(said) == 1
    assert "[tool.poolq]" in said[0]


def test_dotenv_gives_settings_only(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POOLQ_NAME=x\nSOMETHING_OF_THE_JOBS=1\n")
    before = dict(os.environ)
    assert config.load({}, None, tmp_path).name == "x"
    assert dict(os.environ) == before


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("POOLQ_PROCS=2\nPOOLQ_SLEEP=\n")
    made = load(tmp_path, POOLQ_PROCS="", POOLQ_QUEUE="")
    assert (made.procs, made.sleep, made.queue) == (2, 5, None)


@pytest.mark.parametrize("marker", ["poolq.toml", "pyproject.toml", ".env"])
def test_the_project_folder_is_the_nearest_one_upwards(tmp_path: Path, marker: str) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "a" / marker).touch()
    assert load(deep).folder == tmp_path / "a"
    assert load(deep).engine == f"sqlite:///{tmp_path}/a/poolq.db"


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("shop", "shop"),
        ("my shop, née", "my shop, née"),
        ("tab\tand\x1b[31m", "tab_and_[31m"),
        (os.fsdecode(b"latin\xe9"), "latin_"),
        ("x" * 63 + " yz", "x" * 63),
        (" ", "default"),
    ],
)
def test_the_default_name_is_that_of_the_projects_folder(
    tmp_path: Path, base: str, name: str
) -> None:
    (tmp_path / base / "deep").mkdir(parents=True)
    assert load(tmp_path / base / "deep", POOLQ_ENGINE="null").name == "deep"
    assert load(tmp_path / base, POOLQ_ENGINE="null").name == name
    (tmp_path / base / "pyproject.toml").touch()
    made = load(tmp_path / base / "deep", POOLQ_ENGINE="null")  # SQLite's URLs are UTF-8
    assert (made.name, made.sources["name"]) == (name, "default")
    assert BY_NAME["name"].parse(made.name) == name
    assert load(tmp_path / base, {"engine": "null"}, POOLQ_NAME="other").name == "other"


def test_an_application_is_searched_from_its_main_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, here = tmp_path / "shop", tmp_path / "here"
    installed = shop / ".venv" / "lib" / "site-packages" / "gunicorn" / "__main__.py"
    for folder in (shop / "app", here, installed.parent):
        folder.mkdir(parents=True)
    (shop / "poolq.toml").touch()
    (here / ".env").write_text("POOLQ_PROCS=3\n")
    monkeypatch.chdir(here)
    main = sys.modules["__main__"]
    for file, folder in (
        (shop / "app" / "nightly.py", shop),
        (tmp_path / "nightly.py", here),
        (installed, here),
        (Path(sys.executable).with_name("gunicorn"), here),
        (Path(config.__file__).parents[1] / "__main__.py", here),
        (None, here),
    ):
        monkeypatch.setattr(main, "__file__", file and str(file), raising=False)
        assert config.load_in_application().folder == folder, file
    monkeypatch.setattr(main, "__file__", str(shop / "app.py"))
    assert config.load().folder == here
    assert config.load_in_application({"procs": "2"}, "here()").sources["procs"] == "here()"


def test_a_virtual_environment_called_dotenv_is_no_marker(tmp_path: Path) -> None:
    (tmp_path / "poolq.toml").touch()
    (tmp_path / "a" / ".env").mkdir(parents=True)
    assert load(tmp_path / "a").folder == tmp_path


def test_unknown_keys_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "poolq.toml").write_text("proc = 3\n")
    assert refused(tmp_path) == (
        f"proc in {tmp_path}/poolq.toml is not a setting; did you mean procs?"
    )
    (tmp_path / "poolq.toml").unlink()
    (tmp_path / "pyproject.toml").write_text("[tool.poolq]\nstop-timeout = 3\n")
    assert "[tool.poolq] stop-timeout" in refused(tmp_path)
    assert "did you mean stop_timeout?" in refused(tmp_path)


def test_unknown_variables_are_warned_about(tmp_path: Path) -> None:
    said: list[str] = []
    config.load({}, {"POOLQ_ENGNE": "x", "OTHER": "y"}, tmp_path, said.append)
    assert said == ["POOLQ_ENGNE in the environment is not a setting; did you mean POOLQ_ENGINE?"]


def test_lightpacks_name_of_the_engine_is_not_read_in_silence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("JOB_ENGINE=redis\n")
    said: list[str] = []
    config.load({}, {}, tmp_path, said.append)
    config.load({}, {"JOB_ENGINE": "redis"}, tmp_path, said.append)
    config.load({}, {"POOLQ_ENGINE": "sqlite"}, tmp_path, said.append)
    meant = "is not read; poolq's name for it is POOLQ_ENGINE"
    assert said == [
        f"JOB_ENGINE in {tmp_path}/.env {meant}",
        f"JOB_ENGINE in the environment {meant}",
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "poolq.toml").write_text("procs = \n")
    assert refused(tmp_path).startswith(f"{tmp_path}/poolq.toml cannot be read: ")
    (tmp_path / "poolq.toml").write_bytes(b"name = '\xff'\n")
    assert "cannot be read" in refused(tmp_path)
    (tmp_path / "poolq.toml").unlink()
    (tmp_path / ".env").write_bytes(b"POOLQ_NAME=\xff\n")
    assert refused(tmp_path).startswith(f"{tmp_path}/.env cannot be read: ")
    (tmp_path / ".env").unlink()
    (tmp_path / "pyproject.toml").write_text("[tool]\npoolq = 3\n")
    assert "must be a table" in refused(tmp_path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("procs", ["0", "-1", "1.5", "x", "²", "9" * 30, True, 2.0, [1]]),
        ("sleep", ["-1", "0", "x", "nan", "inf", "1e400", True, "-5s", [5], "90000 days"]),
        ("cooldown", ["-0.1", "soon", float("inf")]),
        ("prefetch", ["-1", "1001"]),
        ("node_ttl", ["0.4", "0"]),
        ("queue", [",", "a,,b", ",a", [], ["a", ""], [1], "a\x1b[0m", 5]),
        ("app", ["my-app", "a/b.py", "jobs.", ""]),
        ("namespace", ["", "Shop", "1a", "a-b", "a" * 33, "a:b", 'a"']),
        ("name", ["x" * 65, "a\nb", 5]),
        ("max_payload", ["1", "-1", "1T", "1.5M", "2G", True]),
        ("until_empty", ["maybe", 2]),
    ],
)
def test_values_out_of_range_name_their_place(
    tmp_path: Path, name: str, values: list[object]
) -> None:
    for value in values:
        if value == "":
            continue
        assert refused(tmp_path, {name: value}).startswith(
            f"--{name.replace('_', '-')} is {value!r}; it must "
        )
    value = next(value for value in values if isinstance(value, str) and value)
    if value.isprintable():
        (tmp_path / ".env").write_text(f"POOLQ_{name.upper()}='{value}'\n")
        assert refused(tmp_path).startswith(f"POOLQ_{name.upper()} in {tmp_path}/.env is ")


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("sleep", "0.25", 0.25),
        ("sleep", "1 hour 30 minutes", 5400.0),
        ("cooldown", "1h", 3600.0),
        ("cooldown", 90, 90.0),
        ("node_ttl", "0.5", 0.5),
        ("procs", " 3 ", 3),
        ("max_payload", "512K", 524288),
        ("max_payload", "1 MiB", 1048576),
        ("max_payload", 1000, 1000),
        ("queue", "a, b,a", ("a", "b")),
        ("queue", ("a",), ("a",)),
        ("until_empty", "Yes", True),
        ("until_empty", "0", False),
    ],
)
def test_values_that_are_read(tmp_path: Path, name: str, given: object, value: object) -> None:
    read = getattr(load(tmp_path, {name: given}), name)
    assert read == value
    assert type(read) is type(value)


def test_a_flag_that_is_no_setting(tmp_path: Path) -> None:
    assert "did you mean procs?" in refused(tmp_path, {"proc": 1})


def test_a_table_for_the_engine_shows_no_password(tmp_path: Path) -> None:
    (tmp_path / "poolq.toml").write_text("engine = {url = 'redis://:hunter2@h'}\n")
    assert "hunter2" not in refused(tmp_path)
