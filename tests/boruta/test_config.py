"""boruta.toml and config.toml: what counts, and how a bad one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from boruta import places
from boruta.config import ServerConfig, load_server_config
from boruta.domain import defaults
from boruta.domain.errors import BadConfig
from boruta.domain.types import WorkerState
from boruta.profiles import load_client_config

FULL = """\
[server]
bind = "tcp://0.0.0.0:7000"
http = "off"
ssh = "off"
data = "state"
database = "memory:"
access_host = "farm.lab"
tunnel_ports = "20000-20999"
board_networks = ["10.0.0.0/8", "fd00::/8"]
insecure = false

[requests]
unservable = "refuse"
job_timeout = "30m"
max_job_timeout = 7200
prolongs = 3
prolong_total = "2h"

[workers]
initial = "idle"
grace = 90
auto_recover = true
check_every = 0
per_key = 20

[log]
level = "debug"
format = "json"
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(places, "SYSTEM_CONFIG", tmp_path / "etc")
    (tmp_path / "etc").mkdir()
    (tmp_path / "user/boruta").mkdir(parents=True)
    return {"XDG_CONFIG_HOME": str(tmp_path / "user"), "HOME": str(tmp_path)}


def _bad(tmp_path: Path, text: str) -> BadConfig:
    path = tmp_path / "boruta.toml"
    path.write_text(text)
    with pytest.raises(BadConfig) as caught:
        load_server_config(path, {})
    assert str(path) in caught.value.message
    return caught.value


def test_without_a_file_the_defaults_hold(environ: dict[str, str]) -> None:
    config = load_server_config(None, environ, data="/srv/b")
    assert config.server.bind == "tcp://127.0.0.1:7175"
    assert config.server.data == Path("/srv/b")
    assert config.requests.job_timeout == defaults.JOB_TIMEOUT_S
    assert config.workers.initial is WorkerState.MAINTENANCE
    assert (config.server.http, config.server.ssh) == ("off", "off")


def test_every_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "boruta.toml"
    path.write_text(FULL)
    config = load_server_config(path, {})
    assert config.server.bind == "tcp://0.0.0.0:7000"
    assert config.server.data == tmp_path / "state"
    assert config.server.tunnel_ports == range(20000, 21000)
    assert config.server.board_networks == ("10.0.0.0/8", "fd00::/8")
    assert config.requests.job_timeout == 1800
    assert config.requests.max_job_timeout == 7200
    assert config.workers.initial is WorkerState.IDLE
    assert config.workers.per_key == 20
    assert (config.log.level, config.log.format) == ("debug", "json")


def test_a_flag_beats_the_users_file_which_beats_the_systems(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "etc/boruta.toml").write_text(
        '[server]\nbind = "127.0.0.1:1"\naccess_host = "a"\n[log]\nlevel = "debug"\n'
    )
    (tmp_path / "user/boruta/boruta.toml").write_text(
        '[server]\nbind = "127.0.0.1:2"\n[log]\nlevel = "error"\n'
    )
    config = load_server_config(None, environ, bind="127.0.0.1:3")
    assert config.server.bind == "tcp://127.0.0.1:3"
    assert config.log.level == "error"
    assert config.server.access_host == "a"


