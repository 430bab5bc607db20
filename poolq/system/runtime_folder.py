"""Where a running pool is found: a folder with a lock and a socket for each pool's name.

- A folder has one pool per name. The lock is a POSIX lock, which belongs to the process that took
  it. No child inherits it, so the next pool may start while workers of a dead pool still run. The
  lock is lost when its owner closes any descriptor of the file, so nothing else in the master opens
  the file.
- If the lock file is deleted, the pool creates it again. Meanwhile, new pools could lock new files
  of its name. A marker keeps all pools but one away: a socket address that nobody can remove.
- Both files have mode 0600, in a folder that belongs to the user, so nobody else can send commands.
- A folder is reached through its descriptor, since a socket's path has at most 107 bytes.

`control/server.py` and `control/client.py` are the two ends of the socket.
"""

import fcntl
import os
import socket
import stat
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import NamedTuple
from urllib.parse import quote

from poolq.config.trusted_folders import reason_for
from poolq.errors import PoolStartError

RUNTIME_VARIABLE, SESSION_VARIABLE, TEMP_VARIABLE = "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"
SYSTEM_FOLDER = Path("/run/poolq")  # used by the units that `poolq make` writes
FOLDER_MODE = 0o700
SOCKET_BACKLOG = 64
CHECK_INTERVAL = 0.5  # seconds between two checks of the files
MARKER_TRIES, MARKER_PAUSE = 100, 0.01  # attempts to bind it, and seconds between two
_LONGEST = 64  # characters of a file name without its suffix
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid
_Inode = tuple[int, int]  # device, number


class RunningPool(NamedTuple):
    name: str
    pid: int
    folder: Path


def pool_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder for pools started in `environ`; create it. Raises PoolStartError."""
    path, variable = _chosen(environ)
    is_given = variable == RUNTIME_VARIABLE
    try:
        if variable == SESSION_VARIABLE and path.parent.stat().st_uid != os.geteuid():
            raise PoolStartError(
                f"{SESSION_VARIABLE} is {path.parent}, which is another user's; unset it, or set "
                f"{RUNTIME_VARIABLE}"
            )
        if not is_given:
            with suppress(FileExistsError):
                path.mkdir(FOLDER_MODE)
        status = path.stat() if is_given else path.lstat()
    except OSError as error:
        raise _unusable(path, variable, error.strerror or str(error)) from None
    if why := _reason(path, status, private=not is_given):
        raise _unusable(path, variable, why)
    return path


def _reason(path: Path, status: os.stat_result, *, private: bool) -> str:
    """Return why no pool may have its files in this folder, or ""."""
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a directory"
    if private and not _is_private(status):
        return "other users can access it"
    return reason_for(path, status, os.geteuid(), os.getegid())


def _is_private(status: os.stat_result) -> bool:
    """Return whether nobody else can enter this folder."""
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _unusable(path: Path, variable: str, why: str) -> PoolStartError:
    return PoolStartError(
        f"the runtime folder {path} ({variable}) cannot be used: {why}; "
        f"fix that, or set {RUNTIME_VARIABLE} to another directory"
    )


def search_folders(environ: Mapping[str, str]) -> list[Path]:
    """Return the folders where a command looks for pools."""
    if _absolute(environ, RUNTIME_VARIABLE):
        return [_chosen(environ)[0]]
    folders = [_chosen(environ)[0], _temporary(environ), SYSTEM_FOLDER]
    with suppress(OSError):
        folders += sorted(path for path in SYSTEM_FOLDER.iterdir() if path.is_dir())
    return list(dict.fromkeys(folders))


def _chosen(environ: Mapping[str, str]) -> tuple[Path, str]:
    """Return the folder, and the variable that chose it."""
    if parent := _absolute(environ, RUNTIME_VARIABLE):
        return Path(parent), RUNTIME_VARIABLE
    if parent := _absolute(environ, SESSION_VARIABLE):
        return Path(parent) / "poolq", SESSION_VARIABLE
    return _temporary(environ), TEMP_VARIABLE


def _absolute(environ: Mapping[str, str], variable: str) -> str:
    """Return the variable's first folder (systemd separates several by colons); "" if relative."""
    value = environ.get(variable, "").partition(":")[0]
    return value if value.startswith("/") else ""


def _temporary(environ: Mapping[str, str]) -> Path:
    return Path(_absolute(environ, TEMP_VARIABLE) or "/tmp") / f"poolq-{os.geteuid()}"  # noqa: S108  # 0700 and its owner are checked


def file_name(name: str) -> str:
    """Return a pool's name as a file name. Any name is allowed, even with slashes."""
    quoted = quote(name, safe="")
    if len(quoted) <= _LONGEST:
        return quoted
    import hashlib  # slow to import, and hardly ever needed

    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{quoted[:40]}%{digest[:20]}"


