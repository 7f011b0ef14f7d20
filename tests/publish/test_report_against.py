import json
import re
from pathlib import Path
from typing import Any

import pytest
from finished_corpora import clip_row, corpus_folder, measures
from reports import cells_of, shown, tables_of, write_report
from rich_conversations import rich_rows

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.utterance import AFFECT, PROSODY
from dailytalk_contiguous.publish.comparison import Compared, compare_folders

HOSTILE = "<b>&\"'</script>é|`"

#: Tag, start, end, text and arousal of what is said on the left.
LINES = (
    ("whispering", 0.0, 1.0, "Come here.", 0.2),
    ("angry", 2.0, 5.0, "What did you do?", 0.9),
    ("calm", 6.0, 12.0, "I see.", None),
)


def talks(folder: Path, lines: Any = LINES) -> Path:
    """A work folder that `tag` has written: its transcript."""
    folder.mkdir(parents=True)
    told = [
        {
            "conversation_id": "call",
            "channel": "left",
            "start": start,
            "end": end,
            "text": text,
            "tag": tag,
            "language": "en",
            "vad": dict.fromkeys(AFFECT, arousal),
            "features": dict.fromkeys(PROSODY, 2.0),
        }
        for tag, start, end, text, arousal in lines
    ]
    (folder / "transcript.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told), encoding="utf-8")
    return folder


def corpus(folder: Path) -> Path:
    rows = [
        clip_row("s1-0", "happy", 1.0, tag="calm"),
        clip_row("s1-1", "sad", 3.0, tag="sad", style=None),
        clip_row("s1-1-pitch", "sad", 3.0, augmented_from="acted/s1-1"),
    ]
    return corpus_folder(folder, rows)


def compared(*sides: Compared) -> dict[str, list[str]]:
    """The figures of both sides by name, those of labels by `LABEL: VALUE`."""
    text = shown("against(*sides)", sides=sides)
    parts = re.split(r"^\*\*(.*?)\*\*$", text, flags=re.MULTILINE)
    return {
        f"{title.lower()}: {name}" if title not in ("Figures", "Turn-taking") else name: values
        for title, part in zip(parts[1::2], parts[2::2], strict=True)
        for name, *values in cells_of(part)
    }


def test_clips_and_utterances_stand_side_by_side(tmp_path: Path) -> None:
    text = compared(*compare_folders(corpus(tmp_path / "acted"), talks(tmp_path / "calls")))
    assert text["number"] == ["2 clips", "3 utterances"]  # a copy is no clip of its own
    assert text["speech"] == ["4.0 s", "10.0 s"]
    assert text["length (s)"] == ["2.00 ± 1.00", "3.33 ± 2.05"]
    assert text["arousal (0 to 1)"] == ["0.50 ± 0.00", "0.55 ± 0.35 (67 % known)"]
    assert text["pitch (Hz)"] == ["1.0 ± 0.0", "2.0 ± 0.0"]
    assert text["tag: calm"] == ["50 %", "33 %"]
    assert text["length: long"] == ["0 %", "33 %"]
    assert text["sentence type: interrogative"] == ["0 %", "33 %"]


def test_what_a_side_does_not_tell_is_counted_as_that(tmp_path: Path) -> None:
    text = compared(*compare_folders(corpus(tmp_path / "acted"), talks(tmp_path / "calls")))
    assert text["emotion: happy"] == ["50 %", "0 %"]
    assert text["emotion: unknown"] == ["0 %", "100 %"]


def test_the_style_of_an_utterance_is_what_the_rule_for_clips_makes_of_its_tag(tmp_path: Path) -> None:
    text = compared(*compare_folders(corpus(tmp_path / "acted"), talks(tmp_path / "calls")))
    assert text["style: whispered"] == ["0 %", "33 %"]
    assert text["style: normal"] == ["50 %", "33 %"]
    assert text["style: unknown"] == ["50 %", "33 %"]  # nobody knows how aroused the last one was


def test_two_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    found = compare_folders(corpus(tmp_path / "a/work"), talks(tmp_path / "b/work"))
    assert [one.name for one in found] == ["a/work", "b/work"]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("itself", "can't be compared with itself"),
        ("empty", "no finished"),
        ("measured", "no finished clips"),
    ],
)
def test_what_can_not_be_compared_is_refused(tmp_path: Path, kind: str, sentence: str) -> None:
    acted = corpus(tmp_path / "acted")
    other = acted / "../acted" if kind == "itself" else tmp_path / kind
    other.mkdir(exist_ok=True)
    if kind == "measured":
        corpus_folder(other, [], measured=[measures()])
    with pytest.raises(DailytalkError, match=sentence):
        compare_folders(acted, other)


def test_text_of_the_other_side_stays_text(tmp_path: Path) -> None:
    other = talks(tmp_path / "<b>'", [(HOSTILE, 0.0, 1.0, HOSTILE, 0.5)])
    done = write_report(corpus(tmp_path / "acted"), markdown=tmp_path / "summary.md", other=other)
    text = done.path.read_text(encoding="utf-8")
    assert not re.search(r"<b>(?!acted|doubtful<|note<|bad<)", text)
    assert "<b>" not in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_turn_taking_of_two_folders_is_set_side_by_side() -> None:
    ours, theirs = tables_of(*rich_rows()), tables_of(*rich_rows(), finished=False)
    rows = compared(Compared("a", "utterances", ours), Compared("b", "utterances", theirs))
    assert rows["conversations"] == ["3", "3"]
    assert rows["length"] == ["21.0 s", "22.5 s"]
    assert rows["floor-transfer offset, median"] == ["0.2 s", "0 s"]
    assert rows["gaps"] == ["5.57 s a minute", "1.2 s a minute"]
    assert rows["overlap of voiced time"] == ["8.7 %", "6.56 %"]
    assert rows["pauses"] == ["0 s a minute", "0 s a minute"]
    silent = Compared("c", "utterances", tables_of())
    assert "Turn-taking" not in shown("against(*sides)", sides=(Compared("a", "utterances", ours), silent))
