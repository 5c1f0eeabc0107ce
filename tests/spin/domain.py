#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""domain.py [--all]: the life of a name in a domain (domain.pml), searched exhaustively by spin:
no assertion is violated, no end is reached that is none, and nobody goes round without
progress. Then with faults in it, which must be noticed. Without --all, the variants that take
long have one death fewer."""

import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "check"))
import tap  # noqa: E402

MODEL = pathlib.Path(__file__).resolve().parent / "domain.pml"

# Variant -> deaths in the short form.
VARIANTS = {"OWNED": 2, "KEPT": 1, "STAYS": 2, "ORPHANS": 0}

FAULTS = ["WITHOUT_BURIAL", "WITHOUT_COMPARE", "LIFE_TOO_LATE", "COMPANION_LAST",
          "DEATH_FORGOTTEN"]


def search(folder, defines, kind):
    """What pan says: (errors, states, text). kind: SAFETY, or NP for cycles without progress."""
    for path in pathlib.Path(folder).iterdir():
        path.unlink()
    tap.need("spin", "-a", *(f"-D{each}" for each in defines), MODEL, cwd=folder)
    tap.need("gcc", "-O2", "-w", "-DCOLLAPSE", "-DMEMLIM=6000", f"-D{kind}", "-o", "pan", "pan.c",
             cwd=folder)
    # -m: deeper than any run. -l: cycles without progress.
    done = tap.run("./pan", "-m100000", *(["-l"] if kind == "NP" else []), cwd=folder,
                   timeout=1000)
    errors = re.search(r"errors: (\d+)", done.stdout)
    states = re.search(r"(\S+) states, stored", done.stdout)
    if not errors or not states or "max search depth too small" in done.stdout:
        return None, "0", done.stdout + done.stderr
    if "Search not completed" in done.stdout and errors[1] == "0":
        return None, states[1], done.stdout
    return int(errors[1]), states[1], done.stdout


def problems_of(folder, defines, kind, told):
    errors, states, text = search(folder, defines, kind)
    told.append(f"{states} states")
    if errors is None:
        yield "the search was not completed"
        yield text[-2000:]
    elif errors > 0:
        yield text[:2000]


def point(check, name, folder, defines, kind):
    told = []
    check.clean(name, lambda: list(problems_of(folder, defines, kind, told)))
    print(f"#   {''.join(told)}")


def main():
    check = tap.Tap()
    everything = "--all" in sys.argv
    missing = [each for each in ("spin", "gcc") if not shutil.which(each)]
    if missing:
        check.skip("the life of a name", f"{' and '.join(missing)} is not installed")
        check.finish()
    with tempfile.TemporaryDirectory(prefix="chappe-spin-") as folder:
        for variant, deaths in VARIANTS.items():
            deaths = 2 if everything else deaths
            defines = [variant, f"CRASHES={deaths}"]
            point(check, f"{variant.lower()}, {deaths} deaths: no promise is broken", folder,
                  defines, "SAFETY")
        for variant in VARIANTS if everything else ("KEPT", "STAYS"):
            deaths = 1 if everything else 0
            point(check, f"{variant.lower()}, {deaths} deaths: everybody gets on", folder,
                  [variant, f"CRASHES={deaths}"], "NP")
        for fault in FAULTS:
            errors, _, text = search(folder, ["OWNED", fault], "SAFETY")
            seen = errors is not None and errors > 0
            check.point(f"red on {fault.lower().replace('_', ' ')}",
                        [] if seen else ["nothing was noticed", text[-1000:]])
    check.finish()


if __name__ == "__main__":
    main()
