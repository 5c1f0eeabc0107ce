#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sums up what meson test wrote: shows failures with their output, lists skips with
their reasons, ends with one line `N passed, N failed, N skipped`.

summary.py [--log NAME=testlog.json | --failed TEXT | --skipped TEXT]...
Exit status: 0 if something passed and nothing failed."""

import json
import re
import sys

POINT = re.compile(r"^(not )?ok\b\s*(\d+)?\s*(?:-\s*)?(.*?)(?:\s#\s*(SKIP)\b\s*(.*))?$", re.I)
PLAN = re.compile(r"^1\.\.(\d+)(?:\s*#\s*SKIP\b\s*(.*))?", re.I)


class Sum:
    def __init__(self):
        self.passed = 0
        self.failures = []  # (name, lines of output)
        self.skips = []

    def add_program(self, build, entry):
        """One line of the log: one test program."""
        # Meson puts the suites before or behind the name: "chappe:check / floors".
        program = f"{build}: {entry['name'].split(' / ')[-1]}"
        output = entry.get("stdout", "")
        failed_before = len(self.failures)
        planned, seen = self.add_points(program, output)
        if planned is not None and seen < planned:
            self.fail(f"{program}: ended after {seen} of {planned} tests", entry)
        elif planned is None and seen == 0 and entry["result"] == "OK":
            self.passed += 1
        elif planned is None and seen == 0 and entry["result"] == "SKIP":
            self.skips.append(f"{program}: exit status 77")
        elif planned is None or "Bail out!" in output:
            self.fail(f"{program}: no complete list of results", entry)
        elif entry["result"] in ("FAIL", "ERROR", "TIMEOUT", "INTERRUPT"):
            if len(self.failures) == failed_before:
                self.fail(program, entry)

    def add_points(self, program, output):
        """Counts the points of a TAP text: (how many were planned, how many were seen)."""
        planned, seen, failure = None, 0, None
        for line in output.splitlines():
            point, plan = POINT.match(line), PLAN.match(line)
            if plan:
                planned = int(plan[1])
                if planned == 0:
                    self.skips.append(f"{program}: {plan[2] or 'nothing to test'}")
            if point:
                seen += 1
                failure = None
                name = f"{program}: {point[3]}"
                if (point[4] or "").upper() == "SKIP":
                    self.skips.append(f"{name}: {point[5] or 'no reason given'}")
                elif point[1]:
                    failure = []
                    self.failures.append((name, failure))
                else:
                    self.passed += 1
            elif failure is not None and not plan:
                failure.append(line)
        return planned, seen

    def fail(self, name, entry):
        lines = [f"# result {entry['result']}, exit status {entry.get('returncode')}"]
        lines += entry.get("stdout", "").splitlines()[-40:]
        lines += entry.get("stderr", "").splitlines()[-80:]
        self.failures.append((name, lines))

    def add_log(self, build, path):
        try:
            with open(path, encoding="utf-8", errors="replace") as log:
                entries = [json.loads(line) for line in log if line.strip()]
        except (OSError, ValueError) as error:
            self.failures.append((f"{build}: no results: {error}", []))
            return
        if not entries:
            self.failures.append((f"{build}: no test ran", []))
        for entry in entries:
            self.add_program(build, entry)

    def show(self):
        for name, lines in self.failures:
            print(f"FAILED {name}")
            for line in lines[:200]:
                print(f"    {line}")
        for skip in self.skips:
            print(f"SKIPPED {skip}")
        print(f"{self.passed} passed, {len(self.failures)} failed, {len(self.skips)} skipped")
        return 0 if self.passed and not self.failures else 1


def main(arguments):
    total = Sum()
    for kind, value in zip(arguments[::2], arguments[1::2]):
        if kind == "--log":
            total.add_log(*value.split("=", 1))
        elif kind == "--failed":
            total.failures.append((value, []))
        elif kind == "--skipped":
            total.skips.append(value)
        else:
            sys.exit(__doc__)
    return total.show()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
