"""Peers and people who do what they must not, while a board is held and used beside them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from boruta.keys import load_pair, read_server_key
from tests.integration.lab import Lab, _command, lab
from tests.transport.raw import Raw

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

MIB = 1 << 20
LOG_LINES = 300  # of all that one test does; more would be a flood
KEY = "ssh-ed25519 " + "A" * 68
EVIL = "x\x1b]0;owned\x07\n\0\x9b31m\u202e"
CAPS = {"a": "b"}


class Farm(Lab):
    """A lab in which somebody works on a board all the time."""

    def begin(self) -> None:
        """Starts server, board and work, and admits those who will misbehave."""
        self.start_server()
        self.start_boards(1, "-c", "arch=armv7l")
        for name, role in (("mallory", "user"), ("alice", "user"), ("rogue", "worker")):
            self.boruta("key", "new", name, "--role", role, "--out", str(self.place / "keys"))
        loop = "echo up; while read line; do echo $line; done"
        self.work = self.start(
            "boruta", "--data", str(self.data), "run", "-c", "arch=armv7l", "--", loop,
            stdin=subprocess.PIPE,
        )  # fmt: skip
        self.until(lambda: "up" in self.said(self.work), "work begins")
        self._works = 0

    def works(self) -> None:
        """The one who works on the board has felt nothing."""
        self._works += 1
        assert self.work.stdin is not None
        self.work.stdin.write(f"still {self._works}\n")
        self.work.stdin.flush()
        self.until(lambda: f"still {self._works}" in self.said(self.work), "work goes on", 10)
        assert self.said(self.work, "err") == ""

    @property
    def log(self) -> list[str]:
        """What the server has logged."""
        assert self.server is not None
        return self.said(self.server, "err").splitlines()

    def peer(self, name: str = "mallory") -> Raw:
        """A raw peer with that key."""
        secret = self.place / "keys" / f"{name}.key_secret"
        if name == "local":
            secret = self.data / "keys" / "local.key_secret"
        server_key = read_server_key(self.data / "keys" / "server.key")
        return Raw(self.url, server_key, load_pair(secret))

    def as_user(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs `boruta ...` with that key."""
        options = (
            "--server", self.url, "--server-key", str(self.data / "keys" / "server.key"),
            "--key", str(self.place / "keys" / f"{name}.key_secret"),
        )  # fmt: skip
        return subprocess.run(
            _command(("boruta", *options, *words)),
            cwd=self.place, text=True, capture_output=True, timeout=60,
        )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    farm = Farm(tmp_path_factory.mktemp("lab"))
    try:
        farm.begin()
        yield farm
        assert farm.work.stdin is not None
        farm.work.stdin.close()
        assert farm.work.wait(20) == 0, farm.said(farm.work, "err")
    finally:
        farm.close()


@pytest.fixture
def farm(made: Farm) -> Iterator[Farm]:
    """The farm; after each test the work goes on, and the log is short and sane."""
    before = len(made.log)
    yield made
    made.works()
    new = made.log[before:]
    # A board whose prepare fails is told as that; anything else that failed is a defect.
    told = [line for line in new if " prepare_failed " not in line]
    assert not [line for line in told if "raceback" in line or "_failed" in line]
    assert len(new) < LOG_LINES
    assert all(line.isprintable() for line in new)


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 60))  # type: ignore[arg-type]


def code(answer: dict[str, Any]) -> str:
    return str(answer["error"]["code"]) if "error" in answer else "ok"


def new(**body: Any) -> tuple[str, dict[str, Any]]:
    return "requests.new", {"caps": CAPS, "priority": 8, **body}


