import gzip
import json
import math
from pathlib import Path
from typing import Any

import pympi
import pytest
from praatio import textgrid

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import UNUSABLE, Cue
from dailytalk_contiguous.core.records.rows import rows_of_cues
from dailytalk_contiguous.core.words.cues import cues_within
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.sources.channel_names import person, sides_of
from dailytalk_contiguous.sources.transcripts import list_transcripts, read_transcripts


def save(path: Path, content: Any, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode(encoding))
    return path


def read(*paths: Path, recording: str = "call.wav") -> list[Cue]:
    return read_transcripts(paths, recording)


def read_json(folder: Path, content: Any) -> list[Cue]:
    """The cues of `call.json` with this content."""
    return read(save(folder / "call.json", content))


def spoken(cues: list[Cue]) -> list[tuple[str, str]]:
    """Channel and text of each cue."""
    return [(cue.channel, cue.text) for cue in cues]


def times_of(items: list[Cue] | list[Word]) -> list[tuple[float, float]]:
    return [item.span for item in items]


def speakers(cues: list[Cue]) -> list[str | None]:
    return [cue.speaker for cue in cues]


def channels(cues: list[Cue]) -> list[str]:
    return [cue.channel for cue in cues]


def texts(cues: list[Cue]) -> list[str | None]:
    return [cue.text for cue in cues]


def line(channel: str, start: float, end: float, raw: str, **more: Any) -> str:
    fields = {"channel": channel, "start": start, "end": end, "text_raw": raw} | more
    return json.dumps(fields) + "\n"


SRT = "1\n00:00:01,000 --> 00:00:02,500\n{first}\n\n2\n00:00:03,000 --> 00:00:04,000\n{second}\n"
ALIGNMENTS = {"alignments": [["hi", [0.1, 0.4], "SPEAKER_MAIN"], ["yo", [0.2, 0.5], "SPEAKER_OTHER"]]}


SUPERVISION = {"id": "s1", "recording_id": "call", "start": 1.0, "duration": 1.5, "channel": 1, "text": "yes"}


def manifest_line(audio: str, offset: float, duration: float, text: str, speaker: str | None = None) -> str:
    fields = {
        "audio_filepath": audio,
        "offset": offset,
        "duration": duration,
        "text": text,
        "speaker": speaker,
    }
    return json.dumps(fields) + "\n"


# Finding


def beside(folder: Path, name: str = "call.wav") -> list[Path]:
    """The transcripts of a recording that are in its own folder."""
    return list_transcripts(folder / name, None, Path(name))


def test_files_with_the_same_stem_are_found_under_the_relative_path(tmp_path: Path) -> None:
    audio = save(tmp_path / "audio/day/call.wav", "")
    folder = tmp_path / "texts"
    expected = set()
    for ending in ("left.srt", "R.VTT", "TextGrid", "json"):
        expected.add(save(folder / f"day/call.{ending}", "{}"))
    save(folder / "call.json", "{}")
    save(folder / "day/call2.json", "{}")
    save(folder / "day/call.txt", "")
    save(folder / "day/call.de.srt", "")
    transcripts = list_transcripts(audio, folder, Path("day/call.wav"))
    assert set(transcripts) == expected


def test_folder_itself_is_searched_when_the_relative_path_has_none(tmp_path: Path) -> None:
    audio = tmp_path / "audio/day/call.wav"
    expected = save(tmp_path / "texts/call.srt", "")
    transcripts = list_transcripts(audio, tmp_path / "texts", Path("day/call.wav"))
    assert transcripts == [expected]


def test_transcript_of_a_run_is_found(tmp_path: Path) -> None:
    expected = save(tmp_path / "transcript.jsonl", line("left", 0, 1, "hi"))
    assert beside(tmp_path) == [expected]


def test_reference_is_never_found(tmp_path: Path) -> None:
    save(tmp_path / "call.reference.json", {"utterances": []})
    assert beside(tmp_path) == []
    audio = Path("call.reference.wav")
    assert list_transcripts(tmp_path / audio, tmp_path, audio) == []


@pytest.mark.parametrize("name", ["call.json", "call.jsonl", "call.left.json"])
def test_json_that_nobody_understands_is_refused_where_it_is_read(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, {"recorded": "2020-01-01"})
    assert beside(tmp_path) == [path]
    with pytest.raises(BadInput, match=rf"{name}: is not a known kind of transcript.*take the file away"):
        read(path)


def test_manifests_of_many_recordings_are_found_where_they_are_such(tmp_path: Path) -> None:
    manifest = save(tmp_path / "manifest.json", manifest_line("call.wav", 0, 1, "a", "A"))
    supervisions = tmp_path / "x_supervisions_train.jsonl.gz"
    packed = gzip.compress(json.dumps(SUPERVISION).encode())
    supervisions.write_bytes(packed)
    page = save(tmp_path / "web_manifest.json", {"name": "a page"})
    assert beside(tmp_path) == [manifest, page, supervisions]
    assert read(page) == []
    supervisions.write_bytes(packed[:-9])  # damaged, as whoever reads it says
    with pytest.raises(BadInput, match="can't be unpacked"):
        read(manifest, supervisions)