class PoolLock:
    """A pool's name, held by its master until `release` or the master's death. `listener`: the
    pool's socket. If the lock or socket file is deleted, `restore_files` creates it again."""

    def __init__(self, name: str, folder: Path) -> None:
        """Raises PoolStartError if another pool holds the name, or a file cannot be created."""
        self._name, self._path = name, folder
        file = file_name(name)
        self._lock_file, self._socket_file = f"{file}.lock", f"{file}.sock"
        self._files: list[tuple[str, _Inode]] = []
        self._next_check, self._failures = 0.0, 0
        path = folder / self._lock_file
        try:
            self._private = _is_private(folder.lstat())
            self._folder = _open_folder(folder)
            self.lock = self._lock(self._folder)
            self._marker = self._take_marker()
            path = folder / self._socket_file
            self.listener = self._listen(self._folder)
            self._note_files()
        except OSError as error:
            raise PoolStartError(
                f"{path} cannot be created: {error.strerror}; fix that, or set {RUNTIME_VARIABLE} "
                "to another directory"
            ) from None

    def _take_marker(self) -> int:
        """Raise PoolStartError if a pool whose lock file was deleted still holds the name."""
        marker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        if pid := _bind_marker(marker, self._path, self._name):
            marker.close()
            self._unlink(self._lock_file, _inode_of(os.fstat(self.lock)))
            os.close(self.lock)
            os.close(self._folder)
            raise name_taken(self._name, pid)
        return marker.detach()

    def _lock(self, folder: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        while True:
            fd = os.open(self._lock_file, flags, 0o600, dir_fd=folder)
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                pid = _holder(fd)
                os.close(fd)
                raise name_taken(self._name, pid) from None
            if _inode(self._lock_file, folder) == _inode_of(os.fstat(fd)):
                break
            os.close(fd)  # the file's last owner has just deleted it
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {self._name}\n".encode(), 0)
        return fd

    def _listen(self, folder: int) -> socket.socket:
        """Listen, and replace a socket that a dead pool has left."""
        with suppress(FileNotFoundError):
            os.unlink(self._socket_file, dir_fd=folder)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        os.fchmod(listener.fileno(), 0o600)  # before it has a name
        listener.bind(f"/proc/self/fd/{folder}/{self._socket_file}")
        listener.listen(SOCKET_BACKLOG)
        return listener

    def _note_files(self) -> None:
        self._files = [(self._lock_file, _inode_of(os.fstat(self.lock)))]
        if (bound := _inode(self._socket_file, self._folder)) is not None:
            self._files.append((self._socket_file, bound))

    def restore_files(self, now: float) -> tuple[str, str] | None:
        """Check, at most twice a second, that the files exist. If not, create them again, with a
        new `listener`. Return a level and a text if there is something to log."""
        if now < self._next_check:
            return None
        self._next_check = now + CHECK_INTERVAL
        present = [_inode(self._path / file) == inode for file, inode in self._files]
        if len(present) == 2 and all(present):
            return None
        deleted = f"files in the runtime folder {self._path} were deleted"
        try:
            self._recreate(lock=not present[0])
        except (PoolStartError, OSError) as error:
            self._failures += 1  # a new pool, which then exits, may cause the first failure
            why = str(error) if isinstance(error, PoolStartError) else error.strerror
            text = f"{deleted} and cannot be created again; commands do not find this pool: {why}"
            return ("error", text) if self._failures == 2 else None
        self._failures = 0
        return "warning", f"{deleted}; they have been created again"

    def _recreate(self, *, lock: bool) -> None:
        """Create the files again. Hold the old lock until there is a new one. Until then, the
        marker keeps new pools away."""
        with suppress(OSError):
            self._path.mkdir(FOLDER_MODE)
        status = self._path.lstat() if self._private else self._path.stat()
        if why := _reason(self._path, status, private=self._private):
            raise PoolStartError(why)
        folder = _open_folder(self._path)
        try:
            held = self._lock(folder) if lock else self.lock
        except (PoolStartError, OSError):
            os.close(folder)
            raise
        if lock:
            os.close(self.lock)
        os.close(self._folder)
        self.lock, self._folder = held, folder
        self._files = [(self._lock_file, _inode_of(os.fstat(held)))]
        fresh = self._listen(folder)
        self.listener.close()
        self.listener = fresh
        self._note_files()

    def descriptors(self) -> tuple[int, ...]:
        """Return the file descriptors that a child must close."""
        return (self._folder, self.lock, self._marker, self.listener.fileno())

    def release(self) -> None:
        """Free the name and remove its files."""
        os.close(self._marker)
        for file, inode in reversed(self._files):
            self._unlink(file, inode)
        self.listener.close()
        os.close(self.lock)
        os.close(self._folder)

    def _unlink(self, file: str, inode: _Inode) -> None:
        """Remove a file of this pool, unless its name now belongs to another pool's file."""
        with suppress(OSError):
            if _inode(file, self._folder) == inode:
                os.unlink(file, dir_fd=self._folder)


def _bind_marker(marker: socket.socket, folder: Path, name: str) -> int:
    """Bind a socket to the address of this pool name in this folder, and return 0. If another
    process of this user has the address, return its pid (-1 if not known). If a process of
    another user has the address, return 0. Containers have their own addresses, as they may have
    different folders of the same name."""
    import hashlib  # slow to import, and needed by masters only

    mounts = str(Path("/proc/self/ns/mnt").readlink())
    place = "\0".join((os.path.realpath(folder), name, mounts))
    address = f"\0poolq-{hashlib.sha256(place.encode('utf-8', 'surrogateescape')).hexdigest()}"
    for _ in range(MARKER_TRIES):
        with suppress(OSError):
            marker.bind(address)
            marker.listen()
            return 0
        try:
            marker.connect(address)
        except BlockingIOError:
            return -1
        except OSError:  # the other socket has just been created or closed
            sleep(MARKER_PAUSE)
            continue
        credentials = marker.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, _ = struct.unpack("iII", credentials)
        return (pid or -1) if uid == os.geteuid() else 0
    return 0


def _inode(file: str | Path, folder: int | None = None) -> _Inode | None:
    try:
        return _inode_of(os.stat(file, dir_fd=folder, follow_symlinks=False))
    except OSError:
        return None


def _inode_of(status: os.stat_result) -> _Inode:
    return status.st_dev, status.st_ino


def _open_folder(path: Path) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def name_taken(name: str, pid: int) -> PoolStartError:
    """Return the error for a name that the process `pid` holds."""
    started_in = ""
    with suppress(OSError):
        started_in = f", started in {Path(f'/proc/{pid}/cwd').readlink()}"
    return PoolStartError(
        f"a pool named {name!r} runs here already (pid {pid}{started_in}); stop that one with "
        "'poolq stop', or give this one another --name (in a supervisor's file with numprocs: "
        "--name=%(program_name)s_%(process_num)02d)"
    )


def _holder(fd: int) -> int:
    """Return the process that has the lock of this file; 0 if there is none."""
    whole_file = (0, 0, 0)  # start, length, pid
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *whole_file)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    if kind == fcntl.F_UNLCK:
        return 0
    return pid if pid > 0 else _written(fd)[0] or -1  # the owner is in another pid namespace


