#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Words, options and help of the program: what is printed where, and the exit status."""

import json
import os
import re

import cli
from cli import need, same

COMMANDS = ["tour", "send", "receive", "echo", "request", "domain", "mechanisms", "help",
            "version"]
OPTIONS = {
    "tour": ["only", "json"],
    "send": ["file", "lines", "type", "priority", "fd", "stamp", "timeout", "bind"],
    "receive": ["count", "follow", "lines", "json", "type", "timeout", "connect"],
    "echo": ["connect", "count", "quiet"],
    "request": ["file", "type", "timeout", "json"],
    "domain": ["group", "mode", "json"],
    "mechanisms": ["json", "roff"],
    "help": ["roff"],
    "version": [],
}


def wrong(scene, words, err, **options):
    """Wrong usage: status 2, nothing on standard output, a sentence."""
    scene.chappe(*words, **options).expect(2, out=b"", err=err)


def test_version(scene):
    """version and --version write one line"""
    done = scene.chappe("version").expect(0, err="^$")
    need(re.fullmatch(rb"chappe \d+\.\d+\.\d+\n", done.out), done.told())
    same("--version", scene.chappe("--version").expect(0).out, done.out)
    wrong(scene, ["version", "x"], "“x” is one argument too many")


def test_overview(scene):
    """help, --help and -h list every command and every mechanism, examples first"""
    text = scene.chappe("help").expect(0, err="^$").out.decode()
    for name in COMMANDS:
        need(re.search(rf"^  {name} ", text, re.M), f"{name} is missing in\n{text}")
    for line in scene.chappe("mechanisms", "--json").out.splitlines():
        need(json.loads(line)["form"] in text, f"{line} is missing in\n{text}")
    need(text.index("Try") < text.index("Usage") < text.index("Commands"), text)
    need(max(map(len, text.splitlines())) <= 80, "a line has more than 80 columns")
    for word in ("--help", "-h"):
        same(word, scene.chappe(word).expect(0).out.decode(), text)


def test_help_of_commands(scene):
    """help COMMAND, COMMAND --help and COMMAND -h tell all options and exit statuses"""
    for name in COMMANDS:
        text = scene.chappe("help", name).expect(0, err="^$").out.decode()
        for option in OPTIONS[name]:
            need(f"  --{option}" in text, f"--{option} is missing in\n{text}")
        same(f"options of {name}", re.findall(r"^  --(\w+)", text, re.M), OPTIONS[name])
        for status in (0, 1, 2, 3, 4, 5, 6, 7, 128):
            need(re.search(rf"^  {status} +\w", text, re.M), f"status {status} in\n{text}")
        need(text.index("Examples") < text.index("Usage"), text)
        need(max(map(len, text.splitlines())) <= 80, f"{name}: more than 80 columns")
        for words in ((name, "--help"), (name, "-h"), (name, "--help", "rubbish")):
            same(" ".join(words), scene.chappe(*words).expect(0, err="^$").out.decode(), text)


def test_help_of_mechanisms(scene):
    """help SCHEME tells what mechanisms SCHEME tells; aliases are known"""
    for name in ("unix", "pipe", "shm", "map", "stdio"):
        text = scene.chappe("help", name).expect(0).out
        same(name, scene.chappe("mechanisms", name).expect(0).out, text)
        need(b"What kill -9 loses" in text, text)
    same("alias", scene.chappe("help", "stdio").out, scene.chappe("help", "pipe").out)


def test_roff(scene):
    """--roff writes manual pages, alone"""
    text = scene.chappe("help", "--roff").expect(0).out
    need(b".TH" in text or b".Dd" in text, text[:200])
    need(all(name.encode() in text for name in COMMANDS), "a command is missing")
    text = scene.chappe("mechanisms", "--roff").expect(0).out
    need(all(name in text for name in (b"unix", b"pipe", b"shm", b"map")), text[:200])
    wrong(scene, ["help", "--roff", "send"], "whole manual page")
    wrong(scene, ["mechanisms", "--roff", "unix"], "whole manual page")
    wrong(scene, ["mechanisms", "--roff", "--json"], "whole manual page")


def test_no_command(scene):
    """no command: status 2 and something to try"""
    wrong(scene, [], "no command: try chappe tour")


def test_unknown_command(scene):
    """unknown command: the nearest one is suggested, nothing when there is none near"""
    for typed, meant in (("sned", "send"), ("recieve", "receive"), ("mech", "mechanisms"),
                         ("ech", "echo"), ("tuor", "tour"), ("domian", "domain"),
                         ("versoin", "version")):
        wrong(scene, [typed], f"unknown command “{typed}”, did you mean {meant}\\?")
    for typed in ("xyzzy", "", "-", "a" * 5000):
        done = scene.chappe(typed).expect(2, out=b"", err="unknown (command|option)")
        need("did you mean" not in done.words, done.told())
    wrong(scene, ["help", "sned"], "did you mean send")
    wrong(scene, ["help", "unxi"], "did you mean unix")


