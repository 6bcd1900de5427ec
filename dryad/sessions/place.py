"""The account's place for one holder: home, key and control group, made and removed as one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from boruta.domain.errors import InfraError
from dryad.files import put
from dryad.sessions import leaving, sshd, traces
from dryad.sessions.account import Account
from dryad.sessions.cgroup import Groups, JobGroup
from dryad.sessions.home import PATH, PROFILE, remove_tree
from dryad.sessions.limits import Limits

SKELETON: Final = Path("/etc/skel")
# It ends the holder's programs if the agent dies. The agent's own end of the pipe is its life.
_WARDEN: Final = (
    'trap "" INT TERM HUP; read -r word; [ "$word" = over ] && exit 0; rm -f "$1"; '
    '[ -z "$2" ] || echo 1 >"$2/cgroup.kill"; '
    'exec setpriv --reuid "$3" --regid "$4" --clear-groups /bin/sh -c "kill -KILL -1"'
)


class Place:
    """Everything of the account that must be fresh for each holder.

    Args:
        account: the holders'.
        groups: where control groups are made.
        limits: of each holder.
        run: the directory of what lives no longer than the machine.
        host_key: the agent's.
        env: more environment of his programs.
        shared: directories where anybody may write.
    """

    def __init__(
        self,
        account: Account,
        groups: Groups,
        limits: Limits,
        run: Path,
        host_key: Path,
        env: Mapping[str, str],
        shared: Sequence[str] = traces.SHARED,
    ) -> None:
        self.account = account
        self._groups = groups
        self._limits = limits
        self._sshd = sshd.find()
        self._run = run / account.name
        self._host_key = host_key
        self._env = env
        self._shared = shared
        self._group: JobGroup | None = None

    @property
    def key_file(self) -> Path:
        """The one key that opens; there is none while nobody is let in."""
        return self._run / "authorized_keys"

    def start(self) -> None:
        """Makes the directory and the config; blocks."""
        sshd.make_separation()
        self._run.mkdir(mode=0o755, parents=True, exist_ok=True)
        text = sshd.config(
            host_key=self._host_key,
            authorized_keys=self.key_file,
            username=self.account.name,
            env=self._env,
        )
        put(self._run / "sshd_config", text, 0o600)

    def stop(self) -> None:
        """Removes what `start` made; blocks."""
        shutil.rmtree(self._run, ignore_errors=True)
        self._groups.close()

    def command(self) -> Sequence[str]:
        """What serves one connection."""
        limits = self._limits.of_a_process()
        entrance = None if self._group is None else self._group.entrance
        return sshd.command(self._sshd, self._run / "sshd_config", entrance, limits)

    def open(self, key: str, token: str) -> None:
        """Makes a fresh home and a group and lets the key in; blocks.

        Raises:
            InfraError: it cannot be made.
        """
        try:
            self._make_home()
            self._group = self._groups.make(
                token, memory=self._limits.bytes(), processes=self._limits.processes
            )
            # World-readable like any public key: sshd reads it with the holder's rights.
            put(self.key_file, key + "\n", 0o644)
        except OSError as error:
            raise InfraError(f"the holder's place cannot be made: {error}") from error

    def close_key(self) -> None:
        """The key opens nothing from here on."""
        self.key_file.unlink(missing_ok=True)

    def warden(self) -> subprocess.Popen[bytes]:
        """Starts what ends the holder's programs if the agent dies; told "over" it ends."""
        group = "" if self._group is None else str(self._group.path)
        ids = (str(self.account.uid), str(self.account.gid))
        words = ["/bin/sh", "-c", _WARDEN, "dryad-warden", str(self.key_file), group, *ids]
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={"PATH": PATH},
            cwd="/",
        )

    def empty(self) -> list[str]:
        """Ends and removes everything of any holder's; blocks.

        Returns:
            What is left, as text for people; none as a rule.
        """
        self.close_key()
        account = self.account
        groups = self._groups.left() if self._group is None else [self._group]
        stuck = [group for group in groups if not group.kill()]
        # What others would start for him goes before the last look at his processes.
        trouble = traces.stop_what_comes_later(account)
        leaving.stop_user_manager(account)
        if left := leaving.kill_all(account):
            return [f"processes survive SIGKILL: {', '.join(map(str, left))}"]
        trouble += [f"{group.path} is not empty" for group in stuck if not group.kill()]
        trouble += traces.remove_all(account, self._shared)
        try:
            with contextlib.suppress(FileNotFoundError):
                remove_tree(account.home)
        except OSError as error:
            trouble.append(f"the holder's home cannot be removed: {error}")
        if left := leaving.kill_all(account):  # of cron's, started before its table was gone
            trouble.append(f"processes survive SIGKILL: {', '.join(map(str, left))}")
        if not trouble:
            self._group = None
        return trouble

    def _make_home(self) -> None:
        home, account = self.account.home, self.account
        home.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        home.mkdir(mode=0o700)
        if SKELETON.is_dir():
            shutil.copytree(SKELETON, home, symlinks=True, dirs_exist_ok=True)
        home.chmod(0o700)
        with open(home / ".profile", "a", encoding="utf-8") as profile:
            profile.write(PROFILE)
        os.chown(home, account.uid, account.gid)
        for directory, names, files in os.walk(home):
            for name in (*names, *files):
                path = os.path.join(directory, name)
                os.chown(path, account.uid, account.gid, follow_symlinks=False)
