#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""echo and request: many clients, bad clients, signals, and the names that are left."""

import json
import os
import signal
import socket
import struct

import cli
from cli import need, same

KINDS = ("", "?type=seqpacket", "?type=datagram")
LIMIT = ("--timeout", "20s")


def envelope(body):
    """The short form of docs/FORMATS.md."""
    size = struct.pack("<H", len(body))
    return bytes([0xC7, 0xA5 ^ size[0] ^ size[1]]) + size + body


def names(scene):
    return sorted(name for name in os.listdir(scene.folder) if name.startswith("echo"))


def ask(scene, address, *words, **options):
    return scene.chappe("request", address, *LIMIT, *words, **options)


def test_request(scene):
    """request writes the bytes of the answer exactly, over every kind of socket"""
    file = scene.file("f", bytes(range(256)) * 4000)
    for kind in KINDS:
        address = f"unix://{scene.path('echo')}{kind}"
        server = scene.echo(address)
        need(f"chappe: echo: listening on {address}\n" == server.err().decode(), server.err())
        ask(scene, address, "are", "you", "there?").expect(0, out=b"are you there?", err="^$")
        ask(scene, address, "--file", file).expect(0, out=bytes(range(256)) * 4000)
        ask(scene, address, stdin=b"\0\n").expect(0, out=b"\0\n")
        ask(scene, address, "").expect(0, out=b"")
        server.stop().expect(143, out=b"")


def test_request_json(scene):
    """request --json tells about the answer: type, who answered, that it is a reply"""
    address = f"unix://{scene.path('echo')}"
    server = scene.echo(address)
    row = json.loads(ask(scene, address, "hm", "--type", "6", "--json").expect(0).out)
    same("answer", (row["type"], row["body"], row["reply"], row["sender"]["pid"]),
         (6, "hm", True, server.pid))
    server.stop().expect(143)


def test_frames(scene):
    """echo and request in every frame"""
    for frame in ("line", "nul", "length32", "raw"):
        address = f"unix://{scene.path('echo')}?frame={frame}"
        server = scene.echo(address)
        for text in ("one", "two"):
            ask(scene, address, text).expect(0, out=text.encode())
        server.stop().expect(143)


def test_count_quiet(scene):
    """echo --count ends after so many answers; --quiet says nothing; --connect takes part"""
    address = f"unix://{scene.path('echo')}"
    server = scene.background("echo", address, "--count", "2", "--quiet")
    for text in ("a", "b"):
        ask(scene, address, text).expect(0, out=text.encode())
    server.done().expect(0, out=b"", err="^$")
    same("left", names(scene), [])
    listener = scene.listen(scene.path("served"))
    other = scene.background("echo", f"unix://{scene.path('served')}", "--connect")
    peer = listener.accept()[0]
    other.until_err("answering on ")
    peer.sendall(envelope(b"hello"))
    same("answer", peer.recv(100), envelope(b"hello"))
    peer.close()
    other.done().expect(0)
    other = scene.background("echo", f"unix://{scene.path('served')}", "--connect", "--count", "2")
    listener.accept()[0].close()
    other.done().expect(6, err="the other side closed after 0 of 2 messages")


def test_stdio(scene):
    """echo stdio:// answers what comes on standard input on standard output"""
    text = scene.chappe("send", "stdio://", "--lines", "--type", "3", stdin=b"1\n2\n").out
    scene.chappe("echo", "stdio://", stdin=text).expect(0, out=text, err="answering on stdio://")


def test_descriptors(scene):
    """descriptors, type and priority go back with the body"""
    path = scene.path("echo")
    server = scene.echo(f"unix://{path}?frame=raw")
    made = scene.connect(path)
    file = os.open(scene.file("f", b"content"), os.O_RDONLY)
    socket.send_fds(made, [b"take"], [file, file])
    os.close(file)
    text, came, _, _ = socket.recv_fds(made, 100, 10)
    same("body and files", (text, len(came)), (b"take", 2))
    same("content", os.pread(came[0], 100, 0), b"content")
    for fd in came:
        os.close(fd)
    # The server keeps none of them.
    ask(scene, f"unix://{path}?frame=raw", "x").expect(0)
    open_files = [os.readlink(f"/proc/{server.pid}/fd/{fd}")
                  for fd in os.listdir(f"/proc/{server.pid}/fd")]
    need(scene.path("f") not in open_files, open_files)
    server.stop().expect(143)


