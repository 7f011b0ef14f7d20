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
from stage_calls import columns_after, row_after

from dailytalk_contiguous.core.records.schema import ALIGNED_WORD, CHANNELS
from dailytalk_contiguous.core.sound.samples import encoded_sound, to_pcm
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.models.alignment import aligner_named
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.stages.align import Align

RATE = 24000


def word(text: str, start: float, end: float, probability: float = 0.9) -> dict[str, Any]:
    return {"word": text, "start": start, "end": end, "probability": probability}


def utterance(channel: str, new: tuple[float, float], text: str, **more: Any) -> dict[str, Any]:
    """One whose source was a second earlier (`kept`), or whose new voice is noise (`spoken`)."""
    start, end = new
    if channel == "right":
        status = "kept"
        spoken = b""
    else:
        status = "spoken"
        spoken = noise(end - start)
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
        "spoken": spoken,
        "spoken_words": [],
        "language": "en",
    } | more


def noise(seconds: float) -> bytes:
    samples = voice(seconds, RATE, 1)
    return to_pcm(samples).tobytes()


#: The columns of utterances that Align needs.
NEEDS = [name for name in Align.needs if name not in ("built_rate", "built_duration")]


def align(*utterances: dict[str, Any], stage: Align | None = None, duration: float = 30.0) -> list[dict[str, Any]]:
    first = utterances[0] if utterances else {}
    batch: dict[str, Any] = {"built_rate": [RATE], "built_duration": [duration]}
    batch["built_audio"] = [first.get("built_audio")]
    for name in (*NEEDS, "verbatim"):
        if name in NEEDS or name in first:
            batch[name] = [[utterance[name] for utterance in utterances]]
    aligned = columns_after(stage or Align(), batch)
    (words,) = aligned["alignments"]
    assert_sound(words, duration)
    return words


def assert_sound(words: list[dict[str, Any]], duration: float) -> None:
    starts = [word["start"] for word in words]
    assert starts == sorted(starts)
    for word in words:
        assert set(word) == set(ALIGNED_WORD)
        assert 0 <= word["start"] < word["end"] <= duration
    for speaker in ("left", "right"):
        spoken = [word for word in words if word["speaker"] == speaker]
        for first, second in pairwise(spoken):
            assert first["end"] <= second["start"]


def rounded(words: list[dict[str, Any]]) -> list[tuple[str, float, float, str, str]]:
    """Text, start, end, speaker and source of each word, to the millisecond."""
    rows = []
    for word in words:
        start = round(word["start"], 3)
        end = round(word["end"], 3)
        rows.append((word["word"], start, end, word["speaker"], word["source"]))
    return rows


def texts_of(words: list[dict[str, Any]]) -> list[str]:
    return [word["word"] for word in words]


def sources(words: list[dict[str, Any]]) -> set[str]:
    return {word["source"] for word in words}


def start_errors(words: list[dict[str, Any]], line: dict[str, Any]) -> list[float]:
    """How many seconds each word begins beside the time at which Piper says it, in a line that begins at 1 s."""
    pairs = zip(words, line["truth"], strict=True)
    return [abs(word["start"] - 1.0 - true.start) for word, true in pairs]


def test_kept_words_move_with_their_utterance() -> None:
    heard = [word(" so", 4.2, 4.5), word(" yes", 4.8, 5.5)]
    kept = utterance("right", (5.0, 7.0), "So, yes.", words=heard)
    words = align(kept)
    assert rounded(words) == [
        ("So,", 5.2, 5.5, "right", "recogniser"),
        ("yes.", 5.8, 6.5, "right", "recogniser"),
    ]


def test_words_have_the_probability_of_the_recogniser_and_those_that_a_person_added_have_none() -> None:
    heard = [
        word(" so", 4.2, 4.5, 0.4),
        word(" it", 4.5, 4.7, 0.6),
        word(" is", 4.7, 5.0, 0.8),
    ]
    kept = utterance("right", (5.0, 7.0), "So, perhaps it is.", words=heard)
    words = align(kept)
    assert texts_of(words) == ["So,", "perhaps", "it", "is."]
    probabilities = [word["probability"] for word in words]
    assert probabilities == [0.4, None, 0.6, 0.8]


