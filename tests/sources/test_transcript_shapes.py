"""Transcripts in the shapes that recognisers, editors and people give them, made of a bundled conversation.

Each is read as what is said, once, with the times that it has of words; marks of sounds are no words.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from audio_files import EXAMPLES, reference
from command import EMBEDDED, Command
from praatio import textgrid

from dailytalk_contiguous.core.cues import match_words
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.transcript_marks import mark_of, without_marks
from dailytalk_contiguous.sources.transcripts import read_transcripts

NAMES = {"left": "SPEAKER_00", "right": "SPEAKER_01"}
SECONDS = 69.715125


@pytest.fixture
def talk() -> list[dict[str, Any]]:
    lines = reference("bicycle_repair")
    for item in [*lines, *(word for line in lines for word in line["words"])]:
        item["start"], item["end"] = round(item["start"], 3), round(item["end"], 3)
    return lines


def words_of(lines: Iterable[dict[str, Any]]) -> list[tuple[str, str, float, float]]:
    words = [(line["channel"], w["word"], w["start"], w["end"]) for line in lines for w in line["words"] or ()]
    return sorted(words, key=lambda word: (word[0], word[2]))


def starts(words: Iterable[tuple[str, str, float, float]]) -> list[tuple[str, str, float]]:
    return [word[:3] for word in words]


def texts_of(lines: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["channel"], line["text"]) for line in sorted(lines, key=lambda line: line["start"])]


def read(
    *paths: Path, tiers: Sequence[str] = (), left: dict[str, list[str]] | None = None
) -> list[dict[str, Any]]:
    """What a file says, on the sides that its speakers have in the recording."""
    cues = read_transcripts(paths, "call.flac", duration=SECONDS, tiers=tiers, left=left)
    sides = {f"?{name}": side for side, name in NAMES.items()}
    return [cue | {"channel": sides.get(cue["channel"], cue["channel"])} for cue in cues]


def save(path: Path, content: str | dict[str, Any]) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def clock(seconds: float, point: str = ",") -> str:
    whole = round(1000 * seconds)
    return f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d}{point}{whole % 1000:03d}"


def subtitles(cues: Iterable[tuple[float, float, str]], point: str = ",", indices: bool = True) -> str:
    blocks = [f"{clock(start, point)} --> {clock(end, point)}\n{text}\n" for start, end, text in cues]
    return "\n".join(f"{n}\n{block}" if indices else block for n, block in enumerate(blocks, 1))


# One sentence in many cues


def karaoke(talk: list[dict[str, Any]], before: str, after: str) -> list[tuple[float, float, str]]:
    """A cue a word and a cue a pause, each with the whole sentence, as whisperX and stable-ts write them."""
    cues = []
    for line in talk:
        words = line["words"]
        at = line["start"]
        for number, word in enumerate(words):
            texts = [other["word"] for other in words]
            name = f"[{NAMES[line['channel']]}]: "
            if word["start"] > at:
                cues.append((at, word["start"], name + " ".join(texts)))
            texts[number] = f"{before}{texts[number]}{after}"
            cues.append((word["start"], word["end"], name + " ".join(texts)))
            at = word["end"]
    return sorted(cues)


@pytest.mark.parametrize(
    ("before", "after"), [("<u>", "</u>"), ('<font color="#00ff00">', "</font>"), ("<b>", "</b>")]
)
@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_karaoke_is_one_sentence_with_the_times_of_its_words(
    talk: list[dict[str, Any]], tmp_path: Path, before: str, after: str, suffix: str
) -> None:
    text = subtitles(karaoke(talk, before, after), "," if suffix == "srt" else ".")
    cues = read(save(tmp_path / f"call.{suffix}", text if suffix == "srt" else f"WEBVTT\n\n{text}"))
    assert words_of(cues) == words_of(talk)
    assert len(cues) == len(talk)


def rolling(lines: list[dict[str, Any]], times: bool) -> str:
    """Captions of YouTube: two lines, of which the upper one was the lower one before, in pieces of five words."""
    pieces = [line["words"][n : n + 5] for line in lines for n in range(0, len(line["words"]), 5)]
    above = " "
    cues = []
    for words in pieces:
        inside = "".join(f"<{clock(w['start'], '.')}><c> {w['word']}</c>" for w in words[1:]) if times else ""
        plain = " ".join(w["word"] for w in words)
        end = words[-1]["end"]
        cues.append((words[0]["start"], end, f"{above}\n{words[0]['word'] + inside if times else plain}"))
        cues.append((end, end + 0.01, f"{plain}\n "))
        above = plain
    return "WEBVTT\nKind: captions\nLanguage: en\n\n" + subtitles(cues, ".", indices=False)


@pytest.mark.parametrize("times", [True, False])
def test_rolling_captions_are_read_once(talk: list[dict[str, Any]], tmp_path: Path, times: bool) -> None:
    sides = {side: [line for line in talk if line["channel"] == side] for side in NAMES}
    cues = read(*(save(tmp_path / f"call.{side}.vtt", rolling(sides[side], times)) for side in NAMES))
    for side in NAMES:
        said = " ".join(cue["text"] for cue in cues if cue["channel"] == side)
        assert said == " ".join(w["word"] for line in sides[side] for w in line["words"])
    assert starts(words_of(cues)) == (starts(words_of(talk)) if times else [])


def test_a_repeated_answer_is_no_rolling_caption(tmp_path: Path) -> None:
    cues = [(0.0, 1.0, "A: Yes."), (1.0, 2.0, "A: Yes."), (2.0, 3.0, "B: I promise."), (3.1, 4.0, "B: I promise.")]
    read_back = read(save(tmp_path / "call.srt", subtitles(cues)))
    assert [cue["text"] for cue in read_back] == ["Yes.", "Yes.", "I promise.", "I promise."]


# Times of words


def inside(line: dict[str, Any], shift: Any = lambda n, time: time) -> str:
    return "".join(
        f"<{clock(shift(n, word['start']), '.')}> {word['word']}" if n else word["word"]
        for n, word in enumerate(line["words"])
    )


@pytest.mark.parametrize(
    "shift", [lambda n, time: max(0.0, 60 - time), lambda n, time: 1.0, lambda n, time: time + 50]
)
def test_times_inside_that_are_none_of_words_leave_the_words_to_be_aligned(
    talk: list[dict[str, Any]], tmp_path: Path, shift: Any
) -> None:
    lines = [line for line in talk if len(line["words"]) > 3]
    cues = [(line["start"], line["end"], f"<v {NAMES[line['channel']]}>{inside(line, shift)}") for line in lines]
    read_back = read(save(tmp_path / "call.vtt", "WEBVTT\n\n" + subtitles(cues, ".", indices=False)))
    assert [cue["text"] for cue in read_back] == [" ".join(w["word"] for w in line["words"]) for line in lines]
    assert words_of(read_back) == []


@pytest.mark.parametrize("all_one", [True, False])
def test_word_times_that_run_back_or_are_all_one_never_shuffle_a_text(
    talk: list[dict[str, Any]], tmp_path: Path, all_one: bool
) -> None:
    broken = []
    for line in talk:
        words = [{"word": w["word"], "start": w["start"], "end": w["end"], "score": 0.9} for w in line["words"]]
        turned = [*words[:2], *reversed(words[2:])] if len(words) > 4 else words
        if all_one and len(words) > 4:
            turned = [word | {"start": line["start"], "end": line["end"]} for word in words]
        words = [{**timed, "word": word["word"]} for word, timed in zip(words, turned, strict=True)]
        broken.append(
            {"start": line["start"], "end": line["end"], "text": line["text"], "words": words}
            | {"speaker": NAMES[line["channel"]]}
        )
    cues = read(save(tmp_path / "call.json", {"segments": broken}))
    assert texts_of(cues) == texts_of(talk)
    believed = [bool(cue["words"]) for cue in cues]
    assert believed == [len(line["words"]) <= 4 for line in talk]
    left = [cue for cue in cues if cue["channel"] == "left"]
    matched = match_words(left, [(line["start"], line["end"]) for line in talk if line["channel"] == "left"], 1.0)
    long = [words for words, cue in zip(matched.words, left, strict=True) if not cue["words"]]
    assert long
    assert all(word["fitted"] for words in long for word in words)  # so these lines are aligned


def test_times_that_are_no_seconds_are_refused(talk: list[dict[str, Any]], tmp_path: Path) -> None:
    lines = [line | {edge: 1000 * line[edge] for edge in ("start", "end")} | {"words": None} for line in talk]
    with pytest.raises(
        BadInput, match=r"call\.json: has times up to 68,.*, and the recording is 69\.7 s"
    ) as caught:
        read(save(tmp_path / "call.json", {"utterances": lines}))
    assert "divide" in caught.value.remedy


# Lines that are a number


@pytest.mark.parametrize("blank", ["\n", ""], ids=["blank lines", "no blank lines"])
@pytest.mark.parametrize("indices", [True, False], ids=["indices", "no indices"])
def test_a_line_that_is_a_number_is_said(tmp_path: Path, indices: bool, blank: str) -> None:
    said = ["1984", "In which year?", "It was\n1984", "1984", "No.", "2", "3"]
    cues = [f"{clock(n)} --> {clock(n + 0.9)}\n{text}\n" for n, text in enumerate(said)]
    text = blank.join(f"{n}\n{cue}" if indices else cue for n, cue in enumerate(cues, 1))
    read_back = read(save(tmp_path / "call.left.srt", text))
    assert [cue["text"] for cue in read_back] == [" ".join(line.split()) for line in said]


# Tiers


def eaf(path: Path, talk: list[dict[str, Any]], ids: bool, gestures: bool = False, in_words: bool = False) -> Path:
    """ELAN, as `tx` below a tier of ids, perhaps a word an annotation, or with gestures beside it.

    Its schema is not named, as in many files.
    """
    slots = []
    tiers = []
    for side in NAMES:
        aligned = []
        said = []
        nods = []
        for line in (line for line in talk if line["channel"] == side):
            n = 2 * len(slots) + 2
            times = [round(1000 * line[edge]) for edge in ("start", "end")]
            slots.append(
                f'<TIME_SLOT TIME_SLOT_ID="ts{n}" TIME_VALUE="{times[0]}"/>'
                f'<TIME_SLOT TIME_SLOT_ID="ts{n + 1}" TIME_VALUE="{times[1]}"/>'
            )
            for kind, text, shift in (
                (aligned, f"CALL_{n:03d}" if ids else line["text"], 0),
                (nods, "nod", 10_000),
            ):
                kind.append(
                    f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n + shift}" TIME_SLOT_REF1="ts{n}" '
                    f'TIME_SLOT_REF2="ts{n + 1}"><ANNOTATION_VALUE>{text}</ANNOTATION_VALUE>'
                    "</ALIGNABLE_ANNOTATION></ANNOTATION>"
                )
            said += [
                f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a{1000 * n + k}" ANNOTATION_REF="a{n}">'
                f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
                for k, text in enumerate(line["text"].split() if in_words else [line["text"]])
            ]
        about = f'PARTICIPANT="{side}" LINGUISTIC_TYPE_REF'
        if gestures:
            tiers.append(f'<TIER TIER_ID="face@{side}" {about}="visual">{"".join(nods)}</TIER>')
        tiers.append(f'<TIER TIER_ID="{"num" if ids else "tx"}@{side}" {about}="n">{"".join(aligned)}</TIER>')
        if ids:
            parent = f'PARENT_REF="num@{side}"'
            tiers.append(f'<TIER TIER_ID="tx@{side}" {parent} {about}="tx">{"".join(said)}</TIER>')
    return save(
        path,
        '<?xml version="1.0" encoding="UTF-8"?><ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"/>'
        f"<TIME_ORDER>{''.join(slots)}</TIME_ORDER>{''.join(tiers)}</ANNOTATION_DOCUMENT>",
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


def test_silences_of_praat_are_no_words_and_its_tier_of_them_no_speech(
    talk: list[dict[str, Any]], tmp_path: Path
) -> None:
    made = textgrid.Textgrid()
    made.addTier(textgrid.IntervalTier("silences", [(0, 1, "silent"), (1, SECONDS, "sounding")], 0, SECONDS))
    for side in NAMES:
        entries = []
        at = 0.0
        for line in (line for line in talk if line["channel"] == side):
            entries += [(at, line["start"], "#"), (line["start"], line["end"], line["text"])]
            at = line["end"]
        made.addTier(textgrid.IntervalTier(side, entries, 0, SECONDS))
    made.save(str(tmp_path / "call.TextGrid"), "long_textgrid", includeBlankSpaces=True)
    left: dict[str, list[str]] = {}
    cues = read(tmp_path / "call.TextGrid", left=left)
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
            for text in ["<unk>", "((inaudible))", "xxx", "spn", "[unintelligible]", "[crosstalk]"]
        ),
        *(
            (text, None)
            for text in """[sic]|(excited)|[him]|(I had to laugh)|(3)|(2020)|100 %|word|5 * 3 * 2|laughter|silent
            |((I think so))|(and then he laughs at me)""".replace("\n", "").split("|")
        ),
    ],
)
def test_marks(text: str, kind: str | None) -> None:
    text = text.strip()
    mark = mark_of(text)
    assert (mark and mark.kind) == kind
    is_label = text in ("+", "sil", "spn")  # only where it is all that a label has
    assert without_marks(f"Well {text}, yes.") == ("Well, yes." if kind and not is_label else f"Well {text}, yes.")


MARKED = {
    0: "[laughter] {}",
    2: "{} (laughs)",
    3: "<unk> {}",
    6: "{} {{breath}}",
    9: "♪ music ♪ {}",
    12: "{} &=laughs",
}


def marked(talk: list[dict[str, Any]]) -> str:
    names = {"left": "A", "right": "B"}
    return subtitles(
        (line["start"], line["end"], f"{names[line['channel']]}: {MARKED.get(n, '{}').format(line['text'])}")
        for n, line in enumerate(talk)
    )


def test_marks_in_subtitles_are_events_and_no_text(talk: list[dict[str, Any]], tmp_path: Path) -> None:
    cues = read(save(tmp_path / "call.srt", marked(talk)))
    assert texts_of(cue for cue in cues if not cue["mark"]) == texts_of(talk)
    marks = [(cue["mark"], cue["mark_kind"]) for cue in cues if cue["mark"]]
    assert marks == [("laughter", "sound"), ("laughs", "sound"), ("unk", "inaudible")] + [
        (name, "sound") for name in ("breath", "music", "laughs")
    ]
    for cue in cues:
        if cue["mark"]:
            assert any(line["start"] <= cue["start"] < cue["end"] <= line["end"] for line in talk)


def test_marks_among_words_are_between_those_beside_them(tmp_path: Path) -> None:
    words = [("well", 1.0, 1.2), ("[laughter]", 1.3, 1.9), ("yes", 2.0, 2.4)]
    listed = [{"word": word, "start": start, "end": end} for word, start, end in words]
    segment = {"start": 1.0, "end": 2.4, "text": "well [laughter] yes", "words": listed, "speaker": "A"}
    cues = read(save(tmp_path / "call.json", {"segments": [segment]}))
    assert [(cue["mark"] or cue["text"]) for cue in cues] == ["well yes", "laughter"]
    assert 1.2 <= cues[1]["start"] < cues[1]["end"] <= 2.0  # between the words beside it
    assert [word["word"] for cue in cues for word in cue["words"]] == ["well", "yes"]


def test_named_sounds_reach_rows_and_annotations_and_moshi_trains_on_nothing_inaudible(
    talk: list[dict[str, Any]], tmp_path: Path, dailytalk: Command
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(EXAMPLES / "bicycle_repair.flac", tmp_path / "in/call.flac")
    # Somebody couldn't make out the words of one line, and marks a laugh alone in another.
    lines = [dict(line) for line in talk]
    unclear = next(line for line in lines if line["channel"] == "left" and line["end"] - line["start"] > 2)
    unclear["text"] = "((inaudible))"
    save(tmp_path / "in/call.srt", marked([line for line in lines if line is unclear or line["text"] != "Yeah."]))
    done = dailytalk("build", tmp_path / "in", "--out", tmp_path / "work", *EMBEDDED, "--revoice", "none")
    assert done.code == 0, done.err
    (row,) = pq.read_table(next((tmp_path / "work/dataset").glob("*.parquet"))).to_pylist()
    assert {mark["kind"] for mark in row["transcript_marks"]} == {"sound", "inaudible"}
    assert "laughter" in {sound["label"] for sound in row["sounds"]}
    spoken = {word["word"] for word in row["alignments"]}
    assert not spoken & {"[laughter]", "(laughs)", "<unk>", "{breath}", "♪", "((inaudible))", "&=laughs"}
    assert dailytalk("export", tmp_path / "work", "--format", "textgrid", "--out", tmp_path / "grid").code == 0
    assert '"laughter"' in (tmp_path / "grid/call.TextGrid").read_text(encoding="utf-8")
    assert dailytalk("export", tmp_path / "work", "--format", "moshi", "--out", tmp_path / "moshi").code == 0
    lengths = [json.loads(line)["duration"] for line in (tmp_path / "moshi/train.jsonl").read_text().splitlines()]
    assert sum(lengths) < row["duration"] - (unclear["end"] - unclear["start"]) + 0.3
    assert dailytalk("check", tmp_path / "moshi").code == 0
