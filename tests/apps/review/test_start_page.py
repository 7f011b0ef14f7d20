"""The start page of `dailytalk review`: from recordings to their review, one step at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from audio_files import room_tone
from browser import Visit, chromium, needs_playwright, visit
from recordings import excerpt, save
from reviewable import Server, served


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """One recording of two sentences, with a pause of 1.5 s between them."""
    spoken = excerpt(seconds=4.0)[:, :1]
    pause = room_tone(24000).reshape(-1, 1)
    save(tmp_path / "calls" / "talk.wav", np.concatenate([spoken, pause, spoken, pause]))
    return tmp_path / "calls"


@pytest.fixture
def server(recordings: Path) -> Iterator[Server]:
    with served(recordings) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def run(server: Server, **body: Any) -> requests.Response:
    body = {"dry": False, "cut": True, "values": {}} | body
    return requests.post(f"{server.address}api/run", json=body, timeout=20)


def state(server: Server) -> Any:
    return requests.get(f"{server.address}api/state", timeout=20).json()


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@needs_playwright
def test_a_folder_of_recordings_is_led_to_its_review_and_goes_on_after_a_restart(
    browser: Any, recordings: Path
) -> None:
    def click(page: Visit, name: str, command: str) -> None:
        """Have a step done whose command line ends so."""
        page.wait("document.documentElement.dataset.ready === 'yes'")
        page.page.get_by_role("button", name=name, exact=True).click()
        shown = f"[...document.querySelectorAll('.command')].some((pre) => pre.textContent.endsWith('{command}'))"
        page.wait(f"{shown} && !document.querySelector('#state').textContent.includes('running')")

    with served(recordings) as server, visit(browser, server.address) as page:
        click(page, "Silences", "calls")
        suggested = page.page.locator("#split-silence").input_value()
        assert f"--silence {suggested}" in "".join(page.page.locator("pre").all_inner_texts())
        page.page.fill("#split-silence", "0.9")
        click(page, "Dry run of Split", "0.9 --dry-run")
        assert files(recordings) == {"talk.wav"}
        click(page, "Split", "0.9")
        assert (recordings / "pieces/Usable/talk_000001.wav").is_file()
        assert "--silence=0.9" in json.loads((recordings / "pieces/run.json").read_text("utf-8"))["command"]
        assert page.violations() == []
        assert page.complaints == []
    with (
        served(recordings) as server,
        visit(browser, server.address, 390, color_scheme="dark") as page,
    ):
        page.wait("document.querySelector('#state').textContent === 'Next: Transcribe'")
        assert page.overflow() == 0
        page.page.select_option("#transcribe-profile", "embedded")
        click(page, "Transcribe", "embedded")
        assert page.page.evaluate("document.activeElement.textContent") == "Open the review"
        assert page.overflow() == 0
        assert page.violations() == []
        assert page.complaints == []
        with page.page.expect_navigation(timeout=60_000):
            page.page.keyboard.press("Enter")
        page.wait("document.querySelector('#name')?.textContent === 'talk_000001.wav'")
        assert "where should we go" in page.page.locator("#dialogue").inner_text()


@needs_playwright
def test_first_words_are_put_into_the_names_where_a_number_of_them_is_chosen(
    browser: Any, recordings: Path
) -> None:
    with served(recordings) as server, visit(browser, server.address) as page:
        page.wait("document.documentElement.dataset.ready === 'yes'")
        page.page.fill("#split-words", "2")
        page.page.select_option("#split-profile", "embedded")
        page.page.select_option("#split-asr_model", "tiny.en")
        page.page.get_by_role("button", name="Split", exact=True).click()
        page.wait("document.querySelector('#status-split').className === 'done'")
        assert page.violations() == []
        assert page.complaints == []
    # Whether the recogniser begins a sentence depends on the processor that it runs on.
    assert {path.name.lower() for path in (recordings / "pieces/Usable").glob("*.wav")} == {
        "talk_000001-so-tell.wav",
        "talk_000002-so-tell.wav",
    }


def test_a_request_chooses_a_step_and_values_and_nothing_else(server: Server, recordings: Path) -> None:
    for body in (
        {"step": "push"},
        {"step": "split", "values": {"out": "/tmp/elsewhere"}},
        {"step": "transcribe", "values": {"asr_model": "/tmp/model"}},
    ):
        data = json.dumps({"dry": False, "cut": True, "values": {}} | body)
        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{server.address}api/run", data=data, headers=headers, timeout=20)
        assert (answer.status_code, answer.json()["remedy"] != "") == (422, True), body
    assert not state(server)["running"]
    assert files(recordings) == {"talk.wav"}


def test_a_link_out_of_the_folder_is_not_written_through(server: Server, recordings: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (recordings / "pieces").symlink_to(tmp_path / "elsewhere")
    for step in ("split", "transcribe", "reindex"):
        assert "link out of its folder" in run(server, step=step).json()["reason"]
    review = requests.post(f"{server.address}api/review", json={"cut": True}, timeout=20)
    assert review.status_code == 422
    assert files(tmp_path / "elsewhere") == set()


def test_commands_run_for_this_machine_and_its_secret_alone(server: Server) -> None:
    root = server.address.rpartition("/")[0].rpartition("/")[0]
    for address in (f"{root}/api/run", f"{root}/x/api/run"):
        assert requests.post(address, json={"step": "split"}, timeout=20).status_code == 404
    foreign = requests.post(
        f"{server.address}api/run", json={"step": "split"}, headers={"Origin": "http://evil.example"}, timeout=20
    )
    assert foreign.status_code == 403
