"""Builds the agent as a package of Debian's: `make_deb.py [DIRECTORY]`, or `make deb`.

What the agent imports of this tree goes into a directory of its own, with pykka, which is pure
Python; pyzmq, msgpack and pyserial are Debian's, since a board of ARMv7 finds no wheels of them.
The same tree makes the same bytes.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DEBIAN: Final = Path(__file__).resolve().parent / "debian"
NAME: Final = "boruta-dryad"
CODE: Final = Path("usr/lib") / NAME
OURS: Final = ("boruta", "actors", "transport", "dryad")
SCRIPTS: Final = ("postinst", "prerm", "postrm")
# Who builds it answers for it, by the names that Debian's own tools look for.
MAINTAINER: Final = (
    f"{os.environ.get('DEBFULLNAME', 'Boruta')} <{os.environ.get('DEBEMAIL', 'boruta@localhost')}>"
)


def build(directory: Path) -> Path:
    """Writes the package into a directory; its path.

    Raises:
        subprocess.CalledProcessError: dpkg-deb has failed.
    """
    sys.path.insert(0, str(ROOT))
    from boruta.version import VERSION

    when = _source_time()
    directory.mkdir(parents=True, exist_ok=True)
    made = directory / f"{NAME}_{VERSION}_all.deb"
    with tempfile.TemporaryDirectory(prefix="boruta-deb-") as place:
        tree = Path(place) / NAME
        tree.mkdir()
        tree.chmod(0o755)
        _put_code(tree)
        _put_programs(tree)
        _put_documents(tree, VERSION, when)
        _put_control(tree, VERSION)
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(tree), str(made)],
            env={**os.environ, "SOURCE_DATE_EPOCH": str(when)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return made


def _source_time() -> int:
    """When the source was last changed, as far as is known; seconds since 1970."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    words = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return int((ROOT / "CHANGELOG.md").stat().st_mtime)


# --- code
def _modules() -> set[Path]:
    """The files of all modules that an agent may load, at its start or later."""
    todo = sorted((ROOT / "dryad").rglob("*.py"))
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        inside = path.relative_to(ROOT).parents  # its packages are loaded before it
        todo += [ROOT / parent / "__init__.py" for parent in inside if parent.parts]
        for name in _imported(path):
            todo += _files(name)
    return found


def _imported(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for outer in node.body
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(module: str) -> list[Path]:
    if module.split(".")[0] not in OURS:
        return []
    place = ROOT.joinpath(*module.split("."))
    return [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.exists()]


def _put_code(tree: Path) -> None:
    for path in sorted(_modules()):
        _copy(path, tree / CODE / path.relative_to(ROOT))
    pykka = importlib.metadata.distribution("pykka")
    for file in pykka.files or ():
        if file.parts[0] == "pykka" and file.suffix == ".py":
            _copy(Path(str(pykka.locate_file(file))), tree / CODE / file)


def _put_programs(tree: Path) -> None:
    from dryad import place, service
    from dryad.board import client

    start = [f"import sys; sys.path.insert(0, '/{CODE}')", "from dryad.entry import main"]
    program = "\n".join(["#!/usr/bin/python3 -I", *start, "sys.exit(main())"])
    _write(tree / "usr/bin/dryad", program + "\n", 0o755)
    source = Path(client.__file__).read_text(encoding="utf-8")
    _write(tree / "usr/bin/board", f"#!/usr/bin/python3 -I\n{source}", 0o755)
    unit = service.unit(
        place.CONFIG,
        [service.PACKAGED_PROGRAM],
        f"# Of the package {NAME}. Change it by a drop-in:",
    )
    _write(tree / "usr/lib/systemd/system" / service.NAME, unit)
    (tree / "etc/boruta").mkdir(parents=True)


# --- what Debian wants
def _put_documents(tree: Path, version: str, when: int) -> None:
    from dryad.config import AgentConfig
    from dryad.initial import text

    documents = tree / "usr/share/doc" / NAME
    _write(documents / "examples/dryad.toml", text(AgentConfig(sessions=""), {}, {}, None))
    pykka = importlib.metadata.version("pykka")
    copyright_ = (DEBIAN / "copyright").read_text(encoding="utf-8").replace("@PYKKA@", pykka)
    _write(documents / "copyright", copyright_)
    changes = (
        f"{NAME} ({version}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the source.\n\n"
        f" -- {MAINTAINER}  {formatdate(when)}\n"
    )
    packed = gzip.compress(changes.encode(), 9, mtime=0)
    (documents / "changelog.gz").write_bytes(packed)
    (documents / "changelog.gz").chmod(0o644)


def _put_control(tree: Path, version: str) -> None:
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    size = sum(-(-path.stat().st_size // 1024) for path in files)
    control = (DEBIAN / "control").read_text(encoding="utf-8")
    for mark, value in {"VERSION": version, "SIZE": str(size), "MAINTAINER": MAINTAINER}.items():
        control = control.replace(f"@{mark}@", value)
    sums = ""
    for path in files:
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False)
        sums += f"{md5.hexdigest()}  {path.relative_to(tree)}\n"
    _write(tree / "DEBIAN/control", control)
    _write(tree / "DEBIAN/md5sums", sums)
    for name in SCRIPTS:
        _write(tree / "DEBIAN" / name, (DEBIAN / name).read_text(encoding="utf-8"), 0o755)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
    to.chmod(0o644)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


if __name__ == "__main__":
    os.umask(0o022)
    print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"))
