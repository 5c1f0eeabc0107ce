#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Manual pages: those that are generated and those in man/ are well formed, and the
generated ones know every command and every mechanism."""

import json
import pathlib
import re
import shutil
import tempfile

import tap


def lint_problems(page):
    # A page has no date: it would change with every build, or be forgotten.
    told = tap.run("mandoc", "-T", "lint", "-W", "warning", page)
    for line in (told.stdout + told.stderr).splitlines():
        if "missing date" not in line:
            yield line


def text_of(page):
    """The page as a reader sees it, without the overstrikes of bold and underline."""
    return re.sub(r".\x08", "", tap.need("mandoc", "-T", "utf8", page).stdout)


def missing_words(page, words):
    text = text_of(page)
    for word in words:
        if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text):
            yield f"{page.name} does not say {word}"


def commands():
    """The names in the help's list: two blanks, the name, the summary."""
    text = tap.need(tap.program(), "help").stdout
    names = re.findall(r"^  ([a-z]+)\s{2,}\S", text, re.M)
    assert {"send", "receive", "help"} <= set(names), f"no list of commands in:\n{text}"
    return names


def schemes():
    lines = tap.need(tap.program(), "mechanisms", "--json").stdout.splitlines()
    return [json.loads(line)["scheme"] for line in lines]


def main():
    check = tap.Tap()
    build = tap.build()
    generated = [build / "chappe.1", build / "chappe-mechanisms.7"]
    written = sorted((tap.source() / "man").glob("*.[1-8]"))
    listed = (tap.source() / "meson.build").read_text()
    check.point("every page in man/ is installed",
                [f"{page.name} is not in meson.build" for page in written
                 if f"'man/{page.name}'" not in listed])
    if not shutil.which("mandoc"):
        check.skip("the pages are well formed", "mandoc is not installed")
        check.finish()
    for page in [*generated, *written]:
        check.clean(f"{page.name} is well formed", lint_problems, page)
    check.clean("chappe.1 has every command", missing_words, generated[0], commands())
    check.clean("chappe-mechanisms.7 has every mechanism", missing_words, generated[1],
                [f"{scheme}://" for scheme in schemes()])
    check.red("a command without a manual", missing_words, generated[0], ["planted"],
              expect="planted")
    with tempfile.TemporaryDirectory(prefix="chappe-check-") as folder:
        page = pathlib.Path(folder, "planted.7")
        page.write_text(".TH\n.SH NAME\n.XX nothing\n")
        check.red("a page with an unknown macro", lint_problems, page, expect="unknown macro")
    check.finish()


if __name__ == "__main__":
    main()
