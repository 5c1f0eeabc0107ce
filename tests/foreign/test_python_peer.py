#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program in Python that knows docs/FORMATS.md and nothing else talks to chappe: metadata,
checksums, descriptors, bodies in files, requests; and the roles turned round."""

import array
import fcntl
import json
import mmap
import os
import pathlib
import random
import shutil
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import cli  # noqa: E402
from cli import need, same  # noqa: E402

import envelope  # noqa: E402

F_ADD_SEALS, F_GET_SEALS = 1033, 1034
ALL_SEALS = 0x01 | 0x02 | 0x04 | 0x08  # seal, shrink, grow, write
MEBIBYTE = random.Random(5).randbytes(1 << 20)


def receive_json(scene, address, text, kind=socket.SOCK_STREAM, descriptors=()):
    """What `receive --json` tells about the bytes that are sent to it."""
    receiver = scene.receiver(address, "--json")
    made = scene.connect(address.removeprefix("unix://").split("?")[0], kind)
    if descriptors:
        socket.send_fds(made, [text], descriptors)
    else:
        made.sendall(text)
    return json.loads(receiver.done().expect(0).out)


def refuse(scene, text, err, address_more="", kind=socket.SOCK_STREAM, descriptors=()):
    """The client is cut off with such a sentence, and another one is served."""
    name = scene.path("socket")
    receiver = scene.receiver(f"unix://{name}{address_more}", env={"CHAPPE_LOG": "warning"})
    made = scene.connect(name, kind)
    if descriptors:
        socket.send_fds(made, [text], descriptors)
    else:
        made.sendall(text)
    receiver.until_err(err)
    scene.connect(name, kind).sendall(envelope.encode(b"next"))
    receiver.done().expect(0, out=b"next", err=err)


def over_pipe(scene, text, *words, more=""):
    return scene.chappe("receive", f"stdio://{more}", *words, stdin=text)


def sent(scene, *words, more="", **options):
    return scene.chappe("send", f"stdio://{more}", *words, **options).expect(0).out


def test_examples(scene):
    """the examples of docs/FORMATS.md, byte for byte, both ways"""
    for body, fields, words, text in (
            (b"hello", {}, ["hello"], "C7 A0 05 00 68 65 6C 6C 6F"),
            (b"", {}, ["--file", "/dev/null"], "C7 A5 00 00"),
            (b"hi", {envelope.TYPE: 7}, ["hi", "--type", "7"],
             "C8 68 0A 00 02 00 00 00 01 08 07 00 00 00 00 00 00 00 68 69")):
        text = bytes.fromhex(text)
        same("made in Python", envelope.encode(body, fields), text)
        same("made by chappe", sent(scene, *words), text)
        over_pipe(scene, text).expect(0, out=body)


def test_metadata_in(scene):
    """type, priority, correlation and time, Python -> chappe"""
    fields = {envelope.TYPE: 1 << 40, envelope.PRIORITY: 9, envelope.CORRELATION: 12345,
              envelope.TIME: 1_000_000_000_000_000_007}
    told = receive_json(scene, f"unix://{scene.path('s')}", envelope.encode(b"body", fields))
    for name, value in (("type", 1 << 40), ("priority", 9), ("correlation", 12345),
                        ("time", "2001-09-09T01:46:40.000000007Z"), ("size", 4),
                        ("body", "body")):
        same(name, told.get(name), value)
    for name, value in (("pid", os.getpid()), ("uid", os.getuid()), ("gid", os.getgid())):
        same(name, told["sender"].get(name), value)


def test_metadata_out(scene):
    """type, priority and time, chappe -> Python"""
    text = sent(scene, "body", "--type", "9223372036854775807", "--priority", "4294967295",
                "--stamp")
    body, fields, rest = envelope.decode(text)
    same("body", (body, rest), (b"body", b""))
    same("type", fields.pop(envelope.TYPE), 9223372036854775807)
    same("priority", fields.pop(envelope.PRIORITY), 4294967295)
    need(fields.pop(envelope.TIME) > 1_700_000_000 * 10**9, "the time is from long ago")
    same("other fields", fields, {})


def test_sizes(scene):
    """both forms of the envelope around 65,535 bytes, in one stream, both ways"""
    bodies = [MEBIBYTE[:size] for size in (0, 1, 65534, 65535, 65536, 65537, 131073)]
    lengths = [len(body) for body in bodies]
    done = over_pipe(scene, b"".join(map(envelope.encode, bodies)), "--count", "7", "--json")
    same("sizes", [json.loads(line)["size"] for line in done.expect(0).out.splitlines()], lengths)
    for body in bodies:
        text = sent(scene, "--file", scene.file("body", body))
        same("chappe's envelope", text, envelope.encode(body))


def test_checksum(scene):
    """checksum=yes: both ways, and a changed byte is found"""
    text = sent(scene, "precious", more="?checksum=yes")
    body, fields, _ = envelope.decode(text)
    same("body", body, b"precious")
    need(envelope.CHECKSUM in fields, f"no checksum in {text!r}")
    text = envelope.encode(b"precious", {envelope.TYPE: 3}, checksum=True)
    over_pipe(scene, text).expect(0, out=b"precious")
    over_pipe(scene, text[:-1] + b"S").expect(7, out=b"", err="checksum")


def test_unknown_fields(scene):
    """fields from 128 on are skipped, unknown ones below are refused"""
    envelope.FORMS[200] = envelope.FORMS[90] = "<I"
    over_pipe(scene, envelope.encode(b"body", {200: 1})).expect(0, out=b"body")
    over_pipe(scene, envelope.encode(b"body", {90: 1})).expect(7, out=b"", err="stdio://.*90|field")


def test_damaged(scene):
    """every kind of damage to an envelope is status 7 with a sentence that names the address"""
    good = envelope.encode(b"body", {envelope.TYPE: 7})
    backwards = bytearray(envelope.encode(b"b", {envelope.TYPE: 7, envelope.PRIORITY: 1}))
    backwards[8:24] = backwards[18:24] + backwards[8:18]
    backwards[1] = 0
    backwards[1] = envelope.crc32c(backwards[:24]) & 255
    zero_type = envelope.encode(b"b", {envelope.TYPE: 0})
    for text in (b"\xc6" + good[1:], good[:1] + b"\0" + good[2:], bytes(backwards), zero_type,
                 b"\xc7\xa5\x01\x00x", good[:-1], good[:5], b"\xc7", b"GET / HTTP/1.0\r\n\r\n"):
        over_pipe(scene, text).expect(7, out=b"", err="^chappe: stdio://: ")


def test_request(scene):
    """Python asks chappe echo: the reply has the correlation and is marked"""
    name = scene.path("s")
    server = scene.echo(f"unix://{name}")
    made = scene.connect(name)
    made.sendall(envelope.encode(b"q1", {envelope.CORRELATION: 11, envelope.KIND: 1}))
    made.sendall(envelope.encode(b"q2", {envelope.CORRELATION: 12, envelope.KIND: 1,
                                         envelope.TYPE: 5}))
    made.shutdown(socket.SHUT_WR)
    text = b""
    while len(text) < 1 or text.count(b"q") < 2:
        text += made.recv(4096)
    one, fields, rest = envelope.decode(text)
    same("first", (one, fields), (b"q1", {envelope.CORRELATION: 11, envelope.KIND: 2}))
    two, fields, rest = envelope.decode(rest)
    same("second", (two, fields, rest),
         (b"q2", {envelope.CORRELATION: 12, envelope.KIND: 2, envelope.TYPE: 5}, b""))
    server.stop().expect(143)


def test_answer(scene):
    """Python answers chappe request, on stream, seqpacket and datagram"""
    for kind, more in ((socket.SOCK_STREAM, ""), (socket.SOCK_SEQPACKET, "?type=seqpacket"),
                       (socket.SOCK_DGRAM, "?type=datagram")):
        name = scene.path(f"s{int(kind)}")
        made = scene.listen(name, kind)
        asker = scene.background("request", f"unix://{name}{more}", "what", "is", "it",
                                 "--type", "3")
        if kind == socket.SOCK_DGRAM:
            text, asked_from = made.recvfrom(4096)
        else:
            made, asked_from = made.accept()[0], None
            text = made.recv(4096)
        body, fields, _ = envelope.decode(text)
        same("question", body, b"what is it")
        same("type and kind", (fields[envelope.TYPE], fields[envelope.KIND]), (3, 1))
        reply = {envelope.CORRELATION: fields[envelope.CORRELATION], envelope.KIND: 2}
        noise = envelope.encode(b"no answer", {envelope.CORRELATION: 1, envelope.KIND: 2})
        for text in (noise, envelope.encode(b"noise"), envelope.encode(b"\0an\nswer", reply)):
            made.sendto(text, asked_from) if asked_from else made.sendall(text)
        asker.done().expect(0, out=b"\0an\nswer")


def kinds(scene):
    for kind, more in ((socket.SOCK_STREAM, ""), (socket.SOCK_SEQPACKET, "?type=seqpacket"),
                       (socket.SOCK_DGRAM, "?type=datagram")):
        yield kind, scene.path(f"kind-{int(kind)}"), more


def test_descriptors_in(scene):
    """descriptors: socket.send_fds -> receive --json counts them, 1, 3 and 253"""
    null = os.open("/dev/null", os.O_RDONLY)
    for kind, name, more in kinds(scene):
        for count in (1, 3, 253):
            text = envelope.encode(b"with files", {envelope.DESCRIPTORS: count})
            told = receive_json(scene, f"unix://{name}{more}", text, kind, [null] * count)
            same("descriptors", (told["descriptors"], told["body"]), (count, "with files"))
    told = receive_json(scene, f"unix://{scene.path('raw')}?frame=raw", b"raw",
                        descriptors=[null] * 2)
    same("descriptors, raw", (told["descriptors"], told["body"]), (2, "raw"))
    os.close(null)


def test_descriptors_unannounced(scene):
    """descriptors that no message announces are closed and do not disturb the message"""
    null = os.open("/dev/null", os.O_RDONLY)
    told = receive_json(scene, f"unix://{scene.path('s')}", envelope.encode(b"plain"),
                        descriptors=[null])
    os.close(null)
    same("told", (told["body"], told.get("descriptors", 0)), ("plain", 0))


def test_descriptors_missing(scene):
    """a message that announces descriptors and brings none is refused"""
    refuse(scene, envelope.encode(b"x", {envelope.DESCRIPTORS: 2}), "descriptor")


def test_descriptors_out(scene):
    """descriptors: chappe send --fd -> socket.recv_fds, the open files themselves"""
    files = [os.open(scene.file(f"file{i}", b"content %d" % i), os.O_RDONLY) for i in range(3)]
    for kind, name, more in kinds(scene):
        for fd in files:
            os.lseek(fd, 0, os.SEEK_SET)
        made = scene.listen(name, kind)
        words = [word for fd in files for word in ("--fd", str(fd))]
        sender = scene.background("send", f"unix://{name}{more}", "my files", *words,
                                  pass_fds=files)
        peer = made if kind == socket.SOCK_DGRAM else made.accept()[0]
        text, came, _, _ = socket.recv_fds(peer, 4096, 10)
        same("message", envelope.decode(text)[:2], (b"my files", {envelope.DESCRIPTORS: 3}))
        same("contents", [os.read(fd, 100) for fd in came],
             [b"content 0", b"content 1", b"content 2"])
        for fd in came:
            os.close(fd)
        peer.close()
        sender.done().expect(0)
    for fd in files:
        os.close(fd)


def memory_file(content, seals):
    fd = os.memfd_create("body", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(content)
    fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd


def test_body_file_in(scene):
    """a body of 1 MiB in a sealed memory file, Python -> chappe, seqpacket and datagram"""
    for kind, name, more in list(kinds(scene))[1:]:
        receiver = scene.receiver(f"unix://{name}{more}")
        file = memory_file(MEBIBYTE, ALL_SEALS)
        text = envelope.encode(b"", {envelope.BODY_FILE: len(MEBIBYTE)})
        socket.send_fds(scene.connect(name, kind), [text], [file])
        receiver.done().expect(0, out=MEBIBYTE)
        os.close(file)


def test_body_file_refused(scene):
    """bodies in files that could change, or of another size, or that are no files, are refused"""
    size = len(MEBIBYTE)
    pipe = os.pipe()
    for name, announced, file in (("writable", size, memory_file(MEBIBYTE, ALL_SEALS & ~0x08)),
                                  ("shrinks", size, memory_file(MEBIBYTE, ALL_SEALS & ~0x02)),
                                  ("small", size, memory_file(MEBIBYTE[:-1], ALL_SEALS)),
                                  ("pipe", size, os.dup(pipe[0]))):
        text = envelope.encode(b"", {envelope.BODY_FILE: announced})
        refuse(scene, text, "socket.*(file|seal|body)", "?type=seqpacket", socket.SOCK_SEQPACKET,
               [file])
        os.close(file)
    os.close(pipe[0])
    os.close(pipe[1])


def test_body_file_out(scene):
    """a body of 1 MiB in a sealed memory file, chappe -> Python, seqpacket and datagram"""
    body_file = scene.file("body", MEBIBYTE)
    for kind, name, more in list(kinds(scene))[1:]:
        made = scene.listen(name, kind)
        sender = scene.background("send", f"unix://{name}{more}", "--file", body_file)
        peer = made if kind == socket.SOCK_DGRAM else made.accept()[0]
        text, files, _, _ = socket.recv_fds(peer, 4096, 4)
        same("packet", envelope.decode(text), (b"", {envelope.BODY_FILE: len(MEBIBYTE)}, b""))
        same("seals", fcntl.fcntl(files[0], F_GET_SEALS), ALL_SEALS)
        with mmap.mmap(files[0], len(MEBIBYTE), prot=mmap.PROT_READ) as view:
            same("body", view[:], MEBIBYTE)
        os.close(files[0])
        peer.close()
        sender.done().expect(0)


def test_truncated_descriptors(scene):
    """descriptors beyond the receiver's limit: that message is lost with a sentence, not more"""
    null = os.open("/dev/null", os.O_RDONLY)
    name = scene.path("s")
    receiver = scene.start("sh", "-c", 'ulimit -n 24; exec "$0" receive "$1" --count 1',
                           cli.tap.program(), f"unix://{name}", env={"CHAPPE_LOG": "warning"})
    cli.wait_bound(receiver, name)
    made = scene.connect(name)
    text = envelope.encode(b"too many", {envelope.DESCRIPTORS: 60})
    made.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * 60))])
    made.sendall(envelope.encode(b"next"))
    os.close(null)
    receiver.done().expect(0, out=b"next", err="60 descriptors was dropped.*RLIMIT_NOFILE")