def test_unknown_option(scene):
    """unknown option: the nearest one is suggested, usage is shown"""
    for command, options in OPTIONS.items():
        for option in options:
            typed = "--" + option[:-1] + "xx" if len(option) > 5 else "--q" + option
            done = scene.chappe(command, typed).expect(2, out=b"", err=f"option {typed}")
            need(f"did you mean --{option}?" in done.words or len(option) < 4, done.told())
            need(f"usage: chappe {command}" in done.words, done.told())
    wrong(scene, ["send", "unix:///x", "--nothing-like-it"], "unknown option --nothing-like-it")
    wrong(scene, ["send", "unix:///x", "-z"], "unknown option -z")
    wrong(scene, ["receive", "-lines", "x"], "unknown option -l")


def test_option_values(scene):
    """options without their value, or with one that they do not take"""
    wrong(scene, ["send", "unix:///x", "--type"], "--type needs a value")
    wrong(scene, ["send", "unix:///x", "--lines=3"], "--lines takes no value")
    wrong(scene, ["receive", "unix:///x", "--timeout"], "--timeout needs a value")


def test_numbers(scene):
    """bad numbers are refused by name and value"""
    for value in ("0", "-1", "x", "", "1x", "1.5", " 1", "9223372036854775808", "1e3", "0x10"):
        wrong(scene, ["send", "unix:///x", "--type", value, "t"], "--type wants a number from 1 to")
        wrong(scene, ["receive", "unix:///x", "--count", value], "--count wants a number from 1 to")
    for value in ("-1", "4294967296", "high"):
        wrong(scene, ["send", "unix:///x", "--priority", value, "t"],
              "--priority wants a number from 0 to 4294967295")
    wrong(scene, ["receive", "unix:///x", "--type", "-1"], "--type wants a number from 0 to")


def test_durations(scene):
    """bad durations are refused, every unit is known"""
    for value in ("", "x", "-1", "1 s", "1.s", ".5", "5d", "1e3", "99999999999999999999s", "ms"):
        for words in (["send", "unix:///x", "t"], ["receive", "unix:///x"],
                      ["request", "unix:///x", "t"]):
            wrong(scene, [*words, "--timeout", value], "--timeout wants a duration")
    name = scene.path("nobody")
    for value in ("0", "0s", "0.0s", "1us", "1ms", "0.001", "0.001s", "0m", "0h", "0min"):
        scene.chappe("send", f"unix://{name}", "t", "--timeout", value).expect(
            4, err="nobody is there")


def test_descriptors(scene):
    """--fd wants an open descriptor"""
    for value, told in (("x", "the number of an open descriptor"), ("-1", "an open descriptor"),
                        ("99", "descriptor 99 is not open here"),
                        ("99999999999", "the number of an open descriptor")):
        wrong(scene, ["send", "unix:///x", "t", "--fd", value], told)
    many = [word for _ in range(254) for word in ("--fd", "0")]
    wrong(scene, ["send", "unix:///x", "t", *many], "at most 253 descriptors")


def test_words(scene):
    """missing and superfluous words"""
    for command in ("send", "receive", "echo", "request"):
        wrong(scene, [command], f"{command}: the ADDRESS is missing")
    wrong(scene, ["receive", "unix:///x", "text"], "“text” is one argument too many")
    wrong(scene, ["echo", "unix:///x", "text"], "“text” is one argument too many")
    wrong(scene, ["tour", "a", "b"], "“b” is one argument too many")
    wrong(scene, ["domain"], "create")
    wrong(scene, ["domain", "show", "/x", "/y"], "“/y” is one argument too many")
    wrong(scene, ["mechanisms", "unix", "pipe"], "“pipe” is one argument too many")
    wrong(scene, ["help", "a", "b"], "“b” is one argument too many")


def test_contradictions(scene):
    """options that exclude each other"""
    address = f"unix://{scene.path('x')}"
    file = scene.file("f", b"content")
    wrong(scene, ["receive", address, "--count", "2", "--follow"], "--count or --follow")
    wrong(scene, ["receive", address, "--lines", "--json"], "--lines or --json")
    wrong(scene, ["send", address, "text", "--file", file], "either TEXT or --file")
    wrong(scene, ["request", address, "text", "--file", file], "either TEXT or --file")
    wrong(scene, ["send", address, "text", "--lines"], "--lines takes its lines from")
    wrong(scene, ["send", address, "--lines", "--fd", "0"], "--fd goes with one message")


