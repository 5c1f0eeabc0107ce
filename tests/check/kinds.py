#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Kinds: nothing outside a mechanism's own files asks which mechanism it is. Whoever
needs a difference puts it into the row."""

import re

import tap

# The places where a scheme that somebody wrote is looked up in the table.
LOOKUPS = {"src/mechanism/mechanism.c", "src/cli/mechanisms.c"}

# What help shows as an example is a whole command line.
EXAMPLE = re.compile(r"\bchappe [a-z]+ ")

COMPARES = re.compile(r"\bstrn?(case)?cmp\s*\([^;{]*\bscheme\b")
SWITCHES = re.compile(r"\bswitch\s*\([^{]*(scheme|mechanism|kind|row)\b[^{]*\)\s*\{")
ADDRESSES = re.compile(r"[!=]=\s*&\s*mechanism_\w+|&\s*mechanism_\w+\s*[!=]=")
# The kinds of the program's command line options are no kinds of mechanisms.
SWITCHES_ALLOWED = re.compile(r"\(\s*(option|row|options)\s*(->|\.)\s*kind\s*\)")


def schemes(tree):
    """Every scheme that an address can have -> the row it belongs to."""
    text = (tree / "src/mechanism/meson.build").read_text()
    rows = re.findall(r"'(\w+)'", re.search(r"^rows = \[(.*?)\]", text, re.M | re.S)[1])
    known = {row: row for row in rows}
    for row in rows:
        source = (tree / f"src/mechanism/{row}.c").read_text()
        known.update(dict.fromkeys(re.findall(r'\.alias = "(\w+)"', source), row))
    return known


def own_row(name, known):
    """The row whose file this is: src/mechanism/unix.c, unix_name.c, unix.h."""
    for row in known.values():
        if re.fullmatch(rf"src/mechanism/{row}(_\w+)?\.[ch]", name):
            return row
    return None


def named_kinds(tree):
    known = schemes(tree)
    literal = re.compile(rf"({'|'.join(known)})(://.*)?", re.S)
    anywhere = re.compile(rf"\b({'|'.join(known)})://")
    for path in tap.files(tree / "src", ".c", ".h"):
        name = path.relative_to(tree).as_posix()
        own = own_row(name, known)
        text = tap.without_comments(path.read_text())
        for line, value in tap.strings(text):
            kind = literal.fullmatch(value)
            if name.startswith("src/cli/"):
                if kind or (anywhere.search(value) and not EXAMPLE.search(value)):
                    yield f'{name}:{line}: names a scheme: "{value}"'
            elif kind and own is None:
                yield f'{name}:{line}: names a scheme: "{value}"'
            elif kind and known[kind[1]] != own:
                yield f'{name}:{line}: names the scheme of another row: "{value}"'
        yield from compared_kinds(name, text, own)


def compared_kinds(name, text, own):
    def where(match):
        return f"{name}:{text.count(chr(10), 0, match.start()) + 1}"

    if own is None and name not in LOOKUPS:
        for match in COMPARES.finditer(text):
            yield f"{where(match)}: compares a scheme: {match[0]}"
    for match in SWITCHES.finditer(text):
        if own is None and not SWITCHES_ALLOWED.search(match[0]):
            yield f"{where(match)}: switches on a kind: {match[0]}"
    for match in ADDRESSES.finditer(text):
        yield f"{where(match)}: compares with a row: {match[0]}"


def main():
    check = tap.Tap()
    check.clean("no file asks which mechanism it is", named_kinds, tap.source())

    plants = {
        "a compared scheme": ("src/endpoint/planted.c", "if (!strcmp(row->scheme, name)) f();",
                              "compares a scheme"),
        "a scheme by name": ("src/endpoint/planted.c", 'f("unix");', "names a scheme"),
        "an address of a scheme": ("src/message/planted.c", 'f("pipe://");', "names a scheme"),
        "another row's scheme": ("src/mechanism/pipe_planted.c", 'f("unix");', "another row"),
        "a switch on a kind": ("src/endpoint/planted.c", "switch (end->mechanism->kind) {}",
                               "switches on a kind"),
        "a row's address": ("src/endpoint/planted.c", "if (m == &mechanism_unix) f();",
                            "compares with a row"),
        "a scheme in the program": ("src/cli/planted.c", 'if (is(word, "pipe")) f();',
                                    "names a scheme"),
        "an address in the program": ("src/cli/planted.c", 'f("give unix:///path");',
                                      "names a scheme"),
    }
    for name, (path, text, expect) in plants.items():
        with tap.planted({path: text}) as tree:
            check.red(name, named_kinds, tree, expect=expect)
    check.finish()


if __name__ == "__main__":
    main()
