"""`export --fillers drop`: no format has an um in a text or a word, and all have it in the sound."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from built_conversations import built_row, write_dataset
from command import Command
from datasets import Features, List
from publish.test_smart_turn_export import with_ends

from dailytalk_contiguous.core.records.schema import ALIGNED_WORD, BUILT
from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI

FILLER = re.compile(rb"\b(um|uh)\b", re.IGNORECASE)

TALK = (
    ("right", 0.5, 3.0, "so I went to the shop"),
    ("right", 3.6, 6.0, "and then it was closed today"),
    ("left", 6.4, 9.6, "what did you do about that then"),
    ("right", 7.5, 7.9, "well"),
    ("right", 10.0, 13.0, "I went home and made some tea"),
    ("left", 13.4, 17.1, "that sounds like a good idea to"),
    ("right", 16.3, 19.3, "wait let me tell you the rest"),
    ("left", 19.7, 22.0, "please do tell me all of it"),
    ("right", 22.4, 27.0, "in the evening somebody came and knocked"),
    ("left", 24.0, 24.4, "yeah"),
)
SECONDS = 28.0


def hesitant(text: str) -> str:
    """A text with fillers at its begin, after its first word, and at its end."""
    if text == "well":
        return "Um."
    broken = text.replace(" ", ", uh, ", 1)
    return f"Um, {broken}, um."


#: What is said in `TALK`, with hesitation: at 7.5 s by an um alone.
HESITANT = tuple((side, start, end, hesitant(text)) for side, start, end, text in TALK)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    rows = [
        with_ends(built_row(f"call{number}", HESITANT, SECONDS, kept_speaker=f"P{number}")) for number in range(4)
    ]
    folder = tmp_path / "work"
    folder.mkdir()
    source = {"repository": "a/b", "licence": "cc-by-4.0"}
    (folder / "run.json").write_text(json.dumps({"source": source}))
    return write_dataset(folder, rows)


def names_of_sounds(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*.wav"))


def texts_in(folder: Path) -> bytes:
    """All that is written in a folder, except its sound and README."""
    texts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in (".wav", ".flac", ".md"):
            data = path.read_bytes()
            if path.suffix == ".gz":
                data = gzip.decompress(data)
            if path.suffix == ".tar":  # samples are no texts
                data = b" ".join(re.findall(rb'"(?:text|text_raw|tagged_text|word)": "[^"]*"', data))
            texts.append(data)
    return b"\n".join(texts)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("rttm", "vap")])  # which have no words
def test_no_format_has_a_filler_in_what_it_writes(
    work: Path, tmp_path: Path, dailytalk: Command, name: str
) -> None:
    further: tuple[Any, ...] = ()
    if name in ("moshi", "personaplex"):
        further = ("--both-speakers",)
    written = {}
    for fillers in ("keep", "drop"):
        out = tmp_path / fillers
        done = dailytalk("export", work, "--format", name, "--out", out, "--fillers", fillers, *further)
        assert done.code == 0, done.err
        written[fillers] = texts_in(out)
    assert FILLER.search(written["keep"])
    assert not FILLER.search(written["drop"])
    assert b"made" in written["drop"]  # of a word that is no filler
    assert "fillers drop" in (tmp_path / "drop/README.md").read_text(encoding="utf-8")
    assert "fillers" not in (tmp_path / "keep/README.md").read_text(encoding="utf-8")


def test_sound_keeps_its_fillers_and_sentences_their_marks(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    keep = tmp_path / "keep"
    drop = tmp_path / "drop"
    options = ("--format", MOSHI.name, "--both-speakers", "--json")
    dailytalk("export", work, "--out", keep, "--fillers", "keep", *options)
    done = dailytalk("export", work, "--out", drop, "--fillers", "drop", *options)
    n_words = 4 * sum(len(text.split()) for *_, text in HESITANT)
    n_left = 4 * sum(len(text.split()) for *_, text in TALK if text != "well")
    assert json.loads(done.out)["fillers_left_out"] == n_words - n_left
    sounds = names_of_sounds(keep)
    assert len(sounds) == 4
    for sound in sounds:
        assert (keep / sound).read_bytes() == (drop / sound).read_bytes()
    path = (drop / sounds[0]).with_suffix(".json")
    document = json.loads(path.read_text())
    words = [word for word, *_ in document["alignments"]]
    assert words[:6] == ["So,", "I", "went", "to", "the", "shop."]


def test_conversation_of_fillers_alone_is_one_without_words(tmp_path: Path, dailytalk: Command) -> None:
    lines = (("left", 0.5, 1.5, "Um."), ("right", 2.0, 3.0, "Uh, uh."))
    rows = [built_row("empty", lines), built_row("full")]
    work = write_dataset(tmp_path / "work", rows)
    done = dailytalk("export", work, "--out", tmp_path / "data", "--fillers", "drop", "--json")
    outcome = json.loads(done.out)
    assert outcome["files"] == {"train": 1, "eval": 0}
    [reject] = outcome["rejects"]
    assert reject["id"] == "empty"
    assert reject["reason"] == "the main speaker has no words"


def test_row_of_an_earlier_version_that_does_not_say_which_words_are_fillers_is_read_and_loses_them(
    tmp_path: Path, dailytalk: Command
) -> None:
    work = write_dataset(tmp_path / "work", [built_row("old", HESITANT, SECONDS)])
    (shard,) = (work / "dataset").glob("*.parquet")
    rows = pq.read_table(shard).to_pylist()
    for word in rows[0]["alignments"]:
        del word["filler"]
    earlier_word = {name: kind for name, kind in ALIGNED_WORD.items() if name != "filler"}
    earlier = Features(BUILT | {"alignments": List(earlier_word)})
    table = pa.Table.from_pylist(rows, earlier.arrow_schema)
    pq.write_table(table, shard)
    done = dailytalk("export", work, "--format", "webdataset", "--out", tmp_path / "data", "--fillers", "drop")
    assert done.code == 0, done.err
    assert not FILLER.search(texts_in(tmp_path / "data"))
