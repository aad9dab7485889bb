"""Rules of the house that no linter knows: sizes, docstrings, names, and words that must not stay."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).resolve().parents[1]
SOURCE_ROOTS = ("agent", "controller", "cli", "proto")
FOLDERS = (*SOURCE_ROOTS, "tests", "benchmarks", "docs", "ansible", ".ci")
MAX_LINES = 400
MAX_TEST_LINES = 600


def files(folders: tuple[str, ...], *patterns: str) -> Iterator[Path]:
    """Files below these folders that people wrote."""
    for folder in folders:
        for pattern in patterns:
            for path in sorted((ROOT / folder).rglob(pattern)):
                if path.is_file() and "__pycache__" not in path.parts and "_pb2" not in path.name:
                    yield path


def shown(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_owns_too_much() -> None:
    long = [path for path in files(SOURCE_ROOTS, "*.py") if lines(path) > MAX_LINES]
    assert shown(long) == [], f"over {MAX_LINES} lines: what is the second responsibility called?"
    long = [path for path in files(("tests", "benchmarks", "docs"), "*.py") if lines(path) > MAX_TEST_LINES]
    assert shown(long) == [], f"over {MAX_TEST_LINES} lines"


def test_every_module_says_in_one_line_what_it_owns() -> None:
    vague = []
    for path in files(FOLDERS, "*.py"):
        first, _, rest = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")
        if not first.endswith(".") or (rest and not rest.startswith("\n")):
            vague.append(path)
    assert shown(vague) == [], "the first line is a sentence, and a blank line follows"


def test_package_surfaces_are_one_docstring() -> None:
    crowded = [
        path for path in files(SOURCE_ROOTS, "__init__.py") if len(ast.parse(path.read_text()).body) > 1
    ]
    assert shown(crowded) == [], "nothing is re-exported"


@pytest.mark.parametrize("folder", [*SOURCE_ROOTS, "tests", "benchmarks", "ansible"])
def test_a_top_folder_is_no_package(folder: str) -> None:
    """Or `import agent` would find a second copy of everything in it."""
    assert not (ROOT / folder / "__init__.py").exists()


def test_a_file_is_named_after_what_it_owns() -> None:
    vague = {"util", "utils", "common", "helper", "helpers", "misc", "tools", "shared", "lib"}
    assert shown([path for path in files(FOLDERS, "*.py") if path.stem in vague]) == []


def test_every_package_is_typed() -> None:
    for package in ("agent/fleet_agent", "controller/fleet_controller", "cli/fleet_cli", "proto/fleet_api"):
        assert (ROOT / package / "py.typed").exists(), package


UNFINISHED = re.compile(rf"\b({'|'.join(('TO' + 'DO', 'FIX' + 'ME', 'X' * 3, 'HA' + 'CK'))})\b")
PLACES = [str(place) for place in (ROOT, Path.home()) if len(place.parts) > 2]
"""Folders of this machine: where the checkout is, and the home of whoever runs the tests."""


def test_nothing_is_left_for_later_and_no_path_of_one_machine_is_named() -> None:
    texts = [
        *files(FOLDERS, "*.py", "*.proto", "*.md", "*.sh", "*.toml", "*.yml", "*.conf"),
        *files((".ci",), "*"),
        *(
            path
            for path in sorted(ROOT.iterdir())
            if path.suffix in {".md", ".toml"} or path.name == "Makefile"
        ),
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if UNFINISHED.search(line) or any(place in line for place in PLACES)
    ]
    assert found == []


def test_lock_names_no_place_of_one_machine() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(
            r"|#.*|[a-z0-9._-]+==[^ ]+ \\| +--hash=sha256:[0-9a-f]{64}( \\)?| +# +.*", line
        ), line
        assert "://" not in line
        assert not line.lstrip("# ").startswith("/")


def test_lock_pins_what_the_project_requires() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    names = {re.split(r"[<>=!~\[ ;]", text)[0].lower().replace("_", "-") for text in wanted}
    assert names - pinned == set(), "run `make lock`"


def pages() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *files(("docs",), "*.md")]


def test_links_of_pages_lead_somewhere() -> None:
    links = [
        (page, link)
        for page in pages()
        for link in re.findall(r"\]\(([^)#:]+)[^)]*\)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 10
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []


def test_pages_name_modules_that_exist() -> None:
    named = {
        (page.name, name)
        for page in pages()
        for name in re.findall(r"`((?:agent|cli|controller|proto|tests|docs)/[\w./]+)`", page.read_text())
    }
    assert len(named) > 20
    assert sorted((page, name) for page, name in named if not (ROOT / name).exists()) == []


def test_checklists_name_files_that_exist() -> None:
    named = re.findall(r"`([a-z_.]+/[a-z0-9_./]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_decisions_are_short_and_whole() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [f"{n:04}" for n in range(1, len(decisions) + 1)]
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]}: "), path.name
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences")), path.name
        assert lines(path) < 40, path.name
