"""Runs Pykka's own test suite over our actor type: `python -m tests.runtime.pykka_suite`.

The suite comes from Pykka's source distribution of the installed version, by pip, into the ignored
folder `.pykka-suite`. Tests that take its `runtime` fixture run; the others are about
ThreadingActor or about no actor.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
HERE = ROOT / ".pykka-suite"
AT_LEAST = 137  # tests with the fixture in 4.3, 4.4 and 4.5: fewer means that we ran too little
RUNTIMES = ("asyncio", "uvloop", "simulated")

SELECT = """

# --- by Boruta's tests/runtime/pykka_suite.py
from pykka_runtimes import mocker, runtime  # noqa


def pytest_collection_modifyitems(config, items):
    ours = [item for item in items if "runtime" in item.fixturenames]
    config.hook.pytest_deselected(items=[item for item in items if item not in ours])
    items[:] = ours
"""


def fetch(version: str) -> Path:
    """The unpacked source distribution, with our runtimes in its conftest.

    Raises:
        SystemExit: pip could not fetch it.
    """
    folder = HERE / f"pykka-{version}"
    if not folder.exists():
        HERE.mkdir(exist_ok=True)
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-binary", ":all:", "--dest", str(HERE), f"pykka=={version}"),
        ]
        # pip builds the metadata; without the network its build back end may be installed here.
        for more in ([], ["--no-build-isolation"]):
            result = subprocess.run([*command, *more], capture_output=True, text=True, check=False)
            if result.returncode == 0:
                break
        else:
            raise SystemExit(f"pip could not fetch Pykka's source:\n{result.stderr}")
        with tarfile.open(HERE / f"pykka-{version}.tar.gz") as archive:
            archive.extractall(HERE, filter="data")
    conftest = folder / "tests" / "conftest.py"
    text = conftest.read_text()
    if SELECT not in text:
        conftest.write_text(text + SELECT)
    return folder


def run(folder: Path, runtime: str) -> tuple[int, int]:
    """Runs the suite; how many tests passed, and how many did not."""
    report = HERE / f"{folder.name}-{runtime}.xml"
    report.unlink(missing_ok=True)
    path = os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")))
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    # Its run_async leaves its loops unclosed; with its own "error" that fails whoever runs next.
    command += ["-W", "ignore::ResourceWarning"]
    subprocess.run(
        [*command, f"--junitxml={report}", "--timeout=60", "tests"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "BORUTA_PYKKA_RUNTIME": runtime},
        check=False,
    )
    if not report.exists():
        return 0, 1
    suite = ElementTree.parse(report).getroot()
    cases = list(suite.iter("testcase"))
    bad = sum(1 for case in cases if len(case) and case[0].tag in {"failure", "error", "skipped"})
    return len(cases) - bad, bad


def main() -> int:
    """Runs it over each runtime that is there; 0 if all passed."""
    version = importlib.metadata.version("pykka")
    folder = fetch(version)
    status = 0
    lines = []
    for runtime in RUNTIMES:
        if runtime == "uvloop" and importlib.util.find_spec("uvloop") is None:
            lines.append(f"pykka {version} over {runtime}: not installed")
            continue
        passed, failed = run(folder, runtime)
        lines.append(f"pykka {version} over {runtime}: {passed} passed, {failed} did not")
        if failed or passed < AT_LEAST:
            status = 1
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
