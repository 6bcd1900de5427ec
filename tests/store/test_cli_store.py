"""The verbs for the database, and what loading the store costs others: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from boruta.cli.main import main
from boruta.domain.rows import Write
from boruta.lock import DataLock
from tests.store.kit import SqlitePlace, a_request

Said = pytest.CaptureFixture[str]


def status(*words: str) -> int:
    """What the command exits with."""
    with pytest.raises(SystemExit) as raised:
        main(words)
    code = raised.value.code
    assert isinstance(code, int)
    return code


def test_a_backup_is_made_looked_at_and_put_back(
    sqlite: SqlitePlace, tmp_path: Path, capsys: Said
) -> None:
    store = sqlite.open()
    store.commit((Write(a_request(store), 0),))
    sqlite.written(store)
    data, copy = ("--data", str(sqlite.data)), str(tmp_path / "copy.db")
    assert status("backup", copy, *data) == 0
    assert capsys.readouterr().out == f"{copy}\n"
    assert status("backup", copy, *data) == 5
    assert "a backup replaces none   [action_refused]" in capsys.readouterr().err
    assert status("check-store", *data) == status(*data, "check-store", copy) == 0
    assert "nothing is wrong" in capsys.readouterr().err
    lock = DataLock(sqlite.data)
    assert status("restore", copy, *data) == 5
    lock.release()
    store.close()
    assert status("restore", copy, *data) == 0
    assert "what was there is now" in capsys.readouterr().err
    assert sqlite.open().request(1) is not None


def test_what_is_wrong_is_told_and_costs_the_status(
    sqlite: SqlitePlace, tmp_path: Path, capsys: Said
) -> None:
    data = ("--data", str(sqlite.data))
    assert status("check-store", *data) == 3
    assert status("backup", str(tmp_path / "copy.db"), *data) == 3
    assert status("restore", str(tmp_path / "none.db"), *data) == 3
    sqlite.file.write_bytes(b"ruins")
    capsys.readouterr()
    assert status("check-store", *data) == 1
    assert capsys.readouterr().out.startswith("WRONG  damaged")
    assert status("check-store", *data, "-o", "json") == 1
    [found] = json.loads(capsys.readouterr().out)
    assert (found["code"], found["bad"]) == ("damaged", True)
    assert status("restore", str(sqlite.file), *data) == 9


def test_a_look_at_a_database_makes_no_key(sqlite: SqlitePlace) -> None:
    sqlite.open().close()
    key = sqlite.data / "keys/store.key"
    key.unlink()
    assert status("check-store", "--data", str(sqlite.data)) == 0
    assert not key.exists()


@pytest.mark.parametrize(
    "code",
    [
        "import boruta.cli.main as m; m.Verbs().get_command(None, 'version')",
        "import dryad.cli, dryad.agent",
        "import boruta.store.memory, boruta.store.backend",
    ],
)
def test_who_has_no_database_does_not_load_sqlalchemy(code: str) -> None:
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    loaded = subprocess.run(command, stdout=-1, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "alembic", "psycopg"} & set(loaded)