def test_fifty(scene):
    """50 clients at once, each with an answer of its own"""
    address = f"unix://{scene.path('echo')}"
    server = scene.echo(address)
    clients = [scene.background("request", address, f"client {i}", *LIMIT) for i in range(50)]
    for i, client in enumerate(clients):
        client.done().expect(0, out=f"client {i}".encode(), err="^$")
    server.stop().expect(143)


def test_fifty_open(scene):
    """50 connections that stay open, messages interleaved, on stream and seqpacket"""
    for kind, more in ((socket.SOCK_STREAM, ""), (socket.SOCK_SEQPACKET, "?type=seqpacket")):
        path = scene.path("echo")
        server = scene.echo(f"unix://{path}{more}")
        clients = [scene.connect(path, kind) for _ in range(50)]
        for turn in range(3):
            for i, client in enumerate(clients):
                client.sendall(envelope(b"%d of %d" % (turn, i)))
            for i, client in enumerate(clients):
                wanted = envelope(b"%d of %d" % (turn, i))
                same("answer", client.recv(len(wanted)), wanted)
        for client in clients:
            client.close()
        server.stop().expect(143, no_err="warning")


def test_signals(scene):
    """SIGINT, SIGTERM and SIGHUP end it; the socket and its lock are gone"""
    address = f"unix://{scene.path('echo')}"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        server = scene.echo(address)
        same("made", names(scene), ["echo", "echo.lock"])
        server.stop(number).expect(128 + number, out=b"")
        same("left", names(scene), [])


def test_nohup(scene):
    """a signal that the parent had ignored stays ignored"""
    address = f"unix://{scene.path('echo')}"
    server = scene.start("sh", "-c", 'trap "" HUP; exec "$0" echo "$1"', cli.tap.program(), address)
    server.until_err("listening on")
    server.kill(signal.SIGHUP)
    ask(scene, address, "still there").expect(0, out=b"still there")
    server.stop().expect(143)


def test_killed(scene):
    """kill -9 leaves both names, the next server takes over; clients see 6 or 4"""
    address = f"unix://{scene.path('echo')}"
    server = scene.echo(address)
    made = scene.connect(scene.path("echo"))
    made.sendall(envelope(b"accepted"))
    same("answer", made.recv(100), envelope(b"accepted"))
    done = server.stop(signal.SIGKILL)
    need(done.signalled and done.status == 137, done.told())
    same("left", names(scene), ["echo", "echo.lock"])
    same("the client's end", made.recv(1), b"")
    scene.chappe("request", address, "x", "--timeout", "0").expect(4, err="nobody is there")
    server = scene.echo(address)
    ask(scene, address, "again").expect(0, out=b"again")
    server.stop().expect(143)
    same("left", names(scene), [])


def test_living(scene):
    """a living server's name is never taken: status 1, and it goes on; so for foreign ones"""
    address = f"unix://{scene.path('echo')}"
    server = scene.echo(address)
    for command in ("echo", "receive"):
        scene.chappe(command, address).expect(1, out=b"", err="living process")
    ask(scene, address, "mine").expect(0, out=b"mine")
    server.stop().expect(143)
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        path = scene.path(f"foreign-{int(kind)}")
        scene.listen(path, kind)
        scene.chappe("echo", f"unix://{path}").expect(1, err="living process")
        need(os.path.exists(path) and not os.path.exists(path + ".lock"), "names changed")
    scene.listen(f"@chappe-{os.getpid()}")
    scene.chappe("echo", f"unix://@chappe-{os.getpid()}").expect(1, err="living process")


def test_stopped(scene):
    """a server that is stopped is not dead: its name stays its own"""
    address = f"unix://{scene.path('echo')}"
    server = scene.echo(address)
    server.kill(signal.SIGSTOP)
    scene.chappe("echo", address).expect(1, err="living process")
    scene.chappe("request", address, "x", "--timeout", "20ms").expect(3)
    server.kill(signal.SIGCONT)
    ask(scene, address, "awake").expect(0, out=b"awake")
    server.stop().expect(143)