NAN = float("nan")
WRONG: list[tuple[tuple[str, dict[str, Any]], str]] = [
    *[(new(priority=p), "priority_out_of_bounds") for p in (0, 17, -1, True, 8.0, 2**63, "8")],
    *[(new(job_timeout_s=t), "bad_time") for t in (NAN, float("inf"), -1, 0, True, 1e308)],
    *[(new(caps=c), "bad_request") for c in ([], {"a": 1}, {"a": True}, None)],
    *[(new(caps=c), "bad_caps") for c in ({"a": "3..1"}, {"": "x"}, {"a": "\0"}, {EVIL: "b"})],
    (new(caps={"a": "x" * 1025}), "too_large"),
    (new(caps={str(n): "" for n in range(65)}), "too_large"),
    *[(new(groups=g), "bad_request") for g in ([""], ["a\n"], [1], "abc")],
    *[(new(note=n), "bad_request") for n in (EVIL, "\x9b", 5)],
    (new(token=""), "bad_request"),
    (new(deadline=msgpack.Timestamp(2**60, 0)), "bad_time"),
    (new(deadline=msgpack.Timestamp(10**9, 0)), "deadline_past"),
    (new(valid_after=msgpack.Timestamp(3 * 10**9, 0)), "ok"),
    (
        new(valid_after=msgpack.Timestamp(3 * 10**9, 0), deadline=msgpack.Timestamp(29 * 10**8, 0)),
        "time_range_illegal",
    ),
    *[(("requests.get", {"id": n}), "not_found") for n in (0, -1, 2**63 - 1, -(2**63))],
    *[(("requests.get", {"id": n}), "bad_request") for n in (2**63, 2**64 - 1, True, 1.5, None)],
    (("requests.acquire", {"id": 1, "timeout_s": NAN}), "bad_time"),
    (("requests.list", {"sort": {"item": EVIL}}), "bad_sort"),
    (("requests.list", {"page": {"limit": 1001}}), "bad_page"),
    (("workers.set_state", {"worker_uuid": "x", "state": "IDLE"}), "not_permitted"),
    (("superviser.register", {"caps": {"UUID": "u"}, "ssh_address": ":1"}), "unknown_type"),
    (("dryad.prepare", {}), "unknown_type"),
    (("hello", {"role": "user", "protocols": [1], "software": "", "session": b"s" * 16}),
     "unknown_type"),
    ((EVIL, {}), "unknown_type"),
]  # fmt: skip


def test_each_wrong_call_is_answered_with_its_code_in_printable_words(farm: Farm) -> None:
    async def story() -> None:
        with farm.peer() as peer:
            assert code(await peer.call("requests.list")) == "hello_required"
            await peer.hello()
            for (kind, body), wanted in WRONG:
                answer = await peer.call(kind, **body)
                assert code(answer) == wanted, (kind, body, answer)
                assert answer.get("error", {"message": ""})["message"].isprintable()
                if kind == "requests.new" and wanted == "ok":
                    await peer.call("requests.close", id=answer["body"]["id"])

    run(story)


FRAMES = [
    ("nothing", b""),
    ("a list", msgpack.packb([1, 2])),
    ("keys that are numbers", msgpack.packb({1: 2})),
    ("an extension", msgpack.packb({"v": 1, "id": 1, "type": msgpack.ExtType(5, b"x")})),
    ("nested maps", b"\x81\xa1a" * 10_000 + b"\xc0"),
    ("version 2", msgpack.packb({"v": 2, "id": 1, "type": "ping"})),
    ("an id over 63 bits", msgpack.packb({"v": 1, "id": 2**63, "type": "ping"})),
    ("noise", b"\xc1" + random.Random(1).randbytes(10**6)),
]


def test_what_is_no_message_is_refused_and_the_tenth_ends_the_connection(farm: Farm) -> None:
    async def story() -> None:
        with farm.peer() as peer:
            await peer.hello()
            for what, frame in FRAMES:
                peer.frame(frame)
                answer = await peer.recv()
                assert code(answer) == "bad_frame", what
                assert answer["error"]["message"].isprintable(), what
            for _ in range(10 - len(FRAMES)):
                peer.frame(b"\xc1")
            assert await peer.cut()
        with farm.peer() as peer:
            await peer.hello()
            peer.frame(bytes(2 * MIB))
            assert await peer.cut()
        with farm.peer() as peer:
            answer = await peer.hello(protocols=[9])
            assert code(answer) == "unsupported_protocol"
            assert answer["error"]["details"]["protocols"] == [1]
            assert await peer.cut()

    run(story)


def test_of_a_key_that_is_given_twice_the_last_counts(farm: Farm) -> None:
    async def story() -> None:
        with farm.peer() as peer:
            await peer.hello()
            peer.frame(b"\x84\xa1v\x01\xa2id\x07\xa2id\x08\xa4type\xa4ping")
            assert "body" in await peer.reply(8)

    run(story)


