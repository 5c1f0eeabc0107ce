#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""send and receive: what goes through, what is written, and the exit status."""

import base64
import json
import os
import re
import signal
import socket

import cli
from cli import need, same

ALL_BYTES = bytes(range(256))
PATIENT = ("--timeout", "20s")  # a loaded machine may take more than the usual 2 s


def exchange(scene, send, receive=(), more="", **options):
    """What `receive` wrote of what `send` sent."""
    address = f"unix://{scene.path('s')}{more}"
    receiver = scene.background("receive", address, *receive)
    scene.chappe("send", address, *PATIENT, *send, **options).expect(0, out=b"", err="^$")
    return receiver.done().expect(0, err="^$").out


def test_text(scene):
    """TEXT: words are joined by blanks, -- ends the options, no newline is added"""
    same("words", exchange(scene, ["how", "do you", "do"]), b"how do you do")
    same("dashes", exchange(scene, ["--", "--lines", "-x"]), b"--lines -x")
    same("empty", exchange(scene, [""], ["--lines"]), b"\n")
    same("not UTF-8", exchange(scene, [b"\xff\xfe"]), b"\xff\xfe")
    same("large", exchange(scene, ["x" * 100000]), b"x" * 100000)


def test_bodies_exact(scene):
    """bodies are written exactly as they came, from --file, - and standard input"""
    file = scene.file("f", ALL_BYTES * 5000)
    for kind in ("", "?type=seqpacket", "?type=datagram"):
        same("file", exchange(scene, ["--file", file], more=kind), ALL_BYTES * 5000)
    same("-", exchange(scene, ["--file", "-"], stdin=ALL_BYTES), ALL_BYTES)
    same("standard input", exchange(scene, [], stdin=ALL_BYTES), ALL_BYTES)
    same("empty", exchange(scene, [], ["--json"], stdin=b"")[:10], b'{"size":0,')


def test_send_lines(scene):
    """send --lines: every line a message, empty ones and a last one without newline too"""
    text = b"one\n\nthree\r\n\xff\0\nlast"
    out = exchange(scene, ["--lines"], ["--count", "5", "--lines"], stdin=text)
    same("lines", out, b"one\n\nthree\r\n\xff\0\nlast\n")
    sizes = exchange(scene, ["--lines", "--type", "4"], ["--count", "5", "--json"], stdin=text)
    same("sizes and types",
         [(row["size"], row["type"]) for row in map(json.loads, sizes.splitlines())],
         [(3, 4), (0, 4), (6, 4), (2, 4), (4, 4)])
    many = b"".join(b"line %d\n" % i for i in range(20000))
    out = exchange(scene, ["--lines"], ["--count", "20000", "--lines"], stdin=many)
    same("20,000 lines", out, many)


def test_send_lines_as_they_come(scene):
    """send --lines: a line is sent when it comes, not when the input ends"""
    address = f"unix://{scene.path('s')}"
    receiver = scene.background("receive", address, "--follow", "--lines")
    reader, writer = os.pipe()
    sender = scene.background("send", address, "--lines", *PATIENT, stdin=reader)
    os.close(reader)
    for i in range(5):
        os.write(writer, b"line %d\n" % i)
        receiver.until_out(7 * (i + 1))
    os.close(writer)
    sender.done().expect(0)
    receiver.stop().expect(143, out=b"".join(b"line %d\n" % i for i in range(5)))


