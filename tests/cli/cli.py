# SPDX-License-Identifier: MIT
"""What the tests of the program share: a scene with a directory of its own, in which programs
are started, waited for and in any case ended; readiness without sleeping; TAP points."""

import contextlib
import itertools
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "check"))
import tap  # noqa: E402

LIMIT = 30  # seconds for one process; reaching it is a failure, never a part of a test
NUMBERS = itertools.count(1)

# A finding of a sanitizer must never pass for an exit status of the program.
SANITIZERS = {"ASAN_OPTIONS": "exitcode=99", "LSAN_OPTIONS": "exitcode=99",
              "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99", "TSAN_OPTIONS": "exitcode=99"}


class Skip(Exception):
    """This machine cannot run the test; the text says why."""


class Done:
    """How a process ended. `status` is as a shell has it: 128 + N for signal N."""

    def __init__(self, command, code, out, err):
        self.command = command
        self.status = code if code >= 0 else 128 - code
        self.signalled = code < 0
        self.out, self.err = out, err

    @property
    def words(self):
        return self.err.decode(errors="replace")

    def told(self):
        return (f"{' '.join(self.command)}: status {self.status}"
                f"{' by signal' if self.signalled else ''}\n"
                f"out: {self.out[:800]!r}\nerr: {self.words[-1500:]}")

    def expect(self, status=0, out=None, err=None, no_err=None):
        """out: the exact bytes; err, no_err: patterns in what it said to people."""
        problems = []
        if self.status != status:
            problems.append(f"status {self.status} where {status} is right")
        if out is not None and self.out != out:
            problems.append(different("out", self.out, out))
        if err is not None and not re.search(err, self.words):
            problems.append(f"/{err}/ is not in what it said")
        if no_err is not None and re.search(no_err, self.words):
            problems.append(f"/{no_err}/ is in what it said")
        if "Sanitizer" in self.words or "runtime error:" in self.words:
            problems.append("a sanitizer found something")
        if problems:
            raise AssertionError("\n".join(problems) + "\n" + self.told())
        return self


def different(name, came, wanted):
    at = next((i for i, pair in enumerate(zip(came, wanted)) if pair[0] != pair[1]),
              min(len(came), len(wanted)))
    return (f"{name}: {len(came)} bytes came, {len(wanted)} are right, different from byte {at}: "
            f"{came[at:at + 40]!r} for {wanted[at:at + 40]!r}")


def same(name, came, wanted):
    if came != wanted:
        text = isinstance(came, bytes) and isinstance(wanted, bytes)
        raise AssertionError(different(name, came, wanted) if text
                             else f"{name}: {came!r}, right is {wanted!r}")


def need(truth, told):
    if not truth:
        raise AssertionError(told)


class Process:
    """A process in a session of its own. Output goes to files, so that nothing blocks."""

    def __init__(self, scene, command, stdin=None, stdout=None, stderr=None, **options):
        self.command = [os.fsdecode(word) for word in command]
        stem = scene.path(f"process-{next(NUMBERS)}")
        self.out_path, self.err_path = f"{stem}.out", f"{stem}.err"
        with contextlib.ExitStack() as files:
            given = stdin
            if stdin is None or isinstance(stdin, bytes):
                pathlib.Path(f"{stem}.in").write_bytes(stdin or b"")
                given = files.enter_context(open(f"{stem}.in", "rb"))
            out = files.enter_context(open(self.out_path, "wb"))
            err = files.enter_context(open(self.err_path, "wb"))
            environment = {**scene.environment, **options.pop("env", {})}
            self.popen = subprocess.Popen(
                self.command, stdin=given, stdout=out if stdout is None else stdout,
                stderr=err if stderr is None else stderr, env=environment,
                start_new_session=True, **options)
        self.pid = self.popen.pid
        self.pidfd = os.pidfd_open(self.pid)

    def out(self):
        return pathlib.Path(self.out_path).read_bytes()

    def err(self):
        return pathlib.Path(self.err_path).read_bytes()

    def done(self, limit=LIMIT):
        try:
            code = self.popen.wait(limit)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise AssertionError(f"no end within {limit} s: {' '.join(self.command)}\n"
                                 f"err: {self.err().decode(errors='replace')}") from None
        return Done(self.command, code, self.out(), self.err())

    def kill(self, number=signal.SIGKILL):
        self.popen.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        self.kill(number)
        return self.done()

    def until(self, condition, told):
        """Looks until it is so, at the longest until the process has ended."""
        limit = time.monotonic() + LIMIT
        while True:
            ended = self.popen.poll() is not None
            value = condition()
            if value:
                return value
            if ended or time.monotonic() > limit:
                raise AssertionError(f"never came: {told}\n{' '.join(self.command)}: "
                                     f"{'has ended' if ended else 'is running'}\n"
                                     f"out: {self.out()[:300]!r}\n"
                                     f"err: {self.err().decode(errors='replace')[-1000:]}")
            select.select([self.pidfd], [], [], 0.002)

    def until_out(self, size):
        self.until(lambda: os.path.getsize(self.out_path) >= size, f"{size} bytes of output")
        return self.out()

    def until_err(self, pattern):
        found = self.until(lambda: re.search(pattern, self.err().decode(errors="replace")),
                           f"/{pattern}/ on standard error")
        return found

    def children(self):
        try:
            text = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(word) for word in text.split()]

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        os.close(self.pidfd)


