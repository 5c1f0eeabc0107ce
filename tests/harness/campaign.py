#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a libFuzzer program for some seconds: campaign.py PROGRAM SEEDS FINDINGS SECONDS.
What it finds stays in FINDINGS; copy such a file to SEEDS to keep it as a test."""

import pathlib
import re
import subprocess
import sys
import tempfile


def main(program, seeds, findings, seconds):
    name = pathlib.Path(program).name
    prefix = pathlib.Path(findings, name)
    prefix.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chappe-fuzz-") as corpus:
        done = subprocess.run(
            [program, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024",
             "-max_len=65536", f"-artifact_prefix={prefix}/", "-print_final_stats=1", corpus,
             seeds],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False)
    ran = re.search(r"number_of_executed_units:\s*(\d+)", done.stdout)
    count = int(ran[1]) if ran else 0
    passed = done.returncode == 0 and count > 0
    print("1..1")
    print(f"{'ok' if passed else 'not ok'} 1 - {name}: {count} inputs in {seconds} s")
    if not passed:
        print(f"# exit status {done.returncode}; inputs that failed are in {prefix}")
        for line in done.stdout.splitlines()[-60:]:
            print(f"#   {line}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
