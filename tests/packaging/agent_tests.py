"""`make agent-tests`: the agent's tests on Debian's own Python, ZeroMQ, msgpack and OpenSSH.

A root of that Debian is made once, by debootstrap, and kept below build/; each run is in a
throw-away root over it. Then the package is installed, run and removed on it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.packaging.root import NoRootError, Root, throw_away_root

ROOT: Final = Path(__file__).parents[2]
MIRROR: Final = "http://deb.debian.org/debian"
CANNOT: Final = 77  # no test's status: what a test that was skipped ends with, elsewhere
SUITES: Final = ("bookworm", "trixie")
# What the package depends on, and what the agent's tests use beside: asyncssh as a client.
PACKAGES: Final = (
    *("python3", "python3-zmq", "python3-msgpack", "python3-serial", "passwd"),
    *("openssh-server", "openssh-client", "rsync", "procps", "python3-asyncssh"),
    *("python3-pytest", "python3-pytest-timeout", "python3-pytest-xdist", "python3-hypothesis"),
)
TREE: Final = ("actors", "boruta", "dryad", "transport", "tests", "docs", "setup.cfg", "README.md")
NO_CACHE: Final = ("-p", "no:cacheprovider")  # it would be root's, in the tree of somebody else
# Those of Debian 12 tell, when they are loaded, of ciphers that nobody here asks for.
OLD: Final = "ignore::cryptography.utils.CryptographyDeprecationWarning"
_INSTALL: Final = """\
set -e
printf '#!/bin/sh\\nexit 101\\n' >"$1/usr/sbin/policy-rc.d"
chmod 755 "$1/usr/sbin/policy-rc.d"
echo 127.0.0.1 localhost >"$1/etc/hosts"
mount -t proc proc "$1/proc"
root=$1; shift
chroot "$root" apt-get install -y -qq --no-install-recommends "$@"
chroot "$root" apt-get clean
"""


def main() -> int:
    """Runs the tests; the exit status is theirs, CANNOT if they cannot be run here."""
    parser = argparse.ArgumentParser(description="Run the agent's tests on Debian's versions.")
    parser.add_argument("suite", choices=SUITES, help="of Debian")
    parser.add_argument("--mirror", default=MIRROR, metavar="URL")
    parser.add_argument("words", nargs="*", metavar="WORD", help="for pytest; after --")
    args = parser.parse_args()
    if os.geteuid() != 0:
        return _cannot("this needs root: chroot and mount")
    lower = ROOT / "build" / f"root-{args.suite}"
    try:
        if not lower.exists():
            make_root(lower, args.suite, args.mirror)
        with (
            tempfile.TemporaryDirectory(prefix="boruta-root-") as place,
            throw_away_root(Path(place), lower) as root,
        ):
            status = run_tests(root, args.words or ["-n", "2", "tests/dryad"])
    except NoRootError as error:
        return _cannot(str(error))
    if status or args.words:
        return status
    env = {**os.environ, "BORUTA_TEST_ROOT": str(lower)}
    words = [sys.executable, "-m", "pytest", "-q", *NO_CACHE, "tests/packaging/test_installed.py"]
    return subprocess.run(words, cwd=ROOT, env=env).returncode


def make_root(lower: Path, suite: str, mirror: str) -> None:
    """Makes the root, whole or not at all.

    Raises:
        NoRootError: it cannot be made here.
    """
    if shutil.which("debootstrap") is None:
        raise NoRootError("debootstrap is missing; on Debian: apt-get install debootstrap")
    print(f"making {lower}, once: some minutes", flush=True)
    new = lower.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)  # of one that was interrupted
    new.parent.mkdir(exist_ok=True)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    private = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
    for words in (
        (*private, "debootstrap", "--variant=minbase", suite, str(new), mirror),
        # What debootstrap itself would install of these it cannot: it knows no virtual packages.
        (*private, "sh", "-c", _INSTALL, "sh", str(new), *PACKAGES),
    ):
        done = subprocess.run(words, env=env, capture_output=True, text=True)
        if done.returncode != 0:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-12:])
            raise NoRootError(f"no root of {suite} from {mirror} (or MIRROR=URL):\n{said}")
    new.rename(lower)


def run_tests(root: Root, words: list[str]) -> int:
    """The agent's tests in there, with the Pykka that the package carries; the exit status."""
    with tempfile.TemporaryDirectory(prefix="boruta-deb-") as out:
        build = [sys.executable, "packaging/deb/build.py", "--out", out]
        subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        (package,) = Path(out).iterdir()
        root.write("/agent.deb", package.read_bytes())
    tar = ["tar", "--create", "--exclude=__pycache__", *TREE]
    tree = subprocess.run(tar, cwd=ROOT, check=True, capture_output=True).stdout
    root.does("mkdir", "/src")
    root.run("tar", "--extract", "--directory=/src", input=tree, text=False, check=True)
    root.does("dpkg", "--install", "/agent.deb")
    root.does("cp", "-r", "/usr/lib/dryad/pykka", "/src/pykka")
    print(root.does("python3", "-c", _VERSIONS).strip(), flush=True)
    script = 'cd /src && exec python3 -m pytest -q -p no:cacheprovider -W "$@"'
    more = {"capture_output": False, "timeout": None, "stdin": subprocess.DEVNULL}
    return root.run("sh", "-c", script, "sh", OLD, *words, **more).returncode


_VERSIONS: Final = """
import importlib.metadata as known, platform, zmq
names = ("pyzmq", "msgpack", "pyserial", "asyncssh", "pytest")
print("Python", platform.python_version(), "libzmq", zmq.zmq_version(),
      *(f"{name} {known.version(name)}" for name in names))
"""


def _cannot(why: str) -> int:
    print(f"make agent-tests: {why}", file=sys.stderr)
    return CANNOT


if __name__ == "__main__":
    raise SystemExit(main())
