#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tutorial, line by line: every command of man/chappe-tutorial.7 prints what the page
shows, and every program on the page is the example of its name."""

import os
import re
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import documents
from documents import tap

PAGE = "man/chappe-tutorial.7"
MARKS = re.compile(r"|varies|(file|part of) \w+\.c")


def mark_problems(blocks):
    for block in blocks:
        if not MARKS.fullmatch(block.mark):
            yield f"line {block.place}: the mark \"{block.mark}\" says nothing"


def run_page(check, blocks, session, tree, examples):
    """One TAP point a command and a program."""
    for block in blocks:
        if block.mark.startswith(("file ", "part of ")):
            name = block.mark.split()[-1]
            check.clean(f"the page shows {name}", documents.shown_file_problems, examples, block)
            shutil.copy(examples / name, tree / "tutorial" / name)
            continue
        for command, shown in block.steps():
            reason = documents.missing(command)
            if reason:
                check.skip(documents.name_of(command), reason)
                continue
            check.clean(documents.name_of(command), documents.output_problems, session, command,
                        shown, block.mark == "varies")
    check.clean("nothing is left running or lying about", documents.leftover_problems, session,
                tree)


def reader_problems(page, blocks):
    """What a reader of the page sees, and may copy, is what was run."""
    text = tap.need("mandoc", "-T", "utf8", page).stdout
    seen = re.sub(r".\x08", "", text).split("\n")
    seen = {line.strip() for line in seen}
    for block in blocks:
        for line in block.lines:
            if line.strip() not in seen:
                yield f"the page does not show this line as it is: {line}"


def plant(check, session, tree, examples, blocks):
    """The test sees what it is for."""
    def red(name, command, shown, expect, **options):
        check.red(name, documents.output_problems, session, command, shown, expect=expect,
                  **options)

    def varying(command, shown):
        return documents.output_problems(session, command, shown, varies=True)

    red("a wrong output", "chappe version", ["chappe 0.0.0"], "-chappe 0.0.0")
    red("output that is not shown", "chappe version", [], "+chappe ")
    red("an output that is missing", "true", ["planted"], "-planted")
    red("an end without a newline", "printf planted", ["planted"], "does not end with a newline")
    check.point("figures may differ where the page says so",
                list(varying("echo '1,024 bytes,  3.5 µs'", ["7 bytes, 99 µs"])))
    check.red("other words where figures may differ", varying, "echo 3 words", ["4 figures"],
              expect="-4 figures")
    wrong = next(block for block in blocks if block.mark.startswith("file "))
    wrong = documents.Block(wrong.mark, "", [*wrong.lines, "planted"], wrong.place)
    check.red("a program that is not the example", documents.shown_file_problems, examples, wrong,
              expect="planted")
    wrong = documents.Block(wrong.mark.replace("file", "part of"), "", ["planted"], wrong.place)
    check.red("a part that is not in the example", documents.shown_file_problems, examples, wrong,
              expect="not in hello_server.c")
    check.red("a mark that says nothing", mark_problems,
              [documents.Block("planted", "", [], 1)], expect="planted")
    session.run("chappe echo unix://./planted --quiet &")
    session.run("chappe request unix://./planted planted")
    check.red("a process left behind", documents.leftover_problems, session, tree,
              expect="still running")
    check.red("a socket left behind", documents.leftover_problems, session, tree,
              expect="left behind: planted")
    check.red("a command without an end", lambda: documents.output_problems(
        session, "tail -f /dev/null", [], seconds=0.3), expect="no end within")


def main():
    check = tap.Tap()
    page, examples = tap.source() / PAGE, tap.source() / "examples"
    blocks = documents.roff_blocks(page.read_text())
    check.clean("every block is a session or a program", mark_problems, blocks)
    if shutil.which("mandoc"):
        check.clean("the page shows what is run", reader_problems, page, blocks)
        check.red("a line that the page does not show", reader_problems, page,
                  [documents.Block("", "", ["planted"], 1)], expect="planted")
    else:
        check.skip("the page shows what is run", "mandoc is not installed")
    with documents.folder() as folder:
        environment = documents.environment(folder, documents.sanitizers())
        (folder / "page").mkdir()
        with documents.Session(folder / "page", environment) as session:
            run_page(check, blocks, session, folder / "page", examples)
        (folder / "planted").mkdir()
        with documents.Session(folder / "planted", environment) as session:
            plant(check, session, folder / "planted", examples, blocks)
    check.finish()


if __name__ == "__main__":
    main()