def test_subtitles_of_another_recording_are_not_a_side_of_this_one(tmp_path: Path) -> None:
    subtitles = save(tmp_path / "call.1.srt", "")
    assert beside(tmp_path) == [subtitles]
    save(tmp_path / "call.1.wav", "")
    assert beside(tmp_path) == []
    assert beside(tmp_path, "call.1.wav") == [subtitles]


# Our own


def test_only_the_lines_of_the_recording_are_read_from_a_run(tmp_path: Path) -> None:
    text = line("right", 2, 3, "b", audio_file="call.wav")
    text += "\n"
    text += line("left", 0, 1, "x", audio_file="other.wav")
    text += line("left", 0, 1, "a", audio_file="call.wav")
    cues = read(save(tmp_path / "transcript.jsonl", text))
    assert spoken(cues) == [("left", "a"), ("right", "b")]


def test_own_words_keep_their_times_and_probabilities(tmp_path: Path) -> None:
    hello = {"word": "Hello,", "start": 0.1, "end": 0.4, "probability": 0.9}
    you = {"word": "you", "start": 0.5, "end": 0.8}
    text = line("left", 0, 1, "Hello, you", text="Hello, you!", words=[hello, you])
    (cue,) = read(save(tmp_path / "call.jsonl", text))
    assert cue.words == [Word("Hello,", 0.1, 0.4, 0.9), Word("you", 0.5, 0.8)]
    assert cue.text == "Hello, you"


def test_words_that_do_not_spell_a_corrected_text_are_left_out(tmp_path: Path) -> None:
    words = [{"word": "wreck", "start": 0.1, "end": 0.4}]
    text = line("left", 0, 1, "recognise", words=words)
    (cue,) = read(save(tmp_path / "call.jsonl", text))
    assert cue.text == "recognise"
    assert cue.words == []


def test_utterances_json_is_read_by_path(tmp_path: Path) -> None:
    utterance = {"channel": "right", "start": 1, "end": 2, "text": "hi", "words": None}
    path = save(tmp_path / "call.reference.json", {"utterances": [utterance]})
    (cue,) = read(path)
    (row,) = rows_of_cues([cue])
    assert row == {
        "channel": "right",
        "start": 1.0,
        "end": 2.0,
        "text": "hi",
        "words": [],
        "language": None,
        "speaker": None,
        "mark": None,
        "mark_kind": None,
        "tag": None,
    }


# Words in JSON


def test_moshi_main_speaker_is_left_and_words_become_cues_at_pauses(tmp_path: Path) -> None:
    words = [
        ["far", [2.0, 2.2], "SPEAKER_MAIN"],
        ["a", [0.1, 0.4], "SPEAKER_MAIN"],
        ["b", [0.7, 1.0], "SPEAKER_MAIN"],
        ["yes", [0.3, 0.5], "SPEAKER_OTHER"],
    ]
    cues = read_json(tmp_path, {"alignments": words})
    assert texts(cues) == ["a b", "yes", "far"]
    assert channels(cues) == ["left", "right", "left"]
    first = cues[0]
    assert first.start == 0.1
    assert first.end == 1.0
    assert len(first.words) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_unicode_file_is_read(tmp_path: Path, encoding: str) -> None:
    cues = read(save(tmp_path / "call.json", ALIGNMENTS, encoding))
    assert spoken(cues) == [("left", "hi"), ("right", "yo")]


# Subtitles


def test_subtitles_of_one_side_are_taken_from_the_file_name(tmp_path: Path) -> None:
    srt = SRT.format(first="<i>Hello</i>\n{\\an8}there &amp; you", second="42")
    left = save(tmp_path / "call.L.srt", srt)
    vtt = "WEBVTT\n\n00:02.000 --> 00:03.000 align:start\nNote: yes\n"
    right = save(tmp_path / "call.ch1.vtt", vtt)
    cues = read(left, right)
    assert texts(cues) == ["Hello there & you", "Note: yes", "42"]
    assert channels(cues) == ["left", "right", "left"]
    assert times_of(cues) == [(1.0, 2.5), (2.0, 3.0), (3.0, 4.0)]


@pytest.mark.parametrize(
    ("first", "second", "sides"),
    [
        ("A: one", "B: two", ["left", "right"]),
        ("Mary Ann: one", "JOHN: two", ["?Mary Ann", "?JOHN"]),
        ("[SPEAKER_00]: one", "[SPEAKER_01]: two", ["?SPEAKER_00", "?SPEAKER_01"]),
        ("A: one", "two", ["left", "?"]),
        ("one", "nan: two", ["?", "?"]),
    ],
)
def test_speakers_at_the_beginning_of_subtitles_decide_or_the_sound_does(
    tmp_path: Path, first: str, second: str, sides: list[str]
) -> None:
    srt = SRT.format(first=first, second=second)
    cues = read(save(tmp_path / "call.srt", srt))
    assert channels(cues) == sides
    assert texts(cues) == ["one", "two"]


