from __future__ import annotations

import asyncio

from boruta.domain.commands import Prepare, PrepareDone, Registration
from boruta.domain.types import Capabilities, Epoch, ReqState, Role
from tests.transport.fake import place, refused, run
from transport.remote_dryad import RemoteSuperviser
from transport.remote_requests import RemoteRequests


def test_a_user_makes_a_request_acquires_a_board_and_closes() -> None:
    async def story() -> None:
        async with place() as there:
            link = await there.user()
            requests = RemoteRequests(link)
            req_id = await requests.new_request({"arch": "x86"}, 3, note="hi")
            info = await requests.get_request_info(req_id)
            assert (info.priority, info.note, dict(info.caps)) == (3, "hi", {"arch": "x86"})
            assert info.owner.name == "ann"
            getting = asyncio.ensure_future(requests.acquire_worker(req_id))
            await there.front.until(lambda: req_id in there.front.boards)
            there.front.boards[req_id].set_result(None)
            access = await getting
            assert access.port == 4022
            await requests.close_request(req_id)
            assert (await requests.get_request_info(req_id)).state is ReqState.CANCEL
            assert (await refused(requests.close_request(req_id))).code == "action_refused"

    run(story)


def test_an_agent_registers_and_carries_out_a_command() -> None:
    async def story() -> None:
        async with place() as there:
            asked = []

            async def on_call(kind: str, body: dict[str, object]) -> dict[str, object]:
                asked.append((kind, body))
                return {"username": "board", "host_keys": ["ssh-ed25519 " + "A" * 68]}

            link = there.link(there.admit("b1", Role.WORKER), "worker", on_call=on_call)
            await link.open(5.0)
            done = await RemoteSuperviser(link).register(
                Registration(Capabilities(UUID="u1"), ":7022")
            )
            assert done.worker.worker_uuid == "u1"
            assert done.first
            said, port = there.front.registrations[0]
            assert said.ssh_address == "127.0.0.1:7022"
            answer = asyncio.get_running_loop().create_future()
            port.send(Prepare(Epoch(1, 2), "ssh-ed25519 AAA", 60.0), 5.0, answer.set_result)
            assert await answer == PrepareDone("board", ("ssh-ed25519 " + "A" * 68,))
            assert asked[0][1]["epoch"] == [1, 2]

    run(story)
