"""What can be reviewed besides a tagged folder: clips with their JSON."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous.apps.review.layouts import DISCARDED, DISCARDED_ENTRIES, Editable, open_editable
from dailytalk_contiguous.apps.review.session import Session
from dailytalk_contiguous.core.errors import BadInput

RATE = 16000


def tone(path: Path, seconds: float = 2.0, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.3 * np.sin(np.arange(round(seconds * RATE)) * 0.05)
    soundfile.write(path, np.stack([wave] * channels, axis=1), RATE, subtype="PCM_16")


def segment(number: int, start: float, end: float, text: str) -> dict[str, Any]:
    return {
        "id": number, "seek": 0, "start": start, "end": end, "text": f" {text}", "tokens": [1, 2],
        "temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01,
        "speaker_embedding": [0.5],
    }  # fmt: skip


def clips(folder: Path, count: int = 4, audio: str = "audios") -> Path:
    entries = {}
    for number in range(1, count + 1):
        name = f"talk_{number:06d}.wav"
        tone(folder / audio / name)
        first = segment(0, 0.0, 0.9, "it is cold")
        second = segment(1, 1.0, 1.9, f"in room {number}")
        entries[name] = {
            "text": f" it is cold in room {number}",
            "language": "en",
            "segments": [first, second],
            "mine": number,
        }
    (folder / "whisper.json").write_text(json.dumps(entries, indent=4, sort_keys=True), "utf-8")
    return folder


def opened(folder: Path) -> Session:
    editable = open_editable(folder)
    assert editable is not None
    return Session(editable, "Ada")


def edit(session: Session, name: str, **action: Any) -> dict[str, Any]:
    base = session.item(name)["base"]
    return session.edit(name, base, action)


def test_clips_keep_every_field_that_nobody_edited(tmp_path: Path) -> None:
    path = clips(tmp_path) / "whisper.json"
    before = json.loads(path.read_text("utf-8"))
    session = opened(tmp_path)
    assert session.item("talk_000002.wav")["channels"] == 1
    item = edit(session, "talk_000002.wav", do="text", line="1", text="in room two Hhhh")
    assert [word["word"] for word in item["lines"][1]["words"]] == ["in", "room", "two", "Hhhh"]
    after = json.loads(path.read_text("utf-8"))
    changed = after["talk_000002.wav"]
    unchanged = {**after, "talk_000002.wav": before["talk_000002.wav"]}
    assert changed["text"] == "it is cold in room two Hhhh"
    assert changed["segments"][1]["text"] == " in room two Hhhh"
    assert changed["segments"][1]["tokens"] == []
    assert changed["segments"][1]["speaker_embedding"] == [0.5]
    assert changed["segments"][1]["edited_by"] == "Ada"
    assert changed["segments"][0] == before["talk_000002.wav"]["segments"][0]
    assert unchanged == before
    backup = json.loads((tmp_path / "whisper_backup.json").read_text("utf-8"))
    assert backup == before
    layout = json.dumps(after, indent=4, sort_keys=True)
    assert path.read_text("utf-8") == layout + "\n"


class _Stopped(BaseException):
    """The machine went off."""


@settings(max_examples=20)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4), st.integers(0, 12)), min_size=1, max_size=5))
def test_discarding_that_is_stopped_anywhere_loses_nothing_and_is_done_when_it_is_asked_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, int, int]]
) -> None:
    folder = clips(tmp_path_factory.mktemp("clips"))
    aside = folder / "audios" / DISCARDED
    before = json.loads((folder / "whisper.json").read_text("utf-8"))
    set_aside: set[str] = set()
    for discarded, number, stop in steps:
        name = f"talk_{number:06d}.wav"
        with pytest.MonkeyPatch.context() as patch:
            stopped_after(patch, stop)
            try:
                opened(folder).discard([name], discarded)
            except _Stopped:
                sounds = sounds_in(folder / "audios") + sounds_in(aside)
                assert sorted(sounds) == sorted(before)
                kept = entries(folder / "whisper.json")
                assert kept | entries(aside / DISCARDED_ENTRIES) == before
        opened(folder).discard([name], discarded)
        if discarded:
            set_aside.add(name)
        else:
            set_aside.discard(name)
        assert {*sounds_in(folder / "audios")} == {*before} - set_aside
        assert {*sounds_in(aside)} == set_aside
    after = entries(folder / "whisper.json")
    for name in {*before, *after} - set_aside:
        assert after[name] == before[name]


def sounds_in(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.wav")]


def entries(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.exists() else {}  # type: ignore[no-any-return]


def stopped_after(patch: pytest.MonkeyPatch, count: int) -> None:
    """Renames work so often, and then the machine goes off."""
    left = [count]
    rename = Path.rename
    replace = Path.replace

    def counted(move: Any) -> Any:
        def moved(self: Path, target: Path) -> Path:
            left[0] -= 1
            if left[0] < 0:
                raise _Stopped
            return move(self, target)  # type: ignore[no-any-return]

        return moved

    patch.setattr(Path, "rename", counted(rename))
    patch.setattr(Path, "replace", counted(replace))


@pytest.mark.parametrize(
    "wrong", [{"number": 2}, {"number": True}, {"undoes": 0}, {"undoes": 2}, {"undoes": "1"}, {"on": [1 << 64]}]
)
def test_a_list_of_edits_whose_numbers_can_not_be_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    folder = clips(tmp_path / "in")
    record = {"number": 1, "time": "2026-01-01T00:00:00+00:00", "author": "x", "action": "discard"}
    record |= {"item": "a.wav", "before": {"discarded": False}, "after": {"discarded": True}}
    (folder / ".dailytalk-edits").write_text(json.dumps(record | wrong) + "\n", "utf-8")
    with pytest.raises(BadInput, match="edit 1"):
        opened(folder)


def test_a_list_of_edits_never_leads_out_of_its_folder(tmp_path: Path) -> None:
    folder = clips(tmp_path / "in")
    record = {"number": 1, "time": "2026-01-01T00:00:00+00:00", "author": "x", "action": "discard"}
    record |= {"item": "../../secret.wav", "before": {"discarded": False}, "after": {"discarded": True}}
    (folder / ".dailytalk-edits").write_text(json.dumps(record) + "\n", "utf-8")
    tone(tmp_path / "secret.wav")
    session = opened(folder)
    name = "../../secret.wav"
    for again in (lambda: session.edit(name, 1, {"do": "undo"}), lambda: session.restore([name])):
        with suppress(BadInput):
            again()
    assert (tmp_path / "secret.wav").exists()


def test_a_clip_that_is_a_link_out_of_its_folder_is_not_served(tmp_path: Path) -> None:
    tone(tmp_path / "secret.wav")
    folder = clips(tmp_path / "in")
    (folder / "audios" / "talk_000009.wav").symlink_to(tmp_path / "secret.wav")
    editable = open_editable(folder)
    assert isinstance(editable, Editable)
    assert "talk_000009.wav" not in editable.names()
    with pytest.raises(BadInput):
        editable.stretch("talk_000009.wav")
