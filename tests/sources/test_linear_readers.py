"""Readers of files of others take twice the steps for twice the items, and refuse too much in a sentence."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dailytalk_contiguous.core import quotas
from dailytalk_contiguous.core.errors import MOST_REASON, BadInput
from dailytalk_contiguous.core.words.moshi_words import SpokenWord, place_words, said_words
from dailytalk_contiguous.sources.formats import tiers
from dailytalk_contiguous.sources.transcripts import record_cues
from dailytalk_contiguous.sources.transcripts.recording_transcripts import read_transcripts

#: Steps that twice the items take at most, of once.
MOST_STEPS = 2.4

#: The items of the smaller file.
ITEMS = 300

Span = tuple[float, float]


def steps_of(action: Callable[[], object]) -> int:
    """How many lines of the package an action runs, each as often as it is run."""
    count = 0

    def count_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return count_line

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return count_line if "dailytalk_contiguous" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def spans(n_items: int) -> list[Span]:
    return [(number / 10, number / 10 + 0.1) for number in range(n_items)]


def words_of_a_segment(items: list[Span]) -> str:
    words = [{"word": "a", "start": start, "end": end} for start, end in items]
    return json.dumps({"segments": [{"start": 0, "end": len(items), "text": "a " * len(items), "words": words}]})


def marks_of_a_segment(items: list[Span]) -> str:
    words = [{"word": "a", "start": start, "end": end} for start, end in items]
    segment = {"start": 0, "end": len(items), "text": "(laughs) a " * len(items), "words": words}
    return json.dumps({"segments": [segment]})


def speakers_of_words(items: list[Span]) -> str:
    return json.dumps([{"speaker": f"S{x}", "word": "a", "start": x, "end": y} for x, y in items])


def punctuation_of_a_word(items: list[Span]) -> str:
    sign = {"type": "punctuation", "alternatives": [{"content": "."}]}
    word = {"type": "pronunciation", "start_time": "0", "end_time": "1", "alternatives": [{"content": "a"}]}
    return json.dumps({"results": {"transcripts": [{}], "items": [word, *[sign] * len(items)]}})


def subtitles(items: list[Span]) -> str:
    cues = [f"00:00:{start:06.3f} --> 00:00:{end:06.3f}\nA: so it is\n" for start, end in items]
    return "WEBVTT\n\n" + "\n".join(cues)


def lines_of_a_subtitle(items: list[Span]) -> str:
    return "1\n00:00:01,000 --> 00:00:02,000\n" + "so <it> is\n" * len(items)


def signs_of_a_subtitle(items: list[Span]) -> str:
    return "1\n00:00:01,000 --> 00:00:02,000\na" + "<" * len(items)


def tiers_of_elan(items: list[Span]) -> str:
    slots = []
    tiers = []
    for number, (start, end) in enumerate(items):
        for edge, time in (("a", start), ("b", end)):
            slots.append(f'<TIME_SLOT TIME_SLOT_ID="t{number}{edge}" TIME_VALUE="{1000 * time:.0f}"/>')
        ids = f'ANNOTATION_ID="a{number}" TIME_SLOT_REF1="t{number}a" TIME_SLOT_REF2="t{number}b"'
        tiers.append(
            f'<TIER TIER_ID="utterance@Anna{number}x"><ANNOTATION><ALIGNABLE_ANNOTATION {ids}><ANNOTATION_VALUE>so'
            "</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>"
        )
    content = f"<TIME_ORDER>{''.join(slots)}</TIME_ORDER>{''.join(tiers)}"
    return f'<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"/>{content}</ANNOTATION_DOCUMENT>'


def intervals_of_praat(items: list[Span]) -> str:
    labels = "".join(f'{start}\n{end}\n"so it is"\n' for start, end in items)
    head = f'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n{items[-1][1]}\n<exists>\n1\n'
    return f'{head}"IntervalTier"\n"A"\n0\n{items[-1][1]}\n{len(items)}\n{labels}'


def words_of_nist(items: list[Span]) -> str:
    return "".join(f"call 1 {start} 0.1 so\n" for start, _ in items)


def segments_of_nist(items: list[Span]) -> str:
    return "".join(f"call 1 Ann {start} {end} <o> so it is\n" for start, end in items)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("call.json", words_of_a_segment),
        ("call.json", marks_of_a_segment),
        ("call.json", speakers_of_words),
        ("call.json", punctuation_of_a_word),
        ("call.vtt", subtitles),
        ("call.srt", lines_of_a_subtitle),
        ("call.srt", signs_of_a_subtitle),
        ("call.eaf", tiers_of_elan),
        ("call.TextGrid", intervals_of_praat),
        ("call.ctm", words_of_nist),
        ("call.stm", segments_of_nist),
    ],
)
def test_twice_the_items_take_twice_the_steps(
    tmp_path: Path, name: str, write: Callable[[list[Span]], str]
) -> None:
    steps = []
    for count in (ITEMS, 2 * ITEMS):
        path = tmp_path / str(count) / name
        path.parent.mkdir()
        path.write_text(write(spans(count)), encoding="utf-8")
        steps.append(steps_of(partial(read_transcripts, [path], "call.wav")))
        assert read_transcripts([path], "call.wav")
    assert steps[1] < MOST_STEPS * steps[0]


def test_each_recording_of_a_manifest_takes_the_same_steps(tmp_path: Path) -> None:
    line = '{"audio_filepath": "/data/%d.wav", "offset": 0, "duration": 1, "text": "so"}\n'
    steps = []
    for count in (ITEMS, 2 * ITEMS):
        path = tmp_path / str(count) / "manifest.json"
        path.parent.mkdir()
        path.write_text("".join(line % number for number in range(count)))
        read_transcripts([path], "0.wav")
        steps.append(steps_of(partial(read_transcripts, [path], "7.wav")))
    assert steps[1] < 1.1 * steps[0]


def test_words_of_moshi_get_their_frames_in_twice_the_steps() -> None:
    steps = []
    for count in (ITEMS, 2 * ITEMS):
        words = [SpokenWord(start, end, 2, 0.0, float(count)) for start, end in spans(count)]
        steps.append(steps_of(partial(place_words, words)))
    assert steps[1] < MOST_STEPS * steps[0]


def test_more_words_of_moshi_than_a_talk_has_are_refused() -> None:
    with pytest.raises(BadInput, match=r"the text beside a\.wav has more than 1,000,000 words"):
        said_words([["so", [0.0, 1.0], "SPEAKER_MAIN"]] * 1_000_001, "a.wav", "cut it")


# What is too much


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_of_an_annotation_are_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "call.eaf"
    entity = f'<!DOCTYPE a [<!ENTITY a "{"A" * 280}">]>'
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>'
    text = tiers_of_elan(spans(2)).replace(">so<", f">{'&a;' * 1000}<")
    path.write_text(declaration + entity + text, encoding=encoding)
    with pytest.raises(BadInput, match=r"call\.eaf: declares entities"):
        read_transcripts([path], "call.wav")


def test_elan_without_entities_is_read_in_both_encodings_and_with_a_bare_document_type(tmp_path: Path) -> None:
    texts = []
    for encoding, doctype in (("utf-8", ""), ("utf-16", "<!DOCTYPE ANNOTATION_DOCUMENT>")):
        path = tmp_path / "call.eaf"
        declaration = f'<?xml version="1.0" encoding="{encoding}"?>{doctype}'
        path.write_text(declaration + tiers_of_elan(spans(2)), encoding=encoding)
        texts.append([cue.text for cue in read_transcripts([path], "call.wav")])
    assert texts == [["so", "so"], ["so", "so"]]


@pytest.mark.parametrize(
    ("module", "limit", "name", "write", "reason"),
    [
        (tiers, "MOST_WORDS", "call.TextGrid", intervals_of_praat, "has more than 100 labels"),
        (record_cues, "MOST_RECORDS", "call.ctm", words_of_nist, "has more than 100 records"),
        (quotas, "MOST_WORDS", "call.vtt", subtitles, "has more than 100 words"),
        (record_cues, "MOST_WORDS", "call.json", words_of_a_segment, "more than 100 words"),
        (record_cues, "MOST_CUE_TEXT", "call.json", marks_of_a_segment, "more than 100 characters"),
    ],
)
def test_more_than_a_transcript_has_is_refused_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    limit: str,
    name: str,
    write: Callable[[list[Span]], str],
    reason: str,
) -> None:
    path = tmp_path / name
    path.write_text(write(spans(ITEMS)), encoding="utf-8")
    assert read_transcripts([path], "call.wav")
    path.write_text(write(spans(ITEMS + 1)), encoding="utf-8")  # what was read is kept
    monkeypatch.setattr(module, limit, 100)
    with pytest.raises(BadInput) as caught:
        read_transcripts([path], "call.wav")
    assert name in caught.value.reason
    assert reason in caught.value.reason


@pytest.mark.parametrize("has_times", [True, False])
def test_more_words_than_a_recording_can_hold_are_refused(tmp_path: Path, has_times: bool) -> None:
    count = 30_000
    segment: dict[str, Any] = {"start": 0, "end": 6, "text": "a " * count}
    if has_times:
        segment["words"] = [{"word": "a", "start": start, "end": start} for start in [1.0] * count]
    path = tmp_path / "call.json"
    path.write_text(json.dumps({"segments": [segment]}))
    with pytest.raises(BadInput, match=r"call\.json has more than 20,000 words"):
        read_transcripts([path], "call.wav", duration=6.0)
    assert read_transcripts([path], "call.wav", duration=600.0)


def test_reason_does_not_repeat_a_long_text_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "call.eaf"
    path.write_text(tiers_of_elan(spans(2)).replace('REF1="t0a"', f'REF1="{"k" * 1_000_000}"'))
    with pytest.raises(BadInput, match=r"call\.eaf: can't be read by pympi") as caught:
        read_transcripts([path], "call.wav")
    assert len(caught.value.reason) < 500
    assert len(BadInput("a" * 1_000_000, "cut it").reason) < 2 * MOST_REASON


def test_a_long_name_of_a_speaker_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "call.json"
    elements = [{"type": "text", "value": "so", "ts": 0.0, "end_ts": 1.0}] * 3
    path.write_text(json.dumps({"monologues": [{"speaker": "A" * 100_000, "elements": elements}]}))
    with pytest.raises(BadInput, match=r"its speaker is 'AAA") as caught:
        read_transcripts([path], "call.wav")
    assert len(caught.value.reason) < 500