@pytest.mark.parametrize(
    "lines",
    [
        ["Anna Lee: one", "Ben van der Berg: two", "Anna Lee: it is: three"],
        ["Anna Lee (she/her): one", "Ben van der Berg (Guest): two", "Anna Lee (she/her): it is: three"],
        ["(Anna Lee)\none", "(Ben van der Berg)\ntwo", "(Anna Lee)\nit is: three"],
        ["<v Anna Lee>one</v>", "<v Ben van der Berg>two</v>", "<v Anna Lee>it is: three</v>"],
        ["Anna Lee: one\n-\nBen van der Berg: two", "Ben van der Berg: ", "Anna Lee: it is: three"],
        ["Anna Lee: one", "Ben van der Berg: two", "Anna Lee: ", "it is: three", "Ben van der Berg: "],
        [">> Anna Lee: one", ">> Ben van der Berg: two", ">> Anna Lee: it is: three"],
    ],
    ids=["Zoom", "Zoom with pronouns", "Google Meet", "Teams", "dashes", "colons", "captions"],
)
def test_names_of_meetings_are_those_of_their_speakers(tmp_path: Path, lines: list[str]) -> None:
    vtt = "WEBVTT\n\n"
    for number, text in enumerate(lines):
        vtt += f"00:0{number}.000 --> 00:0{number}.900\n{text}\n\n"
    cues = read(save(tmp_path / "call.vtt", vtt))
    with_text = [cue for cue in cues if cue.text]
    first, second, third, *_ = with_text
    assert first.speaker == "Anna Lee"
    assert first.text == "one"
    assert second.speaker == "Ben van der Berg"
    assert second.text == "two"
    assert third.text == "it is: three"


def test_two_speakers_in_one_subtitle_are_told_apart(tmp_path: Path) -> None:
    srt = SRT.format(first="A: one\nmore: that is\nB: me too", second="A: three")
    cues = read(save(tmp_path / "call.srt", srt))
    assert texts(cues) == ["one more: that is", "me too", "three"]
    assert channels(cues) == ["left", "right", "left"]


def test_vtt_voices_notes_cue_names_and_inner_times(tmp_path: Path) -> None:
    vtt = (
        "WEBVTT\n\nSTYLE\n::cue {color: red}\n\nNOTE a note\n\nintro\n00:00:01.000 --> 00:00:02.000\n"
        "<v.loud Mary Ann>Hello <00:00:01.500><c>there</c></v>\n3\n\nNOTE\nanother\n\nouter\n"
        "00:03.000 --> 00:04.000\n<v Bob>Hi: <b>you</b></v>\n"
    )
    cues = read(save(tmp_path / "call.vtt", vtt))
    assert spoken(cues) == [("?Mary Ann", "Hello there 3"), ("?Bob", "Hi: you")]


def test_subtitles_of_three_speakers_are_refused(tmp_path: Path) -> None:
    srt = SRT.format(first="A: one", second="B: two")
    srt += "\n0:0:5,0 --> 0:0:6,0\nMary: 3"
    path = save(tmp_path / "call.srt", srt)
    with pytest.raises(BadInput, match="more than two"):
        read(path)


# TextGrids


def grid(path: Path, tiers: dict[str, list[tuple[float, float, str]]], form: str = "long_textgrid") -> Path:
    made = textgrid.Textgrid()
    for name, entries in tiers.items():
        made.addTier(textgrid.IntervalTier(name, entries, 0, 10))
    made.save(str(path), form, includeBlankSpaces=True)
    return path


WORDS = [(0.0, 0.5, "hello"), (0.5, 1.0, "sp"), (1.0, 1.5, "you")]


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
def test_mfa_tiers_are_words_of_their_speaker(tmp_path: Path, form: str) -> None:
    tiers = {
        "right - words": [(2, 3, "yes")],
        "right - phones": [(2, 3, "Y")],
        "left - words": WORDS,
    }
    cues = read(grid(tmp_path / "call.TextGrid", tiers, form))
    first, second, third = spoken(cues)
    assert first == ("left", "hello")
    assert second == ("left", "you")
    assert third == ("right", "yes")
    assert cues[0].words == [Word("hello", 0.0, 0.5)]


def test_words_count_where_a_speaker_has_utterances_too(tmp_path: Path) -> None:
    tiers = {"utterances": [(0, 2, "hello you")], "words": WORDS}
    cues = read(grid(tmp_path / "call.TextGrid", tiers))
    assert spoken(cues) == [("?", "hello"), ("?", "you")]


@pytest.mark.parametrize(
    ("tier", "labels", "words"),
    [
        ("words", ["good morning", "New York"], True),  # its name counts before what it holds
        ("utterances", ["hello", "yes"], False),
        ("Mary", ["a"] * 9 + ["a b"], True),
        ("Mary", ["a"] * 8 + ["a b"], False),
    ],
)
def test_tier_holds_words_by_its_name_or_if_nine_of_ten_labels_are_one(
    tmp_path: Path, tier: str, labels: list[str], words: bool
) -> None:
    intervals = [(number / 2, number / 2 + 0.4, label) for number, label in enumerate(labels)]
    path = grid(tmp_path / "call.left.TextGrid", {tier: intervals})
    cues = read(path)
    assert cues
    for cue in cues:
        assert bool(cue.words) == words


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid"])
def test_textgrid_that_breaks_off_anywhere_is_refused(tmp_path: Path, form: str) -> None:
    path = grid(tmp_path / "call.TextGrid", {"A": WORDS, "B": WORDS}, form)
    lines = path.read_text(encoding="utf-8").splitlines()
    for count in range(len(lines)):
        text = "\n".join(lines[:count])
        save(path, text + "\n")
        with pytest.raises(BadInput, match=r"call\.TextGrid"):
            read(path)


