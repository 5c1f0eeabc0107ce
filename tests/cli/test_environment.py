#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The program in bad surroundings: closed, full and odd standard descriptors, terminals, few
descriptors, no permission, paths that are something else, signals; and each exit status."""

import fcntl
import json
import os
import re
import signal
import stat

import cli
from cli import need, same

NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}
PATIENT = ("--timeout", "20s")
LISTINGS = (["help"], ["version"], ["mechanisms"], ["mechanisms", "--json"], ["help", "--roff"],
            ["send", "--help"])


def test_statuses(scene):
    """every exit status from 0 to 7, and 128 and the signal, from a real situation"""
    path = scene.path("s")
    if os.geteuid() == 0:
        open_folder(scene)
        locked = scene.file("locked", b"")
        os.chmod(locked, 0)
        as_nobody(scene, "send", "stdio://", "--file", locked).expect(5, err="Permission denied")
    scene.chappe("version").expect(0)
    scene.chappe("receive", f"unix://{scene.folder}").expect(1, err="^chappe: unix://")
    scene.chappe("receive").expect(2)
    scene.chappe("receive", f"unix://{path}", "--timeout", "1ms").expect(3, err="^chappe: unix://")
    scene.chappe("send", f"unix://{path}", "x", "--timeout", "0").expect(4, err="^chappe: unix://")
    scene.chappe("receive", "stdio://").expect(6, err="^chappe: stdio://")
    scene.chappe("receive", "stdio://", stdin=b"\xc7").expect(7, err="^chappe: stdio://")
    process = scene.background("receive", f"unix://{path}")
    cli.wait_bound(process, path)
    process.stop(signal.SIGINT).expect(130)


def test_closed_output(scene):
    """closed standard output: status 1 and a sentence; nothing ends up in another descriptor"""
    for words in LISTINGS:
        scene.run("sh", "-c", 'exec "$0" "$@" >&-', cli.tap.program(), *words).expect(
            1, err="standard output: Bad file descriptor")
    text = scene.chappe("send", "stdio://", "body").out
    scene.run("sh", "-c", 'exec "$0" receive pipe://0 >&-', cli.tap.program(),
              stdin=text).expect(1, err="standard output: ")
    scene.run("sh", "-c", 'exec "$0" send stdio:// body >&-', cli.tap.program()).expect(
        1, err="stdio://")
    # A socket would get the number 1, and the answer would go there.
    address = f"unix://{scene.path('echo')}"
    server = scene.echo(address)
    scene.run("sh", "-c", 'exec "$0" request "$1" hello --timeout 20s >&-', cli.tap.program(),
              address).expect(1, err="standard output: ")
    server.stop().expect(143)


def test_closed_input(scene):
    """no standard input: what needs it says so with status 1, what does not works"""
    address = f"unix://{scene.path('s')}"
    for words in (["send", address], ["send", address, "--lines"], ["request", address],
                  ["send", address, "--file", "-"]):
        receiver = scene.receiver(address)
        scene.run("sh", "-c", 'exec "$0" "$@" <&-', cli.tap.program(), *words).expect(
            1, out=b"", err="standard input: Bad file descriptor")
        receiver.stop().expect(143, out=b"")
    receiver = scene.start("sh", "-c", 'exec "$0" receive "$1" <&-', cli.tap.program(), address)
    scene.run("sh", "-c", 'exec "$0" send "$1" text --timeout 20s <&- >&-', cli.tap.program(),
              address).expect(0)
    receiver.done().expect(0, out=b"text")


def test_closed_error(scene):
    """closed or full standard error disturbs nothing"""
    for target in ("2>&-", "2>/dev/full"):
        scene.run("sh", "-c", f'exec "$0" nonsense {target}', cli.tap.program()).expect(2, out=b"")
        text = scene.chappe("send", "stdio://", "body").out
        scene.run("sh", "-c", f'exec "$0" echo stdio:// {target}', cli.tap.program(),
                  stdin=text).expect(0, out=text)


def test_full(scene):
    """/dev/full as standard output: status 1, “No space left on device”"""
    text = scene.chappe("send", "stdio://", "body").out
    file = scene.file("f", b"x")
    with open("/dev/full", "wb") as full:
        for words in (*LISTINGS, ["tour", file, "--only", "pipe"]):
            scene.chappe(*words, stdout=full).expect(1, err="standard output: No space left")
        for words in (["receive", "pipe://0"], ["receive", "pipe://0", "--follow"],
                      ["receive", "pipe://0", "--json"]):
            scene.chappe(*words, stdin=text, stdout=full).expect(
                1, err="standard output: No space left")
        scene.chappe("send", "stdio://", "x", stdout=full).expect(1, err="stdio://.*No space left")


def gone_reader():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_sigpipe(scene):
    """a reader that is gone: status 6, no word, no signal, however SIGPIPE was inherited"""
    text = scene.chappe("send", "stdio://", "body").out
    for restore in (True, False):  # default and, as in Python itself, ignored
        for words in (*LISTINGS, ["receive", "pipe://0"], ["echo", "stdio://", "--quiet"],
                      ["send", "stdio://", "x"]):
            writer = gone_reader()
            done = scene.chappe(*words, stdin=text, stdout=writer, restore_signals=restore)
            os.close(writer)
            done.expect(6, err="stdio://" if "stdio://" in words else "^$")
            need(not done.signalled, done.told())


def test_head(scene):
    """receive --follow | head -c1 ends by itself when head has gone, with nothing more to come"""
    address = f"unix://{scene.path('s')}"
    reader, writer = os.pipe()
    receiver = scene.background("receive", address, "--follow", stdout=writer)
    os.close(writer)
    scene.chappe("send", address, "first", *PATIENT).expect(0)
    head = scene.run("head", "-c1", stdin=reader)
    os.close(reader)
    head.expect(0, out=b"f")
    receiver.done().expect(6)
    need(not os.path.exists(scene.path("s")), "the socket was left")


def test_nonblocking(scene):
    """standard descriptors that somebody made non-blocking lose nothing"""
    body = os.urandom(1 << 20)
    text = scene.chappe("send", "stdio://", "--file", scene.file("f", body)).expect(0).out
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
    receiver = scene.background("receive", "pipe://0", stdin=text, stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        same("body", file.read(), body)
    receiver.done().expect(0)
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_NONBLOCK)
    sender = scene.background("send", "stdio://", stdin=reader)
    os.write(writer, body[:1000])
    os.close(writer)
    same("sent", sender.done().expect(0).out[4:], body[:1000])
    os.close(reader)


def test_terminal_input(scene):
    """standard input is a terminal: send and request without text end with 2 and a hint"""
    for words in (["send"], ["send", "--lines"], ["request"]):
        terminal = cli.Terminal()
        process = scene.background(words[0], f"unix://{scene.path('s')}", *words[1:],
                                   stdin=terminal.slave)
        process.done().expect(2, out=b"", err="no message: name its TEXT, --file FILE")
        terminal.read()


def test_terminal_typed(scene):
    """--file - on a terminal takes what is typed"""
    terminal = cli.Terminal()
    process = scene.background("send", "pipe://-,1?frame=raw", "--file", "-",
                               stdin=terminal.slave)
    os.write(terminal.master, b"typed\n\x04")
    process.done().expect(0, out=b"typed\n")
    terminal.read()


def test_terminal_output(scene):
    """control bytes from outside reach a terminal only as the body itself"""
    evil = "\x1b]0;title\x07\x9b31m\x7f"
    text = scene.chappe("send", "stdio://", evil).out
    for words, raw in ((["receive", "pipe://0"], True), (["receive", "pipe://0", "--json"], False),
                       (["receive", f"unix://{evil}"], False), ([evil], False),
                       (["send", f"unix:///{evil}/x", "t", "--timeout", "0"], False),
                       (["help", evil], False), (["mechanisms", evil], False),
                       (["tour", evil], False), (["send", "--" + evil], False),
                       (["receive", "x", "--count", evil], False)):
        terminal = cli.Terminal()
        process = scene.background(*words, stdin=text, stdout=terminal.slave,
                                   stderr=terminal.slave, env={"TERM": "xterm", "NO_COLOR": "1"})
        shown = terminal.read()
        process.done()
        found = re.findall(rb"[\0-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", shown)
        need(bool(found) == raw, f"{words}: {shown!r}")
        need(shown, f"{words}: nothing was shown")


def test_few_descriptors(scene):
    """too few descriptors: status 1 and the reason, never a crash"""
    address = f"unix://{scene.path('s')}"
    statuses = set()
    for limit in range(4, 12):  # the loader needs the first
        for words in (["receive", address, "--timeout", "0"], ["send", address, "x", "--bind",
                                                               "--timeout", "0"]):
            done = scene.run("prlimit", f"--nofile={limit}", cli.tap.program(), *words)
            need(done.status in (1, 3) and not done.signalled, done.told())
            done.expect(done.status, err="Too many open files|message|nobody came|signals")
            statuses.add(done.status)
    same("left", [name for name in os.listdir(scene.folder) if name.startswith("s")], [])
    same("statuses", statuses, {1, 3})


def test_many_clients_few_descriptors(scene):
    """a server with few descriptors serves who is in, and others once these have gone"""
    path = scene.path("s")
    server = scene.start("prlimit", "--nofile=20", cli.tap.program(), "echo", f"unix://{path}")
    server.until_err("listening on")
    made = [scene.connect(path) for _ in range(30)]
    for client in made:
        client.sendall(b"\xc7\xa4\x01\x00x")
    same("answer", made[0].recv(10), b"\xc7\xa4\x01\x00x")
    for client in made:
        client.close()
    scene.chappe("request", f"unix://{path}", "later", *PATIENT).expect(0, out=b"later")
    server.stop().expect(143)


def open_folder(scene):
    os.chmod(scene.folder, 0o755)
    os.chmod(scene.temporary, 0o777)


def as_nobody(scene, *words, **options):
    """The program as another user, by descriptor: its folder may be closed to that user."""
    fd = os.open(cli.tap.program(), os.O_RDONLY)
    try:
        return scene.run(f"/proc/self/fd/{fd}", *words, pass_fds=[fd], **NOBODY, **options)
    finally:
        os.close(fd)


def need_root():
    if os.geteuid() != 0:
        raise cli.Skip("becoming another user needs root")


def test_not_permitted(scene):
    """no permission: status 5 and what it was, for folders, sockets and files"""
    need_root()
    open_folder(scene)
    path = scene.path("s")
    for words in (["receive"], ["echo"]):
        as_nobody(scene, *words, f"unix://{path}").expect(5, out=b"", err=f"unix://{path}.*denied")
    server = scene.echo(f"unix://{path}")
    same("mode", stat.S_IMODE(os.stat(path).st_mode), 0o600)
    as_nobody(scene, "request", f"unix://{path}", "x").expect(5, err=f"unix://{path}.*denied")
    server.stop().expect(143)
    file = scene.file("secret", b"secret")
    os.chmod(file, 0o600)
    for words in (["send", "stdio://", "--file", file], ["tour", file],
                  ["request", "unix:///x", "--file", file]):
        as_nobody(scene, *words).expect(5, out=b"", err="secret.*denied")


def test_modes(scene):
    """mode= sets the permissions of the socket, whatever the umask"""
    need_root()
    open_folder(scene)
    for mode, status in (("0666", 0), ("0600", 5)):
        path = scene.path(f"s{mode}")
        server = scene.echo(f"unix://{path}?mode={mode}", umask=0o077)
        same("mode", stat.S_IMODE(os.stat(path).st_mode), int(mode, 8))
        as_nobody(scene, "request", f"unix://{path}", "x", *PATIENT).expect(status)
        server.stop().expect(143)


def test_users(scene):
    """uid=: a server turns other users away; clients of a wrong server get status 5"""
    need_root()
    open_folder(scene)
    path = scene.path("s")
    server = scene.echo(f"unix://{path}?mode=0666&uid=self")
    as_nobody(scene, "request", f"unix://{path}", "x", *PATIENT).expect(6, out=b"")
    scene.chappe("request", f"unix://{path}", "x", *PATIENT).expect(0, out=b"x")
    scene.chappe("request", f"unix://{path}?uid=12345", "x", *PATIENT).expect(
        5, out=b"", err="uid 0; option uid= says 12345")
    server.stop().expect(143)
    name = f"unix://@chappe-test-{os.getpid()}"
    server = scene.echo(name)
    as_nobody(scene, "request", name, "x", *PATIENT).expect(6, out=b"")
    server.stop().expect(143)


def test_something_else(scene):
    """a path that is a directory or a file: left alone, status 1; nobody is there: 4"""
    folder, file = scene.path("folder"), scene.file("file", b"content")
    os.mkdir(folder)
    os.mkfifo(scene.path("fifo"))
    os.symlink("nowhere", scene.path("link"))
    for path in (folder, file, scene.path("fifo"), scene.path("link")):
        for command in ("receive", "echo"):
            scene.chappe(command, f"unix://{path}").expect(
                1, out=b"", err="exists and is not a socket; it is left alone")
        need(not os.path.exists(path + ".lock"), "the lock file was left")
        scene.chappe("send", f"unix://{path}", "x", "--timeout", "0").expect(4, err="nobody")
    same("file", open(file, "rb").read(), b"content")
    scene.chappe("receive", f"unix://{folder}/none/s").expect(4, err="none: No such file|none")
    scene.chappe("receive", f"unix://{file}/s").expect(1, err="Not a directory")


def test_domains_of_others(scene):
    """another user's domain: status 5 with the owner's name, and nothing is made in it; nor in a
    folder that others may write to"""
    need_root()
    open_folder(scene)
    domain = {"CHAPPE_DOMAIN": scene.path("domain")}
    server = scene.echo("shm://s", env=domain)
    for words in (["request", "shm://s", "x", "--timeout", "0"], ["echo", "shm://mine"]):
        as_nobody(scene, *words, env=domain).expect(5, out=b"", err="domain")
    same("files", sorted(os.listdir(scene.path("domain"))), ["shm.s", "shm.s.socket"])
    scene.chappe("request", "shm://s", "x", *PATIENT, env=domain).expect(0, out=b"x")
    server.stop().expect(143)
    same("files", os.listdir(scene.path("domain")), [])
    os.mkdir(scene.path("open"))
    os.chmod(scene.path("open"), 0o777)
    scene.chappe("echo", "shm://s", env={"CHAPPE_DOMAIN": scene.path("open")}).expect(
        5, out=b"", err="open: ")
    same("files", os.listdir(scene.path("open")), [])


def test_map_something_else(scene):
    """map:// leaves alone what is not its own; the file of a killed server is taken over"""
    file = scene.file("file", b"content")
    os.mkdir(scene.path("folder"))
    os.mkfifo(scene.path("fifo"))
    os.symlink("file", scene.path("link"))
    for name in ("file", "folder", "fifo", "link"):
        before = os.lstat(scene.path(name))
        for words in (["echo"], ["send", "x", "--timeout", "0"]):
            words.insert(1, f"map://{scene.path(name)}")
            scene.chappe(*words).expect(1, out=b"", err="left alone")
        same(name, os.lstat(scene.path(name))[:2], before[:2])
    same("file", open(file, "rb").read(), b"content")
    address = f"map://{scene.path('box')}"
    scene.echo(address).stop(signal.SIGKILL)
    need(os.path.exists(scene.path("box")), "the killed server left no file")
    server = scene.echo(address)
    scene.chappe("request", address, "x", *PATIENT).expect(0, out=b"x")
    scene.chappe("echo", address).expect(1, out=b"", err="living process")
    server.stop().expect(143)
    same("left", [name for name in os.listdir(scene.folder) if name.startswith("box")], [])


