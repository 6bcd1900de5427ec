"""The package's life on a Debian system: installed, run, upgraded, removed, purged."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.doc_blocks import block
from tests.integration.lab import Lab, lab
from tests.packaging.root import LOWER, NoRootError, Root, throw_away_root

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
PAGE = "docs/agent.md"
CONFIG = """\
server = "{url}"
server_key = "server.key"
key = "board-17.key_secret"
ssh_address = "127.0.0.1:0"
[caps]
UUID = "of-a-package"
arch = "armv7l"
[user]
name = "boruta-packaged"
"""


def depends(package: Path) -> Iterator[str]:
    words = ["dpkg-deb", "--field", str(package), "Depends"]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return (word.split()[0] for word in found.split(", "))


@pytest.fixture
def machine(package: Path, tmp_path: Path) -> Iterator[Root]:
    """A Debian with the package's file in /, and all that the package depends on."""
    names = [*depends(package), "python3-minimal", "apt"]
    query = ("dpkg-query", "--admindir", str(LOWER / "var/lib/dpkg"), "--show")
    for name in names:
        done = subprocess.run([*query, "--showformat=${Status}", name], capture_output=True)
        if done.stdout != b"install ok installed":
            pytest.skip(f"{LOWER} has no {name}; .ci/run brings what the tests need")
    (tmp_path / "root").mkdir()
    with contextlib.ExitStack() as stack:
        try:
            root = stack.enter_context(throw_away_root(tmp_path / "root"))
        except NoRootError as error:
            pytest.skip(str(error))
        root.write(f"/{package.name}", package.read_bytes())
        yield root


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Lab]:
    """A server from these sources."""
    (tmp_path / "farm").mkdir()
    with lab(tmp_path / "farm") as made:
        made.start_server()
        yield made


def shell(root: Root, name: str) -> str:
    return root.does("sh", "-euc", block(PAGE, name))


def configure(root: Root, farm: Lab) -> None:
    """As an owner does it: the server and the keys."""
    farm.boruta("key", "new", "board-17", "--role", "worker", "--out", str(farm.place))
    root.write("/etc/boruta/dryad.toml", CONFIG.format(url=farm.url).encode())
    root.write("/etc/boruta/server.key", (farm.data / "keys" / "server.key").read_bytes())
    root.write(
        "/etc/boruta/board-17.key_secret", (farm.place / "board-17.key_secret").read_bytes(), 0o600
    )


def has_account(root: Root) -> bool:
    return root.run("getent", "passwd", "boruta-packaged").returncode == 0


def test_a_board_s_life_with_the_package(machine: Root, farm: Lab, package: Path) -> None:
    said = shell(machine, "debian")
    assert "/etc/boruta/dryad.toml: written" in said
    assert 'arch = "' in machine.does("cat", "/etc/boruta/dryad.toml")
    configure(machine, farm)
    said = shell(machine, "debian-service")
    assert "/usr/lib/systemd/system/dryad.service: is there already, from a package" in said
    command = said.splitlines()[-1].partition("without it: ")[2]
    assert command == "/usr/bin/dryad run --config /etc/boruta/dryad.toml"
    assert not machine.has("/usr/local/bin/board")

    log = farm.place / "agent.err"
    with log.open("w") as err:
        agent = machine.start(*command.split(), stdout=subprocess.PIPE, stderr=err)
    assert agent.stdout is not None
    pid = agent.stdout.readline().strip()
    farm.until(lambda: " registered " in log.read_text(), "the agent")
    farm.boruta("worker", "enable", "of-a-package")
    ran = farm.boruta("run", "-c", "arch=armv7l", "--", "id -un; cat /etc/hostname /proc/1/comm")
    assert ran.splitlines()[0] == "boruta-packaged"
    assert ran.splitlines()[-1] == "cat"  # it was in there, not here
    status = json.loads(machine.does("dryad", "status", "-o", "json"))
    assert (status["pid"], status["registered"]) == (int(pid), True)
    # While it runs and is no service, nothing takes it away from under its holder.
    refused = machine.run("dpkg", "--remove", "boruta-dryad")
    assert refused.returncode != 0
    assert "an agent runs; end it first" in refused.stderr
    machine.does("kill", "-TERM", pid)
    assert agent.wait(20) == 0
    agent.stdout.close()
    assert "Traceback" not in log.read_text()
    processes = machine.does("sh", "-c", "cat /proc/[0-9]*/stat").splitlines()
    assert [line for line in processes if ") Z " in line] == []

    assert has_account(machine)
    machine.does("dpkg", "--install", f"/{package.name}")  # the same again, as an upgrade
    assert has_account(machine)

    # What a holder left, and an agent that was killed did not clear up.
    machine.does("sh", "-c", "touch /tmp/left; chown boruta-packaged: /tmp/left")
    remove, purge = block(PAGE, "debian-end").splitlines()
    said = machine.does("sh", "-euc", remove)
    assert "account boruta-packaged: removed" in said
    assert not has_account(machine)
    assert not machine.has("/tmp/left")
    assert not machine.has("/usr/lib/dryad")  # bytecode neither
    for kept in ("/etc/boruta/dryad.toml", "/etc/boruta/board-17.key_secret", "/var/lib/dryad"):
        assert machine.has(kept), kept
    machine.does("dpkg", "--install", f"/{package.name}")
    assert status["worker"] == "of-a-package"
    assert machine.has("/var/lib/dryad/host_key")  # the same board again
    machine.does("sh", "-euc", purge)
    for gone in ("/var/lib/dryad", "/var/lib/dryad-tools", "/run/dryad"):
        assert not machine.has(gone), gone
    assert machine.has("/etc/boruta/dryad.toml")
    left = machine.run("dpkg-query", "--show", "--showformat=${Status}", "boruta-dryad").stdout
    assert left in ("", "unknown ok not-installed")


