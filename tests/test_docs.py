"""What the documentation says is so: its links lead somewhere, and it knows every command, address and variable."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from fastapi import FastAPI

from app.api.docs import openapi_document
from app.cli import cli
from app.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
VARIABLES = {PREFIX + field.name.upper() for field in fields(Settings)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_is_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        text = ((page.parent / target) if target else page).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_names_every_page() -> None:
    text = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in text, page.name


def test_every_address_of_the_api_is_documented_and_no_other(app: FastAPI) -> None:
    """`app` is the real application, so what the page misses or invents is found."""
    paths = openapi_document(app)["paths"]
    real = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    text = (ROOT / "docs" / "api.md").read_text()
    assert set(re.findall(r"^\| `([A-Z]+ /[^`]+)` \|", text, flags=re.MULTILINE)) == real


def known_commands() -> set[str]:
    return {command.name or command.callback.__name__ for command in cli.registered_commands if command.callback}


def test_every_command_is_documented_and_no_other() -> None:
    commands = {
        command.name or str(command.callback.__name__) for command in cli.registered_commands if command.callback
    }
    commands |= {str(group.name) for group in cli.registered_groups}
    text = (ROOT / "docs" / "operating.md").read_text()
    assert set(re.findall(r"^\| `trainyard (\w+)` \|", text, flags=re.MULTILINE)) == commands


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docker-compose.yml", ROOT / "Dockerfile"], ids=lambda page: page.name)
def test_every_variable_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"TRAINYARD_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")))
    assert {name for name in named if not name.startswith(("TRAINYARD_TEST", "TRAINYARD_REAL_DATA"))} <= VARIABLES


def test_the_readme_shows_what_is_there() -> None:
    tree = re.search(r"```\n(app/.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert tree is not None
    folder = ROOT
    for line in tree[1].splitlines():
        names = re.split(r"  +", line.strip())[0].split()
        if not line.startswith(" "):
            folder = ROOT / names[0]
        for name in names:
            assert ((ROOT if not line.startswith(" ") else folder) / name).exists(), line


def test_pictures_of_the_documentation_are_small() -> None:
    pictures = list((ROOT / "docs" / "images").iterdir())
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 300_000, picture.name


def test_a_team_starts_without_a_secret_that_everybody_knows() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert set(compose["services"]) == {"web", "worker", "postgres", "redis"}
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"PASSWORD: (?!\$\{)", text)
    for variable in re.findall(r"\$\{(POSTGRES_PASSWORD)[^}]*\}", text):
        assert f"${{{variable}:?" in text
    dockerfile = (ROOT / "Dockerfile").read_text()
    for service in ("web", "worker"):
        target = compose["services"][service]["build"]["target"]
        assert re.search(rf"^FROM \S+ AS {target}$", dockerfile, flags=re.MULTILINE)


def test_the_images_copy_only_what_exists_and_run_commands_that_exist() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (.+) \S+$", dockerfile, flags=re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), source
    used = set(re.findall(r'"app\.cli", "(\w+)"', dockerfile))
    assert used == {"web", "worker"}
    assert used <= known_commands()
