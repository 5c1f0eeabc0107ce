# SPDX-License-Identifier: MIT
"""The envelope of the frame `chappe`, written from docs/FORMATS.md alone: what follows that
page can talk to chappe."""

import struct

TYPE, PRIORITY, CORRELATION, TIME, KIND, DESCRIPTORS, BODY_FILE, CHECKSUM = (*range(1, 8), 127)
FORMS = {TYPE: "<q", PRIORITY: "<I", CORRELATION: "<Q", TIME: "<q", KIND: "<B",
         DESCRIPTORS: "<B", BODY_FILE: "<Q", CHECKSUM: "<I"}


def crc_row(index):
    for _ in range(8):
        index = index >> 1 ^ (0x82F63B78 if index & 1 else 0)
    return index


CRC_TABLE = [crc_row(index) for index in range(256)]


def crc32c(text):
    crc = 0xFFFFFFFF
    for byte in text:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def encode(body, fields=None, checksum=False):
    fields = fields or {}
    if not fields and not checksum and len(body) <= 65535:
        size = struct.pack("<H", len(body))
        return bytes([0xC7, 0xA5 ^ size[0] ^ size[1]]) + size + body
    meta = b"".join(bytes([tag, struct.calcsize(FORMS[tag])]) + struct.pack(FORMS[tag], value)
                    for tag, value in sorted(fields.items()))
    full = len(meta) + (6 if checksum else 0)
    sizes = struct.pack("<HI", full, len(body))
    if checksum:
        meta += bytes([CHECKSUM, 4])
        meta += struct.pack("<I", crc32c(b"\xc8\0" + sizes + meta + body))
    return bytes([0xC8, crc32c(b"\xc8\0" + sizes + meta) & 255]) + sizes + meta + body


def decode(text):
    """(body, fields, what follows); ValueError when something is wrong."""
    size = int.from_bytes(text[2:4], "little")
    if text[0] == 0xC7:
        if text[1] != 0xA5 ^ text[2] ^ text[3] or len(text) < 4 + size:
            raise ValueError("short form")
        return text[4:4 + size], {}, text[4 + size:]
    if text[0] != 0xC8:
        raise ValueError("first byte")
    end, long_size = 8 + size, int.from_bytes(text[4:8], "little")
    if text[1] != crc32c(b"\xc8\0" + text[2:end]) & 255 or len(text) < end + long_size:
        raise ValueError("long form")
    fields, at, body = {}, 8, text[end:end + long_size]
    while at < end:
        tag, value = text[at], text[at + 2:at + 2 + text[at + 1]]
        if tag == CHECKSUM and crc32c(b"\xc8\0" + text[2:at + 2] + body) != int.from_bytes(
                value, "little"):
            raise ValueError("checksum")
        fields[tag], = struct.unpack(FORMS[tag], value)
        at += 2 + len(value)
    return body, fields, text[end + long_size:]
