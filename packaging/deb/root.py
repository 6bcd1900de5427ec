"""A root of its own for programs that change a machine: nothing of them is left outside of it."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

# bash, as the first process of the namespace, also buries what others leave.
_INIT: Final = 'echo ready; while read -r line; do eval "$line"; done'
_MOUNTS: Final = """
mount --make-rprivate /
{above}
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$1/run"  # sshd trusts no key below what anybody may write
for place in tmp var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$1/$place"; done
mkdir --mode=1777 "$1/run/lock"
exec chroot "$1" /bin/bash -c '{init}'
"""
_OVERLAY: Final = 'mount -t overlay overlay -o "lowerdir=/,upperdir=$2/upper,workdir=$2/work" "$1"'


class Root:
    """A running root: mounts, processes and IPC of its own; the network is the machine's."""

    def __init__(self, place: Path, init: subprocess.Popen[str], pid: int) -> None:
        self.place = place
        self._init = init
        self._pid = pid

    def command(self, *words: str) -> list[str]:
        """What runs `words` in it, from outside."""
        inside = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--ipc"]
        return [*inside, "chroot", str(self.place), *words]

    def run(self, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Runs a command in it, and waits for it."""
        return subprocess.run(self.command(*words), text=True, env=ENVIRONMENT, **more)


ENVIRONMENT: Final = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


@contextlib.contextmanager
def running(root: Path) -> Iterator[Root]:
    """The root in that directory, while the block lasts.

    Raises:
        OSError: this needs root, and namespaces.
    """
    with _started("", [str(root)]) as found:
        yield found


@contextlib.contextmanager
def over_this_machine() -> Iterator[Root]:
    """This machine's own root, of which nothing is changed: what is written is gone afterwards.

    Raises:
        OSError: this needs root, namespaces and overlayfs.
    """
    with tempfile.TemporaryDirectory(prefix="boruta-root-") as place:
        # What lies above must not itself be an overlay, as this machine's root may be.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        try:
            for name in ("upper", "work", "root"):
                (Path(place) / name).mkdir()
            with _started(_OVERLAY, [f"{place}/root", place]) as found:
                yield found
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def _started(above: str, words: Sequence[str]) -> Iterator[Root]:
    script = _MOUNTS.format(above=above, init=_INIT)
    with subprocess.Popen(
        [
            *("unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child"),
            *("bash", "-e", "-c", script, "init", *words),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            if child.stdout.readline() != "ready\n":
                child.kill()
                raise OSError(f"no root of its own: {child.stderr.read().strip()}")
            yield Root(Path(words[0]), child, _child_of(child.pid))
        finally:
            child.kill()


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
