#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tour: files of all sizes and none, its results, and that its exit status tells the truth."""

import json
import os
import random
import re
import signal
import sys

import cli
from cli import need, same

MEBIBYTE = 1 << 20


def rows_of(scene, *words, status=0, **options):
    done = scene.chappe("tour", "--json", *words, **options).expect(status)
    return [json.loads(line) for line in done.out.decode().splitlines()]


def trials(scene, *words):
    """The addresses that a tour goes over, from the table of mechanisms."""
    for line in scene.chappe("mechanisms", "--json", *words).expect(0).out.splitlines():
        row = json.loads(line)
        if row["support"]["reliable"] == "acts" and {"pair", "listen"} & set(row["ways"]):
            yield from row["trials"]


def check_rows(scene, file, size):
    rows = rows_of(scene, file)
    same("addresses", [row["address"] for row in rows], list(trials(scene)))
    pieces = max(1, -(-size // 65536))
    for row in rows:
        same("outcome", (row["outcome"], row["bytes"], row["file"]), ("right", size, file))
        need(row["median_us"] > 0 and row["p99_us"] >= row["median_us"], row)
        ways = 2 if "back_mb_per_s" in row else 1
        need(row["messages"] > ways * pieces, row)
        need(size < 65535 or row["there_mb_per_s"] > 0, row)
    same("checksums", len({row["checksum"] for row in rows}), 1)
    return rows[0]["checksum"]


def test_sizes(scene):
    """files of 0 bytes, 1 byte, 65,536±1 bytes and 3 MiB are right over every mechanism"""
    content = random.Random(1).randbytes(3 * MEBIBYTE)
    sums = [check_rows(scene, scene.file("f", content[:size]), size)
            for size in (0, 1, 65535, 65537, 3 * MEBIBYTE)]
    same("different checksums", len(set(sums)), 5)
    changed = content[:-1] + bytes([content[-1] ^ 1])
    row, = [row for row in rows_of(scene, scene.file("f", changed), "--only", "pipe")]
    need(row["checksum"] not in sums, "one bit more has the same checksum")


def test_table(scene):
    """the table: file, size, checksum, a line for each address, a sum; 80 columns"""
    file = scene.file("a file\x1b[31m", b"x" * 100000)
    done = scene.chappe("tour", file).expect(0, err="1 of ")
    text = done.out.decode()
    need(max(map(len, text.splitlines())) <= 80, text)
    need("\x1b" not in text and "\x1b" not in done.words, "a name's control bytes are printed")
    need("100,000 bytes, checksum " in text, text)
    forms = list(trials(scene))
    for form in forms:
        # A long address has a line of its own, and its figures the next.
        figures = r"\n? +\d+ +[\d.,]+ +[\d.,]+ +[\d.,]+ +[\d.,–]+  ok$"
        need(re.search(f"^{re.escape(form)}{figures}", text, re.M), f"{form} is missing in\n{text}")
        need(re.search(rf"of {len(forms)}: {re.escape(form)}: ok", done.words), done.words)
    need(f"{len(forms)} of {len(forms)} right, byte for byte.\n" in text, text)
    plain = scene.chappe("tour", file, "--only", "pipe", env={"LC_ALL": "C"}).expect(0).out
    need(plain.isascii(), plain)


def test_only(scene):
    """--only: one mechanism, by scheme or alias; unknown ones are suggested"""
    file = scene.file("f", b"x")
    for name in ("pipe", "unix", "shm", "map"):
        same(name, {row["scheme"] for row in rows_of(scene, file, "--only", name)}, {name})
    same("alias", [row["scheme"] for row in rows_of(scene, file, "--only", "stdio")], ["pipe"])
    scene.chappe("tour", file, "--only", "unxi").expect(2, out=b"", err="did you mean unix")
    scene.chappe("tour", file, "--only").expect(2, out=b"", err="--only needs a value")


def test_bad_files(scene):
    """a missing file is 4, a directory 1, a path through a file 1: named, nothing on output"""
    scene.chappe("tour", scene.path("none")).expect(4, out=b"", err="none: No such file")
    scene.chappe("tour", scene.folder).expect(1, out=b"", err="directory")
    scene.chappe("tour", scene.file("f", b"") + "/x").expect(1, out=b"", err="Not a directory")
    scene.chappe("tour", "").expect(4, out=b"", err="No such file")


def test_unmapped_files(scene):
    """pipes, /proc and /dev/null are read, too"""
    done = scene.shell('head -c 200000 /dev/zero | "$chappe" tour /dev/stdin --json --only pipe')
    same("pipe", json.loads(done.expect(0).out)["bytes"], 200000)
    same("null", rows_of(scene, "/dev/null", "--only", "pipe")[0]["bytes"], 0)
    need(rows_of(scene, "/proc/self/maps", "--only", "pipe")[0]["bytes"] > 1000, "/proc is empty")


def test_default_file(scene):
    """without FILE a large file of this machine is taken"""
    row, = rows_of(scene, "--only", "pipe")
    need(row["bytes"] > 100000 and row["outcome"] == "right", row)
    need(os.path.getsize(row["file"]) == row["bytes"] or row["file"] == "/proc/self/exe", row)


def sparse(scene, size):
    with open(scene.path("large"), "wb") as file:
        file.truncate(size)
    return scene.path("large")


def touring(scene, size=128 * MEBIBYTE):
    """A tour over pipes in the middle of its work, and its two processes."""
    tour = scene.background("tour", sparse(scene, size), "--only", "pipe")
    children = tour.until(lambda: tour.children() if len(tour.children()) == 2 else None,
                          "two processes")
    return tour, children


def test_killed_child(scene):
    """either of its processes killed: status 1, failed with a reason, nothing is left"""
    for which in (0, 1):
        tour, children = touring(scene)
        os.kill(children[which], signal.SIGKILL)
        done = tour.done().expect(1, err=r"1 of 1: pipe://: failed: \w")
        need(b"failed" in done.out and b"0 of 1 right, byte for byte; 1 failed" in done.out,
             done.told())


def test_killed_itself(scene):
    """killed with -9: its processes end with it"""
    tour, children = touring(scene)
    watches = [os.pidfd_open(pid) for pid in children]
    tour.stop(signal.SIGKILL)
    for watch in watches:
        need(cli.select.select([watch], [], [], cli.LIMIT)[0], "a process goes on")
        os.close(watch)
    for name in os.listdir(scene.temporary):  # nobody was there to remove it
        need(name.startswith("chappe-tour-"), name)
        os.rmdir(os.path.join(scene.temporary, name))


def test_signals(scene):
    """SIGINT and SIGTERM: status 130 and 143, what was done is told, nothing is left"""
    for number in (signal.SIGINT, signal.SIGTERM):
        tour, _ = touring(scene)
        tour.stop(number).expect(128 + number, err="1 of 1: pipe://: interrupted")


def test_refused(scene):
    """what the machine refuses is named with the reason: the rest counts, nothing at all is 1"""
    file = scene.file("f", b"x" * 1000)
    command = ["prlimit", "--nofile=11", cli.tap.program(), "tour", file, "--json"]
    done = scene.run(*command)
    rows = [json.loads(line) for line in done.out.decode().splitlines()]
    same("addresses", len(rows), len(list(trials(scene))))
    outcomes = [row["outcome"] for row in rows]
    for row in rows:
        # Memory that is passed through a socket may find no number left once both are there.
        late = row["outcome"] == "failed" and "no descriptor is left" in row["reason"]
        need(row["outcome"] in ("right", "refused") or late, row)
        need(row["outcome"] == "right" or row["reason"], row)
    done.expect(0 if "right" in outcomes and "failed" not in outcomes else 1)
    command[1] = "--nofile=5"
    done = scene.run(*command).expect(1)
    for line in done.out.decode().splitlines():
        same("outcome", json.loads(line)["outcome"], "refused")


def test_temporary(scene):
    """TMPDIR with any bytes in its name works; one that cannot be used is told"""
    file = scene.file("f", b"x")
    odd = scene.path("t m%p?a=b&c#ü" + "y" * 100)
    os.mkdir(odd)
    need(all(row["outcome"] == "right" for row in rows_of(scene, file, env={"TMPDIR": odd})), odd)
    same("left", os.listdir(odd), [])
    done = scene.chappe("tour", file, env={"TMPDIR": scene.path("none")}).expect(1)
    need(b"No such file" in done.out, done.told())


def test_terminal(scene):
    """on a terminal progress is one line that is cleared, the table has colours; NO_COLOR"""
    file = scene.file("f", b"x" * 70000)
    for more, colours in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False),
                          ({"TERM": "dumb"}, False)):
        terminal = cli.Terminal()
        done = scene.background("tour", file, "--only", "pipe", stdin=terminal.slave,
                                stdout=terminal.slave, stderr=terminal.slave, env=more)
        text = terminal.read().decode()
        done.done().expect(0)
        need("byte for byte" in text, text)
        same(f"colours with {more}", "\x1b[32m  ok" in text or "\x1b[1m" in text, colours)
        need("\r\x1b[K" in text, text)