def test_json(scene):
    """receive --json: size, type, priority, sender, sequence, time, body"""
    address = f"unix://{scene.path('s')}"
    receiver = scene.background("receive", address, "--json", "--count", "2")
    sender = scene.background("send", address, 'a "b"\\\n\t\x01ü€😀', "--type", "7", "--priority",
                              "9", "--stamp", *PATIENT)
    sender.done().expect(0)
    scene.chappe("send", address, "second", *PATIENT).expect(0)
    first, second = map(json.loads, receiver.done().expect(0).out.decode().splitlines())
    same("sender", first.pop("sender"), {"pid": sender.pid, "uid": os.getuid(),
                                         "gid": os.getgid(), "verified": ["socket"]})
    need(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", first.pop("time")), "the time")
    body = 'a "b"\\\n\t\x01ü€😀'
    same("first", {key: first[key] for key in ("size", "type", "priority", "sequence", "body")},
         {"size": len(body.encode()), "type": 7, "priority": 9, "sequence": 1, "body": body})
    same("second", (second["body"], second["sequence"], "time" in second, "type" in second),
         ("second", 2, False, False))
    need(second["client"] != first["client"], "two connections have the same number")


def test_json_datagram(scene):
    """receive --json: the sender of a datagram is verified with each message"""
    row = json.loads(exchange(scene, ["text"], ["--json"], "?type=datagram"))
    same("sender", (row["sender"]["verified"], row["sender"]["uid"]), (["message"], os.getuid()))


def test_json_bytes(scene):
    """receive --json: body_base64 for what is not UTF-8, whatever its size"""
    for body in (ALL_BYTES, b"\xff", b"a\xff", b"ab\xff", b"\xed\xa0\x80", b"\xc0\x80", b"ok\xc3"):
        row = json.loads(exchange(scene, [], ["--json"], stdin=body))
        same("body", base64.b64decode(row["body_base64"], validate=True), body)
        need("body" not in row, row)
    for body in ("", "\0", "\x7f\x80\u2028\uffff\U0010ffff", '</script>"'):
        row = json.loads(exchange(scene, [], ["--json"], stdin=body.encode()))
        same("body", row["body"], body)
        need("body_base64" not in row, row)


def test_count(scene):
    """receive --count: ends after so many, of several clients, and tells what was left over"""
    address = f"unix://{scene.path('s')}"
    receiver = scene.background("receive", address, "--count", "3", "--lines")
    for i in range(3):
        scene.chappe("send", address, f"m{i}", *PATIENT).expect(0)
    receiver.done().expect(0, out=b"m0\nm1\nm2\n")
    need(not os.path.exists(scene.path("s")), "the socket was left")
    # All five are there before the first is read, so that it is known how many are left.
    sent = scene.chappe("send", "stdio://", "--lines", stdin=b"1\n2\n3\n4\n5\n").out
    scene.chappe("receive", "stdio://", "--count", "3", stdin=sent).expect(
        0, out=b"123", err="2 more messages came and were not received")


def test_follow(scene):
    """receive --follow: until a signal; every byte that came before it is written"""
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)):
        address = f"unix://{scene.path('s')}"
        receiver = scene.background("receive", address, "--follow")
        for i in range(3):
            scene.chappe("send", address, f"m{i}", *PATIENT).expect(0)
        receiver.until_out(6)
        receiver.stop(number).expect(status, out=b"m0m1m2", err="^$")
        same("left", [name for name in os.listdir(scene.folder) if name.startswith("s")], [])


def test_type(scene):
    """receive --type: only those; 0 are those without; others stay"""
    texts = {name: scene.chappe("send", "stdio://", name, *words).out for name, words in
             (("a", ["--type", "1"]), ("b", []), ("c", ["--type", "2"]), ("d", ["--type", "1"]))}
    stream = b"".join(texts.values())
    for value, out, left in (("1", b"ad", 2), ("0", b"b", 3), ("2", b"c", 3)):
        done = scene.chappe("receive", "stdio://", "--type", value, "--count", str(len(out)),
                            stdin=stream)
        done.expect(0, out=out)
    scene.chappe("receive", "stdio://", "--type", "9", stdin=stream).expect(
        6, out=b"", err="closed after 0 of 1")