UUIDS = [
    ({}, "caps_missing_uuid"),
    ({"UUID": ""}, "caps_missing_uuid"),
    ({"UUID": " "}, "bad_caps"),
    ({"UUID": EVIL}, "bad_caps"),
    ({"UUID": "-oProxyCommand=x"}, "bad_caps"),
    ({"UUID": "u", "arch": EVIL}, "bad_caps"),
    ({"UUID": "u" * 1025}, "too_large"),
]
ADDRESSES = ["nohost", "127.0.0.1", ":0", ":65536", "-oProxyCommand=x:22", "9.9.9.9:22", "a\n:22"]


def test_an_agent_with_caps_or_an_address_that_cannot_be_is_not_registered(farm: Farm) -> None:
    async def story() -> None:
        with farm.peer("rogue") as peer:
            await peer.hello("worker")
            for caps, wanted in UUIDS:
                answer = await peer.call("superviser.register", caps=caps, ssh_address=":22")
                assert code(answer) == wanted, caps
                assert answer["error"]["message"].isprintable()
            for address in ADDRESSES:
                answer = await peer.call(
                    "superviser.register", caps={"UUID": "u"}, ssh_address=address
                )
                assert code(answer) == "bad_address", address
            (board,) = farm.json("workers")
            answer = await peer.call(
                "superviser.register", caps={"UUID": board["worker_uuid"]}, ssh_address=":22"
            )
            assert code(answer) == "uuid_in_use"
            answer = await peer.call(
                "superviser.set_fail", worker_uuid=board["worker_uuid"], reason="mine"
            )
            assert code(answer) == "not_permitted"
            assert code(await peer.call("requests.list")) == "unknown_type"
        with farm.peer("rogue") as peer:
            assert code(await peer.hello("user")) == "not_permitted"

    run(story)
    assert len(farm.json("workers")) == 1


def test_what_a_rogue_agent_answers_reaches_no_terminal_and_no_ssh(farm: Farm) -> None:
    answers: list[dict[str, Any]] = [
        {"body": {"username": "-oProxyCommand=x", "host_keys": [KEY]}},
        {"body": {"username": "board", "host_keys": [KEY + "\n* " + KEY]}},
        {"body": {"username": "board", "host_keys": []}},
        {"error": {"code": "internal", "message": EVIL, "details": {}}},
    ]

    async def serve(peer: Raw, answer: dict[str, Any]) -> None:
        while True:
            said = await peer.recv()
            if said.get("type") == "dryad.prepare":
                peer.say({"v": 1, "re": said["id"], **answer})
            elif said.get("type") == "dryad.healthcheck":
                check = {"name": EVIL, "ok": False, "detail": EVIL}
                peer.say({"v": 1, "re": said["id"], "body": {"checks": [check]}})
            elif "id" in said:
                peer.say({"v": 1, "re": said["id"], "body": {}})

    async def story(number: int, answer: dict[str, Any]) -> None:
        uuid = f"rogue-{number}"
        with farm.peer("rogue") as peer, farm.peer("local") as admin:
            await admin.hello()
            await peer.hello("worker")
            await peer.call("superviser.register", caps={"UUID": uuid}, ssh_address=":22")
            serving = asyncio.ensure_future(serve(peer, answer))
            await admin.call("workers.set_state", worker_uuid=uuid, state="IDLE")
            while True:
                found = (await admin.call("workers.get", worker_uuid=uuid))["body"]["worker"]
                assert found["state"] != "IDLE"
                if "prepare failed" in found["reason"]:
                    break
                await asyncio.sleep(0.02)
            (check,) = (await admin.call("workers.check", worker_uuid=uuid))["body"]["checks"]
            for text in (found["reason"], check["name"], check["detail"]):
                assert text.replace("\n", "").isprintable(), text
            serving.cancel()
            await asyncio.wait({serving})

    for number, answer in enumerate(answers):
        run(lambda number=number, answer=answer: story(number, answer))
    for form in ("table", "json", "id"):
        said = farm.boruta("workers", "-o", form)
        assert all(line.isprintable() for line in said.splitlines())


def test_a_client_that_disappears_in_the_middle_of_acquire_leaves_its_request(farm: Farm) -> None:
    async def story() -> None:
        with farm.peer("alice") as witness:
            await witness.hello()
            with farm.peer() as peer:
                await peer.hello()
                kind, body = new()
                req_id = (await peer.call(kind, **body))["body"]["id"]
                peer.say({"v": 1, "id": 99, "type": "requests.acquire", "body": {"id": req_id}})
                await peer.call("ping")
            with farm.peer() as again:
                await again.hello()
                found = await again.call("requests.get", id=req_id)
                assert found["body"]["request"]["state"] == "WAITING"
                assert code(await witness.call("requests.close", id=req_id)) == "not_permitted"
                assert code(await again.call("requests.prolong", id=req_id)) == (
                    "worker_not_assigned"
                )
                assert code(await again.call("requests.close", id=req_id)) == "ok"
                assert code(await again.call("requests.close", id=req_id)) == "action_refused"

    run(story)


