"""Transcripts in the shapes that recognisers, editors and people give them, made of a bundled conversation.

Each is read as what is said, once, with the times that it has of words; marks of sounds are no words.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from audio_files import EXAMPLES, reference
from command import EMBEDDED, Command
from praatio import textgrid
from recordings import read_lines

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.rows import cues_of_row, rows_of_cues
from dailytalk_contiguous.core.words.cues import match_words
from dailytalk_contiguous.core.words.transcript_marks import mark_of, without_marks
from dailytalk_contiguous.sources.transcripts import read_transcripts

NAMES = {"left": "SPEAKER_00", "right": "SPEAKER_01"}
SECONDS = 69.715125


Line = dict[str, Any]


Cue = dict[str, Any]


@pytest.fixture
def talk() -> list[Line]:
    """The lines of a conversation and their words, whose times are whole milliseconds."""
    lines = reference("bicycle_repair")
    for line in lines:
        for timed in (line, *line["words"]):
            timed["start"] = round(timed["start"], 3)
            timed["end"] = round(timed["end"], 3)
    return lines


def words_of(lines: Iterable[Line]) -> list[tuple[str, str, float, float]]:
    """Channel, text, start and end of each word, by channel and start."""
    words = []
    for line in lines:
        for word in line["words"] or ():
            words.append((line["channel"], word["word"], word["start"], word["end"]))
    return sorted(words, key=itemgetter(0, 2))


def starts(lines: Iterable[Line]) -> list[tuple[str, str, float]]:
    """Channel, text and start of each word."""
    return [(channel, word, start) for channel, word, start, _ in words_of(lines)]


def word_texts(line: Line) -> list[str]:
    return [word["word"] for word in line["words"]]


def texts_of(lines: Iterable[Line]) -> list[tuple[str, str]]:
    in_order = sorted(lines, key=itemgetter("start"))
    return [(line["channel"], line["text"]) for line in in_order]


def side_of(lines: Iterable[Line], channel: str) -> list[Line]:
    return [line for line in lines if line["channel"] == channel]


def read(*paths: Path, tiers: Sequence[str] = (), left: dict[str, list[str]] | None = None) -> list[Cue]:
    """What a file says, on the sides that its speakers have in the recording."""
    cues = rows_of_cues(read_transcripts(paths, "call.flac", duration=SECONDS, tiers=tiers, left=left))
    sides = {f"?{name}": side for side, name in NAMES.items()}
    on_sides = []
    for cue in cues:
        side = sides.get(cue["channel"], cue["channel"])
        on_sides.append(cue | {"channel": side})
    return on_sides


def save(path: Path, content: str | dict[str, Any]) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def clock(seconds: float, point: str = ",") -> str:
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    whole_seconds, fraction = divmod(milliseconds, 1000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{whole_seconds:02d}{point}{fraction:03d}"


def subtitles(cues: Iterable[tuple[float, float, str]], point: str = ",", indices: bool = True) -> str:
    blocks = []
    for number, (start, end, text) in enumerate(cues, 1):
        block = f"{clock(start, point)} --> {clock(end, point)}\n{text}\n"
        blocks.append(f"{number}\n{block}" if indices else block)
    return "\n".join(blocks)


# One sentence in many cues


def webvtt(cues: Iterable[tuple[float, float, str]], indices: bool = False) -> str:
    return "WEBVTT\n\n" + subtitles(cues, ".", indices)


def karaoke(talk: list[Line], before: str, after: str) -> list[tuple[float, float, str]]:
    """A cue a word and a cue a pause, each with the whole sentence, as whisperX and stable-ts write them."""
    cues = []
    for line in talk:
        time = line["start"]
        name = f"[{NAMES[line['channel']]}]: "
        plain = name + " ".join(word_texts(line))
        for number, word in enumerate(line["words"]):
            if word["start"] > time:
                cues.append((time, word["start"], plain))
            texts = word_texts(line)
            texts[number] = f"{before}{texts[number]}{after}"
            cues.append((word["start"], word["end"], name + " ".join(texts)))
            time = word["end"]
    return sorted(cues)


@pytest.mark.parametrize(
    ("before", "after"), [("<u>", "</u>"), ('<font color="#00ff00">', "</font>"), ("<b>", "</b>")]
)
@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_karaoke_is_one_sentence_with_the_times_of_its_words(
    talk: list[Line], tmp_path: Path, before: str, after: str, suffix: str
) -> None:
    sentences = karaoke(talk, before, after)
    text = subtitles(sentences) if suffix == "srt" else webvtt(sentences, indices=True)
    cues = read(save(tmp_path / f"call.{suffix}", text))
    assert words_of(cues) == words_of(talk)
    assert len(cues) == len(talk)


def rolling(lines: list[Line], times: bool) -> str:
    """Captions of YouTube: two lines, of which the upper one was the lower one before, in pieces of five words."""
    pieces: list[list[dict[str, Any]]] = []
    for line in lines:
        words = line["words"]
        pieces += [words[first : first + 5] for first in range(0, len(words), 5)]
    above = " "
    cues = []
    for words in pieces:
        start = words[0]["start"]
        end = words[-1]["end"]
        plain = " ".join(word["word"] for word in words)
        below = plain
        if times:
            below = words[0]["word"]
            for word in words[1:]:
                below += f"<{clock(word['start'], '.')}><c> {word['word']}</c>"
        cues.append((start, end, f"{above}\n{below}"))
        cues.append((end, end + 0.01, f"{plain}\n "))
        above = plain
    return "WEBVTT\nKind: captions\nLanguage: en\n\n" + subtitles(cues, ".", indices=False)


@pytest.mark.parametrize("times", [True, False])
def test_rolling_captions_are_read_once(talk: list[Line], tmp_path: Path, times: bool) -> None:
    paths = []
    for side in NAMES:
        captions = rolling(side_of(talk, side), times)
        paths.append(save(tmp_path / f"call.{side}.vtt", captions))
    cues = read(*paths)
    for side in NAMES:
        text = " ".join(cue["text"] for cue in side_of(cues, side))
        true_words: list[str] = []
        for line in side_of(talk, side):
            true_words += word_texts(line)
        assert text == " ".join(true_words)
    expected = starts(talk) if times else []
    assert starts(cues) == expected


def test_a_repeated_answer_is_no_rolling_caption(tmp_path: Path) -> None:
    written = [
        (0.0, 1.0, "A: Yes."),
        (1.0, 2.0, "A: Yes."),
        (2.0, 3.0, "B: I promise."),
        (3.1, 4.0, "B: I promise."),
    ]
    cues = read(save(tmp_path / "call.srt", subtitles(written)))
    assert [cue["text"] for cue in cues] == ["Yes.", "Yes.", "I promise.", "I promise."]


# Times of words


def inside(line: Line, shift: Any = lambda n, time: time) -> str:
    """The words of a line, with the time of each but the first before it."""
    text = ""
    for number, word in enumerate(line["words"]):
        if number > 0:
            time = shift(number, word["start"])
            text += f"<{clock(time, '.')}> "
        text += word["word"]
    return text


@pytest.mark.parametrize(
    "shift", [lambda n, time: max(0.0, 60 - time), lambda n, time: 1.0, lambda n, time: time + 50]
)
def test_times_inside_that_are_none_of_words_leave_the_words_to_be_aligned(
    talk: list[Line], tmp_path: Path, shift: Any
) -> None:
    lines = [line for line in talk if len(line["words"]) > 3]
    written = []
    for line in lines:
        text = f"<v {NAMES[line['channel']]}>{inside(line, shift)}"
        written.append((line["start"], line["end"], text))
    cues = read(save(tmp_path / "call.vtt", webvtt(written)))
    expected = [" ".join(word_texts(line)) for line in lines]
    assert [cue["text"] for cue in cues] == expected
    assert words_of(cues) == []


def with_broken_times(line: Line, all_one: bool) -> dict[str, Any]:
    """A segment of whisperX; of five words or more, the times run back from the third on or are all one."""
    words = []
    for word in line["words"]:
        words.append({"word": word["word"], "start": word["start"], "end": word["end"], "score": 0.9})
    if len(words) > 4:
        times = [(word["start"], word["end"]) for word in words]
        times = times[:2] + times[:1:-1]
        if all_one:
            times = [(line["start"], line["end"])] * len(words)
        for word, (start, end) in zip(words, times, strict=True):
            word["start"] = start
            word["end"] = end
    return {
        "start": line["start"],
        "end": line["end"],
        "text": line["text"],
        "words": words,
        "speaker": NAMES[line["channel"]],
    }


@pytest.mark.parametrize("all_one", [True, False])
def test_word_times_that_run_back_or_are_all_one_never_shuffle_a_text(
    talk: list[Line], tmp_path: Path, all_one: bool
) -> None:
    segments = [with_broken_times(line, all_one) for line in talk]
    cues = read(save(tmp_path / "call.json", {"segments": segments}))
    assert texts_of(cues) == texts_of(talk)
    believed = [bool(cue["words"]) for cue in cues]
    assert believed == [len(line["words"]) <= 4 for line in talk]
    left = side_of(cues, "left")
    spans = [(line["start"], line["end"]) for line in side_of(talk, "left")]
    matched = match_words(cues_of_row({"cues": left}), spans, 1.0)
    long = [words for words, cue in zip(matched.words, left, strict=True) if not cue["words"]]
    assert long
    for words in long:
        for word in words:
            assert word.fitted  # so these lines are aligned


def test_times_that_are_no_seconds_are_refused(talk: list[Line], tmp_path: Path) -> None:
    lines = []
    for line in talk:
        start = 1000 * line["start"]
        end = 1000 * line["end"]
        lines.append(line | {"start": start, "end": end, "words": None})
    path = save(tmp_path / "call.json", {"utterances": lines})
    message = r"call\.json: has times up to 68,.*, and the recording is 69\.7 s"
    with pytest.raises(BadInput, match=message) as caught:
        read(path)
    assert "divide" in caught.value.remedy


# Lines that are a number


@pytest.mark.parametrize("blank", ["\n", ""], ids=["blank lines", "no blank lines"])
@pytest.mark.parametrize("indices", [True, False], ids=["indices", "no indices"])
def test_a_line_that_is_a_number_is_said(tmp_path: Path, indices: bool, blank: str) -> None:
    lines = ["1984", "In which year?", "It was\n1984", "1984", "No.", "2", "3"]
    written = [(n, n + 0.9, text) for n, text in enumerate(lines)]
    text = subtitles(written, indices=indices)
    if not blank:
        text = text.replace("\n\n", "\n")
    cues = read(save(tmp_path / "call.left.srt", text))
    expected = [line.replace("\n", " ") for line in lines]
    assert [cue["text"] for cue in cues] == expected


# Tiers


def annotation(body: str) -> str:
    return f"<ANNOTATION>{body}</ANNOTATION>"


def aligned_annotation(identity: int, slot: int, text: str) -> str:
    return annotation(
        f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="a{identity}" TIME_SLOT_REF1="ts{slot}" '
        f'TIME_SLOT_REF2="ts{slot + 1}"><ANNOTATION_VALUE>{text}</ANNOTATION_VALUE>'
        "</ALIGNABLE_ANNOTATION>"
    )


def referring_annotation(identity: int, parent: int, text: str) -> str:
    return annotation(
        f'<REF_ANNOTATION ANNOTATION_ID="a{identity}" ANNOTATION_REF="a{parent}">'
        f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></REF_ANNOTATION>"
    )


def time_slots(number: int, line: Line) -> str:
    """The time slots of a line in milliseconds: this one and the next."""
    start = round(1000 * line["start"])
    end = round(1000 * line["end"])
    return (
        f'<TIME_SLOT TIME_SLOT_ID="ts{number}" TIME_VALUE="{start}"/>'
        f'<TIME_SLOT TIME_SLOT_ID="ts{number + 1}" TIME_VALUE="{end}"/>'
    )


def eaf(path: Path, talk: list[Line], ids: bool, gestures: bool = False, in_words: bool = False) -> Path:
    """ELAN, as `tx` below a tier of ids, perhaps a word an annotation, or with gestures beside it.

    Its schema is not named, as in many files.
    """
    slots = ""
    tiers = ""
    number = 2
    for side in NAMES:
        aligned = ""
        texts = ""
        nods = ""
        for line in side_of(talk, side):
            slots += time_slots(number, line)
            label = f"CALL_{number:03d}" if ids else line["text"]
            aligned += aligned_annotation(number, number, label)
            nods += aligned_annotation(number + 10_000, number, "nod")
            parts = line["text"].split() if in_words else [line["text"]]
            for index, text in enumerate(parts):
                texts += referring_annotation(1000 * number + index, number, text)
            number += 2
        about = f'PARTICIPANT="{side}" LINGUISTIC_TYPE_REF'
        if gestures:
            tiers += f'<TIER TIER_ID="face@{side}" {about}="visual">{nods}</TIER>'
        name = "num" if ids else "tx"
        tiers += f'<TIER TIER_ID="{name}@{side}" {about}="n">{aligned}</TIER>'
        if ids:
            parent = f'PARENT_REF="num@{side}"'
            tiers += f'<TIER TIER_ID="tx@{side}" {parent} {about}="tx">{texts}</TIER>'
    return save(
        path,
        '<?xml version="1.0" encoding="UTF-8"?><ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"/>'
        f"<TIME_ORDER>{slots}</TIME_ORDER>{tiers}</ANNOTATION_DOCUMENT>",
    )


def test_speech_is_found_below_a_tier_of_ids_and_beside_one_of_gestures(
    talk: list[dict[str, Any]], tmp_path: Path
) -> None:
    left: dict[str, list[str]] = {}
    for in_words in (False, True):
        path = eaf(tmp_path / "call.eaf", talk, ids=True, in_words=in_words)
        assert texts_of(read(path, left=left)) == texts_of(talk)
    assert left == {"call.eaf": ["num@left", "num@right"]}
    path = eaf(tmp_path / "call.eaf", talk, ids=False, gestures=True)
    assert texts_of(read(path, left=left)) == texts_of(talk)
    assert left == {"call.eaf": ["face@left", "face@right"]}
    assert {cue["text"] for cue in read(path, tiers=["visual"])} == {"nod"}  # a person decides


def test_silences_of_praat_are_no_words_and_its_tier_of_them_no_speech(talk: list[Line], tmp_path: Path) -> None:
    made = textgrid.Textgrid()
    silences = [(0, 1, "silent"), (1, SECONDS, "sounding")]
    made.addTier(textgrid.IntervalTier("silences", silences, 0, SECONDS))
    for side in NAMES:
        entries = []
        time = 0.0
        for line in side_of(talk, side):
            entries.append((time, line["start"], "#"))
            entries.append((line["start"], line["end"], line["text"]))
            time = line["end"]
        made.addTier(textgrid.IntervalTier(side, entries, 0, SECONDS))
    path = tmp_path / "call.TextGrid"
    made.save(str(path), "long_textgrid", includeBlankSpaces=True)
    left: dict[str, list[str]] = {}
    cues = read(path, left=left)
    assert texts_of(cues) == texts_of(talk)
    assert left == {"call.TextGrid": ["silences"]}


# Marks of what is no word


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *(
            (text, "sound")
            for text in """[laughter]|(laughs)|{breath}|♪ music ♪|♪|*sighs*|<laugh>|&=laughs|%hesitation|[noise]
            |(clears throat)|[MUSIC PLAYING]|(laughing)|&=clears:throat|[coughing]|((laughs))|[phone rings]
            |(both laughing)|[Risas]""".replace("\n", "").split("|")
        ),
        *(
            (text, "silence")
            for text in [
                "#",
                "[SIL]",
                "<pause>",
                "(.)",
                "[BLANK_AUDIO]",
                "sil",
                "<eps>",
                "[no speech]",
                "+",
            ]
        ),
        *(
            (text, "inaudible")
            for text in """<unk>|((inaudible))|xxx|spn|[unintelligible]|[crosstalk]|[PII]|[NAME_1]|[[NAME]]|(NAME)
            |{{NAME}}|<CREDIT_CARD_NUMBER>|[FIRST NAME]|PERSON_NAME|****|[****]|XXXX|XXX-XX-XXXX|f***ing
            |s***|[NAME]'s""".replace("\n", "").split("|")
        ),
        *(
            (text, None)
            for text in """[sic]|(excited)|[him]|(I had to laugh)|(3)|(2020)|100 %|word|5 * 3 * 2|laughter|silent
            |((I think so))|(and then he laughs at me)|Dr. XXX|[PERSON OF INTEREST]|(LAST TIME)|**bold**
            |MAX_VALUE|[name]|M*A*S*H""".replace("\n", "").split("|")
        ),
    ],
)
def test_marks(text: str, kind: str | None) -> None:
    text = text.strip()
    mark = mark_of(text)
    assert (mark and mark.kind) == kind
    sentence = f"Well {text}, yes."
    is_label = text in ("+", "sil", "spn")  # only where it is all that a label has
    expected = "Well, yes." if kind and not is_label else sentence
    assert without_marks(sentence) == expected


