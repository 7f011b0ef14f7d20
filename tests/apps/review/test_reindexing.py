"""Renumbering: a bijection in which nothing is lost, which no kill leaves half done, and which can be undone."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.apps.review.reindexing import finish_reindex, reindex_folder, undo_reindex
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.sources.recordings import find_recordings
from dailytalk_contiguous.store.files import FOLDER_LOCK, PLANS, folder_locked


def make(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def tree(root: Path) -> dict[str, str]:
    """What is in a folder, without what renumbering itself keeps there."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file() and PLANS not in path.parts and path.name != FOLDER_LOCK
    }


def clips(*numbers: int, name: str = "ann", folder: str = "") -> dict[str, str]:
    return {f"{folder}{name}_{number:06d}.wav": f"{name}{number}" for number in numbers}


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


def test_usable_and_not_usable_are_a_series_each_and_the_manifest_follows(tmp_path: Path) -> None:
    files = clips(1, 6, folder="Usable/") | clips(4, folder="Non Usable/")
    manifest = [{"file": name, "source": "ann.wav", "start": 0} for name in (*files, "Usable/ann_000003.wav")]
    files["manifest.jsonl"] = "".join(json.dumps(line) + "\n" for line in manifest)
    files[".dailytalk-export"] = "dailytalk export split\nUsable/ann_000006.wav\nmanifest.jsonl\n"
    reindex_folder(make(tmp_path, files))
    after = tree(tmp_path)
    assert after["Usable/ann_000002.wav"] == "ann6"
    assert after["Non Usable/ann_000001.wav"] == "ann4"
    named = [json.loads(line)["file"] for line in after["manifest.jsonl"].splitlines()]
    # The last one's file is gone: it gets a number that no file has.
    assert named == [
        *("Usable/ann_000001.wav", "Usable/ann_000002.wav"),
        *("Non Usable/ann_000001.wav", "Usable/ann_000003.wav"),
    ]
    assert after[".dailytalk-export"].splitlines()[1] == "Usable/ann_000002.wav"


def test_whisper_json_keeps_its_layout_and_what_nobody_knows(tmp_path: Path) -> None:
    entries = {
        "ann_000004.wav": {"text": "ann_000004", "segments": [{"id": 0, "tokens": [1, 2], "own": None}]},
        "ann_000002.wav": {"text": "two", "language": "en"},
    }
    text = json.dumps(entries, indent=4, sort_keys=True)
    files = clips(2, 4, folder="audio/") | {"whisper.json": text, "whisper_backup.json": text}
    reindex_folder(make(tmp_path, files))
    after = tree(tmp_path)
    expected = {"ann_000002.wav": entries["ann_000004.wav"], "ann_000001.wav": entries["ann_000002.wav"]}
    assert after["whisper.json"] == json.dumps(expected, indent=4, sort_keys=True) + "\n"
    assert after["whisper_backup.json"] == text  # untouched for ever
    undo_reindex(tmp_path)
    assert tree(tmp_path) == files  # to the byte


