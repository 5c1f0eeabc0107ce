#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Style: lengths, banned calls and words, format, and that every file is listed."""

import pathlib
import re
import shutil

import tap

FUNCTION_LINES = 70
COLUMNS = 100
CODE = (".c", ".h", ".cpp")
BANNED_CALLS = re.compile(
    r"\b(sprintf|vsprintf|strcpy|strcat|strncpy|atoi|atol|atoll|system|popen|gets|alloca|strtok|"
    r"sleep|usleep|nanosleep|clock_nanosleep)\s*\(")
# Put together here, so that this file does not hold the words that it looks for.
BANNED_WORDS = re.compile(
    "/wo" + "rk/|\\bissue" + " #?[0-9]|\\bTO" + "DO\\b|\\bFIX" + "ME\\b", re.I)
COMMENTED = {".c", ".h", ".cpp", ".py", ".sh", ".in", ".map"}


def functions(text):
    """(first line, number of lines) of each function: it ends with a brace in column 0."""
    lines = tap.without_comments(text).split("\n")
    start = None
    for number, line in enumerate(lines):
        # A declaration starts where a line begins in column 0 after the end of another.
        if start is None and re.match(r"[A-Za-z_]", line):
            start = number
        if line.startswith("}"):
            if start is not None and is_function(lines[start:number]):
                yield start + 1, number - start + 1
            start = None
        elif line.endswith(";") and not line.startswith((" ", "\t")):
            start = None
        elif start is not None and line.endswith(";") and "{" not in "".join(lines[start:number]):
            start = None  # the end of a declaration of several lines


def is_function(lines):
    head = " ".join(lines).split("{")[0]
    return "(" in head and "=" not in head and not re.match(r"(typedef|struct|enum|union)\b[^()]*$",
                                                            head)


def long_functions(tree):
    for path in tap.files(tree, *CODE):
        for line, length in functions(path.read_text()):
            if length > FUNCTION_LINES:
                yield f"{path.relative_to(tree)}:{line}: a function of {length} lines"


def long_lines(tree):
    for path in tap.files(tree, *CODE, ".py", ".sh", ".build", ".map"):
        for number, line in enumerate(path.read_text().split("\n"), 1):
            if len(line) > COLUMNS:
                yield f"{path.relative_to(tree)}:{number}: {len(line)} columns"


def banned_calls(tree):
    for path in tap.files(tree / "src", *CODE):
        text = tap.without_comments(path.read_text())
        for match in BANNED_CALLS.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield f"{path.relative_to(tree)}:{line}: calls {match[1]}"


def banned_words(tree):
    for path in tap.files(tree):
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a seed of the fuzzer
        for number, line in enumerate(text.split("\n"), 1):
            match = BANNED_WORDS.search(line)
            if match:
                yield f"{path.relative_to(tree)}:{number}: says {match[0]}"


def without_licence(tree):
    for path in tap.files(tree):
        wanted = path.suffix in COMMENTED or path.name in ("meson.build", "test", "run")
        if wanted and path.name != "chappe.map":
            if "SPDX-License-Identifier: MIT" not in "".join(path.read_text().split("\n")[:2]):
                yield f"{path.relative_to(tree)}: does not begin with its licence"


def unlisted(tree):
    """Sources and tests that no meson.build names: they would never be compiled."""
    for path in tap.files(tree / "src", ".c"):
        text = (path.parent / "meson.build").read_text()
        if f"'{path.name}'" not in text and f"'{path.stem}'" not in text:
            yield f"{path.relative_to(tree)}: is in no list of {path.parent.name}/meson.build"
    for path in tap.files(tree / "tests", ".c", ".py"):
        folders = [folder for folder in path.parents if folder.is_relative_to(tree / "tests")]
        listed = "".join(list_file.read_text() for folder in folders
                         if (list_file := folder / "meson.build").exists())
        # The checks have lists of their own, and the private build names its row.
        wanted = path.stem.startswith("test_") or (path.suffix == ".c" and
                                                   path.parent.name not in ("check", "dummy"))
        if wanted and f"'{path.stem}'" not in listed and f"/{path.name}'" not in listed:
            yield f"{path.relative_to(tree)}: is in no list of a meson.build above it"


def format_problems(tree):
    sources = [path for path in tap.files(tree, *CODE)]
    done = tap.run("clang-format", "--style=file", "--dry-run", "-Werror", *sources, cwd=tree)
    places = re.findall(r"^(.*?):\d+:\d+: error:", done.stderr, re.M)
    for path in sorted(set(places)):
        yield f"{pathlib.Path(path).relative_to(tree)}: {places.count(path)} places"


def main():
    check = tap.Tap()
    tree = tap.source()
    rules = {
        f"functions have at most {FUNCTION_LINES} lines": long_functions,
        f"lines have at most {COLUMNS} columns": long_lines,
        "no banned call is made": banned_calls,
        "no banned word is written": banned_words,
        "every file begins with its licence": without_licence,
        "every source and test is in a list": unlisted,
    }
    for name, rule in rules.items():
        check.clean(name, rule, tree)
    formatter = shutil.which("clang-format")
    if formatter:
        check.clean("clang-format changes nothing", format_problems, tree)
    else:
        check.skip("clang-format changes nothing", "clang-format is not installed")

    body = "/* SPDX-License-Identifier: MIT */\nint planted(int a,\n            int b) {\n"
    plants = [
        (long_functions, body + "    b++;\n" * 68 + "}\n", "71 lines"),
        (long_lines, "/* " + "x" * 98 + " */\n", "104 columns"),
        (banned_calls, "int f(void) { return atoi(x); }\n", "calls atoi"),
        (banned_calls, "int f(void) { return sleep(1); }\n", "calls sleep"),
        (banned_words, "/* TO" + "DO: later */\n", "says"),
        (banned_words, "/* see issue" + " 7 */\n", "says"),
        (without_licence, "int planted;\n", "licence"),
        (unlisted, "int planted;\n", "in no list"),
    ]
    if formatter:
        plants.append((format_problems, "int planted( void ){return 1;}\n", "planted"))
    for rule, text, expect in plants:
        with tap.planted({"src/base/planted.c": text}) as copy:
            check.red(rule.__name__.replace("_", " "), rule, copy, expect=expect)
    with tap.planted({"tests/base/test_planted.c": ""}) as copy:
        check.red("a test in no list", unlisted, copy, expect="test_planted")
    good = body + "    b++;\n" * 67 + "}\n"
    with tap.planted({"src/base/planted.c": good}) as copy:
        problems = [each for each in long_functions(copy) if "planted" in each]
        check.point("a function of 70 lines passes", problems)
    check.finish()


if __name__ == "__main__":
    main()