def test_addresses(scene):
    """malformed addresses: status 2, the address and what is wrong with it"""
    path = scene.path("x")
    for command in (["send", "t"], ["receive"], ["echo"], ["request", "t"]):
        for address, told in (
                (f"unxi://{path}", "did you mean unix://"), ("", "address|scheme"),
                (path, "scheme|://"), ("unix:/x", "://|scheme"), ("unix://", "path|name"),
                ("unix://relative", r"begins with / or \./"), (f"unix://{path}?frame=xml", "frame"),
                (f"unix://{path}?frmae=raw", "frmae"), (f"unix://{path}?limit=big", "limit"),
                (f"unix://{path}?limit=", "limit"), (f"unix://{path}?type=packet", "type"),
                (f"unix://{path}?mode=9", "mode"), (f"unix://{path}?checksum=maybe", "checksum"),
                (f"unix://{path}%zz", "%"), (f"unix://{path}%00y", "NUL|zero|%00"),
                (f"unix://{path}?limit=1&limit=2", "limit"), (f"unix://{path}?frame", "frame")):
            words = [command[0], address, *command[1:]]
            done = scene.chappe(*words, "--timeout" if command[0] != "echo" else "--count", "1")
            done.expect(2, out=b"", err=told)
            need("usage:" not in done.words and done.words.startswith("chappe: "), done.told())
    need(not any(name.startswith("x") for name in os.listdir(scene.folder)),
         "a file was made for a malformed address")


def test_addresses_of_shared_memory(scene):
    """malformed addresses of shm:// and map://: the same, and no domain is made for them"""
    path, domain = scene.path("x"), scene.path("xdomain")
    for address, told in (
            ("shm://", "the name is empty"), ("shm://x?ring=1", "not between 1024 and"),
            ("shm://x?backing=paper", "none of memfd, posix"), ("shm://x?wait=long", "wait=long"),
            ("shm://x?pages=small", "pages"), ("shm://x?clients=0", "clients"),
            ("shm://x?backing=posix&pages=huge", "no huge pages"), ("shm://x?mode=9", "mode"),
            ("shm://x?domain=", "domain"), ("shm://x?type=stream", "type"),
            ("shm://x?backing=anonymous", "only a pair"), ("shm://x?backing=zero", "only a pair"),
            ("map://", r"begins with / or \./"), ("map://x", r"begins with / or \./"),
            (f"map://{path}/", "names a folder"), (f"map://{path}?backing=sysv", "backing"),
            (f"map://{path}?pages=huge", "file system's"), (f"map://{path}?ring=2G", "ring")):
        for words in (["send", address, "t", "--timeout", "1"], ["echo", address]):
            done = scene.chappe(*words, env={"CHAPPE_DOMAIN": domain}).expect(2, out=b"", err=told)
            need(done.words.startswith("chappe: ") and address in done.words, done.told())
    done = scene.chappe("echo", "shm://x", env={"CHAPPE_DOMAIN": "relative"})
    done.expect(2, out=b"", err="CHAPPE_DOMAIN=relative: the path must begin with /")
    need(not any(name.startswith("x") for name in os.listdir(scene.folder)),
         "something was made for a malformed address")


def test_mechanisms_table(scene):
    """mechanisms: a table, the same for one by name, unknown ones are suggested"""
    text = scene.chappe("mechanisms").expect(0, err="^$").out.decode()
    for name in ("pipe", "unix", "shm", "map"):
        need(re.search(rf"^{name} .*●", text, re.M), text)
    plain = scene.chappe("mechanisms", env={"LC_ALL": "C"}).expect(0).out
    need(plain.isascii() and b"yes" in plain, "not ASCII in the locale C")
    need(max(map(len, text.splitlines())) <= 80, "a line has more than 80 columns")
    wrong(scene, ["mechanisms", "unxi"], "unknown mechanism “unxi”, did you mean unix")
    wrong(scene, ["mechanisms", "quantum"], "unknown mechanism “quantum” ")


def test_mechanisms_json(scene):
    """mechanisms --json: an object a line with everything in it"""
    lines = scene.chappe("mechanisms", "--json").expect(0, err="^$").out.splitlines()
    rows = {row["scheme"]: row for row in map(json.loads, lines)}
    need({"pipe", "unix", "shm", "map"} <= set(rows), rows.keys())
    for row in rows.values():
        same("keys", set(row) - {"alias"},
             {"scheme", "summary", "form", "manual", "lost_with_sender", "lost_with_receiver",
              "ways", "options", "trials", "support"})
        need(set(row["support"].values()) <= {"acts", "carries", "refuses"}, row)
        same("number of capabilities", len(row["support"]), 12)
        need(set(row["ways"]) <= {"pair", "open", "listen", "both"}, row)
    same("descriptors", [rows[name]["support"]["descriptors"] for name in ("pipe", "unix", "shm")],
         ["refuses", "acts", "acts"])
    same("one", scene.chappe("mechanisms", "unix", "--json").expect(0).out.splitlines(),
         [line for line in lines if json.loads(line)["scheme"] == "unix"])


if __name__ == "__main__":
    cli.main(test_version, test_overview, test_help_of_commands, test_help_of_mechanisms,
             test_roff, test_no_command, test_unknown_command, test_unknown_option,
             test_option_values, test_numbers, test_durations, test_descriptors, test_words,
             test_contradictions, test_addresses, test_addresses_of_shared_memory,
             test_mechanisms_table, test_mechanisms_json)
