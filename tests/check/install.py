#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Installation: what meson install puts into a root is enough to compile and run programs
in C and C++, shared and static, by pkg-config; uninstalling leaves nothing."""

import os
import pathlib
import re
import sys
import tempfile

import tap

PREFIX = "usr"
WANTED = [
    r"bin/chappe",
    r"include/chappe/chappe\.h",
    r"lib(64)?/.*libchappe\.so",
    r"lib(64)?/.*libchappe\.so\.0",
    r"lib(64)?/.*libchappe\.so\.\d+\.\d+\.\d+",
    r"lib(64)?/.*libchappe\.a",
    r"lib(64)?/.*pkgconfig/chappe\.pc",
    r"share/man/man1/chappe\.1",
    r"share/man/man7/chappe-mechanisms\.7",
]


def install(folder):
    """Builds in folder/build, installs into folder/root."""
    build, root = folder / "build", folder / "root"
    env = os.environ | {"CC": " ".join(tap.compiler()), "DESTDIR": str(root)}
    tap.need("meson", "setup", build, tap.source(), f"--prefix=/{PREFIX}", "-Dtests=false",
             "-Dbuildtype=release", env=env)
    tap.need("ninja", "--quiet", "-C", build, env=env)
    tap.need("meson", "install", "-C", build, "--no-rebuild", env=env)
    return build, root


def missing_files(root):
    present = [path.relative_to(root / PREFIX).as_posix() for path in tap.files(root)]
    for pattern in WANTED:
        if not any(re.fullmatch(pattern, name) for name in present):
            yield f"{pattern} is not among {present}"


def libraries(root):
    return next((root / PREFIX).rglob("libchappe.a")).parent


def flags(root, *words):
    env = os.environ | {
        "PKG_CONFIG_SYSROOT_DIR": str(root),
        "PKG_CONFIG_LIBDIR": str(libraries(root) / "pkgconfig"),
    }
    return tap.need("pkg-config", *words, "chappe", env=env).stdout.split()


def hello_problems(folder, root, language, static):
    """Compiles and runs the program."""
    name = f"hello-{language}-{'static' if static else 'shared'}"
    output = folder / name
    suffix, standard = ("c", "-std=c17") if language == "c" else ("cpp", "-std=c++17")
    pkg_config = ["--static"] if static else []
    command = [*tap.compiler(language), standard, "-Wall", "-Wextra", "-Werror",
               tap.source() / f"tests/check/hello.{suffix}", "-o", output,
               *flags(root, "--cflags"), *(["-static"] if static else []),
               *flags(root, *pkg_config, "--libs")]
    tap.need(*command)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", tap.need("readelf", "-d", output).stdout)
    if static and needed:
        yield f"{name} is not static: it needs {needed}"
    if not static and "libchappe.so.0" not in needed:
        yield f"{name} needs {needed}, not libchappe.so.0"
    env = os.environ | {"LD_LIBRARY_PATH": str(libraries(root))}
    done = tap.run(output, f"unix://{folder}/{name}.socket", env=env, timeout=60)
    if done.returncode != 0 or not done.stdout.startswith("hello world"):
        yield f"{name}: status {done.returncode}: {done.stdout}{done.stderr}"
    if (folder / f"{name}.socket").exists():
        yield f"{name} left its socket behind"


def program_problems(root):
    """The installed program needs no library of ours."""
    program = root / PREFIX / "bin/chappe"
    if "libchappe" in tap.need("readelf", "-d", program).stdout:
        yield "the program needs the shared library"
    if tap.run(program, "version").returncode != 0:
        yield "the installed program does not run"


def uninstall_problems(build, root):
    tap.need("ninja", "-C", build, "uninstall", env=os.environ | {"DESTDIR": str(root)})
    for path in sorted(root.rglob("*")):
        # The folders of a prefix belong to the system; only our own one has to go.
        if not path.is_dir() or path.name == "chappe":
            yield f"left behind: {path.relative_to(root)}"


def main():
    check = tap.Tap()
    with tempfile.TemporaryDirectory(prefix="chappe-", dir="/tmp") as name:
        folder = pathlib.Path(name)
        try:
            build, root = install(folder)
        except RuntimeError as error:
            check.point("installs", [error])
            check.finish()
        check.clean("installs what it should", missing_files, root)
        check.clean("the installed program is one file", program_problems, root)
        for language in ("c", "c++"):
            for static in (False, True):
                kind = "static" if static else "shared"
                check.clean(f"{language} program with the {kind} library", hello_problems, folder,
                            root, language, static)
        (root / PREFIX / "bin/chappe").rename(folder / "chappe")
        check.red("a file that is not installed", missing_files, root, expect="bin/chappe")
        (folder / "chappe").rename(root / PREFIX / "bin/chappe")
        stray = libraries(root) / "stray"
        stray.touch()
        found = list(uninstall_problems(build, root))
        stray.unlink()
        check.point("red on a file left behind",
                    [] if any("stray" in problem for problem in found) else ["not found"])
        check.point("uninstalling leaves nothing",
                    [problem for problem in found if "stray" not in problem])
    check.finish()


if __name__ == "__main__":
    sys.exit(main())
