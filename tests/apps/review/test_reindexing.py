"""Renumbering: a bijection in which nothing is lost, and which can be undone; a kill mixes no names."""

import json
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.review.reindexing import reindex_folder, undo_reindex
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.store.files import FOLDER_LOCK, REINDEXED, folder_locked


def make(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def tree(root: Path) -> dict[str, str]:
    """What is in a folder, without what renumbering itself keeps there."""
    files = {}
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        is_ours = REINDEXED in relative.parts or path.name == FOLDER_LOCK
        if path.is_file() and not is_ours:
            files[relative.as_posix()] = path.read_text(encoding="utf-8")
    return files


def sounds_of(files: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in files.items() if name.endswith(".wav")}


def manifest_of(names: Iterable[str]) -> str:
    lines = [json.dumps({"file": name, "start": 0}) for name in names]
    return "".join(f"{line}\n" for line in lines)


def clips(*numbers: int, name: str = "ann", folder: str = "") -> dict[str, str]:
    return {f"{folder}{name}_{number:06d}.wav": f"{name}{number}" for number in numbers}


def test_a_number_is_at_the_end_or_padded_before_words(tmp_path: Path) -> None:
    kept = ["call_20240115-so.wav", "talk_7-so.wav"]
    numbered = {
        "talk_000003-route-66.wav": "talk_000001-route-66.wav",
        "talk_000009_take_2.wav": "talk_000002_take_2.wav",
        "call_20240115-a_000004.wav": "call_20240115-a_000001.wav",
        "call_000005-again_000012.wav": "call_000005-again_000001.wav",
    }
    files = {name: name for name in (*kept, *numbered)}
    done = reindex_folder(make(tmp_path, files))
    expected = {name: name for name in kept}
    expected |= {new: old for old, new in numbered.items()}
    assert tree(tmp_path) == expected
    assert done.unnamed == kept


def test_names_with_words_are_numbered_beyond_ten_thousand(tmp_path: Path) -> None:
    new = {
        "ann_004999-one": "ann_000001-one",
        "ann_009998-so": "ann_000002-so",
        "ann_010003-we-went": "ann_000003-we-went",
        "ann_012000": "ann_000004",
        "ann_012001-and-back": "ann_000005-and-back",
    }
    files = {f"{name}.wav": f"sound of {name}" for name in new}
    entries = {f"{name}.wav": {"text": f"text of {name}"} for name in new}
    files["whisper.json"] = json.dumps(entries)
    source = tmp_path / "in"
    done = reindex_folder(make(source, files))
    assert done.unnamed == []
    after = tree(source)
    texts = json.loads(after.pop("whisper.json"))
    assert after == {f"{name}.wav": f"sound of {old}" for old, name in new.items()}
    assert texts == {f"{name}.wav": {"text": f"text of {old}"} for old, name in new.items()}
    undo_reindex(source)
    assert tree(source) == files


def test_names_with_words_are_numbered_with_the_others_and_keep_their_words(tmp_path: Path) -> None:
    """Also in documents that name them, and undone to the byte."""
    new = {
        "ann_000007-so-we-went": "ann_000001-so-we-went",
        "ann_000009": "ann_000002",
        "ann_000012_words_behind": "ann_000003_words_behind",
        "ann_000040-Übermut-1984": "ann_000004-Übermut-1984",
    }
    files = {f"Usable/{name}.wav": f"sound of {name}" for name in new}
    files["Usable/ann_000007-so-we-went.TextGrid"] = "grid"
    entries = {f"{name}.wav": {"text": f"{name} is read"} for name in new}
    files["Usable/whisper.json"] = json.dumps(entries)
    files["manifest.jsonl"] = manifest_of(sounds_of(files))
    done = reindex_folder(make(tmp_path, files) / "Usable")
    after = tree(tmp_path)
    expected = {f"Usable/{name}.wav": f"sound of {old}" for old, name in new.items()}
    assert sounds_of(after) == expected
    assert after["Usable/ann_000001-so-we-went.TextGrid"] == "grid"
    renamed = {f"{name}.wav": {"text": f"{old} is read"} for old, name in new.items()}
    assert json.loads(after["Usable/whisper.json"]) == renamed
    lines = [json.loads(line)["file"] for line in after["manifest.jsonl"].splitlines()]
    assert lines == [f"Usable/{name}.wav" for name in new.values()]
    assert done.unnamed == []
    assert reindex_folder(tmp_path / "Usable").names == {}
    undo_reindex(tmp_path / "Usable")
    assert tree(tmp_path) == files


def test_recordings_of_one_number_that_words_tell_apart_keep_one_number(tmp_path: Path) -> None:
    files = ["call_000003_left.wav", "call_000003_right.wav", "call_000008_left.wav", "call_000008.txt"]
    texts = {name: f"was {name}" for name in files}
    reindex_folder(make(tmp_path, texts))
    assert tree(tmp_path) == {
        "call_000001_left.wav": "was call_000003_left.wav",
        "call_000001_right.wav": "was call_000003_right.wav",
        "call_000002.txt": "was call_000008.txt",
        "call_000002_left.wav": "was call_000008_left.wav",
    }


def test_gaps_are_closed_for_each_name_and_files_beside_follow(tmp_path: Path) -> None:
    files = clips(2, 5, 9) | clips(1, 4, name="bob")
    files |= {
        "ann_000005.TextGrid": "grid5",
        "ann_000009.left.txt": "text9",
        "other.wav": "other",
        "ann.json": "{}",
    }
    done = reindex_folder(make(tmp_path, files))
    assert tree(tmp_path) == {
        "ann_000001.wav": "ann2",
        "ann_000002.wav": "ann5",
        "ann_000003.wav": "ann9",
        "bob_000001.wav": "bob1",
        "bob_000002.wav": "bob4",
        "other.wav": "other",
        "ann.json": "{}",
        "ann_000002.TextGrid": "grid5",
        "ann_000003.left.txt": "text9",
    }
    assert done.files == 6


def test_whisper_json_keeps_its_layout_and_what_nobody_knows(tmp_path: Path) -> None:
    second = {"text": "two", "language": "en"}
    fourth = {"text": "ann_000004 is read", "segments": [{"id": 0, "tokens": [1, 2], "own": None}]}
    entries = {"ann_000004.wav": fourth, "ann_000002.wav": second}
    text = json.dumps(entries, indent=4, sort_keys=True)
    files = clips(2, 4, folder="audio/")
    files["whisper.json"] = text
    files["whisper_backup.json"] = text
    reindex_folder(make(tmp_path, files))
    after = tree(tmp_path)
    expected = {"ann_000002.wav": fourth, "ann_000001.wav": second}
    assert after["whisper.json"] == json.dumps(expected, indent=4, sort_keys=True)
    assert after["whisper_backup.json"] == text  # untouched for ever
    undo_reindex(tmp_path)
    assert tree(tmp_path) == files  # to the byte


def test_the_list_of_edits_follows(tmp_path: Path) -> None:
    edit: dict[str, Any] = {"number": 1, "time": "now", "author": "Ada", "item": "ann_000003.wav", "action": "tag"}
    edit["before"] = {"lines": {"0": {"text": "ann_000003.wav is read"}}}
    edit["after"] = {"lines": {"0": {"text": "three"}}}
    files = clips(3, folder="wavs/")
    files["metadata.csv"] = "ann_000003|a text|ann_000003 is read\n"
    files[".dailytalk-edits"] = json.dumps(edit) + '\n{"number": 2, "ite'
    reindex_folder(make(tmp_path, files))
    after = tree(tmp_path)
    assert after["metadata.csv"] == files["metadata.csv"]
    first, second = after[".dailytalk-edits"].split("\n")
    assert json.loads(first) == edit | {"item": "ann_000001.wav"}
    assert second == '{"number": 2, "ite'  # what was cut short was never answered


def test_discarded_clips_get_the_numbers_after_the_others(tmp_path: Path) -> None:
    files = clips(1, 3, folder="audio/") | clips(2, folder="audio/Discarded Audios/")
    files["audio/Discarded Audios/discarded_entries.json"] = '{"ann_000002.wav": {"text": "two"}}'
    files["whisper.json"] = '{"ann_000001.wav": {}, "ann_000003.wav": {"text": "three"}}'
    reindex_folder(make(tmp_path, files))
    after = tree(tmp_path)
    assert after["audio/ann_000002.wav"] == "ann3"
    assert after["audio/Discarded Audios/ann_000003.wav"] == "ann2"
    discarded = json.loads(after["audio/Discarded Audios/discarded_entries.json"])
    entries = json.loads(after["whisper.json"])
    assert list(discarded) == ["ann_000003.wav"]
    assert entries["ann_000002.wav"] == {"text": "three"}


def test_undo_keeps_what_was_changed_since(tmp_path: Path) -> None:
    files = clips(3, 5, folder="audio/") | {"whisper.json": '{"ann_000003.wav": {}, "ann_000005.wav": {}}'}
    reindex_folder(make(tmp_path, files) / "audio")
    (tmp_path / "whisper.json").write_text('{"ann_000001.wav": {"text": "new"}, "ann_000002.wav": {}}')
    before = tree(tmp_path)
    backup = undo_reindex(tmp_path / "audio")
    assert tree(tmp_path) == files
    kept = tree(backup / "undone-above")
    kept |= {f"audio/{name}": text for name, text in tree(backup / "undone").items()}
    assert kept == before
    with pytest.raises(DailytalkError, match="has no reindex to undo"):
        undo_reindex(tmp_path / "audio")


def test_what_would_be_lost_or_unclear_renames_nothing(tmp_path: Path) -> None:
    twice = clips(3, folder="a/") | clips(3, folder="b/")
    whole = make(tmp_path / "one", twice | {"whisper.json": '{"ann_000003.wav": 1}'})
    with pytest.raises(BadInput, match="which is in 'one/a/ann_000003' and 'one/b/ann_000003'"):
        reindex_folder(whole)
    part = make(tmp_path / "both", twice | {"whisper.json": '{"ann_000003.wav": 1}'})
    with pytest.raises(BadInput, match="which is in 'a' and 'b'"):
        reindex_folder(part / "a")
    for root in (whole, part):
        before = tree(root)
        with folder_locked(root), pytest.raises(DailytalkError, match="is open in another command"):
            reindex_folder(root)
        assert tree(root) == before
    assert not list(tmp_path.rglob(REINDEXED))


def test_links_out_are_renamed_and_never_followed(tmp_path: Path) -> None:
    files = clips(7) | {"whisper.json": '{"ann_000007.wav": 1}'}
    outside = make(tmp_path / "outside", files)
    root = make(tmp_path / "in", clips(3))
    (root / "ann_000009.wav").symlink_to(outside / "ann_000007.wav")
    (root / "more").symlink_to(outside)
    reindex_folder(root)
    assert (root / "ann_000002.wav").is_symlink()
    assert tree(outside) == files
    (root / "ann_000001.wav").rename(root / "ann_000004.wav")
    (root / "whisper.json").symlink_to(outside / "whisper.json")
    with pytest.raises(BadInput, match="leads out of its folder"):
        reindex_folder(root)


NUMBERS = st.lists(st.integers(0, 40), min_size=1, max_size=6, unique=True)
WORDS = st.sampled_from(["", "-so-we", "_words_behind", "-1984"])


@given(
    items=st.lists(st.tuples(st.integers(0, 9), WORDS), min_size=1, unique=True),
    mentioned=st.lists(st.tuples(st.integers(0, 9), WORDS), unique=True),
)
def test_no_recording_with_words_loses_its_name_or_its_text_to_another(
    tmp_path_factory: pytest.TempPathFactory, items: list[tuple[int, str]], mentioned: list[tuple[int, str]]
) -> None:
    root = tmp_path_factory.mktemp("words") / "in"
    files = {f"ann_{number:06d}{words}.wav": f"{number}{words}" for number, words in items}
    texts = {f"ann_{number:06d}{words}.wav": f"{number}{words}" for number, words in mentioned}
    texts |= files
    make(root, files | {"whisper.json": json.dumps(texts)})
    before = tree(root)
    reindex_folder(root)
    after = tree(root)
    named = json.loads(after.pop("whisper.json"))
    assert sorted(after.values()) == sorted(files.values())
    assert sorted(named.values()) == sorted(texts.values())
    assert {name: named[name] for name in after} == after
    numbers = sorted({int(name[4:10]) for name in after})
    first = numbers[0]
    assert numbers == list(range(first, first + len(numbers)))
    assert reindex_folder(root).files == 0
    if before != tree(root):
        undo_reindex(root)
    assert tree(root) == before
    shutil.rmtree(root.parent)


@given(
    ann=NUMBERS,
    bob=NUMBERS,
    discarded=st.lists(st.integers(0, 40), max_size=3, unique=True),
    beside=st.sets(st.integers(0, 40), max_size=6),
    mentioned=st.sets(st.integers(0, 40), max_size=6),
)
def test_reindex_is_a_bijection_that_undo_reverts(
    tmp_path_factory: pytest.TempPathFactory,
    ann: list[int],
    bob: list[int],
    discarded: list[int],
    beside: set[int],
    mentioned: set[int],
) -> None:
    root = tmp_path_factory.mktemp("bijection") / "in"
    discarded = [number for number in discarded if number not in ann]
    files = clips(*ann) | clips(*bob, name="bob_1") | clips(*discarded, folder="Discarded Audios/")
    files |= {f"ann_{number:06d}.txt": f"text{number}" for number in beside}
    listed = {*ann, *mentioned} - {*discarded}
    named = {f"ann_{number:06d}.wav": {"number": number} for number in sorted(listed)}
    files["whisper.json"] = json.dumps(named)
    before = tree(make(root, files))
    reindex_folder(root)
    after = tree(root)
    sounds = sounds_of(after)
    numbers = sorted(int(name[4:-4]) for name in sounds if name.startswith("ann_"))
    first = min(1, *ann)
    assert numbers == list(range(first, first + len(ann)))
    names = {text: name for name, text in sounds.items()}
    assert len(names) == len(ann) + len(bob) + len(discarded)
    entries = json.loads(after["whisper.json"])
    whisper = {entry["number"]: name for name, entry in entries.items()}
    assert len(whisper) == len(named)
    for number in ann:
        name = names[f"ann{number}"]
        assert whisper[number] == name
        if number in beside:
            assert f"{Path(name).stem}.txt" in after
    undone = before != after
    del after["whisper.json"]
    texts = [text for name, text in before.items() if name != "whisper.json"]
    assert sorted(after.values()) == sorted(texts)
    assert reindex_folder(root).files == 0
    if undone:
        undo_reindex(root)
    assert tree(root) == before
    shutil.rmtree(root.parent)


def test_a_kill_at_any_step_leaves_the_folder_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def in_audios(files: dict[str, str]) -> dict[str, str]:
        return {name: text for name, text in files.items() if name.startswith("audios/")}

    files = clips(2, 3, 7, folder="audios/") | {"audios/ann_000003.txt": "3"}
    files["whisper.json"] = '{"ann_000002.wav": {"n": 2}, "ann_000003.wav": {"n": 3}, "ann_000007.wav": {"n": 7}}'
    done = make(tmp_path / "done", files)
    reindex_folder(done / "audios")
    for steps in range(20):
        root = make(tmp_path / str(steps), files)
        left = [steps]

        def step(event: str, arguments: tuple[Any, ...], root: Path = root, left: list[int] = left) -> None:
            if left and event in ("os.rename", "os.link", "os.mkdir") and str(arguments[0]).startswith(str(root)):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a killed process tidies nothing
            sys.addaudithook(step)
            with suppress(Killed):
                reindex_folder(root / "audios")
            is_done = left[0] >= 0
            left.clear()
        if (root / "audios").is_dir():
            now = in_audios(tree(root))
            assert now in (in_audios(tree(done)), in_audios(files))
        with suppress(DailytalkError):
            undo_reindex(root / "audios")
        assert tree(root) == files
        reindex_folder(root / "audios")
        assert tree(root) == tree(done)
        if is_done:
            break
    assert is_done


# The folder that is named, and any series.


def test_pieces_that_split_has_written_are_reindexed_where_they_are(tmp_path: Path) -> None:
    files = {f"Usable/{name}": name for name in ("r_000002.wav", "r_000009.wav", "r_000015.wav")}
    files |= clips(3, name="r", folder="Non Usable/")
    files["Usable/r_000009.json"] = "{}"
    files["manifest.jsonl"] = manifest_of(sounds_of(files))
    before = tree(make(tmp_path, files))
    done = reindex_folder(tmp_path / "Usable")
    assert done.files == 4
    assert done.documents == ["../manifest.jsonl"]
    after = tree(tmp_path)
    new = ["Usable/r_000001.wav", "Usable/r_000002.wav", "Usable/r_000003.wav"]
    usable = [name for name in sounds_of(after) if name.startswith("Usable/")]
    assert usable == new
    assert after["Usable/r_000003.wav"] == "r_000015.wav"
    named = [json.loads(line)["file"] for line in after["manifest.jsonl"].splitlines()]
    assert named == [*new, "Non Usable/r_000003.wav"]
    reindex_folder(tmp_path / "Non Usable")
    undo_reindex(tmp_path / "Non Usable")
    undo_reindex(tmp_path / "Usable")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Audio001", "Audio003", "Audio009"], ["Audio001", "Audio002", "Audio003"]),
        (["clip8", "clip9", "clip10", "clip12"], ["clip1", "clip2", "clip3", "clip4"]),
    ],
)
def test_any_series_is_closed_in_its_order_and_keeps_its_digits(
    tmp_path: Path, names: list[str], expected: list[str]
) -> None:
    files = {f"{name}.wav": name for name in names}
    root = make(tmp_path, files)
    reindex_folder(root)
    renamed = [f"{name}.wav" for name in expected]
    assert tree(root) == dict(zip(renamed, names, strict=True))
