#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One more row: a private build with tests/dummy/dummy.c in the table shows it in the
listing, help, manual and tour and runs it through the conformance suite, and nothing but
the row says so."""

import os
import pathlib
import re
import tempfile

import tap

ROW = "dummy"


def build_with_row(build):
    """Result: the conformance programs."""
    env = os.environ | {"CC": " ".join(tap.compiler()), "CXX": " ".join(tap.compiler("c++"))}
    tap.need("meson", "setup", build, tap.source(), f"-Dextra_rows={ROW}",
             f"-Dextra_rows_from={tap.source() / 'tests/dummy'}", env=env)
    targets = tap.need("ninja", "-C", build, "-t", "targets", "all").stdout
    programs = sorted(set(re.findall(r"^(tests/conformance-\w+):", targets, re.M)))
    tap.need("ninja", "--quiet", "-C", build, "src/cli/chappe", "chappe-mechanisms.7", *programs)
    return [build / program for program in programs]


def missing_in(words, program):
    """Whether what a command of the program prints names the row."""
    done = tap.run(program, *words, timeout=300)
    told = f"chappe {' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}"
    if done.returncode != 0 or not re.search(rf"\b{ROW}\b", done.stdout):
        yield told


def missing_in_page(page):
    if f"{ROW}://" not in page.read_text():
        yield f"{page.name} does not have {ROW}://"


def conformance_problems(programs, chappe):
    if not programs:
        yield "there is no conformance program (tests/conformance)"
    ran = 0
    for program in programs:
        env = os.environ | {"CHAPPE_PROGRAM": str(chappe)}
        done = tap.run(program, ROW, env=env, timeout=1200)
        ran += len(re.findall(rf"^ok \d+ - .*\b{ROW}\b(?!.* # SKIP)", done.stdout, re.M))
        if done.returncode != 0:
            yield f"{program.name}: status {done.returncode}\n{done.stdout[-6000:]}"
    if ran == 0:
        yield f"the conformance suite has no test of {ROW}"


def mentions(tree):
    """Files that know the row besides its own and this check."""
    own = {"tests/dummy/dummy.c", "tests/check/dummy.py"}
    for path in tap.files(tree, ".c", ".h", ".in", ".build", ".py"):
        name = path.relative_to(tree).as_posix()
        if name not in own and re.search(rf"\b{ROW}(://|\.c\b)|mechanism_{ROW}", path.read_text()):
            yield f"{name} knows of the row"


def main():
    check = tap.Tap()
    with tempfile.TemporaryDirectory(prefix="chappe-", dir="/tmp") as name:
        folder = pathlib.Path(name)
        build = folder / "build"
        sample = folder / "sample"
        sample.write_bytes(os.urandom(100000))
        try:
            programs = build_with_row(build)
        except RuntimeError as error:
            check.point("builds with one more row", [error])
            check.finish()
        chappe = build / "src/cli/chappe"
        for words in (["mechanisms"], ["mechanisms", ROW], ["help", ROW], ["mechanisms", "--json"],
                      ["tour", str(sample)]):
            check.clean(f"chappe {words[0]} {'SAMPLE' if words[0] == 'tour' else words[-1]}",
                        missing_in, words, chappe)
        check.clean("the manual has it", missing_in_page, build / "chappe-mechanisms.7")
        check.clean("the conformance suite runs it", conformance_problems, programs, chappe)
        check.clean("nothing else names it", mentions, tap.source())

        ordinary = pathlib.Path(tap.program())
        check.red("a table without the row", missing_in, ["mechanisms"], ordinary,
                  expect="chappe mechanisms")
        check.red("a tour without the row", missing_in, ["tour", str(sample)], ordinary,
                  expect="chappe tour")
        check.red("a manual without the row", missing_in_page,
                  tap.build() / "chappe-mechanisms.7", expect=ROW)
    with tap.planted({"src/cli/planted.c": f'f("{ROW}://");'}) as copy:
        check.red("a file that knows of the row", mentions, copy, expect="planted.c knows")
    check.finish()


if __name__ == "__main__":
    main()