def disturbed(scene, disturb, warning=None):
    """Others are served before, while and after the bad client does its thing."""
    path = scene.path("echo")
    server = scene.echo(f"unix://{path}")
    good = scene.connect(path)
    for i, _ in enumerate(disturb(scene, path)):
        good.sendall(envelope(b"%d" % i))
        same("answer", good.recv(100), envelope(b"%d" % i))
        ask(scene, f"unix://{path}", "other").expect(0, out=b"other")
    if warning is not None:
        server.until_err(warning)
    server.stop().expect(143, err=warning)


def test_never_reads(scene):
    """a client that never reads its answers disturbs nobody"""
    def disturb(scene, path):
        made = scene.connect(path)
        made.setblocking(False)
        text = envelope(b"x" * 60000) * 100
        for _ in range(3):
            try:
                while text:
                    text = text[made.send(text):]
            except BlockingIOError:
                yield
        need(text, "6 MB of answers that nobody reads are kept somewhere")
    disturbed(scene, disturb)


def test_slow(scene):
    """a client that sends byte by byte disturbs nobody, and gets its answer"""
    def disturb(scene, path):
        made = scene.connect(path)
        for byte in envelope(b"slow"):
            made.send(bytes([byte]))
            yield
        same("answer", made.recv(100), envelope(b"slow"))
    disturbed(scene, disturb)


def test_rubbish(scene):
    """a client that sends rubbish is cut off and named; others are not disturbed"""
    def disturb(scene, path):
        for rubbish in (b"GET / HTTP/1.0\r\n\r\n", b"\0" * 5000, b"\xc8\xff\xff\xff" * 10):
            made = scene.connect(path)
            made.sendall(rubbish)
            yield
            try:
                same("the rest", made.recv(100), b"")
            except ConnectionResetError:
                pass
    disturbed(scene, disturb, "cut off client")


def test_dies(scene):
    """a client that dies in mid-message disturbs nobody"""
    def disturb(scene, path):
        for size in (1, 3, 4, 8):
            made = scene.connect(path)
            made.sendall(envelope(b"never whole")[:size])
            yield
            made.close()
            yield
    disturbed(scene, disturb, "cut off: the other side ended after 8 of 15 bytes")


def test_huge(scene):
    """a client that announces more than the limit is cut off, no memory is taken for it"""
    def disturb(scene, path):
        made = scene.connect(path)
        made.sendall(b"\xc8\x00\x00\x00\xff\xff\xff\xfe")
        yield
        made.close()
        made = scene.connect(path)
        made.sendall(b"\0" * 4)
        yield
    disturbed(scene, disturb, "cut off client")


def test_clients_limit(scene):
    """option clients=: one more than that is turned away, told, and the others stay"""
    path = scene.path("echo")
    server = scene.echo(f"unix://{path}?clients=2")
    made = [scene.connect(path) for _ in range(2)]
    for client in made:
        client.sendall(envelope(b"x"))
        same("answer", client.recv(100), envelope(b"x"))
    scene.chappe("request", f"unix://{path}", "third", *LIMIT).expect(6, out=b"")
    for client in made:
        client.sendall(envelope(b"y"))
        same("answer", client.recv(100), envelope(b"y"))
    server.stop().expect(143)


def test_server_dies(scene):
    """request whose server closes without an answer: status 6"""
    path = scene.path("echo")
    listener = scene.listen(path)
    for close in (lambda peer: peer.close(), lambda peer: (peer.recv(4096), peer.close())):
        asker = scene.background("request", f"unix://{path}", "question", *LIMIT)
        peer = listener.accept()[0]
        peer.recv(1, socket.MSG_PEEK)
        close(peer)
        asker.done().expect(6, out=b"")


def test_no_way_back(scene):
    """request over what has no way back: status 1 with a sentence"""
    scene.chappe("request", "pipe://-,1", "x").expect(1, err="pipe://-,1")


if __name__ == "__main__":
    cli.main(test_request, test_request_json, test_frames, test_count_quiet, test_stdio,
             test_descriptors, test_fifty, test_fifty_open, test_signals, test_nohup, test_killed,
             test_living, test_stopped, test_never_reads, test_slow, test_rubbish, test_dies,
             test_huge, test_clients_limit, test_server_dies, test_no_way_back)
