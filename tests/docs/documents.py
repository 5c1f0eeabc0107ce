# SPDX-License-Identifier: MIT
"""What the tests of the documents share: blocks of a manual page or a Markdown file, a
shell session that runs them, comparison of what is shown with what is printed."""

import contextlib
import dataclasses
import difflib
import functools
import json
import os
import pathlib
import re
import secrets
import select
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "check"))
import tap  # noqa: E402: it lies with the checks

COMMAND_SECONDS = 30
# Used by the documents, and not part of every machine.
OPTIONAL_PROGRAMS = ("nc", "socat", "jq")


# ---- blocks --------------------------------------------------------------------------

@dataclasses.dataclass
class Block:
    mark: str  # the comment before it: "", "varies", "file hello.c", "part of hello.c"
    language: str  # of a fenced block; "" in a manual page
    lines: list
    place: int  # number of its first line

    def steps(self):
        """[(command, what it shows)] of a session."""
        found = []
        for line in self.lines:
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found:
                found[-1][1].append(line)
            else:
                raise ValueError(f"line {self.place}: a session begins with $, not: {line}")
        return found


ROFF = {r"\-": "-", r"\(aq": "'", r"\(ga": "`", r"\(ha": "^", r"\(ti": "~", r"\e": "\\",
        r"\&": ""}
ROFF_ESCAPE = re.compile(r"\\(?:\(..|.)")


def roff_line(line):
    """A line between .EX and .EE as its reader sees it."""
    return ROFF_ESCAPE.sub(lambda match: ROFF[match[0]], line)


def roff_blocks(text):
    """The blocks of a manual page. An escape that roff_line() does not know is an error."""
    blocks, mark = [], ""
    lines = iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        if line == ".EX":
            inside = []
            for _, line in lines:
                if line == ".EE":
                    break
                inside.append(roff_line(line))
            blocks.append(Block(mark, "", inside, number + 1))
        mark = line[3:].strip() if line.startswith('.\\"') else ""
    return blocks


def fenced_blocks(text):
    """The fenced blocks of a Markdown file."""
    blocks, mark = [], ""
    lines = iter(enumerate(text.split("\n"), 1))
    for number, line in lines:
        if line.startswith("```"):
            language, inside = line[3:].strip(), []
            for _, line in lines:
                if line == "```":
                    break
                inside.append(line)
            blocks.append(Block(mark, language, inside, number + 1))
            mark = ""
        elif line.startswith("<!-- "):
            mark = line[len("<!-- "):].removesuffix("-->").strip()
        elif line:
            mark = ""
    return blocks


# ---- files that are shown -----------------------------------------------------------------

def shown_file_problems(examples, block):
    """A block marked "file NAME" or "part of NAME" shows what the example has."""
    kind, _, name = block.mark.rpartition(" ")
    path = examples / name
    if kind not in ("file", "part of") or not path.exists():
        yield f"line {block.place}: \"{block.mark}\" names no example"
        return
    wanted = path.read_text().rstrip("\n").split("\n")
    shown = [line.rstrip() for line in block.lines]
    if kind == "file":
        yield from difflib.unified_diff(wanted, shown, name, "shown", lineterm="")
        return
    wanted = [line.strip() for line in wanted]
    shown = [line.strip() for line in shown]
    starts = range(len(wanted) - len(shown) + 1)
    if not any(wanted[start:start + len(shown)] == shown for start in starts):
        yield f"line {block.place}: these lines are not in {name}, one after the other"


# ---- a /dev/shm of its own -----------------------------------------------------------------

MOUNTED = ["sh", "-c", 'mount -t tmpfs none /dev/shm && exec "$@"', "sh"]
UNSHARED = (["unshare", "--mount", *MOUNTED],
            ["unshare", "--user", "--map-root-user", "--mount", *MOUNTED])


@functools.cache
def private_memory():
    """What to write before a command so that its /dev/shm is empty and seen by nobody else;
    [] where that is not permitted."""
    permitted = (words for words in UNSHARED
                 if shutil.which("unshare") and tap.run(*words, "true").returncode == 0)
    return next(permitted, [])


# ---- a shell session ----------------------------------------------------------------------

# Commands come through descriptor 3, each followed by what ends it. $? is as the reader
# of the document would have it.
DRIVER = """
documents_status=0
documents_restore() { return $documents_status; }
while IFS= read -r -u 3 documents_command; do
    documents_restore
    eval "$documents_command" 3<&-
    documents_status=$?
    printf '%s %d\\n' "$1" "$documents_status"
done
"""
# What a shell says when a command in the background was killed.
NOTICE = re.compile(r"^[^\n]*: line \d+: +\d+ (?:Killed|Terminated)\b[^\n]*\n", re.M)