MARKED = {
    0: "[laughter] {}",
    2: "{} (laughs)",
    3: "<unk> {}",
    6: "{} {{breath}}",
    9: "♪ music ♪ {}",
    12: "{} &=laughs",
}


def marked(talk: list[Line]) -> str:
    names = {"left": "A", "right": "B"}
    cues = []
    for number, line in enumerate(talk):
        notation = MARKED.get(number, "{}")
        text = f"{names[line['channel']]}: {notation.format(line['text'])}"
        cues.append((line["start"], line["end"], text))
    return subtitles(cues)


def test_marks_in_subtitles_are_events_and_no_text(talk: list[Line], tmp_path: Path) -> None:
    cues = read(save(tmp_path / "call.srt", marked(talk)))
    texts = [cue for cue in cues if not cue["mark"]]
    assert texts_of(texts) == texts_of(talk)
    marks = [cue for cue in cues if cue["mark"]]
    assert [(cue["mark"], cue["mark_kind"]) for cue in marks] == [
        ("laughter", "sound"),
        ("laughs", "sound"),
        ("unk", "inaudible"),
        ("breath", "sound"),
        ("music", "sound"),
        ("laughs", "sound"),
    ]
    for cue in marks:
        assert any(line["start"] <= cue["start"] < cue["end"] <= line["end"] for line in talk)