def test_tables_transcripts_and_edits_follow(tmp_path: Path) -> None:
    whisper = json.dumps({"ann_000003.wav": {"text": "three"}})
    digest = hashlib.sha256(whisper.encode()).hexdigest()
    edit = {"number": 1, "time": "now", "author": "Ada", "item": "ann_000003.wav", "action": "tag"}
    edit |= {
        state: {"lines": {"ann_000003/left/0001": {"tag": tag}}}
        for state, tag in (("before", ""), ("after", "sad"))
    }
    files = clips(3, folder="wavs/") | {
        "metadata.csv": "ann_000003|a text|ann_000003\n",
        "train.txt": "wavs/ann_000003.wav|a text\n",
        "transcript.jsonl": json.dumps(
            {"audio_file": "wavs/ann_000003.wav", "conversation_id": "wavs/ann_000003", "text": "ann_000003"}
        )
        + "\n",
        "whisper.json": whisper,
        ".dailytalk-edits": json.dumps(edit)
        + "\n"
        + json.dumps({"settled": 1, "file": "whisper.json", "sha256": digest})
        + '\n{"number": 2, "ite',
    }
    reindex_folder(make(tmp_path, files))
    after = tree(tmp_path)
    assert after["metadata.csv"] == "ann_000001|a text|ann_000003\n"
    assert after["train.txt"] == "wavs/ann_000001.wav|a text\n"
    line = json.loads(after["transcript.jsonl"])
    assert line == {
        "audio_file": "wavs/ann_000001.wav",
        "conversation_id": "wavs/ann_000001",
        "text": "ann_000003",
    }
    first, second, third, rest = after[".dailytalk-edits"].split("\n")
    assert (json.loads(first)["item"], list(json.loads(first)["before"]["lines"])) == (
        "ann_000001.wav",
        ["ann_000001/left/0001"],
    )
    assert json.loads(second)["sha256"] == hashlib.sha256(after["whisper.json"].encode()).hexdigest()
    # What was cut short was never answered; settling comes before the renames, and is known by their result.
    assert rest == ""
    assert json.loads(third)["sha256"] == hashlib.sha256(after["transcript.jsonl"].encode()).hexdigest()


def test_discarded_clips_get_the_numbers_after_the_others(tmp_path: Path) -> None:
    files = clips(1, 3, folder="audio/") | clips(2, folder="audio/Discarded Audios/")
    files["audio/Discarded Audios/discarded_entries.json"] = '{"ann_000002.wav": {"text": "two"}}'
    files["whisper.json"] = '{"ann_000001.wav": {}, "ann_000003.wav": {"text": "three"}}'
    reindex_folder(make(tmp_path, files))
    after = tree(tmp_path)
    assert after["audio/ann_000002.wav"] == "ann3"
    assert after["audio/Discarded Audios/ann_000003.wav"] == "ann2"
    assert list(json.loads(after["audio/Discarded Audios/discarded_entries.json"])) == ["ann_000003.wav"]
    assert json.loads(after["whisper.json"])["ann_000002.wav"] == {"text": "three"}


def test_undo_keeps_what_was_edited_meanwhile_and_finds_what_was_discarded(tmp_path: Path) -> None:
    files = clips(3, 5, folder="audio/") | {"whisper.json": '{"ann_000003.wav": {}, "ann_000005.wav": {}}'}
    reindex_folder(make(tmp_path, files))
    (tmp_path / "whisper.json").write_text('{"ann_000001.wav": {"text": "new"}, "ann_000002.wav": {}}')
    (tmp_path / "audio/Discarded Audios").mkdir()
    os.rename(tmp_path / "audio/ann_000002.wav", tmp_path / "audio/Discarded Audios/ann_000002.wav")
    undo_reindex(tmp_path)
    after = tree(tmp_path)
    assert json.loads(after.pop("whisper.json")) == {"ann_000003.wav": {"text": "new"}, "ann_000005.wav": {}}
    assert after == {"audio/ann_000003.wav": "ann3", "audio/Discarded Audios/ann_000005.wav": "ann5"}
    with pytest.raises(DailytalkError, match="has no reindex to undo"):
        undo_reindex(tmp_path)


def test_what_would_be_lost_or_unclear_renames_nothing(tmp_path: Path) -> None:
    one = make(
        tmp_path / "one", clips(3, folder="a/") | clips(3, folder="b/") | {"w.json": '{"ann_000003.wav": 1}'}
    )
    with pytest.raises(BadInput, match="which is in 'one/a/ann_000003' and 'one/b/ann_000003'"):
        reindex_folder(one)
    broken = make(tmp_path / "broken", clips(3) | {"w.json": '{"ann_000003.wav": '})
    with pytest.raises(BadInput, match="is not JSON"):
        reindex_folder(broken)
    both = make(tmp_path / "both", clips(3, folder="a/") | clips(3, folder="b/") | {"w.csv": "ann_000003|three\n"})
    with pytest.raises(BadInput, match="which is in 'a' and 'b'"):
        reindex_folder(both / "a")
    for root in (one, broken, both):
        before = tree(root)
        with folder_locked(root), pytest.raises(DailytalkError, match="is open in another command"):
            reindex_folder(root)
        assert tree(root) == before
    assert not list(tmp_path.rglob(PLANS))


