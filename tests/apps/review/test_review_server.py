"""The server of `dailytalk review` on loopback: what it answered is never lost, and it answers nobody else."""

import io
import json
import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import soundfile
from command import EMBEDDED, Command, start, until
from recordings import calls as recorded_calls
from recordings import read_lines
from reviewable import Server, dialogue, served, work_folder

from dailytalk_contiguous.apps.review.layouts import open_editable
from dailytalk_contiguous.apps.review.session import Session
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.run.speaking import read_synthesis_input

JSON = {"Content-Type": "application/json"}


def calls(folder: Path, count: int = 3) -> Path:
    items = []
    for number in range(count):
        name = f"call_{number:06d}"
        offset = 5.0 * number
        items.append((name, "long", offset, dialogue(name, 5.0, 12, offset)))
    return work_folder(folder, items)


class Client:
    """A person with a browser."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.session = requests.Session()

    def get(self, path: str, **query: Any) -> Any:
        answer = self.session.get(f"{self.address}api/{path}", params=query, timeout=20)
        assert answer.ok, answer.text
        return answer.json()

    def post(self, path: str, body: Any, **headers: str) -> requests.Response:
        data = json.dumps(body)
        return self.session.post(f"{self.address}api/{path}", data=data, headers=JSON | headers, timeout=20)

    def edit(self, name: str, base: int, **action: Any) -> requests.Response:
        return self.post("edit", {"name": name, "base": base, "action": action})


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return calls(tmp_path)


@pytest.fixture
def server(work: Path) -> Iterator[Server]:
    with served(work) as server:
        yield server


@pytest.fixture
def ada(server: Server) -> Client:
    return Client(server.address)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Path]]:
    """Somebody who asks for what is refused, and the folder, in which that leaves nothing."""
    work = calls(tmp_path_factory.mktemp("refusing"))
    with served(work) as server:
        yield Client(server.address), work
    assert not (work / ".dailytalk-edits").exists()


def lines_of(work: Path) -> dict[str, dict[str, Any]]:
    return {line["utterance_id"]: line for line in read_lines(work / "transcript.jsonl")}


def test_nothing_that_was_answered_is_lost_however_often_the_server_is_killed(work: Path) -> None:
    chance = random.Random(0)
    # Texts that a line may have: the one that was answered last, and those that were not answered.
    possible: dict[str, set[str]] = {}
    answered: list[int] = []
    done = 0
    for _ in range(5):
        server = Server(work)
        ada = Client(server.address)
        killer = threading.Timer(chance.uniform(0.05, 0.4), server.process.kill)
        try:
            while True:
                name = f"call_{chance.randrange(3):06d}"
                item = ada.get("item", id=name)
                chosen = chance.choice(item["lines"])
                line = chosen["id"]
                text = f"edit number {done}"
                possible.setdefault(line, {chosen["text"]}).add(text)
                answer = ada.edit(name, item["base"], do="text", line=line, text=text)
                assert answer.status_code == 200, answer.text
                answered.append(answer.json()["base"])
                possible[line] = {text}
                done += 1
                if killer.ident is None:
                    killer.start()
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            done += 1
        finally:
            killer.cancel()
            server.kill()
    journal = (work / ".dailytalk-edits").read_bytes().split(b"\n")
    records = [json.loads(line) for line in journal if line.endswith(b"}")]
    numbers = [record["number"] for record in records if "number" in record]
    assert numbers == [*range(1, len(numbers) + 1)]
    assert {*answered} <= {*numbers}
    rows = open_items(work).rows()
    read = {utterance["utterance_id"]: utterance["text"] for row in rows for utterance in row["utterances"]}
    lines = lines_of(work)
    for line, texts in possible.items():
        assert read[line] == lines[line]["text"]
        assert read[line] in texts
    counts = [len(dialogue(f"call_{number:06d}", 5.0, 12)) for number in range(3)]
    assert len(lines) == sum(counts)


def test_speak_sees_an_edit_whose_server_was_killed_the_moment_it_answered(work: Path) -> None:
    server = Server(work)
    ada = Client(server.address)
    item = ada.get("item", id="call_000001")
    line = item["lines"][0]["id"]
    assert ada.edit("call_000001", 0, do="text", line=line, text="Well, hello there").ok
    server.kill()
    texts = [utterance.text for talk in read_synthesis_input(work).talks() for utterance in talk.utterances]
    assert "Well, hello there" in texts
    made = lines_of(work)[line]
    assert made["text"] == "Well, hello there"
    assert made["edited_by"] == "Ada"
    assert made["edited_fields"] == ["text"]


def test_undo_and_redo_survive_a_restart(work: Path) -> None:
    before = (work / "transcript.jsonl").read_bytes()
    name = "call_000000"

    def texts(ada: Client, do: str) -> list[str]:
        base = ada.get("item", id=name)["base"]
        answer = ada.edit(name, base, do=do)
        if not answer.ok:
            return [answer.json()["reason"]]
        return [line["text"] for line in answer.json()["lines"][:2]]

    with served(work) as server:
        ada = Client(server.address)
        first = ada.get("item", id=name)["lines"]
        for base in (0, 1):
            assert ada.edit(name, base, do="text", line=first[base]["id"], text=f"new {base}").ok
    with served(work) as server:
        ada = Client(server.address)
        assert texts(ada, "undo") == ["new 0", first[1]["text"]]
        assert texts(ada, "undo") == [line["text"] for line in first[:2]]
        assert texts(ada, "undo") == ["there is nothing to undo in it"]
        assert texts(ada, "redo") == ["new 0", first[1]["text"]]
        assert texts(ada, "redo") == ["new 0", "new 1"]
        assert texts(ada, "redo") == ["there is nothing to redo in it"]
        assert texts(ada, "undo") == ["new 0", first[1]["text"]]
    assert (work / "transcript_backup.jsonl").read_bytes() == before  # the first state is kept, once


def test_the_sound_is_the_recording_to_the_sample_whatever_range_is_asked_for(ada: Client, work: Path) -> None:
    def sound(**headers: str) -> requests.Response:
        address = f"{ada.address}api/sound"
        return requests.get(address, params={"id": "call_000001"}, headers=headers, timeout=20)

    samples, rate = soundfile.read(work.parent / "long.FLAC", dtype="int16")
    whole = sound()
    n_bytes = len(whole.content)
    seconds = ada.get("item", id="call_000001")["duration"]
    data = np.frombuffer(whole.content[44:], "<i2").reshape(-1, 2)
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert len(data) == round(seconds * rate)
    start = 5 * rate
    assert np.array_equal(data, samples[start : start + len(data)])
    for first, last in ((0, 99), (44, 47), (1001, 70_000), (n_bytes - 3, n_bytes - 1)):
        part = sound(Range=f"bytes={first}-{last}")
        assert part.status_code == 206
        assert part.content == whole.content[first : last + 1]
    beyond = sound(Range=f"bytes={n_bytes}-")
    assert beyond.status_code == 416


def test_discarded_conversations_leave_the_transcript_and_come_back_as_they_were(ada: Client, work: Path) -> None:
    def without_numbers() -> dict[str, dict[str, Any]]:
        return {key: {**line, "segment_id": None} for key, line in lines_of(work).items()}

    before = without_numbers()
    discarded = ada.post("discard-range", {"first": 1, "last": 2}).json()
    assert [row["id"] for row in discarded] == ["call_000001", "call_000002"]
    names = {line["conversation_id"] for line in lines_of(work).values()}
    assert names == {"call_000000"}
    listed = {item["id"]: item for item in ada.get("session")["items"]}
    assert listed["call_000001"]["discarded"]
    assert listed["call_000001"]["text"]
    assert ada.post("restore", {"names": ["call_000002", "call_000001"]}).ok
    assert without_numbers() == before


def test_an_edit_that_a_kill_left_in_the_list_alone_is_finished(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(open_editable(work), "Ada")
    line = session.item("call_000000")["lines"][0]["id"]

    def killed(*_: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(session.editable, "write", killed)
    monkeypatch.setattr(session.history, "withdraw", lambda records: None)
    with pytest.raises(SystemExit):
        session.edit("call_000000", 0, {"do": "text", "line": line, "text": "finished"})
    before = (work / "transcript.jsonl").read_bytes()
    assert Session(open_editable(work), "Ada").item("call_000000")["lines"][0]["text"] == "finished"
    assert lines_of(work)[line]["text"] == "finished"
    (work / "transcript.jsonl").unlink()
    (work / "transcript.jsonl").write_bytes(before)  # a person goes back to it: nothing is done again
    assert Session(open_editable(work), "Ada").item("call_000000")["lines"][0]["text"] != "finished"


def test_a_list_of_edits_whose_last_line_was_cut_short_goes_on(work: Path) -> None:
    with served(work) as server:
        ada = Client(server.address)
        line = ada.get("item", id="call_000000")["lines"][0]["id"]
        assert ada.edit("call_000000", 0, do="text", line=line, text="one").ok
    listed = work / ".dailytalk-edits"
    listed.write_bytes(listed.read_bytes() + b'{"number": 2, "time": "2026-')
    with served(work) as server:
        ada = Client(server.address)
        assert ada.get("item", id="call_000000")["base"] == 1
        assert ada.edit("call_000000", 1, do="text", line=line, text="two").json()["base"] == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Content-Type": "text/plain"}, 415),
    ],
)
def test_other_pages_and_other_names_are_refused(
    refusing: tuple[Client, Path], headers: dict[str, str], status: int
) -> None:
    ada, work = refusing
    answer = ada.post("discard", {"names": ["call_000000"]}, **headers)
    assert answer.status_code == status
    assert {"reason", "remedy"} <= answer.json().keys()
    assert not (work / ".dailytalk-edits").exists()


@pytest.mark.parametrize("name", ["../secret.wav", "/etc/passwd"])
def test_nothing_but_the_opened_folder_is_served(refusing: tuple[Client, Path], name: str) -> None:
    ada, work = refusing
    (work.parent / "secret.wav").write_bytes((work.parent / "long.FLAC").read_bytes())
    for path in ("item", "sound", "peaks"):
        query = {"id": name, "start": 0, "end": 1, "count": 10}
        answer = requests.get(f"{ada.address}api/{path}", params=query, timeout=20)
        assert answer.status_code == 422
        assert answer.json()["remedy"]
    for path in ("assets/..%2f..%2f..%2fsession.py", "assets/%2e%2e/session.py", "assets/.hidden", "etc/passwd"):
        assert requests.get(f"{ada.address}{path}", timeout=20).status_code == 404


@pytest.mark.parametrize("wrong", ["", "x" * 24 + "/"])
def test_who_does_not_know_the_secret_hears_and_edits_nothing(refusing: tuple[Client, Path], wrong: str) -> None:
    ada, work = refusing
    root = ada.address.rpartition("/")[0].rpartition("/")[0] + "/" + wrong
    for path in ("", "assets/main.js", "api/session", "api/sound?id=call_000000"):
        assert requests.get(root + path, timeout=20).status_code == 404
    edited = requests.post(f"{root}api/discard", json={"names": ["call_000000"]}, timeout=20)
    assert edited.status_code == 404
    assert not (work / ".dailytalk-edits").exists()


def test_the_address_stays_over_a_restart_in_a_folder_of_ones_own_and_changes_with_the_port(work: Path) -> None:
    with served(work) as server:
        first = server.address
    with served(work) as server:
        assert server.address == first
    for path in (Path(os.environ["XDG_STATE_HOME"]) / "dailytalk_contiguous" / "review").glob("*.json"):
        assert path.parent.stat().st_mode & 0o077 == 0
    with socket.create_server(("127.0.0.1", int(first.split("/")[2].rpartition(":")[2]))), served(work) as server:
        assert server.address.split("/")[3] != first.split("/")[3]


def test_the_command_line_of_the_browser_leads_to_the_page_once(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser"
    opened = tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n', "utf-8")
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    with start("review", work, "--json") as process:
        assert process.stdout
        address = json.loads(process.stdout.readline())["address"]
        until(lambda: opened.exists() and opened.read_text("utf-8").endswith("\n"), process)
        named = opened.read_text("utf-8").strip()
        assert address.split("/")[3] not in named
        assert requests.get(named, timeout=20).url == address
        assert requests.get(named, timeout=20).status_code == 404
        process.terminate()


def test_what_was_spoken_elsewhere_is_heard_as_rebuilt_and_as_recorded(tmp_path: Path, dailytalk: Command) -> None:
    recorded_calls(tmp_path / "in", "a")
    work = tmp_path / "work"
    out = tmp_path / "spoken"
    assert dailytalk("tag", tmp_path / "in", "--out", work, *EMBEDDED, "--asr-model", "tiny.en").code == 0
    assert dailytalk("speak", work, "--out", out).code == 0
    with served(out) as server:
        ada = Client(server.address)
        session = ada.get("session")
        assert session["writable"] is False
        assert str(work) in session["why_not"]
        assert [item["id"] for item in session["items"]] == ["a", "a (as recorded)"]
        for name in ("a", "a (as recorded)"):
            item = ada.get("item", id=name)
            assert item["why_silent"] is None
            assert item["lines"]
        sound = ada.session.get(f"{ada.address}api/sound", params={"id": "a (as recorded)"}, timeout=20)
        samples, rate = soundfile.read(io.BytesIO(sound.content))
        recorded, recorded_rate = soundfile.read(tmp_path / "in/a.wav")
        assert len(samples) / rate == pytest.approx(len(recorded) / recorded_rate, abs=0.1)


@pytest.mark.needs("a user who is not root")
def test_a_folder_that_cannot_be_written_is_opened_to_listen(work: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in work.rglob("*")}
    work.chmod(0o555)
    try:
        with served(work) as server:
            ada = Client(server.address)
            session = ada.get("session")
            assert session["writable"] is False
            assert "can't be written to" in session["why_not"]
            line = ada.get("item", id="call_000000")["lines"][0]["id"]
            assert ada.edit("call_000000", 0, do="text", line=line, text="x").status_code == 422
    finally:
        work.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*")} == before


def test_a_second_server_on_one_folder_says_so(server: Server, work: Path, dailytalk: Command) -> None:
    ended = dailytalk("review", work, "--no-browser")
    assert ended.code == 1
    assert "is open in another command" in ended.err


def test_ending_with_pages_open_takes_no_wait_and_prints_no_traceback(work: Path) -> None:
    process, address = begun(work)
    with process:
        half_heard = requests.get(f"{address}api/sound", params={"id": "call_000000"}, stream=True, timeout=20)
        assert half_heard.ok
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert errors == "ended: every edit is saved\n"


def begun(work: Path) -> "tuple[subprocess.Popen[str], str]":
    """The command itself, and its address once it is ready."""
    process = start("review", work, "--no-browser", "--json")
    assert process.stdout
    return process, json.loads(process.stdout.readline())["address"]