# ELAN


def elan(path: Path, tiers: dict[str, list[tuple[float, float, str]]], **participants: str) -> Path:
    made = pympi.Elan.Eaf(author="somebody")
    made.remove_tier("default")
    for name, entries in tiers.items():
        made.add_tier(name, part=participants.get(name))
        for start, end, text in entries:
            first = round(1000 * start)
            last = round(1000 * end)
            made.add_annotation(name, first, last, text)
    made.to_file(str(path))
    return path


def test_tiers_of_elan_are_read_as_those_of_praat(tmp_path: Path) -> None:
    tiers = {
        "Mary": [(0, 2.25, "how are you"), (4, 5, "oh")],
        "John": [(2, 3, "fine, thank you")],
        "default": [],
    }
    from_elan = read(elan(tmp_path / "call.eaf", tiers))
    from_praat = read(grid(tmp_path / "call.TextGrid", tiers))
    assert from_elan == from_praat
    words = {"right - words": [(2, 3, "yes")], "left - words": WORDS}
    cues = read(elan(tmp_path / "call.eaf", words))
    first, second, third = spoken(cues)
    assert first == ("left", "hello")
    assert second == ("left", "you")
    assert third == ("right", "yes")


def test_participants_of_elan_are_the_speakers_of_their_tiers(tmp_path: Path) -> None:
    tiers = {"tx-1": [(0, 2, "how are you")], "tx-2": [(2, 3, "fine, thank you")]}
    participants = {"tx-1": "Mary O'Neil", "tx-2": "John"}
    cues = read(elan(tmp_path / "call.eaf", tiers, **participants))
    assert speakers(cues) == ["Mary O'Neil", "John"]
    assert texts(cues) == ["how are you", "fine, thank you"]


#: Words of an utterance of which only the first begins and the last ends at a known time, and their translations.
SUBDIVIDED = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="ts2"/>
<TIME_SLOT TIME_SLOT_ID="ts3"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="2500"/></TIME_ORDER>
<TIER TIER_ID="gloss" PARENT_REF="A words"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>wir</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="A words"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>we</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>go</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
<ANNOTATION_VALUE>home</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


def test_elan_with_one_id_twice_is_refused_and_loses_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "call.eaf", SUBDIVIDED.replace('"a3"', '"a2"'))
    with pytest.raises(BadInput, match="has 4 annotations, of which 1 have the id of another"):
        read(path)


def test_words_that_elan_leaves_unaligned_share_the_time_between_those_that_are(tmp_path: Path) -> None:
    words = timed(read(save(tmp_path / "call.eaf", SUBDIVIDED)))
    assert [(word, start, end) for _, word, start, end, _ in words] == [
        ("we", 1.0, 1.5),
        ("go", 1.5, 2.0),
        ("home", 2.0, 2.5),
    ]


# Words with times and sides: CTM, RTTM, Whisper, lhotse, NeMo


def timed(cues: list[Cue]) -> list[tuple[str, str, float, float, float | None]]:
    """Channel, text, start, end and probability of each word."""
    words = []
    for cue in cues:
        for word in cue.words:
            words.append((cue.channel, word.word, word.start, word.end, word.probability))
    return words


CTM = ";; made by hand\n\ncall B 1.30 0.50 yes 0.9\ncall A 0.10 0.40 Hello -6.763\ncall A 0.60 0.20 you\n"
RTTM = "SPEAKER call 1 0.00 1.00 <NA> <NA> Anna <NA> <NA>\nSPEAKER call 1 1.00 1.00 <NA> <NA> Bob <NA> <NA>\n"


def test_ctm_has_a_channel_and_times_and_a_confidence_where_it_is_one(tmp_path: Path) -> None:
    cues = read(save(tmp_path / "call.ctm", CTM))
    assert timed(cues) == [
        ("left", "Hello", 0.1, 0.5, None),
        ("left", "you", 0.6, 0.8, None),
        ("right", "yes", 1.3, 1.8, 0.9),
    ]


def test_ctm_gives_words_and_no_noise(tmp_path: Path) -> None:
    text = "call A 1.0 0.3 um\ncall A 2.0 0.3 @\ncall A 3 1 <eps>\ncall A 4 1 %laugh 0.9 non-lex Anna\n"
    text += "call B 5 1 a<space>b NA lex NA\ncall B 6 1 hiss 0.9 misc\ncall B 7 1 mumble NA noscore\n"
    words = timed(read(save(tmp_path / "call.ctm", text)))
    assert [word for _, word, *_ in words] == ["um", "a b"]


def test_ctm_of_one_channel_is_of_the_side_in_its_name_or_in_the_sound(tmp_path: Path) -> None:
    text = "call 1 0.1 0.4 Hello\ncall 1 0.6 0.2 you\n"
    named = read(save(tmp_path / "call.right.ctm", text))
    assert spoken(named) == [("right", "Hello you")]
    nameless = read(save(tmp_path / "call.ctm", text))
    assert spoken(nameless) == [("?", "Hello you")]


