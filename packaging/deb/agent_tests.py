"""Runs the agent's tests as a board would have them: in Debian, with Debian's versions.

`agent_tests.py [SUITE] [WORDS FOR PYTEST]`, or `make agent-tests SUITE=bookworm`. The root is made
once by debootstrap, in build/, and has the package installed; the tests are those of this tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from make_deb import ROOT, build
from root import Root, running

MIRROR: Final = "http://deb.debian.org/debian"
PACKAGES: Final = (
    *("python3-pytest", "python3-pytest-timeout", "python3-pytest-xdist", "python3-hypothesis"),
    "python3-asyncssh",  # the tests' client; as a server it may be too old, and they say so
    *("ca-certificates", "rsync", "procps", "at", "cron", "tmux"),
)
TESTS: Final = "tests/dryad"
SOURCE: Final = "/src"


def main(suite: str, words: list[str]) -> int:
    """Makes the root if there is none, and runs the tests in it; their exit status."""
    for tool in ("debootstrap", "dpkg-deb", "unshare"):
        if shutil.which(tool) is None:
            return _told(f"{tool} is not installed")
    if os.geteuid() != 0:
        return _told("making a root needs root")
    place = ROOT / "build" / f"root-{suite}"
    try:
        if not (place / "made").exists():
            _make(place, suite)
        _put_source(place)
        with tempfile.TemporaryDirectory() as made, running(place) as root:
            _install(root, build(Path(made)))
            return _test(root, words)
    except (OSError, subprocess.CalledProcessError) as error:
        return _told(str(error))


def _told(why: str) -> int:
    print(f"agent-tests: {why}", file=sys.stderr)
    return 2


def _make(place: Path, suite: str) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    words = ["debootstrap", "--variant=minbase", suite, str(place), MIRROR]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    (place / "etc/hosts").write_text("127.0.0.1 localhost\n")
    with running(place) as root:
        # No daemon of a package is started in it.
        root.run("sh", "-c", "printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d", check=True)
        root.run("chmod", "755", "/usr/sbin/policy-rc.d", check=True)
        _apt(root, *PACKAGES)
    (place / "made").touch()


def _apt(root: Root, *words: str) -> None:
    root.run("apt-get", "update", "-qq", check=True)
    told = {"check": True, "stdout": subprocess.DEVNULL}
    root.run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *words, **told)


def _put_source(place: Path) -> None:
    """This tree as it is now, but for what git would leave out."""
    to = place / SOURCE.lstrip("/")
    shutil.rmtree(to, ignore_errors=True)
    words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)


def _install(root: Root, package: Path) -> None:
    with package.open("rb") as file:
        root.run("sh", "-c", f"cat >/tmp/{package.name}", stdin=file, check=True)
    if root.run("dpkg", "-i", f"/tmp/{package.name}", capture_output=True).returncode != 0:
        _apt(root, "--fix-broken")
    root.run("dpkg", "-s", "boruta-dryad", check=True, stdout=subprocess.DEVNULL)


def _test(root: Root, words: list[str]) -> int:
    versions = (
        "import zmq, msgpack, serial, sys; print(sys.version, zmq.__version__, msgpack.version)"
    )
    root.run("python3", "-c", versions, check=True)
    path = f"PYTHONPATH={SOURCE}:/usr/lib/boruta-dryad"  # pykka is the package's
    # Debian 12's asyncssh asks its cryptography for ciphers that are on their way out.
    old = "-W ignore::cryptography.utils.CryptographyDeprecationWarning"
    command = f'cd {SOURCE} && {path} exec python3 -m pytest -q -p no:cacheprovider {old} "$@"'
    return root.run("sh", "-c", command, "pytest", *(words or [TESTS])).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "bookworm", sys.argv[2:]))
