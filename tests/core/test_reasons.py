"""Errors that people read: options on the command line, arguments in Python, the same remedy in both."""

import pickle
import re
from pathlib import Path

import pytest
from audio_files import tones
from command import EMBEDDED, Command
from recordings import excerpt, save

from dailytalk_contiguous import DailytalkError, Folder, PerUtterance, Segment, Transcribe
from dailytalk_contiguous.core.errors import BadValue

OPTION = re.compile(r"--[a-z]")


def test_remedy_names_options_on_the_command_line_and_arguments_in_python() -> None:
    error = DailytalkError("--out 'a--b' is taken", "raise --max-cost, or run `dailytalk plan --speak`")
    assert error.sentence == "--out 'a--b' is taken: raise --max-cost, or run `dailytalk plan --speak`"
    assert str(error) == "`out=` 'a--b' is taken: raise `max_cost=`, or run `dailytalk plan --speak`"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "--no-deps" in str(DailytalkError("it is missing", "pip install --no-deps silero-vad"))


def test_rows_name_arguments_and_rejects_of_the_same_recordings_options(
    tmp_path: Path, dailytalk: Command
) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=6.0))
    save(tmp_path / "in/mono.wav", tones(1, channels=1))
    save(tmp_path / "in/same.wav", excerpt(seconds=4.0)[:, [0, 0]])
    rows = list(Segment(min_duration=5.0).map(Folder(inputs=str(tmp_path / "in")).as_streaming_dataset("train")))
    texts = [text for row in rows for text in (row["problem"], row["remedy"]) if text]
    texts += [reject[name] for row in rows for reject in row["rejected"] or () for name in ("reason", "remedy")]
    assert sum("`channel=`" in text for text in texts) == 2
    assert any("`min_duration=`" in text for text in texts)
    assert not any(map(OPTION.search, texts))
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED, "--min-duration", "5s")
    assert done.code == 3
    rejects = (tmp_path / "out/rejects.jsonl").read_text(encoding="utf-8")
    assert ("=`" in rejects, rejects.count("--channel mix"), "--min-duration" in rejects) == (False, 2, True)


def test_what_is_wrong_at_construction_is_one_sentence_of_python() -> None:
    with pytest.raises(DailytalkError, match="there is no Whisper model 'nope'") as unknown:
        Transcribe(model="nope")
    with pytest.raises(BadValue, match="choose among") as refused:
        Segment(channel="top")
    with pytest.raises(DailytalkError, match="Segment takes conversations as they are: leave PerUtterance out"):
        PerUtterance(Segment())
    assert not any(OPTION.search(str(error.value)) for error in (unknown, refused))
