"""Every command of the README is run, as a reader would run it; what a page links to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.doc_blocks import ROOT, block, blocks, python, shell
from tests.integration.lab import Lab

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
README = "README.md"
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
)


def test_what_the_readme_says_of_a_day_s_work(farm: Lab) -> None:
    boards = farm.start_boards(2, "-c", "arch=armv7l")
    said = "".join(shell(farm, text) for text in blocks(README, "client"))
    assert "Linux" in said
    assert "on the board as" in said
    assert "bisecting" in said
    for text in blocks(README, "admin"):
        shell(farm, text.replace("UUID", farm.uuids(boards)[0]))


def test_the_readme_starts_server_and_boards_with_commands_that_exist(farm: Lab) -> None:
    first, second = block(README, "server").strip().splitlines()
    assert first == "boruta server &"
    words = second.removesuffix(" &").split()
    child = farm.start(*words, "--data", str(farm.data))
    farm.until(lambda: len(farm.said(child).splitlines()) == 2, "both boards")


def test_keys_as_the_readme_makes_them(farm: Lab) -> None:
    said = shell(farm, block(README, "keys"))
    assert "board-17" in said
    assert "alice" in said
    assert (farm.place / "alice.key_secret").stat().st_mode & 0o77 == 0


def test_a_person_s_profile_as_the_readme_writes_it(farm: Lab) -> None:
    shell(farm, block(README, "keys"))
    server = farm.server
    assert server is not None
    farm.until(lambda: "key_added name=alice" in farm.said(server, "err"), "the key is admitted")
    folder = farm.place / "boruta"
    folder.mkdir()
    text = block(README, "profile", "toml").replace("tcp://boruta.lab:7175", farm.url)
    (folder / "config.toml").write_text(text)
    (farm.place / "alice.key_secret").rename(folder / "alice.key_secret")
    (farm.data / "keys" / "server.key").rename(folder / "server.key")
    done = python(
        farm.place,
        "-c",
        "from boruta.cli.main import main; main()",
        "workers",
        XDG_CONFIG_HOME=str(farm.place),
    )
    assert done.stdout.startswith("WORKER")


def test_the_readme_s_python(tmp_path: Path) -> None:
    done = python(tmp_path, "-W", "error", "-c", block(README, "python"))
    assert "Linux" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_links_to_what_exists(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = {link for link in links if link and "://" not in link}
    assert sorted(link for link in local if not (ROOT / page).parent.joinpath(link).exists()) == []
