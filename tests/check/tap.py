# SPDX-License-Identifier: MIT
"""What the checks share: TAP points, files of the tree, copies with a violation planted
in them, C text without comments."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

SKIPPED_FOLDERS = {".git", "build", "__pycache__"}


def source():
    return pathlib.Path(os.environ["CHAPPE_SOURCE"])


def build():
    return pathlib.Path(os.environ["CHAPPE_BUILD"])


def program():
    return os.environ["CHAPPE_PROGRAM"]


def compiler(language="c"):
    return os.environ["CHAPPE_CC" if language == "c" else "CHAPPE_CXX"].split()


class Tap:
    """One point a call; the plan comes last, so that a crash is seen."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def point(self, name, problems):
        self.count += 1
        self.failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.count} - {name}")
        for problem in problems:
            for line in str(problem).splitlines():
                print(f"#   {line}")
        sys.stdout.flush()

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}")

    def clean(self, name, function, *arguments):
        """Passes if the function finds no problem."""
        try:
            problems = list(function(*arguments))
        except Exception:  # a check that breaks is a check that fails
            problems = [traceback.format_exc()]
        self.point(name, problems)

    def red(self, name, function, *arguments, expect):
        """Passes if the function finds a problem whose text contains `expect`."""
        problems = [str(problem) for problem in function(*arguments)]
        seen = any(expect in problem for problem in problems)
        told = "\n".join(problems) or "nothing"
        self.point(f"red on {name}", [] if seen else [f"expected: {expect}\nfound: {told}"])

    def finish(self):
        print(f"1..{self.count}")
        sys.exit(self.failed > 0)


def files(tree, *suffixes):
    """Every file of the tree that was written by hand, with one of the suffixes if any."""
    for folder, folders, names in os.walk(tree):
        folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
        for name in sorted(names):
            path = pathlib.Path(folder, name)
            if not suffixes or path.suffix in suffixes:
                yield path


@contextlib.contextmanager
def planted(changes):
    """A temporary copy of the tree. changes: path -> text that replaces the file, or a
    function from old text to new text; None removes it."""
    with tempfile.TemporaryDirectory(prefix="chappe-check-") as folder:
        tree = pathlib.Path(folder, "tree")
        shutil.copytree(source(), tree, ignore=shutil.ignore_patterns(*SKIPPED_FOLDERS))
        for name, change in changes.items():
            path = tree / name
            if change is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            old = path.read_text() if path.exists() else ""
            path.write_text(change(old) if callable(change) else change)
        yield tree


TOKENS = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)


def without_comments(text):
    """C text with comments made blank; lines keep their numbers."""

    def blank(match):
        token = match[0]
        return re.sub(r"[^\n]", " ", token) if token.startswith("/") else token

    return TOKENS.sub(blank, text)


def strings(text):
    """(line number, contents) of each string literal."""
    for match in TOKENS.finditer(text):
        if match[0].startswith('"'):
            yield text.count("\n", 0, match.start()) + 1, match[0][1:-1]


def run(*command, **options):
    """The completed process, output as text. A failure shows in `returncode`."""
    return subprocess.run([str(word) for word in command], text=True, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, **options)


def need(*command, **options):
    """run(), for commands that have to succeed."""
    done = run(*command, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n"
                           f"{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done