def test_marks_among_words_are_between_those_beside_them(tmp_path: Path) -> None:
    words = [
        {"word": "well", "start": 1.0, "end": 1.2},
        {"word": "[laughter]", "start": 1.3, "end": 1.9},
        {"word": "yes", "start": 2.0, "end": 2.4},
    ]
    segment = {"start": 1.0, "end": 2.4, "text": "well [laughter] yes", "words": words, "speaker": "A"}
    path = save(tmp_path / "call.json", {"segments": [segment]})
    text, mark = read(path)
    assert text["mark"] is None
    assert text["text"] == "well yes"
    assert mark["mark"] == "laughter"
    assert 1.2 <= mark["start"] < mark["end"] <= 2.0  # between the words beside it
    assert word_texts(text) == ["well", "yes"]
    assert mark["words"] == []


TOKENS = {
    "SenseVoice": "<|en|><|HAPPY|><|Speech|><|withitn|>{}",
    "moods": "🎼{}😊",
    "Whisper": "<|startoftranscript|><|en|><|transcribe|><|0.00|> {}<|2.00|><|endoftext|>",
    "whisper.cpp": "[_BEG_] {}[_TT_150]",
    "language models": "{}<end_of_turn></s>",
}


def segments_with(talk: list[Line], tokens: str) -> dict[str, Any]:
    """The lines as Whisper writes them, with tokens around each text, and before the words of each."""
    first, _, _ = tokens.partition("{}")
    segments = []
    for line in talk:
        token = {"word": first, "start": line["start"], "end": line["start"]}
        words = [token, *line["words"]] if first else line["words"]
        text = tokens.format(line["text"])
        segments.append({**line, "speaker": NAMES[line["channel"]], "text": text, "words": words})
    return {"segments": segments}


