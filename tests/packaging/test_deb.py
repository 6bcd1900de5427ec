"""The agent as a package of Debian's: what is in it, and its life on a machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boruta.version import VERSION
from tests.integration.doc_blocks import ROOT
from tests.integration.lab import Lab

pytestmark = pytest.mark.integration


def control(package: Path, *fields: str) -> str:
    words = ["dpkg-deb", "--field", str(package), *fields]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def tree(package: Path, tmp_path: Path) -> Path:
    """What is in it, with its control files in DEBIAN."""
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(tmp_path / "x")], check=True)
    return tmp_path / "x"


def test_the_same_tree_makes_the_same_bytes(package: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "packaging/deb/make_deb.py"), str(tmp_path)]
    subprocess.run(words, check=True, capture_output=True, umask=0o077)
    assert (tmp_path / package.name).read_bytes() == package.read_bytes()
    assert package.name == f"boruta-dryad_{VERSION}_all.deb"


def test_it_stands_on_debians_own_and_needs_nothing_else(package: Path, tree: Path) -> None:
    assert control(package, "Version").strip() == VERSION
    depends = set(re.findall(r"[a-z][a-z0-9-]+(?= |,|$)", control(package, "Depends")))
    assert {"python3-zmq", "python3-msgpack", "python3-serial", "openssh-server"} <= depends
    assert "asyncssh" not in control(package, "Depends")
    code = tree / "usr/lib/boruta-dryad"
    assert {path.name for path in code.iterdir()} == {
        *("boruta", "actors", "transport", "dryad", "pykka")
    }
    assert not (code / "boruta/store").exists()
    assert not list(code.rglob("*.pyc"))


def test_files_are_roots_and_only_programs_can_be_run(package: Path, tree: Path) -> None:
    words = ["dpkg-deb", "--contents", str(package)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert all(line.split()[1] == "root/root" for line in lines)
    programs = [line.split()[-1] for line in lines if line.startswith("-rwx")]
    assert programs == ["./usr/bin/board", "./usr/bin/dryad"]
    listed = {line.split("  ")[1] for line in (tree / "DEBIAN/md5sums").read_text().splitlines()}
    assert listed == {
        str(path.relative_to(tree))
        for path in tree.rglob("*")
        if path.is_file() and "DEBIAN" not in path.parts
    }


def test_systemd_finds_nothing_wrong_with_its_unit(tree: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tree / "usr/lib/systemd/system/dryad.service"
    text = unit.read_text()
    assert "ExecStart=/usr/bin/dryad run --config /etc/boruta/dryad.toml\n" in text
    unit.write_text(text.replace("/usr/bin/dryad", "/usr/bin/true"))  # it is not installed here
    done = subprocess.run([tool, "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if "dryad.service" in line] == []


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_its_scripts_are_sound(tree: Path, name: str) -> None:
    script = tree / "DEBIAN" / name
    assert script.stat().st_mode & 0o777 == 0o755
    subprocess.run(["sh", "-n", str(script)], check=True)


@pytest.mark.timeout(120)
def test_it_is_installed_enrolled_lent_removed_and_purged(
    package: Path, root: Any, farm: Lab
) -> None:
    def inside(*words: str, **more: Any) -> str:
        done = root.run(*words, capture_output=True, **more)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return str(done.stdout)

    with package.open("rb") as file:
        inside("sh", "-c", "cat > /tmp/dryad.deb", stdin=file)
    inside("dpkg", "-i", "/tmp/dryad.deb")
    assert inside("dryad", "--version") == f"dryad {VERSION}\n"
    before = inside("getent", "passwd")

    token = farm.boruta("key", "invite", "board-17", "--server", farm.url)
    inside("dryad", "init", "--detect")
    admit = inside("dryad", "enroll", token).split()
    inside("sed", "-i", 's/^# ssh_address.*/ssh_address = "127.0.0.1:0"/', "/etc/boruta/dryad.toml")
    farm.boruta(*admit[1:-1], admit[-1].strip("'"))
    assert "FAIL" not in inside("dryad", "check")

    agent = farm.start(
        *root.command("dryad", "run"), env=os.environ | {"PATH": "/usr/sbin:/usr/bin"}
    )
    farm.until(lambda: " registered " in farm.said(agent, "err"), "the agent")
    status = json.loads(inside("dryad", "status", "-o", "json"))
    assert "board maintenance" in inside("board", "--help")
    farm.boruta("worker", "enable", status["worker"])
    said = farm.boruta("run", "-c", "arch", "--wait", "20s", "--", "id -un; which board; pwd")
    assert said.splitlines() == ["boruta-user", "/var/lib/dryad-tools/board", "/home/boruta-user"]
    refused = root.run("dpkg", "-r", "boruta-dryad", capture_output=True)
    assert refused.returncode != 0  # it runs, and is nobody's service
    assert "an agent runs; end it first" in refused.stderr
    inside("kill", "-TERM", str(status["pid"]))
    assert agent.wait(20) == 0

    inside("dpkg", "-r", "boruta-dryad")
    assert inside("getent", "passwd") == before
    for path in ("/usr/bin/dryad", "/usr/lib/boruta-dryad", "/home/boruta-user"):
        assert root.run("test", "-e", path).returncode != 0, path
    inside("test", "-s", "/var/lib/dryad/uuid")
    inside("test", "-s", "/etc/boruta/dryad.toml")
    inside("dpkg", "-P", "boruta-dryad")
    left = inside("find", "/etc/boruta", "/var/lib", "-path", "*boruta*", "-type", "f")
    assert left == "/etc/boruta/board-17.key_secret\n"
    assert root.run("test", "-e", "/var/lib/dryad").returncode != 0
