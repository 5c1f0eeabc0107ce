# SPDX-License-Identifier: MIT
"""What the stepper's runs reached: addresses against the instructions of the functions
entered, and the public header against what scenarios cover."""

import collections
import re
import subprocess

FIGURES = re.compile(r"(\w+)=(\d+)")


class Program:
    """The instructions of a program's functions, by disassembly, and which functions are the
    library's."""

    def __init__(self, program, library):
        own = subprocess.run(["nm", "--defined-only", library], text=True, check=True,
                             capture_output=True).stdout
        names = set(re.findall(r"^[0-9a-f]+ [tTwW] (\S+)", own, re.M))
        self.function_at = {}  # address -> name of the function
        self.size = collections.Counter()  # name -> instructions
        listing = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", "--section=.text", program], text=True,
            check=True, capture_output=True).stdout
        name = None
        for line in listing.splitlines():
            head = re.match(r"([0-9a-f]+) <(.+)>:$", line)
            if head:
                name = head[2] if head[2] in names else None
                continue
            instruction = re.match(r"\s+([0-9a-f]+):\s+(\S+)", line)
            # What only fills the space to the next function is no instruction of this one.
            if instruction and name and not re.match(r"(nop|data16|cs|xchg)", instruction[2]):
                self.function_at[int(instruction[1], 16)] = name
                self.size[name] += 1

    def coverage(self, addresses):
        """(instructions reached, instructions of the functions entered, names of these)"""
        reached = [address for address in addresses if address in self.function_at]
        entered = {self.function_at[address] for address in reached}
        return len(reached), sum(self.size[name] for name in entered), entered


def addresses_of(path):
    try:
        return {int(line, 16) for line in path.read_text().split()}
    except FileNotFoundError:
        return set()


def public_functions(header):
    """The functions that a header declares for programs."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
    return set(re.findall(r"^CHAPPE_API[^;(]*?\b(\w+)\s*\(", text, re.M))


def pure_functions(path):
    """Lines "NAME  reason" of the list of functions that nothing has to be stepped of."""
    lines = [line for line in path.read_text().splitlines()
             if line.strip() and not line.startswith("#")]
    return dict(line.split(None, 1) for line in lines)


def uncovered(header, pure, covered):
    """Why the header and the scenarios disagree: sentences."""
    declared, excused = public_functions(header), pure_functions(pure)
    for name in sorted(declared - covered - set(excused)):
        yield f"{name}: no scenario covers it, and it is not in {pure.name}"
    for name in sorted(set(excused) & covered):
        yield f"{name}: is in {pure.name}, and a scenario covers it"
    for name in sorted(set(excused) - declared):
        yield f"{name}: is in {pure.name}, and not in the header"
    for name in sorted(name for name in covered - declared if name.startswith("chappe_")):
        yield f"{name}: a scenario covers it, and it is not in the header"


def figures(line):
    """A line of the stepper: (name of the scenario, its figures)."""
    name, rest = line.split(" ", 1)
    return name, {key: int(value) for key, value in FIGURES.findall(rest)}
