"""The Debian package as a file: what is in it, what it asks for, the same bytes each time."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from boruta.version import VERSION
from dryad import service
from dryad.board import client
from tests.packaging.conftest import ROOT, Build

pytestmark = pytest.mark.integration


def field(package: Path, name: str) -> str:
    words = ["dpkg-deb", "--field", str(package), name]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def tree(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the package holds, unpacked, its scripts in DEBIAN."""
    place = tmp_path_factory.mktemp("tree")
    subprocess.run(["dpkg-deb", "--raw-extract", str(package), str(place)], check=True)
    return place


def test_two_builds_are_the_same_bytes_whoever_builds(
    package: Path, build: Build, tmp_path: Path
) -> None:
    again = build(tmp_path, umask=0o077, TZ="Asia/Tokyo", PYTHONHASHSEED="7")
    assert again.read_bytes() == package.read_bytes()
    assert again.name == package.name
    assert package.stat().st_size < 300_000


def test_the_date_of_the_sources_is_that_of_all_that_is_in_it(build: Build, tmp_path: Path) -> None:
    package = build(tmp_path, SOURCE_DATE_EPOCH="1000000000")
    words = ["dpkg-deb", "--contents", str(package)]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert all(" 2001-09-09 " in line for line in listed.splitlines())
    assert all(" root/root " in line for line in listed.splitlines())


def test_make_deb_builds_what_the_page_installs(package: Path) -> None:
    words = ["make", "--dry-run", "deb"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "python packaging/deb/build.py" in told
    assert f"dist/{package.name}" in (ROOT / "docs/agent.md").read_text()


def test_it_asks_for_debian_s_own_zmq_msgpack_and_serial(package: Path) -> None:
    assert field(package, "Package") == "boruta-dryad"
    assert field(package, "Version") == f"{VERSION}-1"
    assert field(package, "Architecture") == "all"
    depends = {word.split()[0] for word in field(package, "Depends").split(", ")}
    assert depends == {
        *("python3", "python3-zmq", "python3-msgpack", "python3-serial"),
        *("openssh-server", "openssh-client", "passwd"),
    }
    assert "asyncssh" in field(package, "Suggests")
    floors = dict(re.findall(r"(\w+)>=([\d.]+)", (ROOT / "setup.cfg").read_text()))
    for name, pypi in (("zmq", "pyzmq"), ("msgpack", "msgpack"), ("serial", "pyserial")):
        assert f"python3-{name} (>= {floors[pypi]})" in field(package, "Depends")


def test_nothing_lies_where_it_should_not(tree: Path) -> None:
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}
    doc = "usr/share/doc/boruta-dryad"
    named = {
        *("usr/bin/dryad", "usr/bin/board", "usr/lib/systemd/system/dryad.service"),
        *(f"DEBIAN/{name}" for name in ("control", "md5sums", "postinst", "prerm", "postrm")),
        *(f"{doc}/{name}" for name in ("copyright", "changelog.gz", "changelog.Debian.gz")),
        *(f"{doc}/examples/dryad.toml", "usr/share/python3/runtime.d/boruta-dryad.rtupdate"),
    }
    assert named <= files
    modules = {name.removeprefix("usr/lib/dryad/") for name in files - named}
    assert all(name.endswith(".py") for name in modules)
    assert {name.split("/")[0] for name in modules} == {
        *("actors", "boruta", "dryad", "pykka", "transport"),
    }
    # The whole agent, and of the rest what it imports: neither engine nor store nor command line.
    agent = {str(path.relative_to(ROOT)) for path in (ROOT / "dryad").rglob("*.py")}
    assert agent <= modules
    engine = ("boruta/farm", "boruta/store/", "boruta/cli/", "boruta/server", "actors/system")
    assert [name for name in modules if name.startswith(engine)] == []
    assert not [name for name in files if name.startswith("etc/")]  # the owner's configuration


def test_modes_are_those_of_files_and_commands(tree: Path) -> None:
    runs = {"usr/bin/dryad", "usr/bin/board", "DEBIAN/postinst", "DEBIAN/prerm", "DEBIAN/postrm"}
    runs.add("usr/share/python3/runtime.d/boruta-dryad.rtupdate")
    for path in tree.rglob("*"):
        name = str(path.relative_to(tree))
        wanted = 0o755 if path.is_dir() or name in runs else 0o644
        assert path.stat().st_mode & 0o7777 == wanted, name


def test_the_scripts_are_proper_shell(tree: Path) -> None:
    for name in ("postinst", "prerm", "postrm"):
        assert subprocess.run(["sh", "-n", str(tree / "DEBIAN" / name)]).returncode == 0


def test_board_is_the_agent_s_own(tree: Path) -> None:
    first, _, rest = (tree / "usr/bin/board").read_text().partition("\n")
    assert first == "#!/usr/bin/python3 -I"
    assert rest == Path(client.__file__).read_text()


def test_the_unit_is_that_of_dryad_install_for_the_package_s_command(tree: Path) -> None:
    unit = (tree / "usr/lib/systemd/system/dryad.service").read_text()
    assert "\nExecStart=/usr/bin/dryad run --config /etc/boruta/dryad.toml\n" in unit
    assert service.MARK not in unit  # it is not for dryad uninstall to remove
    ours = service.unit(Path("/etc/boruta/dryad.toml")).splitlines()
    assert set(ours) - set(unit.splitlines()) == {
        service.MARK,
        next(line for line in ours if line.startswith("ExecStart=")),
    }


def test_systemd_has_nothing_against_the_unit(tree: Path, tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    # Its command is not installed on this machine, perhaps.
    unit = (tree / "usr/lib/systemd/system/dryad.service").read_text()
    path = tmp_path / "dryad.service"
    path.write_text(unit.replace("=/usr/bin/dryad ", f"={tree}/usr/bin/dryad "))
    done = subprocess.run([tool, "verify", str(path)], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if "dryad.service" in line] == []


def test_lintian_finds_no_error(package: Path) -> None:
    tool = shutil.which("lintian")
    if tool is None:
        pytest.skip("lintian is not installed")
    words = [tool, "--allow-root", "--fail-on", "error", str(package)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
