#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The harness and the sum: tests that pass, fail, hang, die and leave things behind are
reported as such (sample.c), and summary.py counts them."""

import json
import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CHAPPE_SOURCE"], "tests", "check"))
import tap  # noqa: E402

# What the sample's tests come to: the start of the line, and what its comments tell.
EXPECTED = {
    "passes": ("ok", None),
    "fails": ("not ok", "words of a failing test"),
    "skips": ("ok", None),
    "hangs": ("not ok", "timed out after 1 s"),
    "hangs with peer": ("not ok", "timed out after 1 s"),
    "crashes": ("not ok", "killed by signal 11"),
    "exits": ("not ok", "exit status 3"),
    "peer fails": ("not ok", "words of a failing peer"),
    "peer fails and is killed": ("not ok", "an assertion failed in a peer"),
    "leaves process": ("not ok", "left 1 processes behind"),
    "leaves session": ("not ok", "left 1 processes behind"),
    "peers": ("ok", None),
    "counts": ("ok", None),
    "directory": ("ok", None),
    "commands": ("ok", None),
    "big command": ("ok", None),
    "spawn": ("ok", None),
    "context": ("ok", None),
}


def points(output):
    """name -> (status, rest of the line, comments)."""
    found, name = {}, None
    for line in output.splitlines():
        match = re.match(r"(ok|not ok) \d+ - ([^#]*?)(?: # (.*))?$", line)
        if match:
            name = match[2]
            found[name] = (match[1], match[3] or "", [])
        elif name:
            found[name][2].append(line)
    return found


def wrong_results(output, status):
    found = points(output)
    if not output.startswith(f"1..{len(EXPECTED)}\n"):
        yield "the plan is wrong: " + output.split("\n", 1)[0]
    if list(found) != list(EXPECTED):
        yield f"the tests are {list(found)}"
    if status != 1:
        yield f"exit status {status}"
    for name, (result, told) in EXPECTED.items():
        seen, _, comments = found.get(name, ("missing", "", []))
        if seen != result or (told and told not in "\n".join(comments)):
            yield "\n".join([f"{name}: {seen}, expected {result} ({told})", *comments])
        if result == "ok" and comments:
            yield f"{name} passes, but its output is shown"


def wrong_skip(output):
    if points(output)["skips"][1] != "SKIP the moon is full":
        yield output


def left_directories(folder):
    return [str(path) for path in pathlib.Path(folder).iterdir()]


def wrong_selection(sample):
    for words, names in {("peers",): ["peers"], ("p*s",): ["passes", "peer fails", "peers"],
                         ("context", "spawn"): ["spawn", "context"]}.items():
        listed = tap.run(sample, "-l", *words).stdout.split("\n")[:-1]
        if listed != names:
            yield f"{words} selects {listed}"
    done = tap.run(sample, "context")
    if done.stdout != "1..1\nok 1 - context\n" or done.returncode != 0:
        yield f"alone: status {done.returncode}\n{done.stdout}"
    if "words of a passing" not in tap.run(sample, "-v", "passes").stdout:
        yield "-v does not show the output"


def summary(*entries):
    """The last line and the exit status of summary.py for these log entries."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as log:
        for entry in entries:
            print(json.dumps(entry), file=log)
        log.flush()
        done = tap.run(sys.executable, tap.source() / "tests/summary.py", "--log", f"b={log.name}")
        return done.stdout, done.returncode


def entry(output, result="OK", status=0):
    return {"name": "chappe:s / program", "stdout": output, "result": result, "returncode": status}


def wrong_sums(output):
    count = {"ok": 0, "not ok": 0}
    for result, _ in EXPECTED.values():
        count[result] += 1
    sums = [
        (entry(output, "FAIL", 1),
         f"{count['ok'] - 1} passed, {count['not ok']} failed, 1 skipped", 1),
        (entry("1..2\nok 1 - a\nok 2 - b\n"), "2 passed, 0 failed, 0 skipped", 0),
        (entry("1..2\nok 1 - a\n", "ERROR", -11), "1 passed, 1 failed, 0 skipped", 1),
        (entry("ok 1 - a\n", "ERROR", 1), "1 passed, 1 failed, 0 skipped", 1),
        (entry("1..1\nok 1 - a\n", "ERROR", 23), "1 passed, 1 failed, 0 skipped", 1),
        (entry("1..2\nok 1 - a\nBail out! no\n", "ERROR", 99), "1 passed, 1 failed, 0 skipped", 1),
        (entry("1..0 # SKIP not here\n", "SKIP"), "0 passed, 0 failed, 1 skipped", 1),
        (entry("", "TIMEOUT", -15), "0 passed, 1 failed, 0 skipped", 1),
    ]
    for each, line, status in sums:
        text, ended = summary(each)
        if text.splitlines()[-1] != line or ended != status:
            yield f"{each}\nexpected: {line}, status {status}\nfound: status {ended}\n{text}"
    for text, ended in [summary(), summary(entry("1..1\nok 1 - a # SKIP why\n"))]:
        if ended == 0:
            yield f"nothing ran, and the status is 0: {text}"


def main():
    check = tap.Tap()
    sample = tap.build() / "tests/harness-sample"
    with tempfile.TemporaryDirectory(prefix="chappe-", dir="/tmp") as folder:
        done = tap.run(sample, env=os.environ | {"TMPDIR": folder})
        check.clean("temporary directories are removed", left_directories, folder)
    check.clean("each test is reported as it ended", wrong_results, done.stdout, done.returncode)
    check.clean("a skip tells its reason", wrong_skip, done.stdout)
    check.clean("patterns select tests", wrong_selection, sample)
    check.clean("the sum is true", wrong_sums, done.stdout)
    check.finish()


if __name__ == "__main__":
    main()
