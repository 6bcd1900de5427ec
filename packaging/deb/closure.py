"""Which modules an agent needs: those that its own import, and so on, without loading any."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path


def needed(places: Mapping[str, Path], whole: str) -> dict[str, Path]:
    """Every module that the package `whole` can load; what is outside of `places` is left out.

    Args:
        places: for each top-level package its directory.
        whole: the one of which all modules are needed.

    Returns:
        Paths within the tree of modules, and the files.
    """
    found: dict[str, Path] = {}
    waiting = [".".join((whole, *_name(path, places[whole]))) for path in _files(places[whole])]
    while waiting:
        name = waiting.pop()
        file = _file_of(name, places)
        if file is None:
            continue
        at = str(Path(name.split(".")[0]) / file.relative_to(places[name.split(".")[0]]))
        if at not in found:
            found[at] = file
            waiting += _imported(name, file)
            waiting += _parents(name)
    return found


def _files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py"))


def _name(path: Path, place: Path) -> tuple[str, ...]:
    parts = path.relative_to(place).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def _file_of(name: str, places: Mapping[str, Path]) -> Path | None:
    top, *rest = name.split(".")
    if top not in places:
        return None
    path = places[top].joinpath(*rest)
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.exists():
            return file
    return None


def _parents(name: str) -> Iterator[str]:
    while name := name.rpartition(".")[0]:
        yield name


def _imported(name: str, file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_bytes(), str(file))
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):  # outer ones come first
        if node in skipped:
            skipped.update(ast.iter_child_nodes(node))
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            skipped.update(node.body)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            module = (above + (node.module or "")).rstrip(".")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)  # may be modules too