def test_a_named_file_counts_alone_and_must_be_there(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "etc/boruta.toml").write_text('[log]\nlevel = "error"\n')
    mine = tmp_path / "mine.toml"
    mine.write_text("")
    assert load_server_config(mine, environ).log.level == "info"
    with pytest.raises(BadConfig, match=r"none\.toml: no such file"):
        load_server_config(tmp_path / "none.toml", environ)


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("[server]\nbindd = 1\n", 2, "server.bindd", "did you mean 'bind'"),
        ("[sever]\n", 1, "sever", "did you mean 'server'"),
        ("\n\nserver = 3\n", 3, "server", "want a table"),
        ('[server]\n\nbind = "x"\n', 3, "server.bind", "want tcp://HOST:PORT"),
        ("[server]\nbind = 7175\n", 2, "server.bind", "want a text, not an integer"),
        ('[server]\nbind = "1.2.3.4:70000"\n', 2, "server.bind", "above 65535"),
        ('[server]\nhttp = "127.0.0.1"\n', 2, "server.http", "want tcp://HOST:PORT"),
        ('[server]\nssh = ":7122"\n', 2, "server.ssh", "not available in this version"),
        ('[server]\ndatabase = "sqlite:///x"\n', 2, "server.database", "want sqlite:"),
        ('[server]\ndatabase = "mysql://me:secret@h/x"\n', 2, "server.database", "not 'mysql'"),
        ('[server]\ninsecure = "yes"\n', 2, "server.insecure", "want true or false"),
        ('[server]\ntunnel_ports = "20-10"\n', 2, "server.tunnel_ports", "lower one first"),
        ("[server]\ntunnel_ports = 20000\n", 2, "server.tunnel_ports", "want a text"),
        ('[server]\nboard_networks = "10.0.0.0/8"\n', 2, "server.board_networks", "want a list"),
        ('[server]\nboard_networks = ["10.0.0.1/8"]\n', 2, "server.board_networks", "host bits"),
        ('[server]\naccess_host = "a:22"\n', 2, "server.access_host", "without a port"),
        ('[server]\naccess_host = "-oProxyCommand=x"\n', 2, "server.access_host", "would dial"),
        ('[requests]\njob_timeout = "1 hour"\n', 2, "requests.job_timeout", "1h30m"),
        ("[requests]\njob_timeout = 0\n", 2, "requests.job_timeout", "more than 0"),
        ("[requests]\njob_timeout = true\n", 2, "requests.job_timeout", "want seconds"),
        ("[requests]\njob_timeout = nan\n", 2, "requests.job_timeout", "out of range"),
        ('[requests]\njob_timeout = "25h"\n', 2, "requests.job_timeout", "above max_job_timeout"),
        ('[requests]\nmax_job_timeout = "1m"\n', 2, "requests.max_job_timeout", "above"),
        ("[requests]\nprolongs = -1\n", 2, "requests.prolongs", "whole number"),
        ('[requests]\nunservable = "no"\n', 2, "requests.unservable", "wait, invalid, refuse"),
        ('[workers]\ninitial = "run"\n', 2, "workers.initial", "maintenance, idle"),
        ('[workers]\ncheck_every = "often"\n', 2, "workers.check_every", "30m"),
        ("[requests]\ndefault_deadline = 0\n", 2, "requests.default_deadline", "0"),
        ('[log]\nlevel = "loud"\n', 2, "log.level", "debug, info, warning, error"),
        ("log.level = 4\n", 1, "log.level", "want a text"),
        ('[log]\n"level" = 4\n', 2, "log.level", "want a text"),
    ],
)
def test_a_bad_value_names_file_line_key_and_what_is_allowed(
    tmp_path: Path, text: str, line: int, key: str, says: str
) -> None:
    error = _bad(tmp_path, text)
    assert f"line {line}: " in error.message
    assert error.details["key"] == key
    assert says in error.message
    assert error.exit_status == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[server]\nbind "x"\n', "line 2, column 6"),
        ("[server]\n[server]\n", "line 2"),
        ("a = " + "[" * 5000, "nested"),
    ],
)
def test_what_is_no_toml_names_the_line(tmp_path: Path, text: str, says: str) -> None:
    assert says in _bad(tmp_path, text).message


def test_a_file_that_is_no_text_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "boruta.toml"
    path.write_bytes(b"[log]\n# \xff\n")
    with pytest.raises(BadConfig, match="line 2: not UTF-8"):
        load_server_config(path, {})


def test_a_bad_flag_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(BadConfig, match=r"^--log-level: 'x' \(allowed"):
        load_server_config(None, environ, log_level="x")
    with pytest.raises(BadConfig, match=r"^--ssh: .*not available in this version"):
        load_server_config(None, environ, ssh="127.0.0.1:80")
    assert load_server_config(None, environ, http="[::1]:80").server.http == "[::1]:80"