def test_times_of_the_synthesiser_are_taken_where_it_gives_them() -> None:
    timed = [word("Oh", 0.1, 0.4), word("no", 0.4, 1.9)]
    spoken = utterance("left", (5.0, 7.0), "Oh no", spoken_words=timed)
    words = align(spoken)
    assert rounded(words) == [
        ("Oh", 5.1, 5.4, "left", "synthesiser"),
        ("no", 5.4, 6.9, "left", "synthesiser"),
    ]


def spoken_line(start: float, said: str, text: str | None = None) -> dict[str, Any]:
    """An utterance of which Piper says a text, without the times of its words."""
    piper = load_synthesiser("piper", VoiceSettings("", ""))
    text_to_say = Line(said, "", "en", 0)
    spoken = synthesise(piper, text_to_say)
    resampled = soxr.resample(spoken.samples, spoken.sample_rate, RATE)
    sound = np.asarray(resampled, np.float32)
    end = start + len(sound) / RATE
    pcm = to_pcm(sound).tobytes()
    line = utterance("left", (start, end), text or said, spoken=pcm)
    line["truth"] = spoken.words
    return line


def test_whisper_times_the_words_of_lines_whose_voice_tells_no_times() -> None:
    lines = [
        spoken_line(1.0, "The morning train leaves at seven — and arrives before noon."),
        spoken_line(9.0, "You should come and visit us."),
        spoken_line(15.0, "We have a spare room, and far too much cake."),
    ]
    stage = Align(aligner="none", recogniser="base")
    words = align(*lines, stage=stage)
    assert sources(words) == {"recognised-synthesis"}
    texts = []
    starts = []
    for line in lines:
        texts += [true.word for true in line["truth"]]
        starts += [line["new_start"] + true.start for true in line["truth"]]
    assert texts_of(words) == texts
    errors = [abs(word["start"] - start) for word, start in zip(words, starts, strict=True)]
    assert np.median(errors) <= 0.1
    assert max(errors) <= 0.4


def test_an_aligner_places_what_a_voice_says_and_each_reading_of_a_number() -> None:
    for text in ("We met in 1984 — it was Kowalczyk's idea.", "That is 20,000 people."):
        line = spoken_line(1.0, text)
        words = align(line)
        assert sources(words) == {"aligned-pocketsphinx"}
        true_texts = [true.word for true in line["truth"]]
        assert texts_of(words) == true_texts
        errors = start_errors(words, line)
        assert np.median(errors) <= 0.08  # Piper's own inner edges are about 55 ms late
        assert max(errors) <= 0.25


FORMS = (
    ("My order number is", "E M three nine eight five seven seven one,", "EM3985771,", "and it never arrived."),
    ("It cost", "one thousand two hundred ninety nine dollars and fifty cents", "$1,299.50", "in total."),
    ("It cost", "twelve ninety nine fifty", "$1,299.50", "in total."),
    ("It grew by", "forty two point five percent", "42.5%", "in one year."),
    ("It grew by", "forty two and a half percent", "42.5%", "in one year."),
    ("Look at", "W W W dot example dot org slash help", "www.example.org/help", "for more."),
    ("Write to", "anna dot smith at example dot com", "anna.smith@example.com", "before Friday."),
    ("We meet at", "half past ten", "10:30", "near the station."),
    ("You can call", "triple five, oh one forty two", "555-0142", "until noon."),
    ("Take the", "X K C D", "XKCD", "to the office."),
)


