"""What a server is told: flags, then the user's boruta.toml, then the system's."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from boruta import places
from boruta.addresses import DEFAULT_BIND, read_bind
from boruta.domain import defaults
from boruta.domain.durations import parse_duration
from boruta.domain.errors import BadConfig, BadTime
from boruta.domain.types import WorkerState
from boruta.ssh import HOST
from boruta.tomlfile import TomlFile, kind

_NOT_YET: Final = "not available in this version"


@dataclass(frozen=True, slots=True)
class ServerSection:
    """`[server]`: where it is reached and where it keeps things."""

    bind: str = DEFAULT_BIND
    http: str = "off"
    ssh: str = "off"
    data: Path = Path()
    database: str = ""  # empty: sqlite:, but memory: for a Farm without a data directory
    access_host: str = ""  # empty: the address by which the asker reached the server
    tunnel_ports: range | None = None  # None: any free one
    board_networks: tuple[str, ...] = ()
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class RequestsSection:
    """`[requests]`: what one request may take. Durations in seconds."""

    unservable: str = defaults.UNSERVABLE
    default_deadline: float | None = None  # None: one calendar month
    job_timeout: float = defaults.JOB_TIMEOUT_S
    max_job_timeout: float = defaults.MAX_JOB_TIMEOUT_S
    prolongs: int = defaults.PROLONGS
    prolong_total: float = defaults.PROLONG_TOTAL_S


@dataclass(frozen=True, slots=True)
class WorkersSection:
    """`[workers]`: how boards are taken in and looked after. Durations in seconds."""

    initial: WorkerState = WorkerState.MAINTENANCE
    grace: float = defaults.WORKER_GRACE_S
    auto_recover: bool = False
    check_every: float = 0.0  # 0: never
    per_key: int = defaults.WORKERS_A_KEY  # boards that one worker key may register


@dataclass(frozen=True, slots=True)
class LogSection:
    """`[log]`: how much is logged, and in which form."""

    level: str = "info"
    format: str = "text"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """All of boruta.toml, checked."""

    server: ServerSection = field(default_factory=ServerSection)
    requests: RequestsSection = field(default_factory=RequestsSection)
    workers: WorkersSection = field(default_factory=WorkersSection)
    log: LogSection = field(default_factory=LogSection)


# --- readers: a value as TOML or a flag has it -> what the config holds; ValueError says what is
# allowed
def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"want a text, not {kind(value)}")
    return value.strip()


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"want true or false, not {kind(value)}")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1_000_000:
        raise ValueError(f"{value!r}: want a whole number, 0 to 1000000")
    return value


def _duration(value: Any) -> float:
    if not isinstance(value, str | int | float):
        raise ValueError(f'want a duration as 90 or "1h30m", not {kind(value)}')
    try:
        return parse_duration(value)
    except BadTime as error:
        raise ValueError(error.message) from None


def _job_time(value: Any) -> float:
    seconds = _duration(value)
    if not seconds:
        raise ValueError("want more than 0")
    return seconds


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        word = _text(value).lower()
        if word not in allowed:
            raise ValueError(f"{value!r} (allowed: {', '.join(allowed)})")
        return word

    return read


def _http(value: Any) -> str:
    word = "off" if value is False else _text(value)
    return "off" if word.lower() == "off" else read_bind(word).removeprefix("tcp://")


def _off(value: Any) -> str:
    word = "off" if value is False else _text(value).lower()
    if word != "off":
        raise ValueError(f"{value!r}: {_NOT_YET} (allowed: off)")
    return word


def _database(value: Any) -> str:
    text = _text(value)
    if text.rstrip(":") in ("sqlite", "memory"):
        return f"{text.rstrip(':')}:"
    if not re.match(r"postgres(ql)?(\+psycopg)?://", text):
        raise ValueError(
            "want sqlite: (DATA/boruta.db), postgresql://USER@HOST/NAME or memory: (a restart "
            f"loses all), not {text.partition('://')[0]!r:.40}"  # the rest may hold a password
        )
    return text


def _data(value: Any) -> Path:
    text = str(value) if isinstance(value, Path) else _text(value)
    path = Path(text).expanduser()
    if not text:
        raise ValueError("want a directory")
    return path


def _host(value: Any) -> str:
    host = _text(value)
    if any(character.isspace() or character in "/@[]" for character in host):
        raise ValueError(f"{value!r}: want a host name or an address, without a port")
    if host.count(":") == 1:
        raise ValueError(f"{value!r}: want a host without a port; each job has its own")
    if host and not HOST.fullmatch(host):
        raise ValueError(f"{value!r}: want a host name or an address; no client would dial this")
    return host


def _ports(value: Any) -> range:
    low, dash, high = _text(value).partition("-")
    if not (dash and low.strip().isdecimal() and high.strip().isdecimal()):
        raise ValueError(f"{value!r}: want LOW-HIGH, as 20000-20999")
    if not 1 <= int(low) <= int(high) <= 65535:
        raise ValueError(f"{value!r}: want 1 to 65535, the lower one first")
    return range(int(low), int(high) + 1)


def _networks(value: Any) -> tuple[str, ...]:
    found = []
    if not isinstance(value, list):
        raise ValueError(f'want a list, as ["10.0.0.0/8"], not {kind(value)}')
    for network in value:
        try:
            found.append(str(ipaddress.ip_network(_text(network))))
        except ValueError as error:
            raise ValueError(f"{network!r}: {error}; want networks as 10.0.0.0/8") from None
    return tuple(found)


def _initial(value: Any) -> WorkerState:
    return WorkerState(_one_of("maintenance", "idle")(value).upper())


_Reader = Callable[[Any], Any]
_READERS: Final[dict[str, dict[str, _Reader]]] = {
    "server": {
        "bind": lambda value: read_bind(_text(value)),
        "http": _http,
        "ssh": _off,
        "data": _data,
        "database": _database,
        "access_host": _host,
        "tunnel_ports": _ports,
        "board_networks": _networks,
        "insecure": _flag,
    },
    "requests": {
        "unservable": _one_of("wait", "invalid", "refuse"),
        "default_deadline": _job_time,
        "job_timeout": _job_time,
        "max_job_timeout": _job_time,
        "prolongs": _count,
        "prolong_total": _duration,
    },
    "workers": {
        "initial": _initial,
        "grace": _duration,
        "auto_recover": _flag,
        "check_every": _duration,
        "per_key": _count,
    },
    "log": {
        "level": _one_of("debug", "info", "warning", "error"),
        "format": _one_of("text", "json"),
    },
}
_FLAGS: Final = {
    "bind": ("server", "bind"),
    "http": ("server", "http"),
    "ssh": ("server", "ssh"),
    "data": ("server", "data"),
    "database": ("server", "database"),
    "insecure": ("server", "insecure"),
    "log_level": ("log", "level"),
    "log_format": ("log", "format"),
}


def load_server_config(
    path: Path | None, environ: Mapping[str, str], **flags: object
) -> ServerConfig:
    """The configuration of a server.

    Args:
        path: the one file that counts, which must exist; None: the usual places.
        environ: the environment, which says where the usual places are.
        **flags: bind, http, ssh, data, database, insecure, log_level, log_format as on the
            command line; None: not given.

    Raises:
        BadConfig: names the file, the key, the line and what is allowed.
    """
    values: dict[tuple[str, str], Any] = {}
    origin: dict[tuple[str, str], TomlFile] = {}
    for file in _files(path, environ):
        for name, section in file.table(file.values, (), _READERS).items():
            for key, value in file.table(section, (name,), _READERS[name]).items():
                values[name, key] = _read(name, key, value, file)
                origin[name, key] = file
    for flag, given in flags.items():
        if given is not None:
            name, key = _FLAGS[flag]
            values[name, key] = _read_flag(flag, name, key, given)
            origin.pop((name, key), None)
    values.setdefault(("server", "data"), places.data_dir(environ))
    config = _made(values)
    _check_job_times(config, origin)
    return config


def _files(path: Path | None, environ: Mapping[str, str]) -> list[TomlFile]:
    if path is not None:
        only = TomlFile.read(path)
        if only is None:
            raise BadConfig(f"{path}: no such file", file=str(path))
        return [only]
    found = [TomlFile.read(place) for place in places.server_config_paths(environ)]
    return [file for file in found if file is not None]


def _read(name: str, key: str, value: Any, file: TomlFile) -> Any:
    try:
        found = _READERS[name][key](value)
    except ValueError as error:
        raise file.error((name, key), str(error)) from None
    # A relative path in a file counts from the file, not from where the server was started.
    return file.path.parent.absolute() / found if isinstance(found, Path) else found


def _read_flag(flag: str, name: str, key: str, value: object) -> Any:
    try:
        return _READERS[name][key](value)
    except ValueError as error:
        raise BadConfig(f"--{flag.replace('_', '-')}: {error}", key=f"{name}.{key}") from None


def _made(values: Mapping[tuple[str, str], Any]) -> ServerConfig:
    config = ServerConfig()
    for section in fields(ServerConfig):
        mine = {key: value for (name, key), value in values.items() if name == section.name}
        if mine:
            changed = replace(getattr(config, section.name), **mine)
            config = replace(config, **{section.name: changed})
    return config


def _check_job_times(config: ServerConfig, origin: Mapping[tuple[str, str], TomlFile]) -> None:
    rules = config.requests
    if rules.job_timeout <= rules.max_job_timeout:
        return
    what = f"job_timeout ({rules.job_timeout:g} s) is above max_job_timeout"
    for key in ("job_timeout", "max_job_timeout"):
        file = origin.get(("requests", key))
        if file is not None:
            raise file.error(("requests", key), f"{what} ({rules.max_job_timeout:g} s)")
    raise BadConfig(f"{what} ({rules.max_job_timeout:g} s)")
