#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the seeds of the fuzz targets: make_seeds.py [FOLDER]. Files that campaigns found
and that were kept beside them are left alone."""

import pathlib
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def short(body):
    size = struct.pack("<H", len(body))
    return bytes([0xC7, 0xA5 ^ size[0] ^ size[1]]) + size + body


def field(tag, form, value):
    packed = struct.pack("<" + form, value)
    return bytes([tag, len(packed)]) + packed


def long(body, fields=b"", size=None, checksum=False):
    size = len(body) if size is None else size
    length = len(fields) + (6 if checksum else 0)
    head = struct.pack("<BBHI", 0xC8, 0, length, min(size, 0xFFFFFFFF)) + fields
    if checksum:
        head += bytes([127, 4])
        head += struct.pack("<I", crc32c(head + body))
    return head[:1] + bytes([crc32c(head) & 0xFF]) + head[2:] + body


EVERYTHING = (field(1, "q", 7) + field(2, "I", 3) + field(3, "Q", 5) + field(4, "q", -1) +
              field(5, "B", 1) + field(6, "B", 2))

STREAMS = {
    "empty": b"",
    "short": short(b"") + short(b"hello") + short(b"x" * 300),
    "long": long(b"hello", EVERYTHING) + short(b"next"),
    "file": long(b"", field(7, "Q", 1000)),
    "huge": long(b"few", field(8, "Q", 1 << 40), size=1 << 40),
    "announced": long(b"few", size=1 << 30),
    "limit": long(b"x" * 4097) + short(b"after"),
    "checksum": long(b"hello", EVERYTHING, checksum=True) + long(b"", checksum=True),
    "damaged": long(b"hello", checksum=True)[:-1] + b"0" + short(b"after"),
    "newer": long(b"hello", field(200, "I", 1)),
    "too-new": long(b"hello", field(100, "I", 1)),
    "cut": long(b"hello", EVERYTHING)[:20],
    "check": b"\xC7\x00\x01\x00a",
    "disorder": long(b"", field(5, "B", 1) + field(1, "q", 7)),
    "wrong-size": long(b"", field(1, "I", 7)),
    "lines": b"one\n\ntwo\nthree",
    "strings": b"one\0\0two\0three",
    "lengths": b"\0\0\0\x05hello\0\0\0\0\0\0\x01\0few",
    "foreign": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}

ADDRESSES = {
    "pipe": b"pipe://",
    "descriptors": b"pipe://3,-?capacity=64K",
    "path": b"unix:///run/my.socket?type=seqpacket&mode=0660",
    "abstract": b"unix://@a%00b?uid=self&limit=4K&frame=length32",
    "escaped": b"x://%2f%3F%25a",
    "percent": b"x://%4",
    "twice": b"x://a?limit=1&limit=2",
    "many": b"x://?" + b"&".join(b"o%d" % i for i in range(17)),
    "unknown": b"x://a?frmae=raw",
    "limit": b"x://a?limit=16777216T",
    "none": b"nothing",
    "long": b"unix:///" + b"x" * 4100,
}


def write(folder, name, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main(root):
    for name, data in ADDRESSES.items():
        write(root / "address", name, data)
    for name, data in STREAMS.items():
        for frame in range(6):
            write(root / "frame", f"{name}-{frame}", bytes([frame, 4, 0]) + data)
            carrier = frame | (0x80 if frame % 2 else 0)
            split = 0x10 if len(name) % 2 else 0
            write(root / "stream", f"{name}-{frame}", bytes([carrier, split]) + data)
    print(f"{len(ADDRESSES) + 12 * len(STREAMS)} seeds in {root}")


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here / "seeds")