def test_end(scene):
    """the end before the count: status 6, told how many of how many; --follow: 0"""
    two = scene.chappe("send", "stdio://", "--lines", stdin=b"1\n2\n").expect(0).out
    scene.chappe("receive", "stdio://", "--count", "3", stdin=two).expect(
        6, out=b"12", err="the other side closed after 2 of 3 messages")
    scene.chappe("receive", "stdio://", "--follow", stdin=two).expect(0, out=b"12", err="^$")
    scene.chappe("receive", "stdio://", stdin=b"").expect(6, out=b"", err="0 of 1")
    scene.chappe("receive", "stdio://", "--follow", stdin=b"").expect(0, out=b"", err="^$")


def test_cut(scene):
    """an end in mid-message: status 7; what was whole before is written"""
    two = scene.chappe("send", "stdio://", "--lines", stdin=b"1\nsecond\n").expect(0).out
    for words in (["--count", "2"], ["--follow"]):
        scene.chappe("receive", "stdio://", *words, stdin=two[:-1]).expect(
            7, out=b"1", err="stdio://: cut off: the other side ended after 9 of 10 bytes")


def test_limit(scene):
    """a message beyond limit=: status 7 on either side, the limit is named"""
    file = scene.file("f", b"x" * 1001)
    for kind in ("", "&type=seqpacket", "&type=datagram"):
        address = f"unix://{scene.path('s')}"
        receiver = scene.background("receive", f"{address}?limit=1K{kind}")
        scene.chappe("send", f"{address}?limit=1000{kind}", "--file", file, *PATIENT).expect(
            7, err="1001 bytes.*1000|1000.*1001")
        scene.chappe("send", f"{address}?limit=1001{kind}", "--file", file, *PATIENT).expect(0)
        receiver.done().expect(0, out=b"x" * 1001)
    large = scene.chappe("send", "stdio://", "--file", file).expect(0).out
    scene.chappe("receive", "stdio://?limit=1000", stdin=large).expect(7, out=b"", err="1000")
    scene.chappe("receive", "stdio://?limit=1000&frame=line", stdin=b"y" * 1001 + b"\n").expect(
        7, out=b"", err="1000")
    scene.chappe("send", "stdio://?limit=1", "--lines", stdin=b"a\nbb\nc\n").expect(7, err="limit")


def test_frames_refuse(scene):
    """what a frame cannot hold or carry is status 1, with frames that can"""
    for words, told in ((["a\nb", "?frame=line"], "frame=line.*frame=chappe"),
                        (["", "?frame=raw"], "cannot tell an empty message"),
                        (["a", "?frame=line", "--type", "3"], "type"),
                        (["a", "?frame=raw", "--priority", "3"], "priority"),
                        (["a", "?frame=nul", "--stamp"], "time|stamp"),
                        (["a", "", "--fd", "0"], "descriptors.*unix")):
        scene.chappe("send", f"stdio://{words[1]}", words[0], *words[2:]).expect(
            1, out=b"", err=told)


def test_timeouts(scene):
    """time-outs: status 3 where somebody is there, 4 where nobody is, at 0 and later"""
    path = scene.path("s")
    for words in (["send", f"unix://{path}", "t"], ["request", f"unix://{path}", "t"],
                  ["receive", f"unix://{path}", "--connect"]):
        for limit in ("0", "20ms"):
            scene.chappe(*words, "--timeout", limit).expect(4, out=b"", err="nobody is there")
    scene.chappe("send", f"unix://@nobody-{os.getpid()}", "t", "--timeout", "0").expect(4)
    for limit in ("0", "20ms"):
        scene.chappe("receive", f"unix://{path}", "--timeout", limit).expect(
            3, out=b"", err="no message came within (0|20) ms")
        scene.chappe("send", f"unix://{path}", "t", "--bind", "--timeout", limit).expect(
            3, err="nobody came in time")
    need(not os.path.exists(path), "the socket was left")
    scene.listen(path)
    scene.chappe("request", f"unix://{path}", "t", "--timeout", "20ms").expect(3, err="unix://.")
    scene.chappe("request", f"unix://{path}", "t", "--timeout", "0").expect(3, err="unix://.")


