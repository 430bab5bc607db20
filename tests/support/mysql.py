"""MySQL itself, to take MariaDB's part in the tests: `make mysql`.

Debian has it in its unstable release only. `fetch` takes it from there with the libraries that it
needs, into a folder; nothing is installed, and no list of the machine's own apt is touched.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.servers import MariaDB, certify

FOLDER = Path("build/mysql").absolute()
PROGRAM = FOLDER / "mysqld"
PACKAGE = "mysql-server-core"
#: The server runs with its own libraries: those of the machine are older.
START = """#!/bin/sh
root={root}
libraries=$(echo "$root"/usr/lib/*-linux-gnu)
exec "$libraries"/ld-linux-*.so.* --library-path "$libraries:$libraries/mysql/private" \\
  "$root/usr/sbin/mysqld" "$@" --lc-messages-dir="$root/usr/share/mysql"
"""


def fetch() -> None:
    """Have the program at PROGRAM; from Debian's mirror that this machine knows already."""
    packages, root = FOLDER / "packages", FOLDER / "root"
    for folder in (FOLDER / "lists" / "partial", FOLDER / "cache" / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    packages.mkdir(exist_ok=True)
    (FOLDER / "status").touch()  # nothing is installed there
    (FOLDER / "sources.list").write_text(_source())
    _apt("apt-get", "update")
    needed = _apt("apt-cache", "depends", "--recurse", "--important", PACKAGE)
    names = {line for line in needed.splitlines() if line[:1].isalnum()}
    _apt("apt-get", "download", *sorted(names), folder=packages)
    for package in packages.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    PROGRAM.write_text(START.format(root=root))
    PROGRAM.chmod(0o755)


def _source() -> str:
    """The line of sources.list: what the machine says of Debian, but for the release."""
    known = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(SIGNED_BY)", "Label: Debian"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    if not known.stdout:
        raise SystemExit("apt knows no Debian mirror: run 'apt-get update' as root first")
    uri, _, key = known.stdout.splitlines()[0].partition(" ")
    signed = f"[signed-by={key}] " if key else ""
    return f"deb {signed}{uri} unstable main\n"


def _apt(tool: str, *words: str, folder: Path = FOLDER) -> str:
    """Run apt on our own lists alone; what it printed."""
    options = {
        "Dir::State": FOLDER,
        "Dir::State::status": FOLDER / "status",
        "Dir::Cache": FOLDER / "cache",
        "Dir::Etc::sourcelist": FOLDER / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
        "APT::Default-Release": "",
        "APT::Sandbox::User": "",
    }
    given = [f"--option={name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [tool, "--quiet=2", *given, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{tool} {words[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def install_mysql(folder: Path) -> Path:
    """Make an empty MySQL data folder, to be copied by each server. The root that it comes with is
    one of localhost, which a server that resolves no names does not know."""
    data, first = folder / "data", folder / "first.sql"
    first.write_text(
        "CREATE USER root@127.0.0.1; GRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;\n"
    )
    certify(folder)
    command = [PROGRAM, "--no-defaults", "--initialize-insecure", f"--datadir={data}"]
    command += [f"--init-file={first}", *_options()]
    if not PROGRAM.exists():
        raise AssertionError(f"there is no {PROGRAM}: `make mysql` fetches it")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{PROGRAM} failed:\n{done.stdout}{done.stderr}")
    return data


def _options() -> list[str]:
    options = ["--skip-name-resolve", "--innodb-redo-log-capacity=32M", "--skip-log-bin"]
    options += ["--secure-file-priv=NULL", "--mysqlx=OFF"]
    return [*options, "--user=root"] if os.geteuid() == 0 else options


class MySQL(MariaDB):
    """A mysqld as MariaDB's is. `template` is a folder made by `install_mysql`."""

    waits_in_server = False

    def command(self) -> list[str]:
        return [str(PROGRAM), *self._common(), *_options(), *self._options]


if __name__ == "__main__":
    fetch()
