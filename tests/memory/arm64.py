#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The memory floor on ARM64: its sources and its tests, cross-compiled as they are with a
stand-in for the harness, run by qemu. A processor is emulated, not its weak memory: what this
shows is that sizes, layouts and the code for ARM64 are right."""

import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "check"))
import tap  # noqa: E402

COMPILER = "aarch64-linux-gnu-gcc"
EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
POINT = re.compile(r"^(not )?ok \d+ - (.*?)( # SKIP.*)?$")


def build_program(tree, source, folder):
    program = folder / source.stem
    objects = [path for floor in ("memory", "base") for path in
               sorted((tree / "src" / floor).glob("*.c"))
               if floor == "memory" or path.stem in ("crc32c", "error", "text")]
    tap.need(COMPILER, "-std=c17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
             "-Wno-missing-field-initializers", "-static", "-pthread",
             "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections",
             "-I", tree / "tests/memory/arm64", "-I", tree / "tests", "-I", tree / "src",
             "-I", tree / "include", *objects, source, "-o", program)
    return program


def run_program(check, emulator, program):
    """One point for each test of the program."""
    done = tap.run(emulator, program, timeout=600)
    told = []
    seen = 0
    planned = re.match(r"1\.\.(\d+)$", done.stdout.split("\n")[0])
    for line in done.stdout.splitlines():
        point = POINT.match(line)
        if not point:
            told.append(line)
            continue
        seen += 1
        name = f"{program.name}: {point[2]}"
        if point[3]:
            check.skip(name, "; ".join(told) or "no reason given")
        else:
            check.point(name, told + [done.stderr] if point[1] else [])
        told = []
    if not planned or seen != int(planned[1]) or seen == 0:
        check.point(f"{program.name}: all tests ran",
                    [f"status {done.returncode}", done.stdout, done.stderr])


class Points:
    """Catches what would be told."""

    def __init__(self):
        self.problems = []

    def point(self, name, problems):
        self.problems += [f"{name}: {problem}" for problem in problems]

    def skip(self, name, reason):
        pass


PLANTED = """
#include "harness/harness.h"
static void test_fails(void **state) {
    (void)state;
    assert_int_equal(1, 2);
}
static void test_dies(void **state) {
    (void)state;
    abort();
}
static const struct harness_test tests[] = {
    {.name = "fails", .function = test_fails},
    {.name = "dies", .function = test_dies},
};
int main(int argc, char **argv) {
    return harness_main(argc, argv, tests, 2);
}
"""


def planted_problems(tree, emulator, folder):
    source = folder / "planted.c"
    source.write_text(PLANTED)
    points = Points()
    run_program(points, emulator, build_program(tree, source, folder))
    return points.problems


def main():
    check = tap.Tap()
    emulator = next(filter(shutil.which, EMULATORS), None)
    missing = [name for name, found in ((COMPILER, shutil.which(COMPILER)),
                                        (EMULATORS[0], emulator)) if not found]
    if missing:
        check.skip("the memory floor on ARM64", f"not installed: {', '.join(missing)}")
        check.finish()
    tree = tap.source()
    with tempfile.TemporaryDirectory(prefix="chappe-arm64-") as folder:
        for source in sorted((tree / "tests/memory").glob("test_*.c")):
            program = build_program(tree, source, pathlib.Path(folder))
            run_program(check, emulator, program)
        for name, expect in (("a failed assertion", "fails: # "), ("a crash", "signal 6")):
            check.red(name, planted_problems, tree, emulator, pathlib.Path(folder),
                      expect=expect)
    check.finish()


if __name__ == "__main__":
    main()
