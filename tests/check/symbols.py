#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The public interface: header, version script and both libraries name the same
functions, each one is documented, and the header stands alone in C17 and C++17."""

import re

import tap

HEADER = "include/chappe/chappe.h"
DECLARATION = re.compile(r"^CHAPPE_API\b[^;{]*?\b(chappe_\w+)\s*\(", re.M)
STRICT = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wundef", "-Werror",
          "-pedantic-errors"]


def declared(tree):
    """Names in the order of the header, with what stands above each."""
    text = (tree / HEADER).read_text()
    return {match[1]: text[:match.start()] for match in DECLARATION.finditer(text)}


def mapped(tree):
    text = (tree / "src/chappe.map").read_text()
    return re.findall(r"\b(chappe_\w+);", text)


def map_problems(tree):
    names, header = mapped(tree), set(declared(tree))
    if not header:
        yield "the header declares nothing"
    for name in sorted(header - set(names)):
        yield f"{name} is in the header, not in src/chappe.map"
    for name in sorted(set(names) - header):
        yield f"{name} is in src/chappe.map, not in the header"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is twice in src/chappe.map"
    if not re.search(r"local:\s*\*;", (tree / "src/chappe.map").read_text()):
        yield "src/chappe.map does not hide the rest"


def exported(library):
    lines = tap.need("nm", "-D", "--defined-only", "-P", library).stdout.splitlines()
    return {line.split()[0].split("@")[0] for line in lines if line.split()[1] != "A"}


def global_names(library):
    lines = tap.need("nm", "-g", "--defined-only", "-P", library).stdout.splitlines()
    return {line.split()[0] for line in lines if len(line.split()) > 1}


def library_problems(tree, names):
    header = set(declared(tree))
    for name in sorted(header - names):
        yield f"{name} is declared, but not exported"
    for name in sorted(names - header):
        yield f"{name} is exported, but not declared"


def undocumented(tree):
    for name, above in declared(tree).items():
        if not above.rstrip(" ").endswith("*/\n"):
            yield f"{name} has no comment above it"


def header_problems(tree, language):
    words = ["-x", "c", "-std=c17"] if language == "c" else ["-x", "c++", "-std=c++17"]
    done = tap.run(*tap.compiler(language), *words, *STRICT, tree / HEADER)
    if done.returncode != 0:
        yield done.stderr


def main():
    check = tap.Tap()
    tree = tap.source()
    check.clean("header and version script name the same functions", map_problems, tree)
    shared = exported(tap.build() / "src/libchappe.so")
    check.clean("the shared library exports what the header declares", library_problems, tree,
                shared)
    static = {name for name in global_names(tap.build() / "src/libchappe.a")
              if not name.startswith(("__asan", "__odr_asan", "__tsan", "__ubsan"))}
    check.clean("the static library has no other public names", library_problems, tree, static)
    check.clean("every function is documented", undocumented, tree)
    check.clean("the header compiles alone as C17", header_problems, tree, "c")
    check.clean("the header compiles alone as C++17", header_problems, tree, "c++")

    more = "\nCHAPPE_API int chappe_planted(void);\n#endif"
    with tap.planted({HEADER: lambda text: more.join(text.rsplit("#endif", 1))}) as copy:
        check.red("a function missing in the version script", map_problems, copy,
                  expect="chappe_planted is in the header")
        check.red("a function that is not exported", library_problems, copy, shared,
                  expect="chappe_planted is declared")
        check.red("a function without a comment", undocumented, copy, expect="chappe_planted")
    with tap.planted({"src/chappe.map": lambda text: text.replace("global:",
                                                                 "global: chappe_gone;")}) as copy:
        check.red("a name that the header does not have", map_problems, copy,
                  expect="not in the header")
    check.red("an export too many", library_problems, tree, shared | {"address_parse"},
              expect="address_parse is exported")
    with tap.planted({HEADER: lambda text: text.replace("#include <stdint.h>\n", "")
                      .replace("#include <sys/types.h>\n", "")}) as copy:
        check.red("a header that leans on others", header_problems, copy, "c", expect="error")
        check.red("such a header in C++", header_problems, copy, "c++", expect="error")
    check.finish()


if __name__ == "__main__":
    main()