def _written(fd: int) -> tuple[int, str]:
    """Return what the lock's owner wrote into the file: the owner's pid and the pool's name."""
    pid, _, name = os.pread(fd, 1024, 0).decode("utf-8", "replace").rstrip("\n").partition(" ")
    return (int(pid) if pid.isdecimal() else 0), name


def holder_of(name: str, environ: Mapping[str, str]) -> int:
    """Return the pid of the pool that holds this name in the folder for new pools, or 0."""
    wanted = (name, _chosen(environ)[0])
    return next(
        (pool.pid for pool in running_pools(environ) if (pool.name, pool.folder) == wanted), 0
    )


def running_pools(environ: Mapping[str, str]) -> list[RunningPool]:
    """Return the pools that this user may see, sorted. In a master, this would free its lock."""
    pools = []
    for folder in search_folders(environ):
        with suppress(OSError):
            if reason_for_distrust(folder, environ):
                continue
            for path in folder.glob("*.lock"):
                with suppress(OSError):
                    pools += _read_lock(path)
    return sorted(pools)


def reason_for_distrust(folder: Path, environ: Mapping[str, str]) -> str:
    """Return why commands skip this folder, or "". They skip it if another user could answer there
    in place of a pool, except the user of a pool's unit in SYSTEM_FOLDER. Raises OSError."""
    is_given = bool(_absolute(environ, RUNTIME_VARIABLE))
    status = folder.stat() if is_given else folder.lstat()
    owner = status.st_uid if SYSTEM_FOLDER in folder.parents else 0
    return reason_for(folder, status, os.geteuid(), os.getegid(), owner)


def _read_lock(path: Path) -> list[RunningPool]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        pid, name = _holder(fd), _written(fd)[1]
    finally:
        os.close(fd)
    return [RunningPool(name, pid, path.parent)] if pid and name else []


def connect(pool: RunningPool, timeout: float) -> socket.socket:
    """Connect through the folder's descriptor, because a path may be too long for a socket's
    address. Wait up to `timeout` seconds to be accepted. Raises OSError."""
    folder = _open_folder(pool.folder)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        limit = struct.pack("@ll", round(timeout), 0)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        line.connect(f"/proc/self/fd/{folder}/{file_name(pool.name)}.sock")
    except OSError:
        line.close()
        raise
    finally:
        os.close(folder)
    return line