def test_lines_about_other_recordings_are_not_taken(tmp_path: Path) -> None:
    text = CTM + "call2 A 0.2 0.1 stranger\n"
    words = timed(read(save(tmp_path / "call.ctm", text)))
    assert "stranger" not in [word for _, word, *_ in words]
    other = save(tmp_path / "other.ctm", text)
    with pytest.raises(BadInput, match=r"is about 'call', 'call2', not 'other\.wav' alone"):
        read(other, recording="other.wav")


@pytest.mark.parametrize(
    ("confidence", "probability"), [("0", 0.0), ("1", 1.0), ("1.001", None), ("-0.001", None), ("NA", None)]
)
def test_confidence_from_0_to_1_is_a_probability_and_any_other_scale_is_none(
    tmp_path: Path, confidence: str, probability: float | None
) -> None:
    path = save(tmp_path / "call.ctm", f"call A 1 1 yes {confidence}\n")
    (word,) = timed(read(path))
    assert word == ("left", "yes", 1.0, 2.0, probability)


def test_rttm_names_the_people_of_words_that_have_none(tmp_path: Path) -> None:
    turns = save(tmp_path / "call.rttm", RTTM)
    words = save(tmp_path / "call.ctm", "call 1 0.1 0.4 Hello\ncall 1 0.6 0.2 you\ncall 1 1.3 0.5 yes\n")
    cues = read(words, turns)
    lines = [cue for cue in cues if cue.text]
    assert spoken(lines) == [("?", "Hello you"), ("?", "yes")]
    turn_cues = [cue for cue in cues if not cue.text]
    people = {(cue.channel, cue.speaker) for cue in turn_cues}
    assert people == {("?Anna", "Anna"), ("?Bob", "Bob")}


def test_a_side_has_the_name_of_who_speaks_longest(tmp_path: Path) -> None:
    anna = {"channel": "left", "speaker": "Anna", "start": 0, "end": 1, "text": "hi"}
    bob = {"channel": "left", "speaker": "Bob", "start": 1, "end": 5, "text": "how are you doing"}
    cleo = {"channel": "right", "speaker": "Cleo", "start": 6, "end": 7, "text": "ok"}
    cues = read_json(tmp_path, {"utterances": [anna, bob, cleo]})
    assert set(speakers(cues)) == {"Bob", "Cleo"}


def test_rttm_alone_names_people_and_leaves_the_words_to_the_recogniser(tmp_path: Path) -> None:
    text = RTTM + "SPKR-INFO call 1 <NA> <NA> <NA> unknown Anna <NA> <NA>\n"
    cues = read(save(tmp_path / "call.rttm", text))
    assert spoken(cues) == [("?Anna", None), ("?Bob", None)]
    assert speakers(cues) == ["Anna", "Bob"]
    later = cues_within(cues, 1.1, 50.0)
    assert speakers(later) == ["Bob"]


def test_whisperx_words_keep_their_scores_and_numbers_get_times_from_their_neighbours(tmp_path: Path) -> None:
    words = [
        {"word": "In", "start": 0.1, "end": 0.3, "score": 0.8, "speaker": "SPEAKER_01"},
        {"word": "2014."},
        {"word": "Yes", "start": 0.9, "end": 1.0, "score": math.nan, "speaker": "SPEAKER_01"},
    ]
    segments = [
        {"start": 0.1, "end": 1.0, "text": " In 2014. Yes", "words": words, "speaker": "SPEAKER_01"},
        {"start": 2.0, "end": 3.0, "text": "Right.", "words": [], "speaker": "SPEAKER_00"},
    ]
    cues = read_json(tmp_path, {"segments": segments, "word_segments": words, "language": "en"})
    assert spoken(cues) == [("?SPEAKER_01", "In 2014. Yes"), ("?SPEAKER_00", "Right.")]
    assert timed(cues) == [
        ("?SPEAKER_01", "In", 0.1, 0.3, 0.8),
        ("?SPEAKER_01", "2014.", 0.3, 0.9, None),
        ("?SPEAKER_01", "Yes", 0.9, 1.0, None),
    ]
    assert set(speakers(cues)) == {None}


def whisperx_word(word: str | tuple[str, float, float]) -> dict[str, Any]:
    """A word with its times, or a number, which has none."""
    if isinstance(word, str):
        return {"word": word}
    text, start, end = word
    return {"word": text, "start": start, "end": end}


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (["2014,", ("in", 0.6, 0.8)], [(0.2, 0.6), (0.6, 0.8)]),
        ([("in", 0.2, 0.4), "20", "14"], [(0.2, 0.4), (0.4, 0.7), (0.7, 1.0)]),
        (["20", "14"], [(0.2, 0.6), (0.6, 1.0)]),
        ([("in", 0.2, 0.4), "2014", ("and", 0.5, 0.7), "15"], [(0.2, 0.4), (0.4, 0.5), (0.5, 0.7), (0.7, 1.0)]),
        ([("in", 0.2, 0.6), "2014", ("and", 0.5, 0.7)], [(0.2, 0.6), (0.5, 0.5), (0.5, 0.7)]),
    ],
    ids=["first", "last", "alone", "twice", "no room"],
)
def test_whisperx_numbers_share_what_is_free_around_them(
    tmp_path: Path, words: list[Any], times: list[tuple[float, float]]
) -> None:
    items = [whisperx_word(word) for word in words]
    text = " ".join(item["word"] for item in items)
    segment = {"start": 0.2, "end": 1.0, "text": text, "words": items, "speaker": "A"}
    (cue,) = read_json(tmp_path, {"segments": [segment]})
    assert times_of(cue.words) == times