def test_what_this_version_lacks_may_be_switched_off(environ: dict[str, str]) -> None:
    config = load_server_config(None, environ, http="off", ssh="OFF", database="memory:")
    assert isinstance(config, ServerConfig)


def test_places_follow_root_and_the_xdg_variables() -> None:
    assert places.data_dir({"XDG_STATE_HOME": "/s"}, root=False) == Path("/s/boruta")
    assert places.data_dir({"HOME": "/h"}, root=False) == Path("/h/.local/state/boruta")
    relative = {"HOME": "/h", "XDG_STATE_HOME": "s"}
    assert places.data_dir(relative, root=False) == Path("/h/.local/state/boruta")
    assert places.data_dir({"XDG_STATE_HOME": "/s"}, root=True) == Path("/var/lib/boruta")
    assert places.client_config_path({"HOME": "/h"}) == Path("/h/.config/boruta/config.toml")


# --- config.toml
KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


def test_a_client_finds_its_profiles(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "user/boruta/config.toml").write_text(
        f'default = "lab"\n[profiles.lab]\nserver = "tcp://a:1"\nserver_key = "{KEY}"\n'
        'key = "me.key_secret"\n[profiles.two]\nserver = ["tcp://b:1", "tcp://c:1"]\n'
        'server_key = "b.key"\n'
    )
    config = load_client_config(environ)
    lab = config.profile()
    assert lab is not None
    assert (lab.name, lab.server, lab.server_key) == ("lab", ("tcp://a:1",), KEY)
    assert lab.key == str(tmp_path / "user/boruta/me.key_secret")
    two = config.profile("two")
    assert two is not None
    assert two.server == ("tcp://b:1", "tcp://c:1")
    assert two.server_key == str(tmp_path / "user/boruta/b.key")
    with pytest.raises(BadConfig, match=r"'x' is not known \(lab, two\)"):
        config.profile("x")


def test_a_users_profile_beats_the_systems(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "etc/config.toml").write_text(
        'default = "a"\n[profiles.a]\nserver = "tcp://a:1"\n[profiles.b]\nserver = "tcp://b:1"\n'
    )
    (tmp_path / "user/boruta/config.toml").write_text('[profiles.a]\nserver = "tcp://mine:1"\n')
    config = load_client_config(environ)
    profile = config.profile()
    assert profile is not None
    assert profile.server == ("tcp://mine:1",)
    assert sorted(config.profiles) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('default = "x"\n', "line 1: default: no profile 'x'"),
        ("[profiles.a]\nsrver = 1\n", "line 2: .*did you mean 'server'"),
        ("[profiles.a]\nserver = 1\n", "line 2: .*want a text"),
        ("[profiles.a]\nserver = []\n", "line 2: .*"),
        ("[profiles]\na = 1\n", "line 2: .*want a table"),
        ("profiles = 1\n", "line 1: .*want tables"),
    ],
)
def test_a_bad_client_config_names_the_line(
    tmp_path: Path, environ: dict[str, str], text: str, says: str
) -> None:
    (tmp_path / "user/boruta/config.toml").write_text(text)
    with pytest.raises(BadConfig, match=says):
        load_client_config(environ)


def test_without_any_config_there_is_no_profile(environ: dict[str, str]) -> None:
    assert load_client_config(environ).profile() is None


def test_the_example_in_the_docs_is_a_config_that_works(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs/configuration.md"
    example = next(t for t in page.read_text().split("```") if t.startswith("toml\n[server]"))
    path = tmp_path / "boruta.toml"
    path.write_text(example.removeprefix("toml\n"))
    config = load_server_config(path, {})
    plain = ServerConfig()
    assert (config.requests, config.workers, config.log) == (
        plain.requests,
        plain.workers,
        plain.log,
    )
    assert config.server.bind == plain.server.bind
