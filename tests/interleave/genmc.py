#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The memory floor under genmc, a model checker for C11 that others made, with the library's
own shared words: genmc/*.c. Without genmc the models only have to compile and to run once."""

import os
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "check"))
import tap  # noqa: E402

INCLUDES = [f"-I{HERE.parent.parent / 'src'}", "-D_GNU_SOURCE", "-DINDEX_STRIDE=1"]


def explored(model):
    done = tap.run("genmc", "--rc11", "--unroll=8", "--", *INCLUDES, model, timeout=900)
    for line in (done.stdout + done.stderr).splitlines():
        if "executions" in line:
            print(f"#   {line.strip()}")
    if done.returncode != 0:
        yield done.stdout[-3000:] + done.stderr[-3000:]


def runs(model):
    with tempfile.TemporaryDirectory(prefix="chappe-genmc-") as folder:
        program = pathlib.Path(folder, "model")
        tap.need(os.environ.get("CC", "cc"), "-std=c17", *INCLUDES, "-o", program, model,
                 "-pthread")
        done = tap.run(program, timeout=60)
        if done.returncode != 0:
            yield f"status {done.returncode}: {done.stderr}"


def main():
    check = tap.Tap()
    for model in sorted((HERE / "genmc").glob("*.c")):
        check.clean(f"{model.stem}: the model runs", runs, model)
        if shutil.which("genmc"):
            check.clean(f"{model.stem}: genmc finds nothing", explored, model)
        else:
            check.skip(f"{model.stem}: genmc finds nothing", "genmc is not installed")
    check.finish()


if __name__ == "__main__":
    main()
