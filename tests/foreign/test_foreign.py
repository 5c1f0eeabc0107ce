#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that know nothing of chappe, on the other side of every carrier of bytes: each cell
sends a body one way and compares what arrived byte for byte."""

import os
import pathlib
import random
import shutil
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import cli  # noqa: E402
import tap  # noqa: E402

import envelope  # noqa: E402

MEBIBYTE = 1 << 20
SIZES = {0: "0 bytes", 1: "1 byte", 4096: "4,096 bytes", MEBIBYTE: "1 MiB"}
ENDS = {"line": b"\n", "nul": b"\0"}
PACKET = 65536  # bytes that a foreign program puts into one packet at most
KINDS = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET,
         "datagram": socket.SOCK_DGRAM}
WAIT = ("--timeout", "20s")  # for the foreign program to appear
EMPTY_TOLD = "cannot tell an empty message"
LARGE_TOLD = "the packet is larger than"


def body_of(size, frame):
    """Any bytes, but for the one that ends a message of the frame."""
    body = random.Random(size).randbytes(size)
    return body.replace(ENDS[frame], b"~") if frame in ENDS else body


def wire_of(body, frame):
    """What stands for the message on the carrier, as docs/FORMATS.md says."""
    if frame == "chappe":
        return envelope.encode(body)
    if frame == "length32":
        return struct.pack(">I", len(body)) + body
    return body + ENDS.get(frame, b"")


class Cell:
    """One program, carrier, frame and size."""

    def __init__(self, scene, kind, program, frame, size, abstract=False):
        self.scene, self.kind, self.program = scene, kind, program
        self.frame, self.size = frame, size
        self.body = body_of(size, frame)
        self.wire = wire_of(self.body, frame)
        self.body_file = scene.file("body", self.body)
        self.wire_file = scene.file("wire", self.wire)
        self.name = (f"@chappe-test-{os.getpid()}-{next(cli.NUMBERS)}" if abstract
                     else scene.path("socket"))
        more = "" if kind in ("pipe", "stream") else f"&type={kind}"
        self.address = f"unix://{self.name}?frame={frame}{more}"
        self.empty = frame == "raw" and size == 0
        self.packets = kind in ("seqpacket", "datagram")

    def receive_words(self):
        """How to receive it, and what is written then: an empty message has to be seen, too."""
        if self.frame == "raw" and not self.empty:
            return ["--follow"], self.body
        return (["--lines"], b"\n") if self.size == 0 else ([], self.body)

    # ---- the foreign program sends ----

    def foreign_client(self, text):
        """Sends it, in packets where the carrier has them."""
        if self.program == "python3":
            made = self.scene.connect(self.name, KINDS[self.kind])
            step = PACKET if self.packets else MEBIBYTE * 2
            for at in range(0, max(len(text), 1), step):
                made.sendall(text[at:at + step]) if text or self.packets else None
            if self.kind != "datagram":
                made.shutdown(socket.SHUT_WR)
            return None
        return self.scene.start(*self.client_command(), stdin=text)

    def client_command(self):
        if self.program == "nc":
            # With nothing to send nc ends by itself, else when chappe closes.
            quit_option = ["-w", "1"] if self.empty else ["-N"]
            own = ["-u", "-s", self.scene.path("nc")] if self.kind == "datagram" else []
            return ["nc", *quit_option, *own, "-U", self.name]
        if self.name.startswith("@"):
            return ["socat", "-u", "-", f"ABSTRACT-{self.verb('CONNECT', 'SENDTO')}:"
                    f"{self.name[1:]}"]
        seqpacket = f",socktype={int(socket.SOCK_SEQPACKET)}" if self.kind == "seqpacket" else ""
        return ["socat", "-u", "-",
                f"UNIX-{self.verb('CONNECT', 'SENDTO')}:{self.name}{seqpacket}"]

    def verb(self, connected, datagram):
        return datagram if self.kind == "datagram" else connected

    def into_chappe(self):
        words, written = self.receive_words()
        receiver = self.scene.receiver(self.address, *words)
        client = self.foreign_client(self.wire)
        if self.empty and not (self.kind == "datagram" and self.program == "python3"):
            return self.into_chappe_nothing(receiver, client)
        if self.frame != "raw" or self.empty:
            return receiver.done().expect(0, out=written)
        receiver.until_out(self.size)
        return receiver.stop().expect(143, out=self.body)

    def into_chappe_nothing(self, receiver, client):
        """No byte is no message: what comes after it is the first one."""
        if client is not None:
            client.done().expect(0)
        other = self.scene.connect(self.name, KINDS[self.kind])
        other.send(b"the first")
        return receiver.done().expect(0, out=b"the first\n")

    # ---- chappe sends ----

    def listener_command(self):
        if self.program == "nc":
            return ["nc", *(["-u"] if self.kind == "datagram" else []), "-lU", self.name]
        block = ["socat", "-u", "-b", str(4 * PACKET)]
        if self.name.startswith("@"):
            return [*block, f"ABSTRACT-{self.verb('LISTEN', 'RECV')}:{self.name[1:]}", "-"]
        seqpacket = f",socktype={int(socket.SOCK_SEQPACKET)}" if self.kind == "seqpacket" else ""
        return [*block, f"UNIX-{self.verb('LISTEN', 'RECV')}:{self.name}{seqpacket}", "-"]

    def out_of_chappe(self):
        send = ["send", self.address, "--file", self.body_file, *WAIT]
        if self.program == "python3":
            listener = self.scene.listen(self.name, KINDS[self.kind])
            sender = self.scene.background(*send)
            came = self.python_receives(listener)
            self.judge_sender(sender.done())
        else:
            listener = self.scene.start(*self.listener_command())
            self.judge_sender(self.scene.chappe(*send))
            if self.kind == "datagram":  # which has no end
                came = listener.until_out(len(self.arriving()))
            else:
                came = listener.done().expect(0).out
        cli.same("what the foreign program got", came, self.arriving())

    def refused(self):
        """What the sender says instead of sending, or None."""
        if self.empty and self.kind != "datagram":
            return 1, EMPTY_TOLD
        return (7, LARGE_TOLD) if self.packets and self.size == MEBIBYTE else None

    def arriving(self):
        return b"" if self.refused() else self.wire

    def judge_sender(self, done):
        status, told = self.refused() or (0, None)
        done.expect(status, out=b"", err=told)

    def python_receives(self, listener):
        if self.kind == "datagram":
            return b"" if self.refused() else listener.recv(4 * PACKET)
        return cli.receive_all(listener.accept()[0])


def pipe_command(program):
    """Copies standard input to standard output."""
    return {"cat": ["cat"], "socat": ["socat", "-u", "-", "-"],
            "python3": [sys.executable, "-c",
                        "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"]}[program]


def pipe_into_chappe(cell):
    reader, writer = os.pipe()
    words, written = cell.receive_words()
    with open(cell.wire_file, "rb") as wire:
        foreign = cell.scene.start(*pipe_command(cell.program), stdin=wire, stdout=writer)
    receiver = cell.scene.background("receive", f"stdio://?frame={cell.frame}", *words,
                                     stdin=reader)
    os.close(reader)
    os.close(writer)
    if cell.empty:
        receiver.done().expect(6, out=b"", err="closed after 0 of 1 messages")
    else:
        receiver.done().expect(0, out=written)
    foreign.done().expect(0)


def pipe_out_of_chappe(cell):
    reader, writer = os.pipe()
    foreign = cell.scene.start(*pipe_command(cell.program), stdin=reader)
    sender = cell.scene.background("send", f"stdio://?frame={cell.frame}", "--file",
                                   cell.body_file, stdout=writer)
    os.close(reader)
    os.close(writer)
    cell.judge_sender(sender.done())
    foreign.done().expect(0, out=cell.arriving())


def run_cell(scene, into, *parts):
    cell = Cell(scene, *parts)
    if cell.kind == "pipe":
        (pipe_into_chappe if into else pipe_out_of_chappe)(cell)
    elif into:
        cell.into_chappe()
    else:
        cell.out_of_chappe()


def frames_of(kind, program, size, abstract):
    """Those that make sense in a cell."""
    if kind in ("seqpacket", "datagram") and size == MEBIBYTE:
        return ["raw"]  # a foreign program cannot send such a packet, chappe says so
    if abstract:
        return ["raw", "line"]
    return ["raw", "line", "nul", "length32", *(["chappe"] if program == "python3" else [])]


def cells():
    carriers = [("pipe", ["cat", "socat", "python3"]), ("stream", ["nc", "socat", "python3"]),
                ("seqpacket", ["socat", "python3"]), ("datagram", ["nc", "socat", "python3"])]
    for kind, programs in carriers:
        for program in programs:
            for abstract in (False, True):
                if abstract and (kind in ("pipe", "seqpacket") or program == "nc"):
                    continue
                for into in (True, False):
                    for size in SIZES:
                        for frame in frames_of(kind, program, size, abstract):
                            yield into, kind, program, frame, size, abstract


def name_of(into, kind, program, frame, size, abstract):
    carrier = "pipe" if kind == "pipe" else f"unix {kind}{', abstract' if abstract else ''}"
    ways = f"{program} -> chappe" if into else f"chappe -> {program}"
    return f"{carrier}, {ways}, {frame}, {SIZES[size]}"


def main():
    check = tap.Tap()
    for parts in cells():
        name = name_of(*parts)
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        if parts[2] != "python3" and shutil.which(parts[2]) is None:
            check.skip(name, f"{parts[2]} is not installed")
            continue
        cli.attempt(check, name, run_cell, *parts)
    check.finish()


if __name__ == "__main__":
    main()
