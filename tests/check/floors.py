#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Floors: a file includes its own floor and those below, and uses no symbol of a higher
one; only os calls the kernel; the program sees the public headers only."""

import pathlib
import re
import tempfile

import tap

FLOORS = ["base", "os", "memory", "message", "domain", "mechanism", "endpoint", "mailbox", "peer",
          "sync", "region", "process", "rpc"]

# What floors other than os may use of the C library: functions that compute and allocate.
PURE = set("""
memcpy memmove mempcpy memset memcmp bcmp memchr memrchr memmem
strlen strnlen strcmp strncmp strcasecmp strncasecmp strchr strrchr strchrnul strstr strspn strcspn
strpbrk stpcpy strdup strndup
strtol strtoul strtoll strtoull snprintf vsnprintf
malloc calloc realloc reallocarray free aligned_alloc posix_memalign
qsort bsearch strerrorname_np strerrordesc_np strerror_r __xpg_strerror_r
isalpha isdigit isalnum isprint isspace isxdigit tolower toupper
__ctype_b_loc __ctype_tolower_loc __ctype_toupper_loc
__errno_location __stack_chk_fail __tls_get_addr _GLOBAL_OFFSET_TABLE_
__cpu_model __cpu_indicator_init __cmsg_nxthdr
""".split())
INSTRUMENTS = re.compile(r"_*(asan|ubsan|tsan|sanitizer|lsan|gcov|llvm)_|__start_asan|__stop_asan")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


def includes(path):
    for match in INCLUDE.finditer(tap.without_comments(path.read_text())):
        yield match[1], match[2]


def upward_includes(tree):
    sources = tree / "src"
    for folder in sorted(path for path in sources.iterdir() if path.is_dir()):
        if folder.name == "cli":
            yield from cli_includes(tree, folder)
        elif folder.name not in FLOORS:
            yield f"src/{folder.name} is no floor"
        else:
            for path in [*folder.rglob("*.[ch]"), *folder.rglob("*.in")]:
                yield from floor_includes(tree, path, FLOORS.index(folder.name))


def floor_includes(tree, path, own):
    name = path.relative_to(tree)
    for quote, included in includes(path):
        if quote == "<":
            continue
        floor = included.split("/")[0]
        if "/" not in included or floor not in FLOORS:
            yield f'{name}: write "{included}" as "floor/file.h"'
        elif FLOORS.index(floor) > own:
            yield f'{name}: includes "{included}" of a higher floor'


def cli_includes(tree, folder):
    internal = {path.name for floor in FLOORS for path in (tree / "src" / floor).rglob("*.h")}
    own = {path.name for path in folder.glob("*.h")}
    for path in folder.rglob("*.[ch]"):
        name = path.relative_to(tree)
        for quote, included in includes(path):
            if quote == '"' and included not in own:
                yield f'{name}: includes "{included}", which is no file of the program'
            public = included.startswith("chappe/")
            if quote == "<" and not public and (included in internal or "/../" in included):
                yield f"{name}: includes <{included}>, which is not public"


def symbols(library):
    """(defined, undefined) names of an archive or object."""
    defined, undefined = set(), set()
    for line in tap.need("nm", "-P", library).stdout.splitlines():
        words = line.split()
        if len(words) >= 2 and words[1] in "UwvUV" and words[1] != "V":
            undefined.add(words[0])
        elif len(words) >= 2 and words[1] in "TDBRVWCuGS":
            defined.add(words[0])
    return defined, undefined


def forbidden_symbols(libraries):
    """libraries: floor -> archive, from the build."""
    home, wanted = {}, {}
    for floor, library in libraries.items():
        defined, wanted[floor] = symbols(library)
        home.update(dict.fromkeys(defined, floor))
    for floor, names in wanted.items():
        for name in sorted(names):
            if name in home:
                if FLOORS.index(home[name]) > FLOORS.index(floor):
                    yield f"{floor}: uses {name} of the higher floor {home[name]}"
            elif floor != "os" and not is_pure(name):
                yield f"{floor}: calls {name}; the kernel and the process are os's"


def is_pure(name):
    plain = re.sub(r"^__(\w+)_chk$", r"\1", name)
    return name in PURE or plain in PURE or bool(INSTRUMENTS.match(name))


def plant_object(folder, floor, text):
    """An archive of that floor made of one planted file."""
    path = pathlib.Path(folder, f"{floor}.c")
    path.write_text(text)
    tap.need(*tap.compiler(), "-O1", "-c", path, "-o", path.with_suffix(".o"))
    return {floor: path.with_suffix(".o")}


def main():
    check = tap.Tap()
    libraries = {floor: tap.build() / f"src/libchappe-{floor}.a" for floor in FLOORS
                 if (tap.source() / "src" / floor).is_dir()}

    check.clean("no file includes a higher floor", upward_includes, tap.source())
    check.clean("only os calls the kernel, no floor uses a higher one's symbols",
                forbidden_symbols, libraries)

    with tap.planted({"src/base/planted.c": '#include "os/os.h"\n'}) as tree:
        check.red("an upward include", upward_includes, tree, expect="higher floor")
    text = '#include <x.h>\n# include "endpoint/y.h"\n'
    with tap.planted({"src/message/planted.h": text}) as tree:
        check.red("an upward include in a header", upward_includes, tree, expect="higher floor")
    with tap.planted({"src/base/planted.c": '#include "../os/os.h"\n'}) as tree:
        check.red("a path around the floors", upward_includes, tree, expect="floor/file.h")
    with tap.planted({"src/cli/planted.c": '#include "base/number.h"\n'}) as tree:
        check.red("an internal header in the program", upward_includes, tree, expect="no file of")
    with tap.planted({"src/stray/planted.c": ""}) as tree:
        check.red("a folder that is no floor", upward_includes, tree, expect="is no floor")
    with tempfile.TemporaryDirectory(prefix="chappe-check-") as folder:
        low = plant_object(folder, "base", "int poll(void *, long, int); int high(void);"
                           "int low(void); int low(void) { return poll(0, 0, 0) + high(); }")
        high = plant_object(folder, "endpoint", "int high(void); int high(void) { return 1; }")
        check.red("a system call outside os", forbidden_symbols, low, expect="calls poll")
        check.red("a symbol of a higher floor", forbidden_symbols, low | high,
                  expect="uses high of the higher floor endpoint")
    check.finish()


if __name__ == "__main__":
    main()