def turned_send(scene, frame, client, wire):
    """`send --bind` serves a foreign client."""
    name = scene.path("bound")
    sender = scene.background("send", f"unix://{name}?frame={frame}", "a message", "--bind")
    cli.wait_bound(sender, f"unix://{name}")
    if client is None:
        came = cli.receive_all(scene.connect(name))
    else:
        came = scene.run(*[word.replace("NAME", name) for word in client]).expect(0).out
    same("what came", came, wire)
    sender.done().expect(0)
    need(not os.path.exists(name), "the socket was left")


def turned_receive(scene, frame, server, wire):
    """`receive --connect` takes from a foreign server, up to its end."""
    name = scene.path("served")
    words = ("receive", f"unix://{name}?frame={frame}", "--connect", "--follow", "--lines",
             "--timeout", "20s")
    if server is None:
        listener = scene.listen(name)
        receiver = scene.background(*words)
        peer = listener.accept()[0]
        peer.sendall(wire)
        peer.close()
    else:
        scene.start(*[word.replace("NAME", name) for word in server], stdin=wire)
        receiver = scene.background(*words)
    receiver.done().expect(0, out=b"a message\n")


def test_sender_ends(scene):
    """nc -N and socat that have sent their input end while receive --follow goes on"""
    name = scene.path("s")
    receiver = scene.receiver(f"unix://{name}?frame=line", "--follow", "--lines")
    for command in (["socat", "-", f"UNIX-CONNECT:{name}"], ["nc", "-N", "-U", name]):
        if shutil.which(command[0]) is None:
            raise cli.Skip(f"{command[0]} is not installed")
        scene.start(*command, stdin=b"a\nb\n").done(10).expect(0, out=b"")
    receiver.stop().expect(143, out=b"a\nb\na\nb\n")


