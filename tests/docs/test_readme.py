#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""README.md, block by block, in a copy of the source tree: its commands work and print what
it shows, its programs are the examples, its links lead somewhere. And the commands in
docs/."""

import json
import os
import pathlib
import re
import shlex
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import documents
from documents import tap

BUILD_SECONDS = 300
MARKS = {
    "c": re.compile(r"file \w+\.c"),
    "console": re.compile(r"|varies"),
    "sh": re.compile(r"|not run: .+"),
}
LINES_OF_A_PROGRAM = 20


def mark_problems(blocks):
    for block in blocks:
        if block.language not in MARKS or not MARKS[block.language].fullmatch(block.mark):
            yield (f"line {block.place}: a block in \"{block.language}\" marked "
                   f"\"{block.mark}\" is no session, no commands and no program")


def program_problems(examples, block):
    yield from documents.shown_file_problems(examples, block)
    if len(block.lines) > LINES_OF_A_PROGRAM:
        yield f"line {block.place}: {len(block.lines)} lines"


def script_problems(tree, block):
    """A script that cannot be run here is there to be run."""
    for line in block.lines:
        if not os.access(tree / line.split()[0], os.X_OK):
            yield f"{line.split()[0]} is not in the tree"


def command_problems(session, command):
    """A command whose output is not shown."""
    printed, status = session.run(command, BUILD_SECONDS)
    if status != 0:
        yield f"status {status}\n{printed[-4000:]}"


def run_blocks(check, blocks, session, tree):
    for block in blocks:
        place = f"line {block.place}"
        if block.language == "c":
            check.clean(f"{place} shows {block.mark.split()[-1]}", program_problems,
                        tree / "examples", block)
        elif block.mark.startswith("not run"):
            check.clean(f"{place} names scripts of the tree", script_problems, tree, block)
        elif block.language == "sh":
            for command in block.lines:
                check.clean(documents.name_of(command), command_problems, session, command)
        else:
            for command, shown in block.steps():
                check.clean(documents.name_of(command), documents.output_problems, session,
                            command, shown, block.mark == "varies")


def commands_in(text):
    """What begins with chappe: a line of a fenced block, or a piece of code in the text."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    fenced = [line.removeprefix("$ ") for block in documents.fenced_blocks(text)
              for line in block.lines if block.language != "console"]
    pieces = [" ".join(piece.split()) for piece in re.findall(r"`([^`]+)`", outside)]
    return sorted({line for line in [*fenced, *pieces] if line.startswith("chappe ")})


def mentioned_problems(session, command):
    """A command in a text works. One with a word in capitals is a form: its name is right."""
    if any(re.fullmatch(r"\[?[A-Z]{2,}[\]…]*", word) for word in shlex.split(command)):
        command = f"chappe help {shlex.split(command)[1]}"
    yield from command_problems(session, command)


def link_problems(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if "://" not in target and not (path.parent / target).exists():
            yield f"{path.name} leads to {target}, which does not exist"


def kind_of(address):
    """An address without its place: where it is, and in which domain."""
    address = re.sub(r"domain=\{dir\}&?", "", address)
    return re.sub(r"//[^?]*", "//", address).removesuffix("?")


def table_problems(text, addresses):
    """The table has a line for every address that the tour tries."""
    shown = {kind_of(cell) for cell in re.findall(r"^\| `([^`]+)`", text, re.M)}
    tried = {kind_of(address) for address in addresses}
    for address in sorted(tried - shown):
        yield f"no line for {address}"
    for address in sorted(shown - tried):
        yield f"a line for {address}, which chappe tour does not measure"


def tried_addresses():
    rows = tap.need(tap.program(), "mechanisms", "--json").stdout.splitlines()
    return [address for row in rows for address in json.loads(row)["trials"]]


def plant(check, session, tree, text):
    check.red("a command that fails", command_problems, session, "chappe planted",
              expect="status 2")
    check.red("a block of another kind", mark_problems,
              documents.fenced_blocks("```planted\n```\n"), expect="planted")
    check.red("a program that is too long", program_problems, tree / "examples",
              documents.Block("part of batch.c", "c", ["planted"] * 21, 1), expect="21 lines")
    check.red("a script that does not exist", script_problems, tree,
              documents.Block("not run: planted", "sh", ["./planted"], 1), expect="./planted")
    found = commands_in("Try `chappe\nplanted`.\n```sh\nchappe other\n```\n")
    check.point("commands are found in texts and blocks",
                [] if found == ["chappe other", "chappe planted"] else [found])
    check.red("a command that does not exist", mentioned_problems, session,
              "chappe planted ADDRESS", expect="status 2")
    (tree / "planted.md").write_text("[text](planted.txt)")
    check.red("a link that leads nowhere", link_problems, tree / "planted.md",
              expect="planted.txt")
    check.red("an address without a line", table_problems, text, [*tried_addresses(), "planted://"],
              expect="no line for planted://")
    check.red("a line without an address", table_problems, text, tried_addresses()[1:],
              expect="a line for")


def main():
    check = tap.Tap()
    documents_of_docs = sorted((tap.source() / "docs").glob("*.md"))
    text = (tap.source() / "README.md").read_text()
    blocks = documents.fenced_blocks(text)
    check.clean("every block is a session, commands or a program", mark_problems, blocks)
    check.clean("the table has what the tour measures", table_problems, text, tried_addresses())
    for path in [tap.source() / "README.md", *documents_of_docs]:
        check.clean(f"{path.name}: its links lead somewhere", link_problems, path)
    with documents.folder() as folder:
        tree = folder / "chappe"
        shutil.copytree(tap.source(), tree, ignore=shutil.ignore_patterns(*tap.SKIPPED_FOLDERS))
        # It builds and installs a library without sanitizers for itself.
        environment = documents.environment(folder, []) | {"CC": " ".join(tap.compiler())}
        with documents.Session(tree, environment) as session:
            run_blocks(check, blocks, session, tree)
            for path in [pathlib.Path("README.md"), *documents_of_docs]:
                for command in commands_in((tap.source() / path).read_text()):
                    check.clean(f"{path.name}: {documents.name_of(command)}", mentioned_problems,
                                session, command)
            check.clean("nothing is left running or lying about", documents.leftover_problems,
                        session, tree)
            plant(check, session, tree, text)
    check.finish()


if __name__ == "__main__":
    main()