@pytest.mark.parametrize(("before", "said", "written", "behind"), FORMS)
def test_a_written_form_is_where_its_words_are_said_and_the_others_stay(
    before: str, said: str, written: str, behind: str
) -> None:
    in_words = spoken_line(1.0, f"{before} {said} {behind}")
    expected = align(in_words)
    words = align(in_words | {"text": f"{before} {written} {behind}"})
    assert sources(words) == {"aligned-pocketsphinx"}
    assert texts_of(words) == [*before.split(), written, *behind.split()]
    n_before = len(before.split())
    n_behind = len(behind.split())
    form = words.pop(n_before)
    assert form["start"] == pytest.approx(expected[n_before]["start"], abs=0.1)
    assert form["end"] == pytest.approx(expected[-n_behind - 1]["end"], abs=0.1)
    assert_same_times(words, [*expected[:n_before], *expected[-n_behind:]])


def assert_same_times(words: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Within 0.1 s."""
    for word, true in zip(words, expected, strict=True):
        assert word["word"] == true["word"]
        assert word["start"] == pytest.approx(true["start"], abs=0.1)
        assert word["end"] == pytest.approx(true["end"], abs=0.1)


@pytest.mark.parametrize(
    ("before", "said", "written", "behind"),
    [
        ("My order number is", "somewhere in my mailbox,", "EM3985771,", "and it never arrived."),
        ("It cost", "far more than we could pay", "$1,299.50", "in total."),
        ("Please write to", "my sister and her husband", "anna.smith@example.com", "before Friday."),
    ],
)
def test_a_written_form_that_is_said_in_no_known_way_has_another_time_and_the_others_stay(
    before: str, said: str, written: str, behind: str
) -> None:
    in_words = spoken_line(1.0, f"{before} {said} {behind}")
    expected = align(in_words)
    words = align(in_words | {"text": f"{before} {written} {behind}"})
    n_before = len(before.split())
    n_behind = len(behind.split())
    form = words.pop(n_before)
    assert form["source"] == "proportional"
    assert form["start"] >= words[n_before - 1]["end"]
    assert form["end"] <= words[n_before]["start"]
    assert sources(words) == {"aligned-pocketsphinx"}
    assert_same_times(words, [*expected[:n_before], *expected[-n_behind:]])


def test_words_that_no_dictionary_has_are_placed_by_their_letters_and_touch_where_nobody_pauses() -> None:
    line = spoken_line(1.0, "Zorblaxian quimbelots are very splendiferously frabjous today.")
    words = align(line)
    errors = start_errors(words, line)
    assert sources(words) == {"aligned-pocketsphinx"}
    assert max(errors) <= 0.15
    for first, second in pairwise(words):
        assert first["end"] == pytest.approx(second["start"])


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
    expected_start = pytest.approx(line_start, abs=0.01)
    (line,) = [line for line in reference(recording) if line["start"] == expected_start]
    first = round(line["start"] * 16000)
    last = round(line["end"] * 16000)
    side = CHANNELS.index(line["channel"])
    samples = example(recording)[first:last, side]
    texts = texts_of(line["words"])
    pocketsphinx = aligner_named("pocketsphinx")
    align_words = pocketsphinx.load("cpu")
    placed = align_words(samples, texts, "en")
    assert placed is not None
    wanted = normalise(text)
    true_words = [word for word in line["words"] if normalise(word["word"]) == wanted]
    (true_word,) = true_words
    (placed_word,) = [word for word in placed if normalise(word.word) == wanted]
    true_end = true_word["end"] - line["start"]
    assert placed_word.end == pytest.approx(true_end, abs=0.06)


def kept_line(said: str, late: float = 0.0, **columns: Any) -> dict[str, Any]:
    """A sentence that Piper says, as a kept utterance whose recogniser has its words some seconds late."""
    line = spoken_line(1.0, said)
    end = line["new_end"]
    heard = []
    for true in line["truth"]:
        heard.append(word(true.word, true.start + late, true.end + late))
    second_of_silence = np.zeros(RATE, np.int16)
    spoken = np.frombuffer(line["spoken"], "<i2")
    right = np.concatenate([second_of_silence, spoken])
    left = np.zeros_like(right)
    stereo = np.stack([left, right], 1)
    flac = encoded_sound(stereo, RATE, "FLAC")
    built = {"bytes": flac, "path": None}
    kept = utterance("right", (1.0, end), said, words=heard, start=0.0, end=end - 1.0)
    kept |= {"truth": line["truth"], "built_audio": built}
    return kept | columns


def test_words_of_a_kept_speaker_are_where_they_are_said_and_not_where_the_recogniser_has_them() -> None:
    line = kept_line("You should come and visit us in the mountains.", late=0.3)
    words = align(line)
    errors = start_errors(words, line)
    assert sources(words) == {"aligned-pocketsphinx"}
    assert np.median(errors) <= 0.08
    no_aligner = Align(aligner="none")
    unaligned = align(line, stage=no_aligner)
    assert sources(unaligned) == {"recogniser"}
    german = align(line | {"language": "de"})
    assert sources(german) == {"recogniser"}
    transcribed = align(line | {"recogniser": "given"})
    assert sources(transcribed) == {"given"}


def test_aligner_that_has_lost_its_place_is_noticed() -> None:
    late = kept_line("You should come and visit us in the mountains.", late=0.8)
    words = align(late)
    assert sources(words) == {"recogniser"}
    text = "Entirely different words were said here"
    other = kept_line("You should come and visit us.", text=text, words=[])
    words = align(other)
    assert sources(words) == {"proportional"}


OWN = """
from dailytalk_contiguous.core.words.word import Word
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
    stage = Align(aligner=str(file))
    words = align(line, stage=stage)
    assert sources(words) == {"aligned-evenly"}
    code = OWN.replace("in enumerate(words)]", "in enumerate(words[1:])]")
    wrong = own_file(tmp_path, monkeypatch, code)
    columns: dict[str, Any] = {name: [line[name]] for name in NEEDS}
    columns |= {"built_rate": RATE, "built_duration": 30.0}
    stage = Align(aligner=str(wrong))
    row = row_after(stage, columns)
    assert sources(row["alignments"]) == {"proportional"}
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
    first = utterance("right", (5.0, 7.0), "Hi", status="spoken", spoken=noise(2.0))
    heard = [word("hi", 7.1, 7.5)]
    second = utterance("left", (8.0, 9.0), "Hi", status="kept", words=heard)
    stage = Align(aligner="none", revoice="right")
    words = align(first, second, stage=stage)
    left, right = words
    assert left["speaker"] == "left"
    assert left["source"] == "proportional"
    assert right["speaker"] == "right"
    assert right["source"] == "recogniser"


def letters(texts: Iterable[str]) -> list[str]:
    characters = "".join(texts)
    return sorted(filter(str.isalnum, characters))


TEXTS = st.lists(st.sampled_from(["yes", "no,", "—", "I'm", "25", "はい"]), max_size=8).map(" ".join)
TIMES = st.floats(-2, 6, allow_nan=False)


SPANS = st.lists(st.tuples(TIMES, st.floats(0, 1)), max_size=8)


def drawn_utterance(start: float, text: str, spans: list[tuple[float, float]], left: bool) -> dict[str, Any]:
    """An utterance whose words have any times; those on the right overlap."""
    words = []
    relative = []
    for written, (offset, length) in zip(text.split(), spans, strict=False):
        first = start - 1.0 + offset
        last = first + length
        words.append(word(written, first, last))
        relative.append(word(written, first - start + 1, last - start + 1))
    if not left:
        return utterance("right", (start, start + 2.2), text, words=words)
    drawn = utterance("left", (start, start + 1.4), text, words=words)
    if len(words) == len(text.split()):
        drawn["spoken_words"] = relative
    return drawn


@given(st.lists(st.tuples(TEXTS, SPANS, st.booleans()), max_size=5))
def test_any_words_become_sound_ones(drawn: list[tuple[str, list[tuple[float, float]], bool]]) -> None:
    utterances = []
    for index, (text, spans, left) in enumerate(drawn):
        start = 2.0 + 1.5 * index
        utterances.append(drawn_utterance(start, text, spans, left))
    words = align(*utterances, duration=12.0)
    for channel in ("left", "right"):
        written = [line["text"] for line in utterances if line["source_channel"] == channel]
        aligned = [word["word"] for word in words if word["speaker"] == channel]
        assert letters(aligned) == letters(written)
