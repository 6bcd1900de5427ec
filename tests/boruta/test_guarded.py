"""Small files as they are read: what is no file holds nobody up."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from boruta import guarded
from boruta.config import load_server_config
from boruta.domain.errors import BadConfig
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
