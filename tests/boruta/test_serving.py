"""A server on a loop: its data directory, its keys while it runs, and its end."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pykka
import pytest

from boruta import imports, server
from boruta.config import RequestsSection, ServerConfig, ServerSection
from boruta.domain.errors import ActionRefused, BadConfig, NotPermitted, Unavailable
from boruta.domain.types import Caller, ReqState, Role
from boruta.lock import DataLock
from boruta.pairs import new_pair
from boruta.serving import Running, farm_config

ADMIN = Caller("local", Role.ADMIN)


def _config(data: Path) -> ServerConfig:
    return farm_config(None, data, "tcp://127.0.0.1:0", kept=False)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


def test_it_writes_where_it_is_and_takes_it_back(tmp_path: Path) -> None:
    async def story() -> None:
        running = await Running.open(_config(tmp_path / "d"))
        path = tmp_path / "d/server.json"
        told = json.loads(path.read_text())
        assert told == {
            "pid": os.getpid(),
            "url": running.url,
            "server_key": running.keys.server.public,
            "insecure": False,
        }
        assert path.stat().st_mode & 0o777 == 0o600
        await running.close()
        assert not path.exists()
        await running.close()

    asyncio.run(story())


def test_the_same_data_is_refused_in_the_same_process_too(tmp_path: Path) -> None:
    async def story() -> None:
        running = await Running.open(_config(tmp_path / "d"))
        with pytest.raises(ActionRefused, match=rf"process {os.getpid()}\)") as caught:
            await Running.open(_config(tmp_path / "d"))
        assert caught.value.details["pid"] == os.getpid()
        assert (tmp_path / "d/server.json").exists()
        await running.close()
        await (await Running.open(_config(tmp_path / "d"))).close()

    asyncio.run(story())


def test_a_taken_address_leaves_nothing_behind(tmp_path: Path) -> None:
    async def story() -> None:
        first = await Running.open(_config(tmp_path / "a"))
        before = pykka.ActorRegistry.get_all()
        with pytest.raises(Unavailable, match=r"in use.*--bind"):
            await Running.open(farm_config(None, tmp_path / "b", first.url, kept=False))
        assert pykka.ActorRegistry.get_all() == before
        assert not (tmp_path / "b/server.json").exists()
        DataLock(tmp_path / "b").release()
        await first.close()

    asyncio.run(story())


def test_what_an_unsafe_key_stops_is_undone(tmp_path: Path) -> None:
    async def story() -> None:
        await (await Running.open(_config(tmp_path / "d"))).close()
        (tmp_path / "d/keys/local.key_secret").chmod(0o640)
        with pytest.raises(NotPermitted, match="chmod 600"):
            await Running.open(_config(tmp_path / "d"))
        (tmp_path / "d/keys/local.key_secret").chmod(0o600)
        await (await Running.open(_config(tmp_path / "d"))).close()

    asyncio.run(story())


def test_a_forked_child_does_not_hold_the_lock_on(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    there, here = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        os.write(here[1], b"x")
        os.read(there[0], 1)
        os._exit(0)
    try:
        os.read(here[0], 1)
        lock.release()
        DataLock(tmp_path).release()
    finally:
        os.write(there[1], b"x")
        os.waitpid(child, 0)
        for fd in (*there, *here):
            os.close(fd)


def test_a_removed_key_ends_what_it_holds_within_half_a_second(tmp_path: Path) -> None:
    async def story() -> None:
        running = await Running.open(_config(tmp_path / "d"))
        public, _ = new_pair()
        running.keys.add("alice", "user", (), public)
        alice = running.keys.admit(public)
        assert alice is not None
        requests = running.engine.front.requests(alice)
        bound = await requests.new_request({"a": "b"}, 8, bound=True)
        free = await requests.new_request({"a": "b"}, 8)
        (tmp_path / "d/keys/peers/alice.key").unlink()
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        await _until(lambda: running.keys.admit(public) is None)
        assert loop.time() - began < 0.6
        mine = running.engine.front.requests(ADMIN)
        async with asyncio.timeout(10):
            while (await mine.get_request_info(bound)).state is ReqState.WAIT:
                await asyncio.sleep(0.01)
        assert (await mine.get_request_info(free)).state is ReqState.CANCEL
        await running.close()

    asyncio.run(story())


def test_looking_at_keys_survives_whatever_goes_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        running = await Running.open(_config(tmp_path / "d"))
        with monkeypatch.context() as patch:
            patch.setattr(running.keys, "poll", lambda: 1 / 0)
            running.look_at_keys()
        assert "keys_failed" in caplog.text
        public, _ = new_pair()
        running.keys.add("alice", "user", (), public)
        assert running.keys.admit(public) is not None
        await running.close()

    asyncio.run(story())


def test_a_key_whose_removal_met_a_failure_is_removed_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        running = await Running.open(_config(tmp_path / "d"))
        cut: list[str] = []
        ended: list[str] = []
        failing = True

        def cuts(public: str) -> int:
            if failing and names[public] == "alice":
                raise RuntimeError("planted")
            cut.append(names[public])
            return 0

        def ends(name: str) -> None:
            if failing and name == "bob":
                raise RuntimeError("planted")
            ended.append(name)

        keys = {}
        for name in ("alice", "bob", "carol"):
            keys[name], _ = new_pair()
            running.keys.add(name, "user", (), keys[name])
        names = {public: name for name, public in keys.items()}
        running.look_at_keys()
        server, front = running.engine.server, running.engine.front
        monkeypatch.setattr(server, "revoke", cuts)
        monkeypatch.setattr(front, "key_removed", ends)
        for name in keys:
            (tmp_path / f"d/keys/peers/{name}.key").unlink()
        running.look_at_keys()
        assert (cut, ended) == (["bob", "carol"], ["alice", "carol"])
        failing = False
        running.look_at_keys()
        assert (cut, ended) == (["bob", "carol", "alice"], ["alice", "carol", "bob"])
        running.look_at_keys()
        assert len(cut) == len(ended) == 3
        await running.close()

    asyncio.run(story())


def test_rules_change_while_it_runs_and_places_do_not(tmp_path: Path) -> None:
    async def story() -> None:
        config = _config(tmp_path / "d")
        running = await Running.open(config)
        changed = ServerConfig(
            server=replace(config.server, access_host="x", tunnel_ports=range(1, 2)),
            requests=RequestsSection(job_timeout=60.0),
        )
        assert running.apply(changed) == ["server.access_host", "server.tunnel_ports"]
        requests = running.engine.front.requests(ADMIN)
        made = await requests.get_request_info(await requests.new_request({"a": "b"}, 8))
        assert made.job_timeout_s == 60
        assert running.apply(replace(changed, server=config.server)) == []
        await running.close()

    asyncio.run(story())


def test_a_host_that_stops_all_actors_closes_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        running = await Running.open(_config(tmp_path / "d"))
        waits = running.engine.front.requests(ADMIN)
        made = await waits.new_request({"a": "b"}, 8)
        acquire = asyncio.create_task(waits.acquire_worker(made))
        await asyncio.sleep(0)
        pykka.ActorRegistry.stop_all(block=False)
        async with asyncio.timeout(10):
            await running.stopped.wait()
            outcome = (await asyncio.gather(acquire, return_exceptions=True))[0]
        assert isinstance(outcome, Exception)
        assert "stopped_from_outside" in caplog.text
        assert not (tmp_path / "d/server.json").exists()
        await running.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("bind", "url"), [("tcp://0.0.0.0:0", "tcp://127.0.0.1:"), ("*:0", "tcp://127.0.0.1:")]
)
def test_what_is_bound_everywhere_is_told_as_loopback(tmp_path: Path, bind: str, url: str) -> None:
    async def story() -> None:
        running = await Running.open(farm_config(None, tmp_path / "d", bind, kept=False))
        assert running.url.startswith(url)
        await running.close()

    asyncio.run(story())


def test_a_farms_config_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "boruta.toml"
    path.write_text('[requests]\njob_timeout = "5m"\n[server]\nbind = "1.2.3.4:5"\n')
    config = farm_config(path, tmp_path / "d", "127.0.0.1:0", kept=False)
    assert config.requests.job_timeout == 300
    bind = "tcp://127.0.0.1:0"
    assert config.server == ServerSection(bind=bind, data=tmp_path / "d", database="memory:")
    with pytest.raises(BadConfig, match=r"^bind: "):
        farm_config(None, tmp_path, "udp://x", kept=False)


def test_a_farm_writes_where_its_directory_is_kept_unless_the_config_says_something(
    tmp_path: Path,
) -> None:
    path = tmp_path / "boruta.toml"
    path.write_text('[server]\ndatabase = "memory:"\n')
    bind = "tcp://127.0.0.1:0"
    assert farm_config(None, tmp_path, bind, kept=True).server.database == "sqlite:"
    assert farm_config(path, tmp_path, bind, kept=True).server.database == "memory:"
    path.write_text('[server]\ndatabase = "postgresql://x/y"\n')
    assert farm_config(path, tmp_path, bind, kept=False).server.database == "postgresql://x/y"


def test_few_files_are_raised_or_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    with caplog.at_level(logging.WARNING, "boruta.server"):
        assert server.raise_files() == 1024
    assert asked == [(1024, 1024)]
    assert "few_files limit=1024" in caplog.text


# --- whose packages
def test_our_own_packages_pass() -> None:
    imports.check_imports()


def test_another_package_in_the_place_of_ours_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = types.ModuleType("transport")
    other.__file__ = str(tmp_path / "transport/__init__.py")
    monkeypatch.setitem(sys.modules, "transport", other)
    with pytest.raises(BadConfig, match=f"'transport' is found in {tmp_path / 'transport'}"):
        imports.check_imports()


def test_the_namesake_over_ours_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "boruta").mkdir()
    (tmp_path / "boruta/boruta_py.py").write_text("")
    monkeypatch.setattr(imports, "_HOME", tmp_path)
    with pytest.raises(BadConfig, match="feature selection library"):
        imports.check_imports()