def test_lhotse_supervisions_have_channels_speakers_and_words(tmp_path: Path) -> None:
    alignment = {"word": [["oh", 0.2, 0.3, 0.5], ["yes", 0.5, 0.4]], "phone": [["OW", 0.2, 0.1]]}
    left = {"channel": 0, "start": 0.2, "duration": 0.8, "text": "oh yes", "alignment": alignment}
    right = {"speaker": "Bob Hill", "gender": "M", "language": "English"}
    lines = [
        SUPERVISION | left,
        SUPERVISION | right,
        SUPERVISION | {"recording_id": "other"},
    ]
    text = "\n".join(map(json.dumps, lines))
    path = tmp_path / "supervisions.jsonl.gz"
    path.write_bytes(gzip.compress(text.encode()))
    cues = read(path, recording="day/call.wav")
    assert spoken(cues) == [("left", "oh yes"), ("right", "yes")]
    assert speakers(cues) == [None, "Bob Hill"]
    assert times_of(cues) == [(0.2, 1.0), (1.0, 2.5)]
    assert timed(cues) == [("left", "oh", 0.2, 0.5, 0.5), ("left", "yes", 0.5, 0.9, None)]


def test_bad_line_of_a_manifest_costs_its_recording_alone(tmp_path: Path) -> None:
    bad = manifest_line("/data/a.wav", 0.5, 1.0, "", "Anna").replace('"text"', '"words_said"')
    good = manifest_line("/data/b.wav", 0.5, 1.0, "fine", "Bob")
    path = save(tmp_path / "manifest.jsonl", "\n" + bad + good)
    cues = read(path, recording="b.wav")
    assert spoken(cues) == [("?Bob", "fine")]
    with pytest.raises(BadInput, match="line 2 can't be used"):
        read(path, recording="a.wav")


@pytest.mark.parametrize("name", ["manifest.json", "train_manifest.jsonl", "call.json", "call.jsonl"])
def test_nemo_manifest_has_offsets_and_speakers(tmp_path: Path, name: str) -> None:
    text = manifest_line("/data/day/call.wav", 0.5, 1.0, "how are you", "Anna")
    text += manifest_line("/data/day/call.wav", 2.0, 0.5, "fine", "Bob")
    cues = read(save(tmp_path / name, text), recording="day/call.wav")
    assert speakers(cues) == ["Anna", "Bob"]
    assert texts(cues) == ["how are you", "fine"]
    assert times_of(cues) == [(0.5, 1.5), (2.0, 2.5)]


def test_manifest_names_a_recording_by_the_end_of_its_path(tmp_path: Path) -> None:
    text = manifest_line("/x/a/call.wav", 0, 1, "first", "A")
    text += manifest_line("/x/b/call.wav", 0, 1, "second", "A")
    path = save(tmp_path / "manifest.jsonl", text)
    cues = read(path, recording="b/call.wav")
    assert spoken(cues) == [("left", "second")]
    assert read(path, recording="call2.wav") == []
    with pytest.raises(BadInput, match=r"is about '/x/a/call\.wav', '/x/b/call\.wav', not 'call\.wav' alone"):
        read(path, recording="call.wav")


# Who speaks


NOBODY = [
    "A",
    "left",
    "SPEAKER_07",
    "spk3",
    "Customer",
    "AGENT",
    "12",
    "",
    "speaker 1",
    "NaN",
    "NA",
    "none",
    "Guest-1",
]
NOBODY += ["P1", "Participant 1", "Unidentified", "Unknown Speaker", "Speaker C", "J"]


@pytest.mark.parametrize("name", NOBODY)
def test_side_number_or_role_is_nobodys_name(name: str) -> None:
    assert person(name) is None


def test_name_that_a_person_gave_in_our_own_transcript_is_kept(tmp_path: Path) -> None:
    text = line("left", 0, 1, "a", speaker="Anna")
    text += line("right", 0, 1, "b", speaker="call/right")
    cues = read(save(tmp_path / "call.jsonl", text))
    assert speakers(cues) == ["Anna", None]


def test_tiers_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    twice = grid(tmp_path / "call.TextGrid", {"left words": WORDS, "left - word": WORDS})
    with pytest.raises(BadInput, match=r"several tiers of words for .left.*--tier"):
        read(twice)
    two_people = grid(tmp_path / "call.left.TextGrid", {"Mary": WORDS, "John": WORDS})
    with pytest.raises(BadInput, match="is named as one side but has 'Mary', 'John'"):
        read(two_people)


# What is broken