def test_log(scene):
    """CHAPPE_LOG=debug goes to standard error only; other values say nothing"""
    address = f"unix://{scene.path('s')}"
    for value, told in (("debug", True), ("", False), ("rubbish", False)):
        receiver = scene.background("receive", address, env={"CHAPPE_LOG": value})
        sender = scene.chappe("send", address, "body", *PATIENT, env={"CHAPPE_LOG": value})
        sender.expect(0, out=b"")
        done = receiver.done().expect(0, out=b"body")
        same(f"log with {value!r}", bool(done.words), told)
        same(f"sender's log with {value!r}", bool(sender.words), told)
    text = scene.chappe("send", "stdio://", "body", env={"CHAPPE_LOG": "debug"}).expect(0).out
    same("bytes", text, b"\xc7\xa1\x04\0body")


def test_bare(scene):
    """an empty environment, a removed working directory, 20,000 words"""
    done = scene.run("env", "-i", cli.tap.program(), "version").expect(0, err="^$")
    need(done.out.startswith(b"chappe "), done.told())
    os.mkdir(scene.path("gone"))
    scene.run("sh", "-c", 'cd "$1" && rmdir "$1" && exec "$0" receive unix://./s --timeout 0',
              cli.tap.program(), scene.path("gone")).expect(4, err=r"unix://\./s")
    scene.run(cli.tap.program(), *["x"] * 20000).expect(2, err="unknown command “x”")