def test_every_module_of_the_agent_loads_from_the_package_alone(
    machine: Root, package: Path
) -> None:
    machine.does("dpkg", "--install", f"/{package.name}")
    code = """
import importlib, pathlib, sys
sys.path.insert(0, "/usr/lib/dryad")
for path in sorted(pathlib.Path("/usr/lib/dryad").rglob("*.py")):
    name = ".".join(path.relative_to("/usr/lib/dryad").with_suffix("").parts)
    if name == "dryad.__main__":
        continue
    try:
        importlib.import_module(name.removesuffix(".__init__"))
    except ModuleNotFoundError as error:
        print(name, error.name)
print(*sorted({sys.modules[name].__file__ for name in ("pykka", "boruta", "actors", "transport")}))
"""
    said = machine.run("python3", "-I", "-c", code, check=True).stdout.splitlines()
    assert re.findall(r"/usr/lib/dryad/(\w+)/", said[-1]) == sorted(
        ["actors", "boruta", "pykka", "transport"]
    )
    # asyncssh is for sessions of the agent's own alone.
    assert {line.split()[1] for line in said[:-1]} <= {"asyncssh"}, said
    made = machine.does("find", "/usr/lib/dryad", "-name", "*.pyc")
    assert len(made.splitlines()) == len(
        machine.does("find", "/usr/lib/dryad", "-name", "*.py").splitlines()
    )


def test_with_systemd_the_service_starts_once_there_is_a_configuration(
    machine: Root, package: Path
) -> None:
    # A machine that systemd seems to run: what it is told is written down.
    tool = '#!/bin/sh\n[ "$1" != is-active ] || exec test -e /active\necho "$@" >>/told\n'
    machine.write("/usr/local/bin/systemctl", tool.encode(), 0o755)
    machine.write("/usr/local/bin/deb-systemd-invoke", tool.encode(), 0o755)
    machine.does("mkdir", "/run/systemd", "/run/systemd/system")
    install = ("dpkg", "--install", f"/{package.name}")

    def told() -> list[str]:
        lines = machine.does("cat", "/told").splitlines()
        machine.does("rm", "/told")
        return lines

    machine.does(*install)
    assert told() == ["daemon-reload"]
    machine.does("dpkg", "--purge", "boruta-dryad")
    assert "disable --now dryad.service" in told()
    machine.write("/etc/boruta/dryad.toml", b'server = "tcp://127.0.0.1:1"\ninsecure = true\n')
    machine.does(*install)
    assert told() == ["daemon-reload", "enable --quiet dryad.service", "start dryad.service"]
    machine.does("touch", "/active")
    machine.does(*install)
    assert "restart dryad.service" in told()
    machine.does("rm", "/active")
    machine.does(*install)  # whoever has disabled it has done so for a reason
    assert not [line for line in told() if "dryad.service" in line]


def test_the_sessions_that_debian_is_too_old_for_are_refused_in_clear_words(
    machine: Root, package: Path
) -> None:
    machine.does("dpkg", "--install", f"/{package.name}")
    words = ("dryad", "run", "--insecure", "--server", "127.0.0.1:1", "--sessions", "embedded")
    done = machine.run(*words, "--trust-holders", "--data", "/tmp/d", timeout=20)
    if "asyncssh" not in done.stderr:
        pytest.skip("this system's asyncssh is recent enough")
    assert done.returncode == 2
    assert re.search(r"asyncssh .*2\.23\.1 or later.*; sessions = .system. needs none", done.stderr)