def test_asker_ends(scene):
    """nc and socat that end their sending still get all answers of echo"""
    name = scene.path("s")
    server = scene.echo(f"unix://{name}?frame=line")
    text = b"".join(b"line %d\n" % i for i in range(1000))
    asker = scene.start("nc", "-N", "-U", name, stdin=text)
    asker.until_out(len(text))
    other = scene.start("socat", "-t", "20", "-", f"UNIX-CONNECT:{name}", stdin=text)
    other.until_out(len(text))
    server.stop().expect(143)
    for process in (asker, other):
        process.done().expect(0, out=text)


def turned(program):
    """The roles turned round, a point for each program."""
    def test(scene):
        if program != "python3" and shutil.which(program) is None:
            raise cli.Skip(f"{program} is not installed")
        client = {"nc": ["nc", "-U", "NAME"], "socat": ["socat", "-u", "UNIX-CONNECT:NAME", "-"]}
        server = {"nc": ["nc", "-N", "-lU", "NAME"],
                  "socat": ["socat", "-u", "-", "UNIX-LISTEN:NAME"]}
        for frame, wire in (("raw", b"a message"), ("line", b"a message\n"),
                            ("nul", b"a message\0"), ("length32", b"\0\0\0\x09a message")):
            turned_send(scene, frame, client.get(program), wire)
            turned_receive(scene, frame, server.get(program), wire)
            if os.path.exists(scene.path("served")):
                os.unlink(scene.path("served"))
    test.__doc__ = f"send --bind -> {program} connects, and {program} serves -> receive --connect"
    return test


if __name__ == "__main__":
    cli.main(test_examples, test_metadata_in, test_metadata_out, test_sizes, test_checksum,
             test_unknown_fields, test_damaged, test_request, test_answer, test_descriptors_in,
             test_descriptors_unannounced, test_descriptors_missing, test_descriptors_out,
             test_body_file_in, test_body_file_refused, test_body_file_out,
             test_truncated_descriptors, test_sender_ends, test_asker_ends, turned("nc"),
             turned("socat"), turned("python3"))
