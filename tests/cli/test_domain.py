#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chappe domain: making domains, showing what is in them, dead or alive."""

import datetime
import grp
import json
import os
import signal
import socket
import stat

import cli
from cli import need, same


def rows(done):
    return [json.loads(line) for line in done.out.splitlines()]


def show(scene, path, *words, **options):
    return scene.chappe("domain", "show", path, *words, **options)


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_create(scene):
    """create makes a folder of one user, and again is success"""
    path = scene.path("d")
    for words in ((), (), ("--mode", "0700"), ("--mode", "700")):
        scene.chappe("domain", "create", path, *words).expect(0, out=b"", err="^$")
        same("mode", mode_of(path), 0o700)
        same("files", os.listdir(path), [])


def test_create_shared(scene):
    """create --group makes a folder that the group shares, by name or number"""
    group = grp.getgrgid(os.getegid())
    for number, words in enumerate((("--group", group.gr_name), ("--group", str(group.gr_gid)),
                                    ("--group", group.gr_name, "--mode", "2770"),
                                    ("--group", group.gr_name, "--mode", "0770"))):
        path = scene.path(f"d{number}")
        for _ in range(2):
            scene.chappe("domain", "create", path, *words).expect(0, out=b"", err="^$")
            same("mode", mode_of(path), 0o2770)
        same("rows", rows(show(scene, path, "--json").expect(0)),
             [{"domain": path, "mode": "2770", "uid": os.geteuid(), "gid": group.gr_gid}])
        text = show(scene, path).expect(0, err="^$").out.decode()
        need(f"shared by group {group.gr_name}\nNothing is in it.\n" in text, text)
        scene.chappe("domain", "create", path).expect(1, out=b"", err="mode 2770")


def test_refused(scene):
    """what cannot be made safe is refused with a sentence"""
    taken = scene.path("taken")
    os.mkdir(taken, 0o700)
    scene.file("taken/mine", b"x")
    group = str(os.getegid())
    scene.chappe("domain", "create", taken, "--group", group).expect(1, err="not empty")
    scene.chappe("domain", "create", scene.path("no/d")).expect(4, err="no/d")
    scene.chappe("domain", "create", scene.file("file", b"")).expect(1, err="no folder")
    os.symlink(taken, scene.path("link"))
    scene.chappe("domain", "create", scene.path("link")).expect(1, err="link")
    os.chmod(taken, 0o777)
    show(scene, taken).expect(5, out=b"", err="chappe domain create --group")
    same("files", sorted(os.listdir(taken)), ["mine"])


def test_usage(scene):
    """wrong words and options are said"""
    def wrong(words, err):
        scene.chappe("domain", *words).expect(2, out=b"", err=err)

    path = scene.path("d")
    wrong((), "usage: chappe domain create PATH")
    wrong(("make", path), "create or show, not “make”")
    wrong(("create",), "PATH")
    wrong(("create", path, "x"), "one argument too many")
    wrong(("create", path, "--json"), "--json goes with show")
    wrong(("show", path, "--group", "root"), "go with create")
    wrong(("create", path, "--mode", "0600"), "mode 0600; a domain has")
    for mode in ("8", "-1", "", "rwx", "07700000", "0x7"):
        wrong(("create", path, f"--mode={mode}"), "octal digits")
    wrong(("create", path, "--mode", "2770"), "goes with --group")
    wrong(("create", path, "--mode", "0700", "--group", "root"), "goes with --group")
    wrong(("create", path, "--group", "no such group"), "no group “no such group”")
    need(not os.path.exists(path), "a folder was made")


def test_nothing_there(scene):
    """show of a domain that is not there makes none"""
    path = scene.path("d")
    show(scene, path).expect(4, out=b"", err="no such folder")
    scene.chappe("domain", "show", env={"CHAPPE_DOMAIN": path}).expect(4, err=path)
    scene.chappe("domain", "show", env={"CHAPPE_DOMAIN": "d"}).expect(2, err="must begin with /")
    need(not os.path.exists(path), "a folder was made")


def check_row(row, state, server):
    made = datetime.datetime.fromisoformat(row.pop("created")[:26] + "+00:00")
    age = datetime.datetime.now(datetime.timezone.utc) - made
    need(-1 < age.total_seconds() < 100, made)
    need(row.pop("bytes") > 0, row)
    same("row", row, {"name": "a%20b", "kind": "shm", "state": state, "pid": server.pid,
                      "uid": os.geteuid()})


def test_objects(scene):
    """show tells who made what, and whether he lives; the next use of a name clears away"""
    path = scene.path("d")
    environment = {"CHAPPE_DOMAIN": path}
    server = scene.echo("shm://a%20b", env=environment)
    domain, row = rows(scene.chappe("domain", "show", "--json", env=environment).expect(0))
    same("domain", domain["domain"], path)
    check_row(row, "alive", server)
    need(f"alive         shm   {server.pid}" in show(scene, path).out.decode(), "no such line")
    server.kill(signal.SIGKILL)
    server.done().expect(137)
    for _ in range(2):  # looking changes nothing
        check_row(rows(show(scene, path, "--json").expect(0))[1], "dead", server)
    scene.echo("shm://other", env=environment).stop().expect(143)
    same("files", os.listdir(path), [])
    need(b"Nothing is in it." in show(scene, path).expect(0).out, "something is left")


def test_foreign(scene):
    """show names foreign files, in order, and nothing that a terminal acts on"""
    path = scene.path("d")
    scene.chappe("domain", "create", path).expect(0)
    scene.file("d/b", b"mine")
    scene.file("d/a\x1b[31m\n", b"mine")
    os.mkfifo(scene.path("d/c"))
    made = scene.make_socket(socket.SOCK_STREAM)
    made.bind(scene.path("d/d.socket"))
    found = rows(show(scene, path, "--json").expect(0))[1:]
    same("names", [row["name"] for row in found], ["a%1B[31m%0A", "b", "c", "d.socket"])
    same("states", {row["state"] for row in found}, {"foreign"})
    text = show(scene, path).expect(0).out
    need(b"\x1b" not in text and b"foreign       -     -" in text, text)
    same("files", len(os.listdir(path)), 4)


cli.main(test_create, test_create_shared, test_refused, test_usage, test_nothing_there,
         test_objects, test_foreign)
