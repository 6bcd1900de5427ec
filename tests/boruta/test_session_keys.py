"""Keys of sessions: whoever reads OpenSSH's format reads ours."""

from __future__ import annotations

import shutil
import subprocess
from base64 import b64decode
from pathlib import Path

import asyncssh
import pytest
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from boruta.session_keys import openssh, session_key


def test_a_key_reads_back_as_the_one_that_was_made() -> None:
    key = Ed25519PrivateKey.generate()
    seed, known = key.private_bytes_raw(), key.public_key().public_bytes_raw()
    private, public = openssh(seed, known)
    read = ser.load_ssh_private_key(private.encode(), None)
    assert isinstance(read, Ed25519PrivateKey)
    assert read.private_bytes_raw() == seed
    of_cryptography = key.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH)
    assert public == of_cryptography.decode()


def test_it_says_what_cryptography_writes_but_for_the_check_number() -> None:
    key = Ed25519PrivateKey.generate()
    private, _ = openssh(key.private_bytes_raw(), key.public_key().public_bytes_raw())
    theirs = key.private_bytes(
        ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, ser.NoEncryption()
    ).decode()
    ours, same = _bytes_of(private), _bytes_of(theirs)
    assert len(ours) == len(same)
    assert [at for at, pair in enumerate(zip(ours, same, strict=True)) if len(set(pair)) > 1] == [
        at for at in range(98, 106) if ours[at] != same[at]
    ]
    assert ours[98:102] == ours[102:106]


def _bytes_of(text: str) -> bytes:
    first, *lines, last = text.splitlines()
    assert (first, last) == (
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "-----END OPENSSH PRIVATE KEY-----",
    )
    return b64decode("".join(lines))


def test_no_two_are_the_same_and_asyncssh_takes_them() -> None:
    first, second = session_key(), session_key()
    assert first[0] != second[0]
    assert first[1] != second[1]
    private = asyncssh.import_private_key(first[0])
    assert private.export_public_key().decode().strip() == first[1]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no OpenSSH here")
def test_openssh_takes_them(tmp_path: Path) -> None:
    private, public = session_key()
    file = tmp_path / "key"
    file.write_text(private)
    file.chmod(0o600)
    said = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(file)], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == public