@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_control_tokens_of_models_are_nothing(talk: list[Line], tokens: str, tmp_path: Path) -> None:
    def cues(tokens: str) -> list[tuple[float, float, str]]:
        return [(line["start"], line["end"], tokens.format(line["text"])) for line in talk]

    path = tmp_path / "call.srt"
    assert read(save(path, subtitles(cues(tokens)))) == read(save(path, subtitles(cues("{}"))))
    path = tmp_path / "call.json"
    plain = read(save(path, segments_with(talk, "{}")))
    assert words_of(plain) == words_of(talk)
    assert read(save(path, segments_with(talk, tokens))) == plain


def test_a_word_before_a_mask_keeps_its_time(tmp_path: Path) -> None:
    words = [
        {"word": "riding****", "start": 1.0, "end": 1.5},
        {"word": "[NAME_1]", "start": 1.6, "end": 1.9},
        {"word": "home.", "start": 2.0, "end": 2.4},
    ]
    segment = {"start": 1.0, "end": 2.4, "text": "riding**** [NAME_1] home.", "words": words, "speaker": "A"}
    text, *marks = read(save(tmp_path / "call.json", {"segments": [segment]}))
    assert text["text"] == "riding home."
    assert [(word["word"], word["start"]) for word in text["words"]] == [("riding", 1.0), ("home.", 2.0)]
    assert [mark["mark_kind"] for mark in marks] == ["inaudible", "inaudible"]