class Scene:
    """A test's directory, its environment and its processes."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="chappe-cli-")
        self.temporary = self.path("tmp")
        os.mkdir(self.temporary)
        self.processes, self.sockets = [], []
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith("CHAPPE_LOG")}
        self.environment["TMPDIR"] = self.temporary
        self.environment["LC_ALL"] = "C.UTF-8"
        for name, value in SANITIZERS.items():
            before = self.environment.get(name)
            self.environment[name] = f"{before}:{value}" if before else value

    def path(self, name):
        return os.path.join(self.folder, name)

    def file(self, name, content):
        pathlib.Path(self.path(name)).write_bytes(content)
        return self.path(name)

    def start(self, *command, **options):
        self.processes.append(Process(self, command, **options))
        return self.processes[-1]

    def run(self, *command, limit=LIMIT, **options):
        return self.start(*command, **options).done(limit)

    def chappe(self, *words, **options):
        return self.run(tap.program(), *words, **options)

    def background(self, *words, **options):
        return self.start(tap.program(), *words, **options)

    def shell(self, line, **options):
        """Runs a line of sh in which $chappe is the program."""
        environment = {**options.pop("env", {}), "chappe": tap.program()}
        return self.run("sh", "-c", line, env=environment, **options)

    def echo(self, address, *words, **options):
        """An echo server that is ready."""
        process = self.background("echo", address, *words, **options)
        process.until_err("(listening|answering) on ")
        return process

    def receiver(self, address, *words, **options):
        """A `receive` whose name is there."""
        process = self.background("receive", address, *words, **options)
        wait_bound(process, address)
        return process

    def make_socket(self, kind=socket.SOCK_STREAM, family=socket.AF_UNIX):
        made = socket.socket(family, kind)
        made.settimeout(LIMIT)
        self.sockets.append(made)
        return made

    def connect(self, name, kind=socket.SOCK_STREAM):
        made = self.make_socket(kind)
        made.connect(socket_name(name))
        return made

    def listen(self, name, kind=socket.SOCK_STREAM):
        made = self.make_socket(kind)
        made.bind(socket_name(name))
        if kind != socket.SOCK_DGRAM:
            made.listen()
        return made

    def leftovers(self):
        """What the programs of this test left behind."""
        sessions = {process.pid for process in self.processes}
        for pid, session in processes():
            if session in sessions and pid not in sessions:
                command = command_of(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                yield f"process {pid} of session {session} was left: {command}"
        for name in sorted(os.listdir(self.temporary)):
            yield f"{name} was left in the directory for temporary files"

    def close(self):
        for made in self.sockets:
            made.close()
        for process in self.processes:
            process.close()
        problems = list(self.leftovers())
        shutil.rmtree(self.folder, ignore_errors=True)
        return problems


def socket_name(name):
    """@NAME is abstract."""
    return "\0" + name[1:] if name.startswith("@") else name


def processes():
    """(process, session) of all that have not ended."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                text = pathlib.Path("/proc", entry, "stat").read_text()
                fields = text[text.rindex(")") + 2:].split()
                if fields[0] not in "ZX":
                    yield int(entry), int(fields[3])


def command_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def is_bound(name):
    """Whether a socket has that name and, if it is one for connections, listens."""
    for line in pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[7] == name:
            datagram, listens = fields[4] == "0002", int(fields[3], 16) & 0x10000
            if datagram or listens:
                return True
    return False


def wait_bound(process, address):
    name = address.removeprefix("unix://").split("?")[0]
    process.until(lambda: is_bound(name), f"a socket that listens on {name}")


class Terminal:
    """A pseudo-terminal. `slave` is for a program, what it writes comes from read()."""

    def __init__(self):
        self.master, self.slave = pty.openpty()
        settings = termios.tcgetattr(self.slave)
        settings[1] &= ~termios.OPOST
        termios.tcsetattr(self.slave, termios.TCSANOW, settings)

    def read(self):
        """All that was written, once nobody has the slave open."""
        os.close(self.slave)
        text = b""
        with contextlib.suppress(OSError):  # EIO is how a terminal says that it ended
            while select.select([self.master], [], [], LIMIT)[0]:
                text += os.read(self.master, 65536)
        os.close(self.master)
        return text


def receive_all(made):
    """Bytes until the end of a stream."""
    text = b""
    while True:
        part = made.recv(1 << 16)
        if not part:
            return text
        text += part


def attempt(check, name, function, *arguments):
    """One point: the function in a scene of its own, and nothing left behind by it."""
    scene = Scene()
    problems = []
    try:
        function(scene, *arguments)
    except Skip as reason:
        scene.close()
        check.skip(name, reason)
        return
    except AssertionError as error:
        problems.append(error)
    except Exception:  # a test that breaks is a test that fails
        problems.append(traceback.format_exc())
    check.point(name, problems + scene.close())


def main(*functions):
    """Runs tests, each named by the first line of its description. Words on the command line
    select some."""
    check = tap.Tap()
    for function in functions:
        name = function.__doc__.strip().splitlines()[0]
        if len(sys.argv) < 2 or any(word in name for word in sys.argv[1:]):
            attempt(check, name, function)
    check.finish()
