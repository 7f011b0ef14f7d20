"""Words on the rebuilt timeline: the text's words, sound times, and how they are known."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from audio_files import example, reference
from hypothesis import given
from hypothesis import strategies as st
from own_stages import own_file
from revoicing import voice

from dailytalk_contiguous.core.audio import encoded_sound, to_pcm
from dailytalk_contiguous.core.schema import ALIGNED_WORD, CHANNELS
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.models.alignment import aligner_named
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.stages.align import Align

RATE = 24000


def word(text: str, start: float, end: float) -> dict[str, Any]:
    return {"word": text, "start": start, "end": end, "probability": 0.9}


def utterance(channel: str, new: tuple[float, float], text: str, **more: Any) -> dict[str, Any]:
    """One whose source was a second earlier (`kept`), or whose new voice is noise (`spoken`)."""
    start, end = new
    status = "kept" if channel == "right" else "spoken"
    return {
        "utterance_id": f"a/{channel}/{start}",
        "source_channel": channel,
        "status": status,
        "text": text,
        "words": [],
        "recogniser": "whisper",
        "start": start - 1.0,
        "end": end - 1.0,
        "new_start": start,
        "new_end": end,
        "spoken": to_pcm(voice(end - start, RATE, 1)).tobytes() if status == "spoken" else b"",
        "spoken_words": [],
        "language": "en",
    } | more


def align(*utterances: dict[str, Any], stage: Align | None = None, duration: float = 30.0) -> list[dict[str, Any]]:
    names = [name for name in Align.needs if name not in ("built_rate", "built_duration")]
    names += ["verbatim"] if utterances and "verbatim" in utterances[0] else []
    batch: dict[str, Any] = {name: [[one[name] for one in utterances]] for name in names}
    batch["built_audio"] = [utterances[0].get("built_audio") if utterances else None]
    (found,) = (stage or Align())(batch | {"built_rate": [RATE], "built_duration": [duration]})["alignments"]
    assert_sound(found, duration)
    return found


def assert_sound(found: list[dict[str, Any]], duration: float) -> None:
    assert [one["start"] for one in found] == sorted(one["start"] for one in found)
    for one in found:
        assert set(one) == set(ALIGNED_WORD)
        assert 0 <= one["start"] < one["end"] <= duration
    for speaker in ("left", "right"):
        own = [one for one in found if one["speaker"] == speaker]
        assert all(first["end"] <= second["start"] for first, second in pairwise(own))


def told(found: list[dict[str, Any]]) -> list[tuple[str, float, float, str, str]]:
    return [
        (one["word"], round(one["start"], 3), round(one["end"], 3), one["speaker"], one["source"]) for one in found
    ]


def test_kept_words_move_with_their_utterance() -> None:
    kept = utterance("right", (5.0, 7.0), "So, yes.", words=[word(" so", 4.2, 4.5), word(" yes", 4.8, 5.5)])
    assert told(align(kept)) == [
        ("So,", 5.2, 5.5, "right", "recogniser"),
        ("yes.", 5.8, 6.5, "right", "recogniser"),
    ]


def test_words_have_the_probability_of_the_recogniser_and_those_that_a_person_added_have_none() -> None:
    heard = [
        word(" so", 4.2, 4.5) | {"probability": 0.4},
        word(" it", 4.5, 4.7) | {"probability": 0.6},
        word(" is", 4.7, 5.0) | {"probability": 0.8},
    ]
    kept = utterance("right", (5.0, 7.0), "So, perhaps it is.", words=heard)
    found = align(kept)
    assert [(one["word"], one["probability"]) for one in found] == [
        ("So,", 0.4),
        ("perhaps", None),
        ("it", 0.6),
        ("is.", 0.8),
    ]


def test_times_of_the_synthesiser_are_taken_where_it_gives_them() -> None:
    spoken = utterance("left", (5.0, 7.0), "Oh no", spoken_words=[word("Oh", 0.1, 0.4), word("no", 0.4, 1.9)])
    assert told(align(spoken)) == [
        ("Oh", 5.1, 5.4, "left", "synthesiser"),
        ("no", 5.4, 6.9, "left", "synthesiser"),
    ]


def spoken_line(start: float, said: str, text: str | None = None) -> dict[str, Any]:
    """An utterance of which Piper says a text, without the times of its words."""
    spoken = synthesise(load_synthesiser("piper", VoiceSettings("", "")), Line(said, "", "en", 0))
    sound = np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, RATE), np.float32)
    times = (start, start + len(sound) / RATE)
    return utterance("left", times, text or said, spoken=to_pcm(sound).tobytes()) | {"truth": spoken.words}


def test_whisper_times_the_words_of_lines_whose_voice_tells_no_times() -> None:
    lines = [
        spoken_line(1.0, "The morning train leaves at seven — and arrives before noon."),
        spoken_line(9.0, "You should come and visit us."),
        spoken_line(15.0, "We have a spare room, and far too much cake."),
    ]
    found = align(*lines, stage=Align(aligner="none", recogniser="base"))
    assert {one["source"] for one in found} == {"recognised-synthesis"}
    true = [(word.text, line["new_start"] + word.start) for line in lines for word in line["truth"]]
    assert [one["word"] for one in found] == [text for text, _ in true]
    errors = [abs(one["start"] - start) for one, (_, start) in zip(found, true, strict=True)]
    assert np.median(errors) <= 0.1
    assert max(errors) <= 0.4


def test_an_aligner_places_what_a_voice_says_and_each_reading_of_a_number() -> None:
    lines = [
        spoken_line(1.0, text) for text in ("We met in 1984 — it was Kowalczyk's idea.", "That is 20,000 people.")
    ]
    for line in lines:
        found = align(line)
        assert {one["source"] for one in found} == {"aligned-pocketsphinx"}
        assert [one["word"] for one in found] == [word.text for word in line["truth"]]
        errors = [abs(one["start"] - 1.0 - word.start) for one, word in zip(found, line["truth"], strict=True)]
        assert np.median(errors) <= 0.08  # Piper's own inner edges are about 55 ms late
        assert max(errors) <= 0.25


def test_words_that_no_dictionary_has_are_placed_by_their_letters_and_touch_where_nobody_pauses() -> None:
    line = spoken_line(1.0, "Zorblaxian quimbelots are very splendiferously frabjous today.")
    found = align(line)
    assert {one["source"] for one in found} == {"aligned-pocketsphinx"}
    errors = [abs(one["start"] - 1.0 - word.start) for one, word in zip(found, line["truth"], strict=True)]
    assert max(errors) <= 0.15
    assert all(first["end"] == pytest.approx(second["start"]) for first, second in pairwise(found))


@pytest.mark.parametrize(
    ("recording", "text", "line_start"),
    [
        ("bicycle_repair", "shop", 0.8),
        ("burnt_dinner", "Really", 14.53),
        ("burnt_dinner", "Okay", 19.85),
        ("burnt_dinner", "careful", 30.97),
    ],
)
def test_word_before_a_pause_ends_with_its_sound(recording: str, text: str, line_start: float) -> None:
    (line,) = [one for one in reference(recording) if one["start"] == pytest.approx(line_start, abs=0.01)]
    start, end = (round(line[edge] * 16000) for edge in ("start", "end"))
    samples = example(recording)[start:end, CHANNELS.index(line["channel"])]
    place = aligner_named("pocketsphinx").load("cpu")
    placed = place(samples, [one["word"] for one in line["words"]], "en")
    assert placed is not None
    (true_end,) = [
        one["end"] - line["start"] for one in line["words"] if normalise(one["word"]) == normalise(text)
    ]
    (found_end,) = [one.end for one in placed if normalise(one.text) == normalise(text)]
    assert found_end == pytest.approx(true_end, abs=0.06)


def kept_line(said: str, late: float = 0.0, **columns: Any) -> dict[str, Any]:
    """A sentence that Piper says, as a kept utterance whose recogniser has its words some seconds late."""
    line = spoken_line(1.0, said)
    heard = [word(one.text, one.start + late, one.end + late) for one in line["truth"]]
    sound = np.concatenate([np.zeros(RATE, np.int16), np.frombuffer(line["spoken"], "<i2")])
    stereo = np.stack([np.zeros_like(sound), sound], 1)
    built = {"bytes": encoded_sound(stereo, RATE, "FLAC"), "path": None}
    kept = utterance("right", (1.0, line["new_end"]), said, words=heard, status="kept", start=0.0)
    return kept | {"end": line["new_end"] - 1.0, "truth": line["truth"], "built_audio": built} | columns


def test_words_of_a_kept_speaker_are_where_they_are_said_and_not_where_the_recogniser_has_them() -> None:
    line = kept_line("You should come and visit us in the mountains.", late=0.3)
    found = align(line)
    assert {one["source"] for one in found} == {"aligned-pocketsphinx"}
    errors = [abs(one["start"] - 1.0 - word.start) for one, word in zip(found, line["truth"], strict=True)]
    assert np.median(errors) <= 0.08
    assert {one["source"] for one in align(line, stage=Align(aligner="none"))} == {"recogniser"}
    assert {one["source"] for one in align(line | {"language": "de"})} == {"recogniser"}
    assert {one["source"] for one in align(line | {"recogniser": "given"})} == {"given"}


def test_aligner_that_has_lost_its_place_is_noticed() -> None:
    line = kept_line("You should come and visit us in the mountains.", late=0.8)
    assert {one["source"] for one in align(line)} == {"recogniser"}
    other = kept_line("You should come and visit us.", text="Entirely different words were said here", words=[])
    assert {one["source"] for one in align(other)} == {"proportional"}


OWN = """
from dailytalk_contiguous.core.word_times import Word
from dailytalk_contiguous.models.alignment import Aligner


