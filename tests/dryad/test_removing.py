"""The holders' account goes for good, and only when nothing of it is left."""

from __future__ import annotations

import os
import pwd
import secrets
from pathlib import Path

import pytest

from boruta.domain.errors import InfraError
from dryad.sessions import account, removing, traces

pytestmark = pytest.mark.integration


@pytest.mark.skipif(os.getuid() != 0, reason="accounts need root")
def test_the_account_stays_while_something_of_it_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = f"boruta-t{secrets.token_hex(3)}"
    known = account.ensure(name, ())
    his = Path("/var/tmp") / name
    try:
        his.touch()
        os.chown(his, known.uid, known.gid)
        with monkeypatch.context() as broken:
            broken.setattr(traces, "remove_all", lambda account: ["/var/tmp/x: Read-only"])
            with pytest.raises(InfraError, match="stays, for this is left of it: /var/tmp/x"):
                list(removing.remove(name))
        assert pwd.getpwnam(name).pw_uid == known.uid
        list(removing.remove(name))
        assert not his.exists()  # the next account with this uid would own it
        with pytest.raises(KeyError):
            pwd.getpwnam(name)
    finally:
        his.unlink(missing_ok=True)
        account.remove(name)
