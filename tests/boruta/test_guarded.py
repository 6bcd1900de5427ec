"""Small files as they are read: what is no file holds nobody up."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from boruta import guarded
from boruta.config import load_server_config
from boruta.domain.errors import BadConfig, NotPermitted
from boruta.guarded import make_private_dir
from boruta.pairs import read_server_key
from boruta.planning import workload
from boruta.profiles import load_client_config
from dryad.toml import TomlFile


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(guarded, "_PIPE_WITHIN_S", 0.2)
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    (tmp_path / "boruta").mkdir()
    (tmp_path / "boruta/config.toml").symlink_to(path)
    return path


@pytest.mark.timeout(20)
def test_a_named_pipe_that_nobody_writes_to_is_no_configuration(pipe: Path) -> None:
    for read in (
        lambda: load_server_config(pipe, {}),
        lambda: TomlFile(pipe),
        lambda: read_server_key(str(pipe)),
        lambda: workload.load(pipe),
        lambda: load_client_config({"XDG_CONFIG_HOME": str(pipe.parent)}),
    ):
        with pytest.raises(BadConfig, match="nobody writes to it"):
            read()


def test_a_pipe_that_somebody_writes_to_is_read_to_its_end(pipe: Path) -> None:
    text = b'[log]\nlevel = "debug"\n' + b"# " + b"x" * 200_000

    def write() -> None:
        with pipe.open("wb") as file:
            file.write(text)

    writer = threading.Thread(target=write)
    writer.start()
    assert load_server_config(pipe, {}).log.level == "debug"
    writer.join(10)


def test_what_has_no_end_is_read_no_further_than_it_may(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="1 MiB at most"):
        load_server_config(Path("/dev/zero"), {})
    assert len(guarded.read_bounded(Path("/dev/zero"), 100)) == 101
    assert guarded.read_bounded(Path("/dev/null"), 100) == b""


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="directory"):
        load_server_config(tmp_path, {})


def test_a_directory_that_others_can_read_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "data"
    make_private_dir(path, "data directory")
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o750)
    with pytest.raises(NotPermitted, match="chmod 700"):
        make_private_dir(path, "data directory")


@pytest.mark.parametrize("name", ["file", "file/data"])
def test_a_file_in_place_of_a_directory_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadConfig, match="file is a file"):
        make_private_dir(tmp_path / name, "data directory")