def load(device):
    def align(samples, words, language):
        step = len(samples) / 16000 / len(words)
        return [Word(word, step * n, step * (n + 1), None) for n, word in enumerate(words)]
    return align


ALIGNER = Aligner("evenly", load)
"""


def test_an_aligner_of_one_s_own_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = own_file(tmp_path, monkeypatch, OWN)
    line = spoken_line(1.0, "You should come.")
    found = align(line, stage=Align(aligner=str(file)))
    assert {one["source"] for one in found} == {"aligned-evenly"}
    wrong = own_file(tmp_path, monkeypatch, OWN.replace("in enumerate(words)]", "in enumerate(words[1:])]"))
    names = [name for name in Align.needs if name not in ("built_rate", "built_duration")]
    columns: dict[str, Any] = {name: [line[name]] for name in names}
    row = Align(aligner=str(wrong)).row(columns | {"built_rate": RATE, "built_duration": 30.0})
    assert {one["source"] for one in row["alignments"]} == {"proportional"}
    (failure,) = row["model_failures"]
    assert failure["id"] == line["utterance_id"]
    assert "other words" in failure["reason"]


def test_digest_knows_no_folder_that_has_the_name_of_an_aligner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = Align(aligner="pocketsphinx").digest
    (tmp_path / "pocketsphinx").mkdir()
    (tmp_path / "pocketsphinx/notes").touch()
    assert Align(aligner="pocketsphinx").digest == before


def test_revoice_right_makes_that_speaker_left() -> None:
    first = utterance("right", (5.0, 7.0), "Hi", status="spoken", spoken=to_pcm(voice(2.0, RATE, 1)).tobytes())
    second = utterance("left", (8.0, 9.0), "Hi", status="kept", words=[word("hi", 7.1, 7.5)])
    found = align(first, second, stage=Align(aligner="none", revoice="right"))
    assert [(one["speaker"], one["source"]) for one in found] == [
        ("left", "proportional"),
        ("right", "recogniser"),
    ]


def letters(texts: Iterable[str]) -> list[str]:
    return sorted(filter(str.isalnum, "".join(texts)))


TEXTS = st.lists(st.sampled_from(["yes", "no,", "—", "I'm", "25", "はい"]), max_size=8).map(" ".join)
TIMES = st.floats(-2, 6, allow_nan=False)


@given(
    st.lists(st.tuples(TEXTS, st.lists(st.tuples(TIMES, st.floats(0, 1)), max_size=8), st.booleans()), max_size=5)
)
def test_any_words_become_sound_ones(drawn: list[tuple[str, list[tuple[float, float]], bool]]) -> None:
    utterances = []
    for place, (text, times, left) in enumerate(drawn):
        start = 2.0 + 1.5 * place
        words = [
            word(one, start - 1.0 + at, start - 1.0 + at + length)
            for one, (at, length) in zip(text.split(), times, strict=False)
        ]
        new = (start, start + (1.4 if left else 2.2))  # kept ones overlap
        one = utterance("left" if left else "right", new, text, words=words)
        if left and len(words) == len(text.split()):
            one["spoken_words"] = [
                w | {"start": w["start"] - start + 1, "end": w["end"] - start + 1} for w in words
            ]
        utterances.append(one)
    found = align(*utterances, duration=12.0)
    for channel in ("left", "right"):
        said = [one["text"] for one in utterances if one["source_channel"] == channel]
        assert letters(one["word"] for one in found if one["speaker"] == channel) == letters(said)
