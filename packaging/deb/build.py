"""`make deb`: the agent as a Debian package, the same bytes each time.

Everything that the agent imports of this project, and Pykka, which Debian has too old a version of,
lies in a directory that no other program looks into. ZeroMQ, msgpack and pyserial are Debian's own:
there are no wheels of them for a 32-bit ARM board.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from closure import needed  # noqa: E402  beside this file

from boruta.version import VERSION  # noqa: E402
from dryad import initial, place, service  # noqa: E402
from dryad.board import client  # noqa: E402
from dryad.config import AgentConfig  # noqa: E402

NAME: Final = "boruta-dryad"
REVISION: Final = "1"
FILES: Final = Path(__file__).parent / "files"
OURS: Final = ("actors", "boruta", "dryad", "transport")
HOME: Final = "usr/lib/dryad"
DOC: Final = f"usr/share/doc/{NAME}"
SCRIPTS: Final = ("postinst", "prerm", "postrm")
MAINTAINER: Final = "Boruta packagers <boruta@packages.invalid>"  # DEBFULLNAME and DEBEMAIL beat it
CHANGES: Final = """\
{name} ({version}) unstable; urgency=medium

  * The agent of Boruta {boruta}; what changed is in changelog.gz.

 -- {maintainer}  {date}
"""


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the package."""

    content: bytes
    mode: int = 0o644


def main() -> int:
    """Builds the package and prints where it is."""
    parser = argparse.ArgumentParser(description="Build the agent's Debian package.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR")
    args = parser.parse_args()
    if shutil.which("dpkg-deb") is None:
        print("make deb: dpkg-deb is missing; on Debian it is in the package dpkg", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    print(build(args.out))
    return 0


def build(out: Path) -> Path:
    """Makes the package in a directory; where it is."""
    version = f"{VERSION}-{REVISION}"
    package = out / f"{NAME}_{version}_all.deb"
    when = _when()
    with tempfile.TemporaryDirectory(prefix="boruta-deb-") as text:
        tree = Path(text) / "tree"
        items = contents(version, when)
        _write(tree, {**items, **_control(version, items)})
        # One thread: several cut the archive at other places.
        env = {**os.environ, "SOURCE_DATE_EPOCH": str(when), "DPKG_DEB_THREADS_MAX": "1"}
        words = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(package)]
        subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL)
    return package


def contents(version: str, when: int) -> dict[str, Item]:
    """Every file that the package installs, by its path."""
    pykka = find_spec("pykka")
    assert pykka is not None
    assert pykka.origin is not None
    places = {name: ROOT / name for name in OURS} | {"pykka": Path(pykka.origin).parent}
    modules = needed(places, "dryad")
    unit = service.unit(place.CONFIG, ["/usr/bin/dryad"], service.PACKAGE_MARK)
    board = b"#!/usr/bin/python3 -I\n" + Path(client.__file__).read_bytes()
    example = initial.text(AgentConfig(sessions=""), {}, {}, None)
    changes = CHANGES.format(
        name=NAME, version=version, boruta=VERSION, maintainer=_maintainer(),
        date=formatdate(when, localtime=False).replace("-0000", "+0000"),
    )  # fmt: skip
    licences = _text("copyright").format(pykka=importlib.metadata.version("pykka"))
    return {
        **{f"{HOME}/{at}": Item(file.read_bytes()) for at, file in modules.items()},
        "usr/bin/dryad": Item((FILES / "dryad").read_bytes(), 0o755),
        "usr/bin/board": Item(board, 0o755),
        f"usr/lib/systemd/system/{service.NAME}": Item(unit.encode()),
        f"usr/share/python3/runtime.d/{NAME}.rtupdate": Item(_text("rtupdate").encode(), 0o755),
        f"{DOC}/copyright": Item(licences.encode()),
        f"{DOC}/changelog.gz": Item(_packed((ROOT / "CHANGELOG.md").read_bytes())),
        f"{DOC}/changelog.Debian.gz": Item(_packed(changes.encode())),
        f"{DOC}/examples/dryad.toml": Item(example.encode()),
    }


def _control(version: str, items: Mapping[str, Item]) -> dict[str, Item]:
    # As Debian's policy counts: each file in whole KiB, and one for each directory.
    directories = {parent for path in items for parent in Path(path).parents}
    kib = sum(-(-len(item.content) // 1024) for item in items.values()) + len(directories)
    control = _text("control").format(version=version, maintainer=_maintainer(), kib=kib)
    sums = "".join(
        f"{hashlib.md5(item.content, usedforsecurity=False).hexdigest()}  {path}\n"
        for path, item in sorted(items.items())
    )
    return {
        "DEBIAN/control": Item(control.encode()),
        "DEBIAN/md5sums": Item(sums.encode()),
        **{f"DEBIAN/{name}": Item(_text(name).encode(), 0o755) for name in SCRIPTS},
    }


def _write(tree: Path, items: Mapping[str, Item]) -> None:
    for path, item in items.items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(item.content)
        file.chmod(item.mode)
    for directory in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
        directory.chmod(0o755)  # whatever the umask of who builds it


def _text(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


def _maintainer() -> str:
    name, address = os.environ.get("DEBFULLNAME"), os.environ.get("DEBEMAIL")
    return f"{name} <{address}>" if name and address else MAINTAINER


def _when() -> int:
    """SOURCE_DATE_EPOCH, else the date of the last commit, else that of the newest source."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    words = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(words, capture_output=True, check=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        files = (path for name in OURS for path in (ROOT / name).rglob("*.py"))
        return int(max(path.stat().st_mtime for path in files))


if __name__ == "__main__":
    raise SystemExit(main())
