"""What server and agent say to each other as maps of the wire, and back; the same at both ends.

Maps are what `wire.py` describes. What comes from the far end was checked by it before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boruta.domain.commands import (
    Checks,
    Command,
    CommandReply,
    Done,
    EndedJob,
    EndSession,
    Healthcheck,
    KeptJob,
    Lease,
    Prepare,
    PrepareDone,
    PutInMaintenance,
    Registered,
    Registration,
)
from boruta.domain.errors import UnknownType
from boruta.domain.types import Capabilities, Epoch
from transport.maps import checks_from, checks_map, known, worker_from, worker_map


# --- an agent's registration
def epoch_from(found: list[int] | None) -> Epoch:
    """The pair of a checked list; absent means the lowest."""
    return Epoch(*found) if found else Epoch()


def _epoch_list(epoch: Epoch) -> list[int]:
    return [epoch.server, epoch.board]


def _kept_map(job: KeptJob | None) -> dict[str, Any] | None:
    if job is None:
        return None
    return {
        "id": job.id, "epoch": job.epoch, "remaining_s": job.remaining_s, "end_rev": job.end_rev,
    }


def _kept_from(found: Mapping[str, Any] | None) -> KeptJob | None:
    if found is None:
        return None
    return KeptJob(found["id"], found["epoch"], float(found["remaining_s"]), found["end_rev"])


def registration_map(said: Registration) -> dict[str, Any]:
    """A registration for the wire; the session travels in `hello`."""
    ended = said.ended
    return known(
        caps=dict(said.caps),
        dryad_address=said.dryad_address,
        ssh_address=said.ssh_address,
        epoch=_epoch_list(said.epoch),
        job=_kept_map(said.job),
        ended=None
        if ended is None
        else {"id": ended.id, "epoch": ended.epoch, "reason_code": ended.reason_code},
    )


def registration_from(
    found: Mapping[str, Any], ssh_address: str, session: bytes
) -> Registration:
    """The registration of a checked map, its address as the server's edge has it."""
    ended = found.get("ended")
    return Registration(
        caps=Capabilities(found["caps"]),
        ssh_address=ssh_address,
        dryad_address=found.get("dryad_address", ""),
        epoch=epoch_from(found.get("epoch")),
        job=_kept_from(found.get("job")),
        ended=None
        if ended is None
        else EndedJob(ended["id"], ended["epoch"], ended["reason_code"]),
        session=session,
    )


def registered_map(done: Registered) -> dict[str, Any]:
    """The answer to a registration for the wire."""
    return known(
        worker=worker_map(done.worker),
        epoch=_epoch_list(done.epoch),
        job=_kept_map(done.job),
        first=done.first,
    )


def registered_from(found: Mapping[str, Any]) -> Registered:
    """The answer to a registration of a checked map."""
    return Registered(
        worker_from(found["worker"]),
        epoch_from(found["epoch"]),
        _kept_from(found.get("job")),
        first=found.get("first", False),
    )


# --- commands to an agent
def command_map(command: Command) -> tuple[str, dict[str, Any]]:
    """A command as a call: its type and body."""
    match command:
        case Prepare(epoch=epoch, key=key, default_lease_s=lease):
            return "dryad.prepare", {
                "epoch": _epoch_list(epoch), "key": key, "default_lease_s": lease,
            }
        case Lease(epoch=epoch, id=req_id, remaining_s=left, end_rev=rev):
            return "dryad.lease", {
                "epoch": _epoch_list(epoch), "id": req_id, "remaining_s": left, "end_rev": rev,
            }
        case PutInMaintenance(epoch=epoch, msg=msg):
            return "dryad.put_in_maintenance", {"epoch": _epoch_list(epoch), "msg": msg}
        case EndSession(epoch=epoch, reason=reason):
            return "dryad.end_session", {"epoch": _epoch_list(epoch), "reason": reason}
        case Healthcheck():
            return "dryad.healthcheck", {}


def command_from(kind: str, body: Mapping[str, Any]) -> Command:
    """The command of a checked call.

    Raises:
        UnknownType: there is no such command.
    """
    if kind == "dryad.healthcheck":
        return Healthcheck()
    epoch = epoch_from(body.get("epoch"))
    match kind:
        case "dryad.prepare":
            return Prepare(epoch, body["key"], float(body["default_lease_s"]))
        case "dryad.lease":
            return Lease(epoch, body["id"], float(body["remaining_s"]), body["end_rev"])
        case "dryad.put_in_maintenance":
            return PutInMaintenance(epoch, body["msg"])
        case "dryad.end_session":
            return EndSession(epoch, body["reason"])
    raise UnknownType(f"{kind!r:.80}: there is no such command", type=kind)


def command_reply_map(reply: CommandReply) -> dict[str, Any]:
    """The answer to a command for the wire."""
    match reply:
        case PrepareDone(username=username, host_keys=host_keys):
            return {"username": username, "host_keys": list(host_keys)}
        case Checks(checks=checks):
            return checks_map(checks)
        case Done():
            return {}


def command_reply_from(kind: str, body: Mapping[str, Any]) -> CommandReply:
    """The answer of a checked map to a command of this type."""
    match kind:
        case "dryad.prepare":
            return PrepareDone(body["username"], tuple(body["host_keys"]))
        case "dryad.healthcheck":
            return Checks(checks_from(body))
    return Done()
