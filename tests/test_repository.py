"""What holds for the repository as a whole: sizes, packaging, pins, traces of machines, cheap imports."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).resolve().parent.parent
PACKAGES = sorted(path.parent for path in TOP.glob("packages/*/pyproject.toml"))
CONSTRAINTS = [TOP / "constraints.txt", *sorted(TOP.glob("constraints/*.txt"))]
PIN = re.compile(r"(?P<name>[a-z0-9]+(-[a-z0-9]+)*)==[0-9][0-9a-z.+]*( ; (?P<marker>.+))?")

TRACES = {
    "a registry": re.compile(r"pythonhosted\.org|https?://[^\s/]+/simple\b|(index-url|find-links)[ =]+\S*:/"),
    "a path of one machine": re.compile(
        r"(?<![\w.])/(root|home/\w+|Users/\w+|tmp)/\w|[A-Z]:\\Users\\|" + re.escape(f"{TOP}/")
    ),
}
LAZY = {
    # vendors
    "anthropic", "deepgram", "elevenlabs", "openai", "telnyx", "twilio",
    # frameworks
    "agents", "crewai", "langchain_core", "llama_index", "mcp", "pydantic_ai",
    # servers, tools of the command line, local speech
    "pocketsphinx", "rich", "soxr", "starlette", "typer", "uvicorn", "websockets",
}  # fmt: skip


def metadata(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def group(name: str) -> Iterator[Requirement]:
    """Yield the requirements of one dependency group of the workspace, with the groups it includes."""
    for entry in metadata(TOP)["dependency-groups"][name]:
        if isinstance(entry, dict):
            yield from group(entry["include-group"])
        else:
            yield Requirement(entry)


def direct_dependencies() -> set[str]:
    """Return the names that the groups of the workspace ask for, through the extras of the packages too."""
    projects = {metadata(folder)["project"]["name"]: metadata(folder)["project"] for folder in PACKAGES}
    todo = [*group("dev"), *group("build")]
    names = set()
    while todo:
        wanted = todo.pop()
        if (project := projects.get(wanted.name)) is None:
            names.add(canonicalize_name(wanted.name))
            continue
        extras = project.get("optional-dependencies", {})
        texts = [*project["dependencies"], *(text for extra in wanted.extras for text in extras[extra])]
        todo += [Requirement(text) for text in texts]
    return names


def repository_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [path for name in listed.stdout.split("\0") if name and (path := TOP / name).is_file()]


def test_files_and_functions_are_short():
    script = TOP / "scripts" / "check_sizes.py"
    checked = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_every_package_is_typed_and_licensed(folder):
    assert list(folder.glob("src/*/py.typed"))
    assert (folder / "LICENSE").read_text() == (TOP / "LICENSE").read_text()
    assert (folder / "README.md").is_file()


@pytest.mark.parametrize("pins", CONSTRAINTS, ids=lambda path: path.stem)
def test_constraints_are_names_versions_and_markers(pins):
    lines = pins.read_text().splitlines()
    assert [line for line in lines if not line.startswith("#") and not PIN.fullmatch(line)] == []


def test_constraints_pin_every_direct_dependency():
    lines = (TOP / "constraints.txt").read_text().splitlines()
    pinned = {pin["name"] for line in lines if (pin := PIN.fullmatch(line))}
    assert direct_dependencies() - pinned == set(), "renew constraints.txt as CONTRIBUTING.md says"


@pytest.mark.skipif(not (shutil.which("git") and (TOP / ".git").exists()), reason="needs a git checkout")
@pytest.mark.parametrize("trace", TRACES)
def test_no_file_records(trace):
    found = []
    for path in repository_files():
        text = path.read_bytes().decode(errors="replace")
        found += [f"{path.relative_to(TOP)}: {match[0]}" for match in TRACES[trace].finditer(text)]
    assert found == []


def test_importing_the_core_loads_no_vendor_and_no_framework():
    code = "import sys, patter; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=TOP)
    assert LAZY & set(loaded.stdout.split()) == set()
