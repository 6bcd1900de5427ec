"""A throw-away root: a Debian system in which a package can be installed; nothing of it stays.

It lies over the running system, or over another one (BORUTA_TEST_ROOT), in namespaces of its own:
what is written goes to memory, and its processes see only each other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

LOWER: Final = Path(os.environ.get("BORUTA_TEST_ROOT", "/"))
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS: Final = ("unshare", "nsenter", "mount", "chroot", "dpkg-deb", "dpkg", "apt-get")
# The first process only reads until its input ends, and all the others end with it. It ignores
# SIGCHLD, so that the kernel buries what is orphaned: zombies would count as a holder's programs.
# It says "made" when it is in there: whoever enters before would be in the running system.
_MADE: Final = """\
set -e
mount -t tmpfs -o mode=755 boruta-root "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" boruta-root "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
for place in dev/shm tmp var/tmp; do mount -t tmpfs -o mode=1777 boruta-root $place; done
mount -t tmpfs -o mode=755 boruta-root run
mkdir -m 1777 run/lock
rm -f usr/sbin/policy-rc.d
touch throw-away
exec chroot . sh -c 'echo made; exec env --ignore-signal=CHLD cat'
"""


class NoRootError(Exception):
    """There can be none on this machine; the text says what is missing."""


class Root:
    """A root that is there; make it by `throw_away_root`."""

    def __init__(self, pid: int) -> None:
        self._enter = [
            *("nsenter", f"--target={pid}", "--mount", "--pid", "--ipc", "--root", "--"),
            *(
                "env",
                "--chdir=/",
                "-i",
                f"PATH={PATH}",
                "LANG=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive",
            ),
        ]

    def run(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Runs a command in it."""
        more = {"capture_output": True, "text": True, "timeout": 100, **more}
        return subprocess.run([*self._enter, *words], **more)

    def does(self, *words: str) -> str:
        """What a command prints, on both streams; it must succeed."""
        done = self.run(*words, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return str(done.stdout + done.stderr)

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Starts a command in it; its first line is its own pid in there."""
        shell = ["sh", "-c", 'echo $$; exec "$@"', "sh", *words]
        return subprocess.Popen([*self._enter, *shell], text=True, **more)

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Puts a file there."""
        script = 'umask 077; mkdir -p -m 755 "${1%/*}/" && cat >"$1" && chmod "$2" "$1"'
        words = ("sh", "-c", script, "sh", path, f"{mode:o}")
        self.run(*words, input=content, text=False, check=True)

    def has(self, path: str) -> bool:
        """Whether something is there."""
        return self.run("test", "-e", path).returncode == 0


@contextlib.contextmanager
def throw_away_root(place: Path, lower: Path = LOWER) -> Iterator[Root]:
    """A root that is gone with the block.

    Args:
        place: an empty directory.
        lower: the system that it lies over.

    Raises:
        NoRootError: there can be none here.
    """
    if os.geteuid() != 0:
        raise NoRootError("a throw-away root needs root")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise NoRootError(f"a throw-away root needs {', '.join(missing)}")
    words = ("unshare", "--mount", "--propagation", "private", "--pid", "--ipc", "--fork")
    first = subprocess.Popen(
        [*words, "sh", "-c", _MADE, "sh", str(place), str(lower.resolve())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert first.stdout is not None
    try:
        if first.stdout.readline() != "made\n":
            raise NoRootError(f"no throw-away root here: {first.communicate()[1].strip()}")
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text()
        root = Root(int(children.split()[0]))
        assert root.has("/throw-away"), "this is the running system"
        yield root
    finally:
        first.communicate()  # the end of its input is its end
