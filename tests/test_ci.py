"""What CI runs is what contributors are told to run, on every Python that the package says it is for."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml
from audio_files import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CLASSIFIER = "Programming Language :: Python :: "


def test_ci_runs_on_every_python_that_the_package_names() -> None:
    project = PROJECT["project"]
    tools = PROJECT["tool"]
    matrix = WORKFLOW["jobs"]["test"]["strategy"]["matrix"]
    versions = [name.removeprefix(CLASSIFIER) for name in project["classifiers"] if CLASSIFIER in name]
    oldest = versions[0]
    assert matrix["python"] == versions
    assert project["requires-python"] == f">={oldest}"
    assert tools["mypy"]["python_version"] == oldest
    assert tools["ruff"]["target-version"] == "py" + oldest.replace(".", "")
    all_but_newest = ", ".join(versions[:-1])
    assert f"{all_but_newest} and {versions[-1]}" in CONTRIBUTING


def test_ci_may_only_read_and_its_actions_have_a_major_version() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    jobs = WORKFLOW["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all({"permissions", "secrets"}.isdisjoint(job) for job in jobs.values())
    used = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used)
    for step in steps:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    commands = [step.get("run") for step in jobs["test"]["steps"]]
    assert ".ci/run" in commands


def test_commands_and_files_for_contributors_are_there() -> None:
    targets = set(re.findall(r"\bmake (?:TORCH_INDEX=\S+ )?([a-z-]+)\b(?= |`|$)", CONTRIBUTING, re.MULTILINE))
    assert {"check", "pages", "test", "test-bare", "test-programs", "demo"} <= targets
    done = subprocess.run(["make", "-n", *sorted(targets)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.findall(r"^make (\S+)", run, re.MULTILINE) == ["check", "pages", "test-bare", "test-programs"]
    paths = re.findall(r"(?:benchmarks|tests|docs)/[\w/]+\.\w+", CONTRIBUTING)
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert paths
    assert missing == []


def test_commands_that_give_the_measures_are_there_with_their_options() -> None:
    measures = (ROOT / "docs/measures.md").read_text(encoding="utf-8")
    assert "`NAME.py` is `python benchmarks/NAME.py`" in measures
    commands = re.findall(r"`([a-z_]+\.py)([^`]*)`", measures)
    assert len(commands) > 30
    for script, options in commands:
        code = (ROOT / "benchmarks" / script).read_text(encoding="utf-8")
        for option in re.findall(r"--[a-z-]+", options):
            assert f'"{option}"' in code, (script, option)


def test_python_that_cant_be_started_is_said_to_be_that(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/usr/bin/env no-such-shell\n", encoding="utf-8")
    broken.chmod(0o755)
    command = ["make", "install", f"PYTHON={broken}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"{broken} can't be started" in done.stdout
    assert "3.11" not in done.stdout
    assert not (tmp_path / "venv").exists()