def test_default_patience(scene):
    """without --timeout send waits for the other side to appear, then says 4"""
    address = f"unix://{scene.path('late')}"
    sender = scene.background("send", address, "early")
    receiver = scene.background("receive", address)
    sender.done().expect(0)
    receiver.done().expect(0, out=b"early")
    scene.chappe("send", f"unix://{scene.path('never')}", "t").expect(4, err="nobody is there")


def test_lost(scene):
    """what the other side did not read before it went: status 6 with a count"""
    path = scene.path("s")
    server = scene.listen(path)
    sender = scene.background("send", f"unix://{path}", "--lines", "--timeout", "20s",
                              stdin=b"x\n" * 10)
    peer = server.accept()[0]
    peer.recv(1, socket.MSG_PEEK)
    peer.close()  # with bytes unread: a reset
    sender.done().expect(6, err=r"gone|reset")
    reader, writer = os.pipe()
    os.close(reader)
    scene.chappe("send", "stdio://", "text", stdout=writer).expect(6, err="stdio://")
    os.close(writer)


def test_left_for_the_living(scene):
    """what a living side has not read yet is no failure: the kernel keeps it"""
    path = scene.path("s")
    server = scene.listen(path)
    scene.chappe("send", f"unix://{path}", "kept", "--timeout", "20ms").expect(0, err="^$")
    same("kept", server.accept()[0].recv(100), b"\xc7\xa1\x04\0kept")


def test_bind_connect(scene):
    """--bind and --connect turn the roles round, on all three kinds of sockets"""
    for kind in ("", "?type=seqpacket"):
        address = f"unix://{scene.path('s')}{kind}"
        sender = scene.background("send", address, "served", "--bind")
        scene.chappe("receive", address, "--connect", *PATIENT).expect(0, out=b"served")
        sender.done().expect(0, err="^$")
        need(not os.path.exists(scene.path("s")), "the socket was left")
    scene.chappe("send", f"unix://{scene.path('d')}?type=datagram", "x", "--bind").expect(
        1, err="datagram|connection|server")


def test_bind_signal(scene):
    """send --bind that waits for a client: a signal ends it and the name is gone"""
    address = f"unix://{scene.path('s')}"
    sender = scene.background("send", address, "never", "--bind")
    cli.wait_bound(sender, address)
    sender.stop(signal.SIGINT).expect(130)
    same("left", [name for name in os.listdir(scene.folder) if name.startswith("s")], [])


def test_descriptor_between(scene):
    """send --fd over receive: counted; the file stays open for the receiver alone"""
    row = json.loads(exchange(scene, ["log", "--fd", "0", "--fd", "0"], ["--json"]))
    same("descriptors", (row["descriptors"], row["body"]), (2, "log"))


def test_names(scene):
    """addresses with blanks, %XX, 200 bytes of path, ./, ../ and abstract names"""
    os.mkdir(scene.path("d" * 150))
    for where in (scene.path("a b"), scene.path("%41%3f"), scene.path("d" * 150) + "/" + "e" * 100,
                  "./here", "../" + os.path.basename(scene.folder) + "/there",
                  f"@chappe-test-{os.getpid()}"):
        receiver = scene.background("receive", f"unix://{where}", cwd=scene.folder)
        scene.chappe("send", f"unix://{where}", "x", *PATIENT, cwd=scene.folder).expect(0)
        receiver.done().expect(0, out=b"x")


if __name__ == "__main__":
    cli.main(test_text, test_bodies_exact, test_send_lines, test_send_lines_as_they_come,
             test_json, test_json_datagram, test_json_bytes, test_count, test_follow, test_type,
             test_end, test_cut, test_limit, test_frames_refuse, test_timeouts,
             test_default_patience, test_lost, test_left_for_the_living, test_bind_connect,
             test_bind_signal, test_descriptor_between, test_names)
