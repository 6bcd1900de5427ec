"""The holders' local account: made once, kept without a password, emptied between holders.

It is never made anew for a job: a freed uid would be given out again, and what the former holder
left under it would be the next one's.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from boruta.domain.errors import BadConfig, Busy, InfraError
from dryad import files
from dryad.sessions.home import find_shell

COMMENT: Final = "Boruta holder"  # in the account's comment: it is dryad's, its home may be emptied
LOCKS: Final = Path("/run/lock")
SHADOW: Final = Path("/etc/shadow")
TOOLS: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
WITHIN_S: Final = 30.0  # for one of the tools; a small board's card may be slow

# What the tools' exit statuses mean, from useradd(8) and userdel(8); those that the seed names.
USERADD: Final[Mapping[int, str]] = {
    1: "can't update the password file",
    2: "invalid command syntax",
    3: "invalid argument to an option",
    4: "the UID is already in use",
    6: "a specified group doesn't exist",
    9: "the username is already in use",
    10: "can't update the group file",
    12: "can't create the home directory",
    14: "can't update the SELinux user mapping",
}
USERDEL: Final[Mapping[int, str]] = {
    1: "can't update the password file",
    2: "invalid command syntax",
    6: "the specified user doesn't exist",
    8: "the user is currently logged in",
    10: "can't update the group file",
    12: "can't remove the home directory",
}


@dataclass(frozen=True, slots=True)
class Account:
    """The account as the system knows it.

    Attributes:
        gids: its own group first, then the supplementary ones.
    """

    name: str
    uid: int
    gids: tuple[int, ...]
    home: Path
    shell: str

    @property
    def gid(self) -> int:
        """Its own group."""
        return self.gids[0]


def ensure(name: str, groups: Sequence[str]) -> Account:
    """Makes the account if there is none, and gives it these groups; blocks.

    Args:
        name: of the account.
        groups: supplementary ones; they must exist.

    Raises:
        BadConfig: the name is somebody's account, or a group does not exist.
        InfraError: a tool failed; the text says how.
    """
    for group in groups:
        try:
            grp.getgrnam(group)
        except KeyError:
            raise BadConfig(
                f"[user] groups: there is no group {group!r} on this machine "
                f"(to make it: groupadd --system {group})"
            ) from None
    try:
        known = pwd.getpwnam(name)
    except KeyError:
        shell = find_shell()
        # '*' is a password that nothing equals; useradd's own '!' would be a locked account, which
        # sshd refuses whatever the key. The home is made for each holder.
        words = ["useradd", "-p", "*", "-M", "-c", COMMENT, "-s", shell, "-G", ",".join(groups)]
        _run("user creation failed", USERADD, [*words, name])
    else:
        if known.pw_uid == 0:
            raise BadConfig(f"[user] name: {name!r} has uid 0; holders do not run as root")
        if known.pw_gecos != COMMENT:
            raise BadConfig(
                f"[user] name: there is an account {name!r} that dryad did not make; its home "
                f"would be emptied after each job. Take another name, or, if nobody else needs "
                f"it: usermod -c '{COMMENT}' {name}"
            )
        if not _is_as_wanted(known, groups):
            # The password too: somebody may have locked the account.
            _run("user update failed", {}, ["usermod", "-p", "*", "-G", ",".join(groups), name])
    return look_up(name)


def _is_as_wanted(known: pwd.struct_passwd, groups: Sequence[str]) -> bool:
    """Whether usermod, which writes four files on the card each time, has nothing to do."""
    wanted = {known.pw_gid, *(grp.getgrnam(group).gr_gid for group in groups)}
    if set(os.getgrouplist(known.pw_name, known.pw_gid)) != wanted:
        return False
    try:
        lines = SHADOW.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith(f"{known.pw_name}:*:") for line in lines)


def look_up(name: str) -> Account:
    """The account.

    Raises:
        InfraError: there is none.
    """
    try:
        known = pwd.getpwnam(name)
    except KeyError:
        raise InfraError(f"user information update failed: there is no account {name!r}") from None
    others = [one for one in os.getgrouplist(name, known.pw_gid) if one != known.pw_gid]
    return Account(name, known.pw_uid, (known.pw_gid, *others), Path(known.pw_dir), known.pw_shell)


def is_ours(name: str) -> bool:
    """Whether there is such an account and dryad made it: its programs may be killed."""
    try:
        known = pwd.getpwnam(name)
    except KeyError:
        return False
    return known.pw_gecos == COMMENT and known.pw_uid != 0


def remove(name: str) -> bool:
    """Removes the account with its home, if dryad made it; blocks.

    Returns:
        Whether there was one.

    Raises:
        BadConfig: it is somebody's.
        InfraError: userdel failed, as it does while one of its processes lives.
    """
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    if not is_ours(name):
        raise BadConfig(f"account {name!r}: dryad did not make it, so it stays")
    _run("user removal failed", USERDEL, ["userdel", "-r", name], may_say=True)
    return True


def lock(name: str, where: Path = LOCKS) -> int:
    """Keeps a second agent from the account; the descriptor to close at the end.

    Raises:
        Busy: another agent has it.
        InfraError: the lock file cannot be made.
    """
    path = where / f"dryad-{name}.lock"
    try:
        return files.lock(path)
    except BlockingIOError as held:
        raise Busy(f"another agent on this machine lets its holders in as {name!r}{held}") from None
    except OSError as error:
        raise InfraError(f"{path}: {error.strerror}") from None


def _run(
    what: str, meanings: Mapping[int, str], words: Sequence[str], *, may_say: bool = False
) -> None:
    try:
        ended = subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=WITHIN_S,
            env={"PATH": TOOLS, "LANG": "C.UTF-8"}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InfraError(f"{what}: {error}") from error
    status = ended.returncode
    if status == 0 or (may_say and status == 12):  # a home that is gone already
        return
    if status in meanings:
        raise InfraError(f"{what}: command failed: {meanings[status]}")
    said = " ".join((ended.stderr or ended.stdout).split())
    raise InfraError(f"{what}: command failed: exit status {status}, {said}")