WORD = {"word": "a", "start": 0.0, "end": 1.0}
SEGMENT = {"start": 0.0, "end": 1.0, "text": "a b"}
#: An entity of entities, which would fill memory.
LAUGHS = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
LAUGHS = f'<!DOCTYPE a [<!ENTITY e0 "0123456789">{LAUGHS}]>'
GRID = 'File type = "ooTextFile"\n"TextGrid"\n\n0\n1\n<exists>\n1\n'


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("call.json", '{"alignments":\n [["a", [0, 1}', "line 2 column"),
        ("call.json", '{"other": []}', "not a known kind"),
        (
            "call.json",
            '{"alignments": [["a", [0, 1], "SPEAKER_MAIN"], ["b", 2]]}',
            "item 2 can't be used",
        ),
        (
            "call.json",
            '{"alignments": [[" ", [0, 1], "SPEAKER_MAIN"]]}',
            "word without a letter",
        ),
        ("call.json", '{"utterances": ["a"]}', "item 1 can't be used"),
        (
            "call.json",
            '{"segments": [{"start": 1' + "0" * 400 + ', "duration": 0.5, "text": "a"}]}',
            "item 1 can't",
        ),
        ("call.json", '{"segments": [{"start": 0, "end": 1, "text": []}]}', "item 1 can't be used"),
        ("call.json", '{"segments": [{"start": 0, "end": 1, "text": "a", "words": "a"}]}', "item 1 can't be used"),
        ("call.json", '{"segments": [{"start": 0, "end": 1, "text": "a", "words": {"a": 1}}]}', "item 1 can't"),
        ("call.left.srt", f"1\n00:00:01,000 --> 00:00:02,000\n&#{'9' * 5000};\n", "can't be used"),
        ("call.jsonl", line("up", 0, 1, "a"), "channel is not left or right"),
        ("call.jsonl", '{"channel": "left", "start": 0, "end": 1}', "it has no text"),
        (
            "call.left.srt",
            SRT.format(first="a", second="b").replace("03,000 -->", "03 -->"),
            "subtitle 2 has no start",
        ),
        (
            "call.left.srt",
            SRT.format(first="a", second="b") + "\n3\n00:00:05",
            "breaks off in the times '00:00:05'",
        ),
        ("call.json", '{"alignments": ' + "[" * 100_000, "recursion"),
        ("call.json", '{"alignments": [["a", [0, ' + "9" * 5000 + '], "A"]]}', "Exceeds the limit"),
        ("call.json", '{"alignments": [["\\udc80", [0, 1], "A"]]}', "surrogates not allowed"),
        ("call.jsonl", '{"channel": ["left"], "start": 0, "end": 1, "text": "a"}', "channel is not left or right"),
        ("call.TextGrid", GRID[:-2] + "inf\n", "can't be read by praatio"),
        ("call.TextGrid", GRID + '"TextTier"\n"a"\n0\n1\n0\n', "has no words"),
        ("call.TextGrid", GRID + '"IntervalTier"\n"a"\n0\n1\n2\n0\n1\n"hi"\n', "breaks off"),
        ("call.TextGrid", GRID + '"IntervalTier"\n"a\n', "can't be read by praatio"),
        ("call.eaf", SUBDIVIDED.replace("milliseconds", "PAL-frames"), "it counts time in 'PAL-frames'"),
        ("call.eaf", SUBDIVIDED.replace(' TIME_VALUE="2500"', ""), "no times at the ends of the tier 'A words'"),
        (
            "call.eaf",
            SUBDIVIDED.replace("2500", "2500.5"),
            "can't be read by pympi (ValueError: invalid literal",
        ),
        ("call.eaf", SUBDIVIDED.replace('"a1">', '"a9">'), "'a4' is no part of one with times"),
        ("call.eaf", SUBDIVIDED.replace("?>", f"?>{LAUGHS}", 1).replace("home", "&e9;"), "declares entities"),
        ("call.eaf", "<a>" * 100_000, "can't be read by pympi"),
        ("call.ctm", "call A 0.1\n", "line 1 has 3 fields, not 5 to 8"),
        ("call.ctm", "call A * * <ALT_BEGIN>\ncall A 1 2 a\n", "line 1 can't be used"),
        ("call.rttm", "SPEAKER call 1 0 1\n", "line 1 has 5 fields"),
        ("call.json", '{"segments": []}', "has no words"),
        (
            "call.json",
            json.dumps({"segments": [SEGMENT | {"words": [WORD, WORD | {"end": -1}]}]}),
            "item 1 can't be used (its times are 0.0 to -1)",
        ),
        ("call.json", '{"segments": [{"start": 0, "end": 1}]}', "it has no text"),
        ("call.jsonl.gz", "no gzip", "Not a gzipped file"),
        ("call.jsonl", '{"audio_filepath": "call.wav", "duration": 1}', "it has no text"),
    ],
)
def test_broken_file_is_named_with_what_is_wrong(tmp_path: Path, name: str, content: str, reason: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(save(tmp_path / name, content))
    assert name in caught.value.reason
    assert reason in caught.value.reason
    assert caught.value.remedy


def test_line_with_impossible_times_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    impossible = [line("right", 9, 7, "b"), line("left", math.nan, 3, "c")]
    lines = [line("left", 0, 1, "a"), *impossible, line("left", 4, 5, "d")]
    cues = read(save(tmp_path / "call.jsonl", "".join(lines)))
    assert [cue.text for cue in cues if cue.text] == ["a", "d"]
    reasons = [cue.mark for cue in cues if cue.mark_kind == UNUSABLE]
    assert len(reasons) == 2
    assert "call.jsonl: line 2 can't be used (its times are 9 to 7)" in reasons


def test_subtitles_whose_clock_begins_again_are_refused_at_the_line(tmp_path: Path) -> None:
    text = ""
    for number in range(24):
        second = 2 * (number % 12) + 10
        text += f"00:00:{second},000 --> 00:00:{second + 1},800\nanswer {number}\n\n"
    with pytest.raises(BadInput, match=r"its clock begins again at subtitle 13, at 10\.0 s after 33\.8 s"):
        read(save(tmp_path / "call.left.srt", text))


def test_a_line_again_and_again_across_another_speaker_is_one_clock(tmp_path: Path) -> None:
    text = ""
    for second in range(10, 40):
        text += f"00:00:{second},000 --> 00:00:{second},900\nAnna: I'm going to the store.\n\n"
        if second % 7 == 0:
            text += f"00:00:{second},500 --> 00:00:{second + 1},400\nBen: What did you say?\n\n"
    cues = read(save(tmp_path / "call.srt", text))
    assert [cue.speaker for cue in cues].count("Anna") == 30
    assert [cue.speaker for cue in cues].count("Ben") == 4


def test_transcript_by_the_time_of_day_is_not_used_and_says_what_to_subtract(tmp_path: Path) -> None:
    text = "21:57:26,500 --> 21:57:28,000\nhello\n\n21:57:30,000 --> 21:57:31,000\nyes\n"
    path = save(tmp_path / "call.left.srt", text)
    (cue,) = read_transcripts([path], "call.wav", duration=60.0)
    assert cue.text is None
    assert str(cue.mark).endswith("its first line is at 21:57:26, as by the time of day: subtract 79046 s")


def test_lines_of_a_corpus_may_have_any_number_of_words(tmp_path: Path) -> None:
    words = [["a", number / 1000, 0.001] for number in range(2500)]
    long = {
        "start": 0.0,
        "duration": 2.5,
        "text": " ".join("a" * 2500),
        "alignment": {"word": words},
    }
    supervision = SUPERVISION | long
    other = json.dumps(supervision | {"recording_id": "other"}) + "\n"
    path = save(tmp_path / "supervisions.jsonl", other * 200 + json.dumps(supervision))
    assert len(timed(read(path))) == 2500


def test_gzip_that_breaks_off_or_holds_too_much_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(json.dumps(SUPERVISION).encode() + b"\n")
    path = tmp_path / "call.jsonl.gz"
    path.write_bytes(whole + whole)  # gzip may have members, one after another
    assert len(read(path)) == 2
    path.write_bytes(whole[:-9])
    with pytest.raises(BadInput, match=r"call\.jsonl\.gz: it can't be unpacked"):
        read(path)
    path.write_bytes(gzip.compress(bytes(65 << 20)))
    assert path.stat().st_size < 100_000
    with pytest.raises(BadInput, match=r"call\.jsonl\.gz: unpacked it has 64.0 MiB, more than 64.0 MiB"):
        read(path)


@pytest.mark.parametrize("piece", ["<v ", "<v.", "<c", "{", "&#", "[a b c]:", "- ", "a."])
def test_text_of_one_piece_repeated_is_read_in_one_go(tmp_path: Path, piece: str) -> None:
    """Each took time by the square of its length, minutes for a line as long as these."""
    repeated = piece * (180_000 // len(piece))
    vtt = f"WEBVTT\n\n00:01.000 --> 00:02.000\nA: yes {repeated}\n"
    (cue,) = read(save(tmp_path / "call.left.vtt", vtt))
    assert "yes" in cue.text


def test_two_files_for_one_channel_are_refused(tmp_path: Path) -> None:
    srt = SRT.format(first="a", second="b")
    alignments = save(tmp_path / "call.json", ALIGNMENTS)
    subtitles = save(tmp_path / "call.left.srt", srt)
    with pytest.raises(BadInput, match=r"call\.left\.srt: gives the left channel, as call\.json does"):
        read(alignments, subtitles)
    nobodys = save(tmp_path / "call.srt", srt)
    with pytest.raises(BadInput, match=r"call\.srt: gives words of both speakers, as call\.left\.srt does"):
        read(subtitles, nobodys)


# Sides


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["B", "A"], "A"),
        (["Right", "Left"], "Left"),
        (["ch1", "ch0"], "ch0"),
        (["ch2", "ch1"], "ch1"),
        (["2", "1"], "1"),
        (["Mary", "A"], "A"),
        (["B", "Mary"], "Mary"),
        (["Mary", "ch0"], "ch0"),
        (["ch1", "Mary"], "Mary"),
        (["Mary", "1"], "1"),
        (["2", "Mary"], "Mary"),
    ],
)
def test_name_of_the_left_side(names: list[str], left: str) -> None:
    (right,) = set(names) - {left}
    sides = sides_of(names, Path("x"))
    assert sides == {left: "left", right: "right"}


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("1", "left"),
        ("ch1", "right"),
        ("r", "right"),
        *((name, "?" + name) for name in ("SPEAKER_01", "Mary", "P1")),
    ],
)
def test_side_of_a_single_name(name: str, side: str) -> None:
    assert sides_of([name], Path("x")) == {name: side}


@pytest.mark.parametrize("names", [["A", "left"], ["A", "B", "C"], ["0", "1", "2"]])
def test_names_of_more_or_fewer_than_two_sides_are_refused(names: list[str]) -> None:
    with pytest.raises(BadInput):
        sides_of(names, Path("x"))
