#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every program in examples/ compiles without a warning, as its user would compile it, and
prints what it should."""

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import documents
from documents import tap

SECONDS = 60
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
STANDARDS = {".c": ("c", "cc", "-std=gnu17"), ".cpp": ("c++", "c++", "-std=c++17")}
# The folder of names of shared memory, so that nothing is done in this user's own one.
DOMAIN = "domain"
# What the programs that talk to nobody else print.
ALONE = {
    "batch": "1000000 messages, sum 499999500000\n",
    "deadlines": "nothing here\n"
                 "pipe://: nothing to receive by the deadline\n"
                 "pipe://: this mechanism refuses descriptors; mechanisms that do not: unix://, "
                 "shm://, map://\n"
                 "the other side closed\n",
    "descriptor": "the file: text in a file without a name\n",
    "pair": "1 + 2 + … + 100 = 5050\n",
}
WITH_OTHERS = {"hello_server", "hello_client", "epoll_server", "hello", "shared_memory_server",
               "shared_memory_client"}
# Where the two that share memory can meet.
SHARED = ["shm://blocks", "shm://blocks?backing=posix", "shm://blocks?backing=sysv",
          "shm://blocks?wait=sleep", "shm://blocks?ring=1M", "map://./blocks"]


class Examples:
    """A folder with the programs, and how to run them there."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.environment = environment

    def addresses(self):
        """Of every kind that a server and a client can have; the abstract one is ours alone."""
        return ["unix://./greeting", f"unix://@chappe-{self.folder.name}",
                "unix://./greeting?type=seqpacket", "unix://./greeting?type=datagram",
                "unix://./greeting?frame=length32", "unix://./greeting?type=datagram&frame=nul",
                "shm://greeting", "shm://greeting?backing=sysv&frame=line", "map://./greeting"]

    @contextlib.contextmanager
    def started(self, *command):
        """A process that does not outlive the block."""
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def output_problems(self, command, wanted, status=0):
        with self.started(*command) as process:
            yield from self.end_problems(process, wanted, status)

    @staticmethod
    def end_problems(process, wanted, status=0, given=""):
        try:
            printed, _ = process.communicate(given, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            yield f"{process.args}: no end within {SECONDS} s"
            return
        if printed != wanted or process.returncode != status:
            yield f"{process.args}: status {process.returncode}, not {status}\n{printed}"

    def left_problems(self):
        in_domain = self.folder.glob(f"{DOMAIN}/*")
        for path in [*self.folder.iterdir(), *in_domain]:
            is_object = path.parent.name == DOMAIN or path.name in ("blocks", "greeting")
            if stat.S_ISSOCK(path.lstat().st_mode) or path.suffix == ".lock" or is_object:
                yield f"left behind: {path.name}"

    def compile_problems(self, path, output, *more, environment=None):
        """Compiles with what pkg-config says."""
        _, command, standard = STANDARDS[path.suffix]
        static = ["--static"] if "-static" in more else []
        environment = environment or self.environment
        flags = tap.need("pkg-config", *static, "--cflags", "--libs", "chappe", env=environment)
        done = tap.run(shutil.which(command, path=environment["PATH"]), standard, *WARNINGS, *more,
                       path, "-o", self.folder / output, *flags.stdout.split(), env=environment,
                       timeout=SECONDS)
        if done.returncode != 0 or done.stderr:
            yield f"status {done.returncode}\n{done.stderr}"


def hello_problems(examples, address, server="hello_server", client="hello_client"):
    with examples.started(f"./{server}", address) as process:
        yield from examples.output_problems([f"./{client}", address], "hello, world\n")
        yield from examples.end_problems(process, "who is there?\n")
    yield from examples.left_problems()


def epoll_problems(examples, address):
    """Several clients, one of which says nothing and one rubbish; the end of its standard
    input ends the server."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(examples.started("./epoll_server", address))
        # Returns when the server is there.
        yield from examples.output_problems([tap.program(), "request", address, "first"], "first")
        for rubbish in (b"", b"rubbish"):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(examples.folder / "many"))
            client.sendall(rubbish)
        clients = [stack.enter_context(examples.started("./hello_client", address))
                   for _ in range(4)]
        for client in clients:
            yield from examples.end_problems(client, "who is there?\n")
        yield from examples.end_problems(server, "")
    yield from examples.left_problems()


def blocks_problems(examples, address):
    """Blocks of numbers, written and read where they lie."""
    with examples.started("./shared_memory_server", address) as server:
        yield from examples.output_problems(["./shared_memory_client", address],
                                            "the server says 499999500000\n")
        yield from examples.end_problems(server, "1000 blocks, sum 499999500000\n")
    yield from examples.left_problems()


def unlisted_problems(programs):
    for path in programs:
        if path.stem not in {*ALONE, *WITH_OTHERS}:
            yield f"{path.name}: no test runs it"


@contextlib.contextmanager
def static_library(folder):
    """The environment in which pkg-config finds a library that can be linked statically: a
    library with sanitizers cannot, so such a build makes another one."""
    if not documents.sanitizers():
        yield documents.environment(folder, [])
        return
    build = folder / "build"
    tap.need("meson", "setup", build, tap.source(), "-Dtests=false", "-Dbench=false",
             env=os.environ | {"CC": " ".join(tap.compiler())}, timeout=SECONDS)
    tap.need("ninja", "--quiet", "-C", build, "src/libchappe.a", timeout=5 * SECONDS)
    (folder / "plain").mkdir()
    yield documents.environment(folder / "plain", []) | {
        "PKG_CONFIG_PATH": str(build / "meson-uninstalled")}


def static_problems(examples, folder):
    source = tap.source() / "examples"
    with static_library(folder) as environment:
        for name in ("hello_server", "hello_client"):
            yield from examples.compile_problems(source / f"{name}.c", f"static_{name}", "-static",
                                                 environment=environment)
            elf = tap.need("readelf", "-d", examples.folder / f"static_{name}").stdout
            if "NEEDED" in elf:
                yield f"{name} is not static:\n{elf}"
    yield from hello_problems(examples, "unix://./static", "static_hello_server",
                              "static_hello_client")


def other_compiler_problems(examples, path):
    """What only the other compiler warns of."""
    language, _, standard = STANDARDS[path.suffix]
    for name in {"c": ("gcc", "clang"), "c++": ("g++", "clang++")}[language]:
        if shutil.which(name):
            done = tap.run(name, standard, *WARNINGS, "-fsyntax-only",
                           f"-I{tap.source() / 'include'}", path, timeout=SECONDS)
            if done.returncode != 0 or done.stderr:
                yield f"{name}: status {done.returncode}\n{done.stderr}"


def plant(check, examples, folder):
    source = folder / "planted.c"
    source.write_text("#include <chappe/chappe.h>\nint main(void) { int unused; return 0; }\n")
    check.red("a warning", examples.compile_problems, source, "planted", expect="unused")
    check.red("a warning of any compiler", other_compiler_problems, examples, source,
              expect="unused")
    check.red("a wrong output", examples.output_problems, ["echo", "printed"], "planted\n",
              expect="printed")
    check.red("a wrong status", examples.output_problems, ["false"], "", expect="status 1")
    check.red("an example that no test runs", unlisted_problems, [source], expect="planted.c")
    (examples.folder / "planted.lock").touch()
    check.red("a lock left behind", examples.left_problems, expect="planted.lock")
    (examples.folder / DOMAIN / "shm.planted").touch()
    check.red("a name left behind", examples.left_problems, expect="shm.planted")


def main():
    check = tap.Tap()
    programs = sorted(tap.files(tap.source() / "examples", ".c", ".cpp"))
    check.clean("every example has its test", unlisted_problems, programs)
    with documents.folder() as folder:
        (folder / "run").mkdir()
        (folder / "static").mkdir()
        environment = documents.environment(folder, documents.sanitizers()) | {
            "CHAPPE_DOMAIN": str(folder / "run" / DOMAIN)}
        examples = Examples(folder / "run", environment)
        for path in programs:
            check.clean(f"{path.name} compiles", examples.compile_problems, path, path.stem)
            check.clean(f"{path.name} has no warning of gcc or clang", other_compiler_problems,
                        examples, path)
        for name, wanted in ALONE.items():
            check.clean(name, examples.output_problems, [f"./{name}"], wanted)
        for address in examples.addresses():
            kind = address.split("-")[0]
            check.clean(f"hello_server and hello_client over {kind}",
                        hello_problems, examples, address)
        for address in SHARED:
            check.clean(f"shared_memory_server and shared_memory_client over {address}",
                        blocks_problems, examples, address)
        check.clean("hello_client says what is wrong with an address", examples.output_problems,
                    ["./hello_client", "uinx://./hello"],
                    'uinx://./hello: no mechanism “uinx”; did you mean unix://?\n', 1)
        check.clean("hello_server says that the name is taken", taken_problems, examples)
        check.clean("epoll_server serves several clients", epoll_problems, examples,
                    "unix://./many")
        check.clean("hello.cpp", examples.output_problems, ["./hello", "unix://./greeting"],
                    "hello from C++, type 7\n")
        check.clean("a static program", static_problems, examples, folder / "static")
        plant(check, examples, folder)
    check.finish()


def taken_problems(examples):
    address = "unix://./taken"
    with examples.started("./epoll_server", address) as server:
        yield from examples.output_problems(["./hello_client", address], "who is there?\n")
        yield from examples.output_problems(
            ["./hello_server", address],
            f"{address}: a living process serves this name already\n", 1)
        yield from examples.end_problems(server, "")
    yield from examples.left_problems()


if __name__ == "__main__":
    main()