def test_links_out_are_renamed_and_never_followed(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside", clips(7) | {"w.json": '{"ann_000007.wav": 1}'})
    root = make(tmp_path / "in", clips(3))
    (root / "ann_000009.wav").symlink_to(outside / "ann_000007.wav")
    (root / "more").symlink_to(outside)
    reindex_folder(root)
    assert (root / "ann_000002.wav").is_symlink()
    assert tree(outside) == clips(7) | {"w.json": '{"ann_000007.wav": 1}'}
    (root / "ann_000001.wav").rename(root / "ann_000004.wav")
    (root / "w.json").symlink_to(outside / "w.json")
    with pytest.raises(BadInput, match="leads out of its folder"):
        reindex_folder(root)


# A kill at any step: the process does no more, not even what it does at its end.


class Killed(BaseException):
    pass


class Killer:
    """Ends whatever touches files under a folder at one of its steps, and lets nothing be touched after that."""

    EVENTS = frozenset(("os.rename", "os.remove", "os.mkdir", "os.rmdir", "open", "shutil.rmtree"))

    def __init__(self) -> None:
        self.root, self.left = "", -1
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.root and event in self.EVENTS and str(arguments[0]).startswith(self.root):
            if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")):
                return
            if self.left <= 0:
                raise Killed
            self.left -= 1

    @contextmanager
    def after(self, steps: int, root: Path) -> Iterator[None]:
        self.root, self.left = str(root), steps
        try:
            yield
        finally:
            self.root = ""


@pytest.fixture(scope="module")
def killer() -> Killer:
    return Killer()


def killed(killer: Killer, steps: int, root: Path, call: Any) -> bool:
    try:
        with killer.after(steps, root):
            call(root)
    except Killed:
        return True
    return False


NUMBERS = st.lists(st.integers(0, 40), min_size=1, max_size=6, unique=True)


@given(
    ann=NUMBERS,
    bob=NUMBERS,
    discarded=st.lists(st.integers(0, 40), max_size=3, unique=True),
    beside=st.sets(st.integers(0, 40), max_size=6),
    digits=st.integers(1, 6),
    mentioned=st.sets(st.integers(0, 40), max_size=6),
    steps=st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
def test_reindex_is_a_bijection_that_undo_reverts_after_a_kill_anywhere(
    killer: Killer,
    tmp_path_factory: pytest.TempPathFactory,
    ann: list[int],
    bob: list[int],
    discarded: list[int],
    beside: set[int],
    digits: int,
    mentioned: set[int],
    steps: tuple[int, int],
) -> None:
    root = tmp_path_factory.mktemp("bijection")
    discarded = [number for number in discarded if number not in ann]
    files = clips(*ann) | clips(*bob, name="bob_1") | clips(*discarded, folder="Discarded Audios/")
    files |= {f"ann_{number:06d}.txt": f"text{number}" for number in beside}
    named = {f"ann_{number:06d}.wav": {"number": number} for number in sorted({*ann, *mentioned} - {*discarded})}
    files["whisper.json"] = json.dumps(named)
    before = tree(make(root, files))
    killed(killer, steps[0], root, lambda root: reindex_folder(root, digits))
    reindex_folder(root, digits)
    after = tree(root)
    numbers = sorted(int(name[4:-4]) for name in after if name.startswith("ann_") and name.endswith(".wav"))
    assert numbers == list(range(min(1, *ann), min(1, *ann) + len(ann)))
    texts = {text: name for name, text in after.items() if name.endswith(".wav")}
    assert len(texts) == len(ann) + len(bob) + len(discarded)
    whisper = {entry["number"]: name for name, entry in json.loads(after["whisper.json"]).items()}
    assert len(whisper) == len(named)
    assert all(whisper[number] == texts[f"ann{number}"] for number in ann)
    assert all(Path(texts[f"ann{number}"]).stem + ".txt" in after for number in beside & {*ann})
    assert sorted(text for name, text in after.items() if name != "whisper.json") == sorted(
        text for name, text in before.items() if name != "whisper.json"
    )
    if before != after:
        killed(killer, steps[1], root, undo_reindex)
        finish_reindex(root)
        if tree(root) != before:
            undo_reindex(root)
    assert tree(root) == before
    shutil.rmtree(root)


def test_kill_at_any_step_is_finished_by_the_next_call_and_can_be_undone(tmp_path: Path, killer: Killer) -> None:
    files = clips(2, 3, 7, folder="audios/") | clips(4, folder="audios/Discarded Audios/")
    files["audios/ann_000003.txt"] = "3"
    files["whisper.json"] = '{"ann_000002.wav": {"n": 2}, "ann_000003.wav": {"n": 3}, "ann_000007.wav": {"n": 7}}'
    done = make(tmp_path / "done", files)
    reindex_folder(done / "audios")
    before, after = files, tree(done)
    steps = 0
    while True:
        root = make(tmp_path / f"kill{steps}", files)
        stopped = killed(killer, steps, root, lambda root: reindex_folder(root / "audios"))
        if steps % 2:
            finish_reindex(root / "audios")  # as whoever reads the folder does
            assert tree(root) in (before, after)
        reindex_folder(root / "audios")
        assert tree(root) == after
        undone = killed(killer, steps, root, lambda root: undo_reindex(root / "audios"))
        finish_reindex(root / "audios")
        if tree(root) != before:
            assert tree(root) == after
            undo_reindex(root / "audios")
        assert tree(root) == before
        steps += 1
        if not stopped and not undone:
            break
    assert steps > 30


def test_reader_sees_a_folder_whole_or_says_that_it_is_half_renamed_and_touches_nothing(
    tmp_path: Path, killer: Killer
) -> None:
    refused = 0
    for steps in range(0, 40, 3):
        files = clips(2, 3, 7, folder="Usable/") | {"m.jsonl": '{"file": "Usable/ann_000003.wav"}\n'}
        root = make(tmp_path / str(steps), files)
        killed(killer, steps, root, lambda root: reindex_folder(root / "Usable"))
        before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
        if list(root.rglob("planned.json")) or list(root.rglob("staged.json")):
            refused += 1
            with pytest.raises(DailytalkError, match=r"run dailytalk reindex '.*/Usable'"):
                find_recordings([root / "Usable"])
        else:
            names = [recording.audio_file for recording in find_recordings([root / "Usable"])]
            assert names in ([f"ann_{n:06d}.wav" for n in (2, 3, 7)], [f"ann_{n:06d}.wav" for n in (1, 2, 3)])
        assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
        reindex_folder(root / "Usable")
        assert sorted(tree(root)) == [*(f"Usable/ann_{n:06d}.wav" for n in (1, 2, 3)), "m.jsonl"]
    assert refused > 3


#: What a stranger's plan may ask for: renames, new names and documents.
PLANS_OF_STRANGERS: dict[str, dict[str, Any]] = {
    "up": {"renames": [["../secret.txt", "../ann_1.wav"]]},
    "across": {"renames": [["ann_000003.wav", "more/ann_1.wav"]]},
    "through a link": {"renames": [["link/secret.txt", "link/ann_1.wav"]]},
    "through a link that the plan puts there": {
        "renames": [["link", "x"], [f"{PLANS}-0.tmp/secret.txt", f"{PLANS}-0.tmp/y"], ["x/secret.txt", "x/y"]]
    },
    "hidden": {"renames": [["ann_000003.wav", ".bashrc"]]},
    "document above": {"documents": {"../secret.txt": "0" * 64}},
    "document behind a link": {"documents": {"link/secret.txt": "0" * 64}},
    "linked content": {"documents": {"w.json": "0" * 64}},
    "shape": {"renames": [["a"]]},
    "folder": {"folder": "..", "renames": [["../secret.txt", "../y"]]},
}


@pytest.mark.parametrize("case", PLANS_OF_STRANGERS)
def test_plan_of_a_stranger_reads_and_renames_nothing_outside(tmp_path: Path, case: str) -> None:
    outside = make(tmp_path, {"secret.txt": "secret", "outside/secret.txt": "secret"})
    plan = {"folder": "", "renames": [], "names": [], "documents": {}} | PLANS_OF_STRANGERS[case]
    files = clips(3) | {"w.json": "{}", f"{PLANS}/0001/backup/w.json": "{}"}
    root = make(tmp_path / "theirs", files | {f"{PLANS}/0001/planned.json": json.dumps(plan)})
    (root / PLANS / "0001/after").mkdir()
    (root / PLANS / "0001/after/w.json").symlink_to(outside / "secret.txt")
    (root / "link").symlink_to(outside / "outside")
    for call in (reindex_folder, undo_reindex, finish_reindex, lambda root: find_recordings([root])):
        with pytest.raises(DailytalkError):
            call(root)
    assert tree(outside / "outside") == {"secret.txt": "secret"}
    assert (outside / "secret.txt").read_text() == "secret"
    assert "secret" not in {path.read_text() for path in root.rglob("*.json") if not path.is_symlink()}


def test_undo_takes_no_backup_through_a_link(tmp_path: Path) -> None:
    secret = make(tmp_path, {"secret.txt": "secret"}) / "secret.txt"
    root = make(tmp_path / "theirs", clips(3) | {"w.json": '{"ann_000003.wav": {}}'})
    reindex_folder(root)
    shutil.rmtree(root / PLANS / "0001/backup")
    (root / PLANS / "0001/backup").symlink_to(tmp_path)
    secret.rename(tmp_path / "w.json")
    with pytest.raises(BadInput, match="symbolic link"):
        undo_reindex(root)
    assert "ann_000001.wav" in (root / "w.json").read_text()


# The folder that is named, and any series.


def test_pieces_that_split_has_written_are_reindexed_where_they_are(tmp_path: Path) -> None:
    files = {f"Usable/{name}": name for name in ("r_000002-the-air-i.wav", "r_000009-room-2.wav", "r_000015.wav")}
    files |= clips(3, name="r", folder="Non Usable/") | {"Usable/r_000009-room-2.json": "{}"}
    manifest = "".join(json.dumps({"file": name, "start": 0}) + "\n" for name in files if name.endswith(".wav"))
    files["manifest.jsonl"] = manifest
    before = tree(make(tmp_path, files))
    done = reindex_folder(tmp_path / "Usable")
    assert (done.files, done.documents) == (4, ["../manifest.jsonl"])
    after = tree(tmp_path)
    new = ["r_000001-the-air-i.wav", "r_000002-room-2.wav", "r_000003.wav"]
    assert [name for name in after if name.startswith("Usable/") and name.endswith(".wav")] == [
        f"Usable/{name}" for name in new
    ]
    assert after["Usable/r_000003.wav"] == "r_000015.wav"
    named = [json.loads(line)["file"] for line in after["manifest.jsonl"].splitlines()]
    assert named == [*(f"Usable/{name}" for name in new), "Non Usable/r_000003.wav"]
    reindex_folder(tmp_path / "Non Usable")
    undo_reindex(tmp_path / "Usable")
    undo_reindex(tmp_path / "Non Usable")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Audio001", "Audio003", "Audio009"], ["Audio001", "Audio002", "Audio003"]),
        (["clip8", "clip9", "clip10", "clip12"], ["clip1", "clip2", "clip3", "clip4"]),
        (["001", "003", "009"], ["001", "002", "003"]),
        (["a-1_000000", "a-1_000007"], ["a-1_000000", "a-1_000001"]),
        (["take", "take_3"], ["take", "take_1"]),
    ],
)
def test_any_series_is_closed_in_its_order_and_keeps_its_digits(
    tmp_path: Path, names: list[str], expected: list[str]
) -> None:
    root = make(tmp_path, {f"{name}.wav": name for name in names})
    reindex_folder(root)
    assert {*tree(root)} == {f"{name}.wav" for name in expected}
    assert [(root / f"{name}.wav").read_text() for name in expected] == names