def test_who_asks_too_much_is_told_the_limit(farm: Farm) -> None:
    async def story() -> None:
        with farm.peer() as peer, contextlib.ExitStack() as others:
            await peer.hello()
            kind, body = new()
            req_id = (await peer.call(kind, **body))["body"]["id"]
            for number in range(1000, 1101):
                peer.say({"v": 1, "id": number, "type": "requests.acquire", "body": {"id": req_id}})
            refused = await peer.reply(1100)
            assert code(refused) == "busy"
            assert "100 calls of mallory wait to acquire" in refused["error"]["message"]
            assert refused["error"]["details"]["retry_after_s"] > 0
            peer.last = 2000
            await peer.call("requests.close", id=req_id)
            for _ in range(20):
                other = others.enter_context(farm.peer())
                await other.hello()
                assert code(await other.call("events.subscribe")) == "ok"
            refused = await peer.call("events.subscribe")
            assert code(refused) == "busy"
            assert "20 subscriptions" in refused["error"]["message"]

    run(story)


def test_thousands_of_hellos_and_calls_of_one_key_hold_nobody_up(farm: Farm) -> None:
    async def story() -> None:
        said = {"role": "user", "protocols": [1], "software": "", "session": os.urandom(16)}
        with farm.peer() as peer:
            await peer.hello()
            for number in range(1000, 6000):
                peer.say({"v": 1, "id": number, "type": "hello", "body": said})
            with farm.peer("alice") as other:
                await other.hello()
                assert code(await asyncio.wait_for(other.call("requests.list"), 5)) == "ok"
            assert code(await peer.reply(5999)) == "unknown_type"

    run(story)


def test_nobody_uses_the_board_of_another(farm: Farm) -> None:
    (held,) = farm.json("requests")
    req_id = str(held["id"])
    for words in (
        ("exec", req_id, "--", "id"),
        ("ssh-config", req_id, "--dir", "stolen"),
        ("close", req_id),
    ):
        done = farm.as_user("mallory", *words)
        assert done.returncode == 4, words
        assert done.stderr.endswith("[not_permitted]\n")
        assert done.stdout == ""
    assert not (farm.place / "stolen").exists()


def test_ctrl_c_at_any_moment_leaves_no_traceback_and_no_request(farm: Farm) -> None:
    words = ("boruta", "--data", str(farm.data), "run", "-c", "arch=none", "--wait-anyway", "--",
             "true")  # fmt: skip
    runs = [farm.start(*words) for _ in range(4)]
    for pause, one in zip((0.0, 0.1, 0.2, 0.4), runs, strict=True):
        maps = Path(f"/proc/{one.pid}/maps")
        # Before that nothing of ours runs, and Python itself tells of the signal.
        farm.until(lambda maps=maps: "_zmq" in maps.read_text(), "it begins")
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.wait(pause)
        one.send_signal(signal.SIGINT)
    for one in runs:
        assert one.wait(20) == 130
        assert "Traceback" not in farm.said(one, "err")
    farm.until(lambda: len(farm.json("requests")) == 1, "only the work is left", 10)


def test_links_in_the_data_directory_lead_nowhere(farm: Farm, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious\n")
    precious.chmod(0o600)
    with lab(tmp_path) as other:
        other.data.mkdir(mode=0o700)
        (other.data / "lock").symlink_to(precious)
        done = other.run("server", "--bind", "tcp://127.0.0.1:0")
        assert done.returncode == 4
        assert "lock: cannot be opened" in done.stderr
        (other.data / "lock").unlink()
        (other.data / "server.json").symlink_to(precious)
        server = other.start("boruta", "server", "--data", str(other.data), "--bind",
                             "tcp://127.0.0.1:0")  # fmt: skip
        other.until(lambda: "server_started" in other.said(server, "err"), "the server")
        assert not (other.data / "server.json").is_symlink()
        assert other.end(server) == 0
    assert precious.read_text() == "precious\n"