def test_named_sounds_reach_rows_and_annotations_and_moshi_trains_on_nothing_inaudible(
    talk: list[Line], tmp_path: Path, dailytalk: Command
) -> None:
    source = tmp_path / "in"
    work = tmp_path / "work"
    moshi = tmp_path / "moshi"
    source.mkdir()
    shutil.copy(EXAMPLES / "bicycle_repair.flac", source / "call.flac")
    # Somebody couldn't make out the words of one line, and marks a laugh alone in another.
    left = side_of(talk, "left")
    unclear = next(line for line in left if line["end"] - line["start"] > 2)
    unclear["text"] = "((inaudible))"
    lines = [line for line in talk if line["text"] != "Yeah."]
    save(source / "call.srt", marked(lines))
    done = dailytalk("build", source, "--out", work, *EMBEDDED, "--revoice", "none")
    assert done.code == 0, done.err
    (shard,) = (work / "dataset").glob("*.parquet")
    (row,) = pq.read_table(shard).to_pylist()
    kinds = {mark["kind"] for mark in row["transcript_marks"]}
    assert kinds == {"sound", "inaudible"}
    assert "laughter" in [sound["label"] for sound in row["sounds"]]
    spoken = {word["word"] for word in row["alignments"]}
    marks = {"[laughter]", "(laughs)", "<unk>", "{breath}", "♪", "((inaudible))", "&=laughs"}
    assert not spoken & marks
    exported = dailytalk("export", work, "--format", "textgrid", "--out", tmp_path / "grid")
    assert exported.code == 0
    grid = (tmp_path / "grid/call.TextGrid").read_text(encoding="utf-8")
    assert '"laughter"' in grid
    exported = dailytalk("export", work, "--format", "moshi", "--out", moshi)
    assert exported.code == 0
    duration = sum(clip["duration"] for clip in read_lines(moshi / "train.jsonl"))
    unclear_seconds = unclear["end"] - unclear["start"]
    assert duration < row["duration"] - unclear_seconds + 0.3
    assert dailytalk("check", moshi).code == 0
