"""Options that several verbs share, and the way from them to a client."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from datetime import datetime

    from boruta.client import Client

    _IdType = click.ParamType[int]
    _SecondsType = click.ParamType[float]
    _TimeType = click.ParamType[datetime]
else:
    # A ParamType of click 8.1 takes no parameter.
    _IdType = _SecondsType = _TimeType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])
_CONNECTION: Final = ("server", "server_key", "key", "profile", "data")
MOST_ID: Final = 2**63 - 1  # of what the wire carries


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Keeps an option given before or after the verb at one place."""
    if value is not None:
        ctx.find_root().ensure_object(dict)[param.name] = value
    return value


def connection(command: F) -> F:
    """Adds the options that say which server; they may stand before or after the verb."""
    options = [
        click.option("--server", metavar="URL", help="Address of the server, tcp://HOST:PORT."),
        click.option("--server-key", metavar="KEY", help="The server's public key, text or file."),
        click.option("--key", metavar="FILE", help="Your own key file (NAME.key_secret)."),
        click.option("--profile", metavar="NAME", help="A profile of config.toml."),
        click.option("--data", metavar="DIR", help="Data directory of a server on this machine."),
    ]
    for option in reversed(options):
        command = option(command)
    for param in getattr(command, "__click_params__", []):
        if param.name in _CONNECTION:
            param.expose_value = False
            param.callback = _keep
    return command


def data_option(command: F) -> F:
    """Adds --data DIR alone, for verbs that need no running server."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="The server's data directory; else its usual place.",
    )(command)


def data_dir(given: Path | None) -> Path:
    """The data directory that is meant; --data may also stand before the verb."""
    from boruta import places

    before = click.get_current_context().find_root().ensure_object(dict).get("data")
    return Path(given or before or places.data_dir(os.environ)).expanduser()


@contextlib.contextmanager
def client() -> Iterator[Client]:
    """A client of the server that the options name; the person is told if it goes and returns."""
    from boruta.cli.news import link_news
    from boruta.client import connect

    given = click.get_current_context().find_root().ensure_object(dict)
    with link_news():
        found = connect(
            given.get("server"),
            server_key=given.get("server_key"),
            key=given.get("key"),
            profile=given.get("profile"),
            data=given.get("data"),
        )
        try:
            yield found
        finally:
            found.close()


class RequestId(_IdType):
    """A request's id: digits alone."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        if isinstance(value, int):
            return value
        if not (value.isascii() and value.isdecimal()):
            self.fail(f"{value!r} is no request (want digits; boruta requests lists them)")
        number = int(value) if len(value) < 20 else MOST_ID + 1
        if number > MOST_ID:
            from boruta.domain.errors import NotFoundError

            raise NotFoundError(f"request {value[:40]} not found")
        return number


class Duration(_SecondsType):
    """`90`, `30m` or `1h30m`: seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds."""
        from boruta.domain.durations import parse_duration
        from boruta.domain.errors import BorutaError

        if isinstance(value, (int, float)):
            return float(value)
        try:
            return parse_duration(value)
        except BorutaError as error:
            self.fail(error.message, param, ctx)


class Time(_TimeType):
    """RFC 3339, or `+DURATION` from now."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The time, aware UTC."""
        from datetime import UTC, datetime

        from boruta.domain.durations import parse_time
        from boruta.domain.errors import BorutaError

        if isinstance(value, datetime):
            return value
        try:
            return parse_time(value, datetime.now(UTC))  # of the person who types
        except BorutaError as error:
            self.fail(error.message, param, ctx)


CAP_HELP: Final = (
    "key=value, key=a|b, key=1.5..3.6, key=2.., 'key>=N', 'key!=v', key (present), '!key' (absent)."
)


def request_options(command: F) -> F:
    """Adds the options that describe a request."""
    options = [
        click.option("-c", "--cap", "caps", multiple=True, metavar="CAP", help=CAP_HELP),
        click.option("-g", "--group", "groups", multiple=True, help="Only workers of this group."),
        click.option("--priority", type=int, default=8, show_default=True, help="1 (first) .. 16."),
        click.option("--after", type=Time(), metavar="TIME", help="Not before; RFC 3339 or +1h."),
        click.option("--deadline", type=Time(), metavar="TIME", help="Give up then; one month."),
        click.option("--for", "for_", type=Duration(), metavar="DURATION", help="Job time; 1h."),
        click.option("--note", default="", metavar="TEXT", help="Shown to others in lists."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def request_words(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turns the options of a request into the arguments of `new_request`, as `wanted`."""

    @functools.wraps(command)
    def call(*args: Any, **given: Any) -> Any:
        from boruta.domain.requirements import parse_cap_words
        from boruta.domain.types import UserInfo

        wanted = {
            "caps": parse_cap_words(given.pop("caps")),
            "priority": given.pop("priority"),
            "owner": UserInfo(groups=tuple(given.pop("groups"))),
            "valid_after": given.pop("after"),
            "deadline": given.pop("deadline"),
            "job_timeout": given.pop("for_"),
            "note": given.pop("note"),
        }
        return command(*args, wanted=wanted, **given)

    return call


request_id = click.argument("id", type=RequestId())
output = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "id"]), default="table", show_default=True
)
