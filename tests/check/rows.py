#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rows: the table of mechanisms, its tests, docs/MECHANISMS.md and the table in README.md
name the same mechanisms, and tell the same of each."""

import json
import re

import tap

# enum chappe_capability, as words: CHAPPE_CAN_MANY_SENDERS is "many senders".
CAPABILITY = re.compile(r"^\s*CHAPPE_CAN_(\w+)", re.M)
SUPPORT = {"refuses", "carries", "acts"}
MANUAL = "docs/MECHANISMS.md"


def printed_rows():
    """scheme -> capability -> support, as the program prints them."""
    lines = tap.need(tap.program(), "mechanisms", "--json").stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["scheme"]: row["support"] for row in rows}


def capabilities(tree):
    header = tap.without_comments((tree / "include/chappe/chappe.h").read_text())
    enum = re.search(r"enum chappe_capability\s*\{(.*?)\}", header, re.S)[1]
    return [name.lower().replace("_", " ") for name in CAPABILITY.findall(enum)]


def stem(name):
    """CHAPPE_CAN_RELIABILITY is "reliable" for people, CHAPPE_CAN_POLL "pollable"."""
    return " ".join(word[:4] for word in name.split())


def capability_problems(tree, rows):
    wanted = capabilities(tree)
    if not wanted or not rows:
        yield "there are no capabilities, or no rows"
    for scheme, support in rows.items():
        if [stem(name) for name in support] != [stem(name) for name in wanted]:
            yield f"{scheme}: capabilities {list(support)}, the header has {wanted}"
        for name, value in support.items():
            if value not in SUPPORT:
                yield f"{scheme}: {name} is {value}"


def test_problems(tree, rows):
    tests = {path.stem[len("test_"):] for path in (tree / "tests/mechanism").glob("test_*.c")}
    sources = {path.stem for path in (tree / "src/mechanism").glob("*.c")}
    for scheme in rows:
        if scheme not in tests:
            yield f"{scheme}: there is no tests/mechanism/test_{scheme}.c"
    for name in sorted(tests - set(rows)):
        # A test of a helper (mechanism.c, unix_name.c) is no test of a row.
        if name not in sources:
            yield f"tests/mechanism/test_{name}.c: there is no row {name}"


def manual_sections(tree):
    """[(scheme, capability -> support)] in the order of the manual."""
    text = (tree / MANUAL).read_text() if (tree / MANUAL).exists() else ""
    parts = re.split(r"^## `(\w+)://`.*$", text, flags=re.M)
    for scheme, body in zip(parts[1::2], parts[2::2]):
        body = re.split(r"^## ", body, flags=re.M)[0]
        cells = re.findall(r"^\|\s*([a-z ]+?)\s*\|\s*(\w+)\s*\|", body, re.M)
        yield scheme, {name: value for name, value in cells if value in SUPPORT}


def manual_problems(tree, rows):
    sections = list(manual_sections(tree))
    names = [scheme for scheme, _ in sections]
    for scheme in rows:
        if names.count(scheme) != 1:
            yield f"{MANUAL}: {names.count(scheme)} sections for {scheme}, one is right"
    for scheme, told in sections:
        if scheme not in rows:
            yield f"{MANUAL}: a section for {scheme}, which is no row"
            continue
        for name in {**rows[scheme], **told}:
            row, manual = rows[scheme].get(name), told.get(name)
            if row != manual:
                yield f"{MANUAL}: {scheme}: {name} is {manual}, the row has {row}"


def readme_problems(tree, rows):
    text = (tree / "README.md").read_text() if (tree / "README.md").exists() else ""
    names = re.findall(r"^\|\s*`(\w+)://", text, re.M)
    for scheme in rows:
        if scheme not in names:
            yield f"README.md: its table has no line for {scheme}"
    for scheme in names:
        if scheme not in rows:
            yield f"README.md: a line for {scheme}, which is no row"


def all_problems(tree, rows):
    for rule in (capability_problems, test_problems, manual_problems, readme_problems):
        yield from rule(tree, rows)


def right_texts(rows):
    """What test_, manual_ and readme_problems ask for."""
    sections = [f"## `{scheme}://`\n\n| capability | support |\n| --- | --- |\n"
                + "".join(f"| {name} | {value} |\n" for name, value in support.items())
                for scheme, support in rows.items()]
    lines = [f"| `{scheme}://path` | what it is |" for scheme in rows]
    texts = {MANUAL: "# Mechanisms\n\n" + "\n".join(sections), "README.md": "\n".join(lines)}
    return texts | {f"tests/mechanism/test_{scheme}.c": "" for scheme in rows}


def plant(check, tree, rows):
    first = next(iter(rows))
    more = rows | {"planted": rows[first]}
    fewer = {scheme: support for scheme, support in rows.items() if scheme != first}
    other = "acts" if rows[first]["type"] == "refuses" else "refuses"
    changed = rows | {first: rows[first] | {"type": other}}
    check.red("a row without a test", test_problems, tree, more, expect="no tests/mechanism")
    check.red("a row without a section", manual_problems, tree, more, expect="0 sections")
    check.red("a row that README.md lacks", readme_problems, tree, more, expect="no line for")
    check.red("a section without a row", manual_problems, tree, fewer, expect="is no row")
    check.red("a line without a row", readme_problems, tree, fewer, expect="is no row")
    check.red("another value in the manual", manual_problems, tree, changed, expect="type is")
    check.red("a row with a capability less", capability_problems, tree,
              {first: dict(list(rows[first].items())[1:])}, expect="the header has")
    check.red("a value that is none", capability_problems, tree,
              {first: rows[first] | {"type": "maybe"}}, expect="type is maybe")


def main():
    check = tap.Tap()
    tree, rows = tap.source(), printed_rows()
    check.clean("the capabilities are the header's", capability_problems, tree, rows)
    check.clean("every row has a test, every test a row", test_problems, tree, rows)
    check.clean("the manual tells what the rows have", manual_problems, tree, rows)
    check.clean("README.md has every row", readme_problems, tree, rows)

    with tap.planted(right_texts(rows)) as copy:
        check.clean("right texts pass", all_problems, copy, rows)
        plant(check, copy, rows)
    with tap.planted(right_texts(rows) | {"tests/mechanism/test_planted.c": ""}) as copy:
        check.red("a test of no row", test_problems, copy, rows, expect="no row planted")
    twice = right_texts(rows)
    twice[MANUAL] += f"\n## `{next(iter(rows))}://`\n"
    with tap.planted(twice) as copy:
        check.red("a second section", manual_problems, copy, rows, expect="2 sections")
    check.finish()


if __name__ == "__main__":
    main()
