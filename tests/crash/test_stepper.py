#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The stepper (tests/crash/stage.h tells how it works): every operation is killed and stopped
after its instructions, in the library as it is installed: optimised, without sanitizers.

test_stepper.py [--all] [--most N] [--compiler gcc|clang] [PATTERN...]
--all: every point, not some; without it, what `./test` has time for. --most: at most so many
points of each kind in each operation, evenly spread."""

import argparse
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parent.parent / "check")]

import report  # noqa: E402
import tap  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parent
SOURCE = FOLDER.parent.parent


def build_folder(compiler):
    parent = os.environ.get("CHAPPE_BUILD", str(SOURCE / "build"))
    return pathlib.Path(parent, f"crash-{pathlib.Path(compiler).name}")


def build(compiler):
    """Builds the library as it is installed, and the stepper. Result: the folder."""
    folder = build_folder(compiler)
    if not (folder / "build.ninja").exists():
        shutil.rmtree(folder, ignore_errors=True)
        tap.need("meson", "setup", folder, SOURCE, "-Dbench=false",
                 env=os.environ | {"CC": compiler, "CXX": compiler.replace("gcc", "g++")})
    tap.need("ninja", "-C", folder, "tests/crash/crash")
    return folder


def listed(program):
    """Every scenario -> what it covers."""
    lines = tap.need(program, "-l").stdout.splitlines()
    return {words[0]: set(words[1:]) for words in map(str.split, lines)}


class Totals:
    def __init__(self):
        self.sums = {}
        self.reached = set()
        self.scenarios = 0

    def add(self, numbers, addresses):
        for key, value in numbers.items():
            self.sums[key] = self.sums.get(key, 0) + value
        self.reached |= addresses
        self.scenarios += 1

    def tell(self, program, compiler):
        reached, entered, functions = program.coverage(self.reached)
        sums = self.sums
        print(f"# {compiler}: {self.scenarios} operations, {sums.get('steps', 0)} single steps, "
              f"{sums.get('kills', 0)} kills ({sums.get('calls', 0)} in system calls), "
              f"{sums.get('stops', 0)} stops, {sums.get('pairs', 0)} pairs of kills, "
              f"{sums.get('missed', 0)} elsewhere than meant")
        print(f"# {compiler}: {reached} instruction addresses reached of {entered} in the "
              f"{len(functions)} functions entered; the library has {len(program.size)} functions "
              f"of {sum(program.size.values())} instructions")


def run(check, folder, compiler, options):
    """One point for each scenario."""
    program = report.Program(folder / "tests/crash/crash", folder / "src/libchappe-internal.a")
    totals = Totals()
    with tempfile.TemporaryDirectory(prefix="chappe-reached-") as addresses:
        command = [folder / "tests/crash/crash", "-o", addresses]
        command += ["-a"] if options.all else []
        command += ["-m", str(options.most)] if options.most else []
        command += options.patterns
        with subprocess.Popen(command, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE) as stepper:
            failures = []
            for line in stepper.stdout:
                if line.startswith("#"):
                    failures.append(line[2:].rstrip())
                    continue
                name, numbers = report.figures(line)
                path = pathlib.Path(addresses, name.replace("/", "="))
                reached = report.addresses_of(path)
                totals.add(numbers, reached)
                tell(check, program, f"{compiler} {name}", numbers, reached, failures)
                failures = []
        check.point(f"{compiler}: the stepper came to its end",
                    [] if stepper.returncode in (0, 1) and totals.scenarios else
                    [f"exit status {stepper.returncode} after {totals.scenarios} scenarios"])
    totals.tell(program, compiler)


# What has to be found in operations that have a fault (scenarios/planted.c).
PLANTED = {
    "planted/blocked": "the survivors are blocked",
    "planted/torn": "torn",
    "planted/lost": "is lost",
    "planted/doubled": "received twice",
    "planted/late": "a late step undid",
    "planted/file": "files are left",
    "planted/segment": "System V segments are left",
    "planted/descriptor": "descriptors before",
    "planted/mapping": "shared mappings before",
}


def find_planted(check, folder, compiler):
    """Each planted fault has to be found, and by what was meant to find it."""
    found = tap.run(folder / "tests/crash/crash", "planted/*").stdout
    for name, expect in PLANTED.items():
        lines = [line for line in found.splitlines() if name in line]
        seen = any(line.startswith("#") and expect in line for line in lines)
        check.point(f"{compiler}: red on {name}", [] if seen else [f"no “{expect}”", *lines])


def tell(check, program, name, numbers, reached, failures):
    count, entered, functions = program.coverage(reached)
    if numbers["failed"] and not failures:
        failures = [f"{numbers['failed']} failures"]
    check.point(name, failures)
    print(f"#   {numbers['length']} instructions, {numbers['visible']} seen by others; "
          f"{count} addresses of {entered} in {len(functions)} functions; "
          f"{numbers['kills']} kills, {numbers['stops']} stops, {numbers['pairs']} pairs")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--most", type=int)
    parser.add_argument("--compiler", action="append")
    parser.add_argument("patterns", nargs="*")
    options = parser.parse_args()
    check = tap.Tap()
    if platform.machine() != "x86_64":
        check.skip("the stepper", "it steps through x86-64 code")
        check.finish()
    if not shutil.which("objdump"):
        check.skip("the stepper", "objdump is not installed")
        check.finish()
    compilers = options.compiler or [os.environ.get("CHAPPE_CC", "gcc").split()[-1]]
    for compiler in compilers:
        folder = build(compiler)
        covered = set().union(*listed(folder / "tests/crash/crash").values())
        check.clean(f"{compiler}: scenarios cover the public header", report.uncovered,
                    SOURCE / "include/chappe/chappe.h", FOLDER / "pure.txt", covered)
        check.red(f"{compiler}: a function that nothing covers", report.uncovered,
                  SOURCE / "include/chappe/chappe.h", FOLDER / "pure.txt",
                  covered - {"chappe_send"}, expect="chappe_send: no scenario")
        find_planted(check, folder, compiler)
        run(check, folder, compiler, options)
    check.finish()


if __name__ == "__main__":
    main()