class Session:
    """One bash. Its commands and all that they start are one process group, which ends
    with the session."""

    def __init__(self, folder, environment):
        self.mark = f"\x01{secrets.token_hex(8)}"
        reading, self.commands = os.pipe()
        # The driver's descriptor 3 is `reading`, whatever its number here.
        start = f"exec 3<&{reading} {reading}<&-" if reading != 3 else ":"
        self.process = subprocess.Popen(
            [*private_memory(), "bash", "--noprofile", "--norc", "-c", f"{start}\n{DRIVER}",
             "bash", self.mark],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, pass_fds=[reading], start_new_session=True)
        os.close(reading)
        self.rest = b""
        self.stuck = False

    def run(self, command, seconds=COMMAND_SECONDS):
        """(what it printed, its status); None as the status if it did not end in time, or
        if one before it did not."""
        if self.stuck:
            return "", None
        os.write(self.commands, command.encode() + b"\n")
        end = re.compile(re.escape(self.mark.encode()) + rb" (\d+)\n")
        limit = time.monotonic() + seconds
        while not (match := end.search(self.rest)):
            left = limit - time.monotonic()
            ready = left > 0 and select.select([self.process.stdout], [], [], left)[0]
            more = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not more:
                self.stuck = True
                return self.text(self.rest), None
            self.rest += more
        printed, self.rest = self.rest[:match.start()], self.rest[match.end():]
        return self.text(printed), int(match[1])

    @staticmethod
    def text(printed):
        return NOTICE.sub("", printed.decode(errors="backslashreplace"))

    def close(self):
        os.close(self.commands)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def sanitizers():
    """The options of the compiler that the built library needs of its programs."""
    told = json.loads((tap.build() / "meson-info/intro-buildoptions.json").read_text())
    value = next(option["value"] for option in told if option["name"] == "b_sanitize")
    return [] if value in ("", "none") else [f"-fsanitize={value}"]


def environment(folder, more_flags):
    """For a session: in `folder`/bin the built chappe and the compilers of this build;
    pkg-config finds the library that was not installed."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "chappe").symlink_to(tap.program())
    for name, language in (("cc", "c"), ("c++", "c++")):
        first, *more = tap.compiler(language)
        # The absolute path: by its name the script would find itself.
        words = shlex.join([shutil.which(first), *more, *more_flags])
        (programs / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (programs / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items()
            if name.endswith("SAN_OPTIONS") or name in ("TMPDIR", "LD_PRELOAD")}
    return kept | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "PKG_CONFIG_PATH": str(tap.build() / "meson-uninstalled"),
        "LD_LIBRARY_PATH": str(tap.build() / "src"),
    }


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="chappe-docs-", dir="/tmp") as name:
        yield pathlib.Path(name)


def missing(command):
    """Why this machine cannot run a command of a document as it is shown; None: it can."""
    words = set(re.findall(r"[\w.-]+", command))
    for name in OPTIONAL_PROGRAMS:
        if name in words and not shutil.which(name):
            return f"{name} is not installed"
    if ("/dev/shm" in command or "domain show" in command) and not private_memory():
        return "what is in /dev/shm is known only in a mount namespace, which is not permitted"
    return None


# ---- comparison ------------------------------------------------------------------------------

def shape(line):
    """A line without its figures, and without the blanks that their widths decide."""
    return re.sub(r"\d[\d,.]*", "N", re.sub(r"\s+", " ", line)).strip()


def output_problems(session, command, shown, varies=False, seconds=COMMAND_SECONDS):
    """Runs the command: does it print what is shown?"""
    if session.stuck:
        yield "not run: a command before it did not end"
        return
    printed, status = session.run(command, seconds)
    if status is None:
        yield f"no end within {seconds} s; printed so far:\n{printed}"
        return
    if printed and not printed.endswith("\n"):
        yield "the output does not end with a newline, so the next command would follow it"
    real = printed.removesuffix("\n").split("\n") if printed else []
    same = [*map(shape, shown)] == [*map(shape, real)] if varies else shown == real
    if not same:
        yield from difflib.unified_diff(shown, real, "shown", "printed", lineterm="")
        yield f"status {status}"


def leftover_problems(session, tree):
    """After a session: nothing runs in its background, and no socket lies about."""
    running, _ = session.run("jobs -r")
    if running:
        yield f"still running:\n{running}"
    for path in tree.rglob("*"):
        if stat.S_ISSOCK(path.lstat().st_mode):
            yield f"left behind: {path.name}"


def name_of(command):
    """A command as the name of a TAP point, which may hold no #."""
    return f"$ {command}".replace("#", "(hash)")