def test_nothing_left(scene):
    """before = after in /dev/shm, /tmp, System V objects: empty ones stay empty"""
    if os.geteuid() != 0:
        raise cli.Skip("a mount namespace needs root")
    script = """
        mount -t tmpfs none /dev/shm && mount -t tmpfs none /tmp && unset TMPDIR || exit 77
        "$chappe" tour "$0" >&2 || exit 1
        "$chappe" echo unix:///tmp/echo --count 1 2>/dev/null & server=$!
        "$chappe" request unix:///tmp/echo x --timeout 20s >&2 || exit 2
        wait $server
        "$chappe" echo shm://echo --count 1 2>/dev/null & server=$!
        "$chappe" request shm://echo x --timeout 20s >&2 || exit 3
        wait $server
        rmdir /dev/shm/chappe-0 || exit 4
        ls -A /dev/shm /tmp; ipcs -q -m -s | grep -c '^0x'; ls /proc | grep -c '^[0-9]'"""
    # The program is named by a descriptor: its folder may be hidden by the empty /tmp.
    fd = os.open(cli.tap.program(), os.O_RDONLY)
    done = scene.run("unshare", "--mount", "--ipc", "--pid", "--fork", "--mount-proc", "sh", "-c",
                     script, "/bin/sh", pass_fds=[fd],
                     env={"chappe": f"/proc/self/fd/{fd}"})
    os.close(fd)
    if done.status == 77 or (done.status == 1 and "unshare" in done.words):
        raise cli.Skip(f"no mount namespace here: {done.words.strip()}")
    lines = done.expect(0).out.decode().splitlines()
    same("left", lines[:-1], ["/dev/shm:", "", "/tmp:", "0"])
    need(int(lines[-1]) <= 4, f"processes are left: {lines[-1]}")


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")
    cli.main(test_sizes, test_table, test_only, test_bad_files, test_unmapped_files,
             test_default_file, test_killed_child, test_killed_itself, test_signals, test_refused,
             test_temporary, test_terminal, test_nothing_left)