def test_blocked_sender(scene):
    """a sender that waits for a full receiver ends at a signal and at its time-out"""
    path = scene.path("s")
    listener = scene.listen(path)
    file = scene.file("f", b"x" * (1 << 22))
    sender = scene.background("send", f"unix://{path}", "--file", file)
    peer = listener.accept()[0]
    peer.recv(1)
    done = sender.stop(signal.SIGTERM)
    need(done.signalled and done.status == 143, done.told())
    sender = scene.background("send", f"unix://{path}", "--lines", "--timeout", "50ms",
                              stdin=b"y" * 1000 + b"\n" + b"x\n" * 1000000)
    peer = listener.accept()[0]  # which never reads
    sender.done().expect(3, err=f"unix://{path}")


def test_reads_json(scene):
    """every --json output is one object a line, also with hostile content"""
    for value in ("\x00", "\x1b", '"', "\\", "\u2028", "\ud7ff", "\n"):
        text = scene.chappe("send", "stdio://", stdin=value.encode()).out
        line = scene.chappe("receive", "stdio://", "--json", stdin=text).expect(0).out
        same("lines", line.count(b"\n"), 1)
        same("body", json.loads(line)["body"], value)


if __name__ == "__main__":
    cli.main(test_statuses, test_closed_output, test_closed_input, test_closed_error, test_full,
             test_sigpipe, test_head, test_nonblocking, test_terminal_input, test_terminal_typed,
             test_terminal_output, test_few_descriptors, test_many_clients_few_descriptors,
             test_not_permitted, test_modes, test_users, test_something_else,
             test_domains_of_others, test_map_something_else, test_log, test_bare,
             test_blocked_sender, test_reads_json)
