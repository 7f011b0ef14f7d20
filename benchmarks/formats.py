"""Transcripts in every format that is read: one conversation is written in each and read back.

Words (with their marks where a format has sentences), times to a millisecond, and speakers must be equal, each at
the level that the format has: words or utterances, names or sides. Then every file is broken in up to ten ways,
and the recording must be rejected with a reason that names the file: nothing may be lost, guessed, or read in
part.

Two names that don't say which side they mean are given left and right in the order in which they come, so the
conversation is one in which the left speaker begins.

    python benchmarks/formats.py
"""

import csv
import gzip
import io
import json
import math
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from measuring import EXAMPLES, judged, parser, print_table, references
from stage_calls import row_after

from dailytalk_contiguous.core.words.word_times import join_words
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.segment import UTTERANCES

EXAMPLE = EXAMPLES / "old_friends.flac"

#: The recording's name, also where transcripts of Switchboard are named by the number of a call, and those of the
#: people on its sides.
NAME = "call"
SWITCHBOARD = "sw02001"
PEOPLE = {"left": "Anna", "right": "Bob"}

#: Ways in which each file is broken at most, and seconds by which a time that is read may be off.
WAYS = 10
EXACT = 0.0011


@dataclass(frozen=True)
class Said:
    """An utterance: who (a side, or any name), when, what, and its words with their times."""

    who: str
    start: Any
    end: Any
    text: str
    words: tuple[tuple[str, Any, Any], ...]


Talk = Sequence[Said]
Files = dict[str, bytes]


@dataclass(frozen=True)
class Way:
    """A way of writing a transcript: what it keeps of the conversation, and how.

    `document`: its kind in `json_documents.DOCUMENTS`, if it is JSON. `passes`: names of breaks that leave a
    good file. `exact`: seconds by which its times may be off. `ends`, `marks`: whether it has the ends of words,
    and marks. `closed`: whether it has the ends of utterances. `people`: who speaks on each side, if it says so.
    """

    name: str
    write: Callable[[Talk, str], Files]
    words: bool = True
    utterances: bool = True
    people: Mapping[str, str] | None = None
    document: str = ""
    passes: frozenset[str] = frozenset()
    exact: float = EXACT
    ends: bool = True
    marks: bool = True
    closed: bool = True


def conversation() -> Talk:
    """The bundled example, to the millisecond."""
    return [
        Said(
            line["channel"],
            round(line["start"], 3),
            round(line["end"], 3),
            line["text"],
            tuple((word["word"], round(word["start"], 3), round(word["end"], 3)) for word in line["words"]),
        )
        for line in references()["old_friends"]["utterances"]
    ]


# Writers, each from the format's own description. A time may be text, as a damaged file has it.


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _as_lines(values: Sequence[Any]) -> bytes:
    return b"".join(_as_json(value) + b"\n" for value in values)


def _person(who: str) -> str:
    return PEOPLE.get(who, who)


def _span(start: Any, end: Any) -> Any:
    """A duration; what is none where a time is none."""
    return end if isinstance(start, str) or isinstance(end, str) else round(end - start, 3)


def _own(line: Said) -> dict[str, Any]:
    words = [{"word": word, "start": start, "end": end} for word, start, end in line.words]
    return {"channel": line.who, "start": line.start, "end": line.end, "text": line.text, "words": words}


def _own_json(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.json": _as_json({"utterances": [_own(line) for line in talk]})}


def _own_lines(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.jsonl": _as_lines([_own(line) for line in talk])}


def _run(talk: Talk, recording: str) -> Files:
    other = _own(talk[0]) | {"audio_file": "other.wav"}
    return {"transcript.jsonl": _as_lines([other, *(_own(x) | {"audio_file": f"{NAME}.flac"} for x in talk)])}


def _moshi(talk: Talk, recording: str) -> Files:
    names = {"left": "SPEAKER_MAIN"}
    words = [[w, [a, b], names.get(x.who, "SPEAKER_OTHER")] for x in talk for w, a, b in x.words]
    return {f"{NAME}.json": _as_json({"alignments": words})}


def _jmoshi(talk: Talk, recording: str) -> Files:
    names = {"left": "A", "right": "B"}
    words = [
        {"speaker": names.get(x.who, x.who), "word": w, "start": a, "end": b} for x in talk for w, a, b in x.words
    ]
    return {f"{NAME}.json": _as_json(words)}


def _whisper_segment(line: Said, number: int) -> dict[str, Any]:
    words = [{"word": f" {w}", "start": a, "end": b, "probability": 0.9} for w, a, b in line.words]
    told = {"id": number, "seek": 0, "start": line.start, "end": line.end, "text": f" {line.text}", "tokens": []}
    return told | {"temperature": 0.0, "avg_logprob": -0.2, "no_speech_prob": 0.01, "words": words}


def _whisper(talk: Talk, recording: str) -> Files:
    files = {}
    for side in ("left", "right"):
        segments = [_whisper_segment(line, n) for n, line in enumerate(talk) if line.who == side]
        files[f"{NAME}.{side}.json"] = _as_json({"text": "", "segments": segments, "language": "en"})
    return files


def _whisperx_segment(line: Said, speaker: bool) -> dict[str, Any]:
    names = {"left": "SPEAKER_00", "right": "SPEAKER_01"}
    who = {"speaker": names.get(line.who, line.who)} if speaker and line.who else {}
    words = [{"word": w, "start": a, "end": b, "score": 0.9} | who for w, a, b in line.words]
    return {"start": line.start, "end": line.end, "text": line.text, "words": words} | who


def _whisperx(talk: Talk, recording: str) -> Files:
    segments = [_whisperx_segment(line, True) for line in talk]
    words = [word for segment in segments for word in segment["words"]]
    return {f"{NAME}.json": _as_json({"segments": segments, "word_segments": words, "language": "en"})}


def _turns(talk: Talk, recording: str) -> bytes:
    return b"".join(
        f"SPEAKER {recording} 1 {x.start} {_span(x.start, x.end)} <NA> <NA> {_person(x.who)} <NA> <NA>\n".encode()
        for x in talk
    )


def _whisperx_rttm(talk: Talk, recording: str) -> Files:
    segments = [_whisperx_segment(line, False) for line in talk]
    good = [replace(line, start=0.0, end=1.0) if isinstance(line.start, str) else line for line in talk]
    return {f"{NAME}.json": _as_json({"segments": segments}), f"{NAME}.rttm": _turns(good, NAME)}


def _clock(seconds: Any, point: str) -> str:
    if isinstance(seconds, str):
        return seconds
    milliseconds = round(abs(seconds) * 1000)
    sign = "-" if seconds < 0 else ""
    hours, rest = divmod(milliseconds, 3_600_000)
    return f"{sign}{hours:02d}:{rest // 60_000:02d}:{rest % 60_000 // 1000:02d}{point}{rest % 1000:03d}"


def _srt(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.srt": _subrip(talk, named=True)}


def _srt_sides(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.{x}.srt": _subrip([y for y in talk if y.who == x], named=False) for x in ("left", "right")}


def _subrip(talk: Talk, named: bool) -> bytes:
    return "\n".join(
        f"{number}\n{_clock(x.start, ',')} --> {_clock(x.end, ',')}\n"
        f"{f'{_person(x.who)}: ' if named and x.who else ''}{x.text}\n"
        for number, x in enumerate(talk, 1)
    ).encode()


def _vtt(talk: Talk, recording: str) -> Files:
    cues = [
        f"{_clock(x.start, '.')} --> {_clock(x.end, '.')}\n{f'<v {_person(x.who)}>' if x.who else ''}{x.text}\n"
        for x in talk
    ]
    return {f"{NAME}.vtt": "\n".join(["WEBVTT\n", *cues]).encode()}


# What meeting programs and whisper.cpp write before each text.

#: Numbers and addresses, which are written nowhere.
PREFIXES = {"left": "+1 415-555-0100", "right": "ben.ort@example.com"}
CALLERS = {"left": "caller-1", "right": "caller-2"}
COMMAS = {"left": "Lee, Anna", "right": "Ort [he/him]"}
WITH_COMMAS = {"left": "Lee, Anna", "right": "Ort"}


def _prefixed(talk: Talk, prefixes: Mapping[str, str], form: str) -> Files:
    cues = []
    for line in talk:
        prefix = form.format(prefixes.get(line.who, line.who)) if line.who else ""
        cues.append(f"{_clock(line.start, '.')} --> {_clock(line.end, '.')}\n{prefix}{line.text}\n")
    return {f"{NAME}.vtt": "\n".join(["WEBVTT\n", *cues]).encode()}


def _zoom_numbers(talk: Talk, recording: str) -> Files:
    return _prefixed(talk, PREFIXES, "{}: ")


def _zoom_commas(talk: Talk, recording: str) -> Files:
    return _prefixed(talk, COMMAS, "{}: ")


def _whisper_cpp_labels(talk: Talk, recording: str) -> Files:
    return _prefixed(talk, {"left": "speaker 0", "right": "speaker 1"}, "({}) ")


# The same in shapes that recognisers and people write: karaoke, rolling captions, times inside, marks of sounds.


def _labelled(who: str) -> str:
    return f"[{_person(who)}]: " if who else ""


def _joined(line: Said, lit: int, before: str, after: str) -> str:
    """The words of a line, one of them between two pieces of markup."""
    return " ".join(f"{before}{word}{after}" if n == lit else word for n, (word, *_) in enumerate(line.words))


def _karaoke(talk: Talk, before: str, after: str, point: str) -> list[str]:
    """A cue for every word and every pause, each with the whole line (whisperX and stable-ts)."""
    cues = []
    for line in talk:
        at = line.start
        for n, (_, start, end) in enumerate(line.words):
            if not isinstance(start, str) and not isinstance(at, str) and start > at:
                cues.append((at, start, f"{_labelled(line.who)}{_joined(line, -1, before, after)}"))
            cues.append((start, end, f"{_labelled(line.who)}{_joined(line, n, before, after)}"))
            at = end
        if at != line.end and not isinstance(line.end, str):
            cues.append((at, line.end, f"{_labelled(line.who)}{_joined(line, -1, before, after)}"))
    cues.sort(key=lambda cue: 0.0 if isinstance(cue[0], str) else cue[0])
    return [f"{_clock(start, point)} --> {_clock(end, point)}\n{text}\n" for start, end, text in cues]


def _karaoke_srt(talk: Talk, recording: str) -> Files:
    cues = _karaoke(talk, "<u>", "</u>", ",")
    return {f"{NAME}.srt": "\n".join(f"{n}\n{cue}" for n, cue in enumerate(cues, 1)).encode()}


def _karaoke_vtt(talk: Talk, recording: str) -> Files:
    return {
        f"{NAME}.vtt": "\n".join(["WEBVTT\n", *_karaoke(talk, '<font color="#00ff00">', "</font>", ".")]).encode()
    }


def _voice(who: str) -> str:
    return f"<v {_person(who)}>" if who else ""


def _timed(line: Said) -> str:
    return "".join(
        f"<{_clock(start, '.')}> {word}" if n else word for n, (word, start, _) in enumerate(line.words)
    )


def _times_inside(talk: Talk, recording: str) -> Files:
    cues = [f"{_clock(x.start, '.')} --> {_clock(x.end, '.')}\n{_voice(x.who)}{_timed(x)}\n" for x in talk]
    return {f"{NAME}.vtt": "\n".join(["WEBVTT\n", *cues]).encode()}


def _rolling(talk: Talk, recording: str) -> Files:
    """Captions of YouTube: the line before above each new one, and a cue of 10 ms for what is done."""
    files = {}
    for side in ("left", "right"):
        before = " "
        cues = []
        for line in (x for x in talk if x.who == side):
            start = _clock(line.start, ".")
            end = _clock(line.end, ".")
            shown = line.end if isinstance(line.end, str) else line.end + 0.01
            cues += [f"{start} --> {end} align:start position:0%\n{before}\n{_timed(line)}\n"]
            before = " ".join(word for word, *_ in line.words)
            cues += [f"{end} --> {_clock(shown, '.')} align:start position:0%\n{before}\n \n"]
        text = "\n".join(["WEBVTT\nKind: captions\nLanguage: en\n", *cues])
        files[f"{NAME}.{side}.vtt"] = text.encode()
    return files


def _srt_bare(talk: Talk, recording: str) -> Files:
    """SubRip without indices and blank lines, and with a line that is a number."""
    cues = [
        f"{_clock(x.start, ',')} --> {_clock(x.end, ',')}\n{f'{_person(x.who)}: ' if x.who else ''}{x.text}\n"
        for x in talk
    ]
    return {f"{NAME}.srt": "".join(cues).encode()}


MARKS = ("[laughter]", "(laughs)", "<unk>", "{breath}", "♪ music ♪", "*sighs*", "[BLANK_AUDIO]", "((inaudible))")
MARKS += ("&=laughs", "%hesitation", "#", "[SIL]", "<pause>", "(.)", "xxx", "[MUSIC PLAYING]", "(clears throat)")


def _srt_marks(talk: Talk, recording: str) -> Files:
    marked = [
        replace(x, text=f"{MARKS[n % len(MARKS)]} {x.text}" if n % 2 else f"{x.text} {MARKS[n % len(MARKS)]}")
        for n, x in enumerate(talk)
    ]
    return {f"{NAME}.srt": _subrip(marked, named=True)}


def _eaf(tiers: Sequence[tuple[str, str, str, Sequence[tuple[Any, Any, str]]]], ids: bool = False) -> bytes:
    """ELAN: (tier, participant, type, labels); with `ids`, the labels are those of a tier below one of ids."""
    slots = []
    elements = []
    n = 0
    for name, person, kind, labels in tiers:
        aligned = []
        refs = []
        for start, end, text in labels:
            n += 1
            times = [str(x if isinstance(x, str) else round(1000 * x)) for x in (start, end)]
            slots += [
                f'<TIME_SLOT TIME_SLOT_ID="ts{2 * n + k}" TIME_VALUE="{time}"/>' for k, time in enumerate(times)
            ]
            value = f"CALL_{person}_{n:03d}" if ids else escape(text)
            aligned.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{2 * n}" TIME_SLOT_REF1="ts{2 * n}" '
                f'TIME_SLOT_REF2="ts{2 * n + 1}"><ANNOTATION_VALUE>{value}</ANNOTATION_VALUE>'
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
            refs.append(
                f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a{2 * n + 1}" ANNOTATION_REF="a{2 * n}">'
                f"<ANNOTATION_VALUE>{escape(text)}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
            )
        about = f'PARTICIPANT="{person}"' if person else ""
        if not ids:
            elements.append(
                f'<TIER TIER_ID="{name}" {about} LINGUISTIC_TYPE_REF="{kind}">{"".join(aligned)}</TIER>'
            )
            continue
        elements.append(
            f'<TIER TIER_ID="id@{name}" {about} LINGUISTIC_TYPE_REF="number">{"".join(aligned)}</TIER>'
        )
        elements.append(
            f'<TIER TIER_ID="{name}" {about} PARENT_REF="id@{name}" LINGUISTIC_TYPE_REF="{kind}">'
            f"{''.join(refs)}</TIER>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT AUTHOR="" FORMAT="3.0" VERSION="3.0">'
        f'<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/><TIME_ORDER>{"".join(slots)}</TIME_ORDER>'
        f"{''.join(elements)}</ANNOTATION_DOCUMENT>\n"
    ).encode()


def _eaf_tiers(talk: Talk) -> list[tuple[str, str, str, list[tuple[Any, Any, str]]]]:
    labels: dict[str, list[tuple[Any, Any, str]]] = {}
    for line in talk:
        labels.setdefault(line.who, []).append((line.start, line.end, line.text))
    return [(f"speech {n}", _person(who), "talk", listed) for n, (who, listed) in enumerate(labels.items(), 1)]


def _eaf_utterances(talk: Talk, recording: str) -> Files:
    """With gestures of the same people."""
    tiers = _eaf_tiers(talk)
    hands = [
        (f"hands {n}", who, "moves", [(*x[:2], "nod") for x in own]) for n, (_, who, _, own) in enumerate(tiers)
    ]
    return {f"{NAME}.eaf": _eaf([*hands, *tiers])}


def _eaf_ids(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.eaf": _eaf(_eaf_tiers(talk), ids=True)}


def _textgrid_silences(talk: Talk, recording: str) -> Files:
    """With `#` for silence, and the tier that Praat makes of silences."""
    tiers: dict[str, list[tuple[Any, Any, str]]] = {"silences": [(0, 1, "silent"), (1, 2, "sounding")]}
    for line in talk:
        tier = tiers.setdefault(f"{_person(line.who)} - utterances", [])
        if tier and isinstance(tier[-1][1], float) and isinstance(line.start, float) and tier[-1][1] < line.start:
            tier.append((tier[-1][1], line.start, "#"))
        tier.append((line.start, line.end, line.text))
    return {f"{NAME}.TextGrid": _textgrid(tiers)}


def _textgrid(tiers: dict[str, list[tuple[Any, Any, str]]]) -> bytes:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 100"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", "        xmax = 100", f"        intervals: size = {len(intervals)}"]
        for place, (start, end, text) in enumerate(intervals, 1):
            quoted = text.replace('"', '""')
            lines += [f"        intervals [{place}]:", f"            xmin = {start}", f"            xmax = {end}"]
            lines += [f'            text = "{quoted}"']
    return "\n".join([*lines, ""]).encode()


def _textgrid_words(talk: Talk, recording: str) -> Files:
    tiers: dict[str, list[tuple[Any, Any, str]]] = {}
    for line in talk:
        tier = tiers.setdefault(f"{_person(line.who)} - words", [])
        tier += [(start, end, word) for word, start, end in line.words]
    return {f"{NAME}.TextGrid": _textgrid(tiers)}


def _textgrid_utterances(talk: Talk, recording: str) -> Files:
    tiers: dict[str, list[tuple[Any, Any, str]]] = {}
    for line in talk:
        tiers.setdefault(f"{_person(line.who)} - utterances", []).append((line.start, line.end, line.text))
    return {f"{NAME}.TextGrid": _textgrid(tiers)}


def _ctm(talk: Talk, recording: str) -> Files:
    names = {"left": "A", "right": "B"}
    words = [(names.get(x.who, x.who or "1"), a, _span(a, b), w) for x in talk for w, a, b in x.words]
    lines = [f"{recording} {' '.join(map(str, word))} 0.9\n" for word in words]
    return {f"{NAME}.ctm": f";; written for a test\n{''.join(lines)}".encode()}


def _ctm_sides(talk: Talk, recording: str) -> Files:
    files = {}
    for side in ("left", "right"):
        words = [(a, _span(a, b), w) for x in talk if x.who == side for w, a, b in x.words]
        files[f"{NAME}.{side}.ctm"] = "".join(f"{recording} 1 {a} {d} {w}\n" for a, d, w in words).encode()
    return files


def _supervision(line: Said, recording: str, number: int) -> dict[str, Any]:
    channels = {"left": 0, "right": 1}
    words = [[word, start, _span(start, end), 0.9] for word, start, end in line.words]
    told = {"id": f"{recording}-{number}", "recording_id": recording, "start": line.start}
    told |= {"duration": _span(line.start, line.end), "channel": channels.get(line.who, 2 if line.who else 0)}
    told |= {"speaker": _person(line.who)} if line.who else {}
    return told | {"text": line.text, "language": "English", "alignment": {"word": words}}


def _supervisions(talk: Talk, recording: str) -> list[dict[str, Any]]:
    return [_supervision(line, recording, number) for number, line in enumerate(talk)]


def _lhotse_lines(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.jsonl.gz": gzip.compress(_as_lines(_supervisions(talk, recording)))}


def _lhotse_shared(talk: Talk, recording: str) -> Files:
    lines = [_supervision(talk[0], "other", 0), *_supervisions(talk, recording)]
    return {"calls_supervisions_all.jsonl.gz": gzip.compress(_as_lines(lines))}


def _lhotse_json(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.json": _as_json(_supervisions(talk, recording))}


def _manifest_line(line: Said, recording: str) -> dict[str, Any]:
    told = {"audio_filepath": f"/data/{recording}.flac", "offset": line.start}
    told |= {"duration": _span(line.start, line.end), "text": line.text}
    return told | ({"speaker": _person(line.who)} if line.who else {})


def _nemo(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.json": _as_lines([_manifest_line(line, recording) for line in talk])}


def _nemo_shared(talk: Talk, recording: str) -> Files:
    lines = [_manifest_line(talk[0], "other"), *(_manifest_line(line, recording) for line in talk)]
    return {"train_manifest.jsonl": _as_lines(lines)}


# The JSON of speech services and local recognisers, in the field names of their references
# (`sources.formats.services`).


def _channel(who: str, first: int = 0) -> int:
    """The number of a channel; a third speaker is on a third one, and nobody on the first."""
    return {"left": 0, "right": 1, "": 0}.get(who, 2) + first


def _speaker_number(who: str) -> int | None:
    return {"left": 0, "right": 1, "": None}.get(who, 2)


def _milliseconds(seconds: Any) -> Any:
    return seconds if isinstance(seconds, str) else round(1000 * seconds)


def _iso(seconds: Any) -> str:
    return seconds if isinstance(seconds, str) else f"PT{seconds}S"


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _of_channel(talk: Talk, channel: int) -> list[Said]:
    return [line for line in talk if _channel(line.who) == channel]


def _channels(talk: Talk) -> range:
    return range(max(_channel(line.who) for line in talk) + 1)


def _deepgram_words(lines: Sequence[Said]) -> list[dict[str, Any]]:
    return [
        {"word": w.strip(".,?!").lower(), "start": a, "end": b, "confidence": 0.98, "punctuated_word": w}
        for line in lines
        for w, a, b in line.words
    ]


def _deepgram(talk: Talk, recording: str) -> Files:
    channels = [
        {"alternatives": [{"transcript": "", "confidence": 0.98, "words": _deepgram_words(_of_channel(talk, n))}]}
        for n in _channels(talk)
    ]
    document = {"metadata": {"request_id": "0", "channels": 2}, "results": {"channels": channels}}
    return {f"{NAME}.json": _as_json(document)}


def _deepgram_utterances(talk: Talk, recording: str) -> Files:
    utterances = [
        {"start": x.start, "end": x.end, "confidence": 0.97, "channel": _channel(x.who), "transcript": x.text}
        | {"words": _deepgram_words([x]), "speaker": 0, "id": "0"}
        for x in talk
    ]
    return {f"{NAME}.json": _as_json({"results": {"channels": [], "utterances": utterances}})}


def _assemblyai_words(line: Said, who: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"text": w, "start": _milliseconds(a), "end": _milliseconds(b), "confidence": 0.9} | who
        for w, a, b in line.words
    ]


def _assemblyai(talk: Talk, recording: str) -> Files:
    utterances = []
    for x in talk:
        who = {"channel": str(_channel(x.who, 1)), "speaker": str(_channel(x.who, 1))}
        times = {"start": _milliseconds(x.start), "end": _milliseconds(x.end)}
        utterances.append(times | {"text": x.text, "confidence": 0.9, "words": _assemblyai_words(x, who)} | who)
    document = {"id": "0", "audio_url": "https://example.com/call.wav", "utterances": utterances}
    return {f"{NAME}.json": _as_json(document)}


def _assemblyai_words_alone(talk: Talk, recording: str) -> Files:
    letters = {"left": "A", "right": "B", "": None}
    words = [word for x in talk for word in _assemblyai_words(x, {"speaker": letters.get(x.who, "C")})]
    return {f"{NAME}.json": _as_json({"id": "0", "audio_duration": 60, "utterances": None, "words": words})}


def _amazon_items(lines: Sequence[Said], who: bool) -> list[dict[str, Any]]:
    items = []
    for x in lines:
        speaker = _speaker_number(x.who)
        label = {"speaker_label": f"spk_{speaker}"} if who and speaker is not None else {}
        for word, start, end in x.words:
            spoken = word.rstrip(".,?!") or word
            times = {"start_time": str(start), "end_time": str(end)}
            alternatives = [{"confidence": "0.99", "content": spoken}]
            items.append({"type": "pronunciation", "alternatives": alternatives} | times | label)
            if spoken != word:
                alternatives = [{"confidence": "0.0", "content": word[len(spoken) :]}]
                items.append({"type": "punctuation", "alternatives": alternatives} | label)
    return items


def _amazon(talk: Talk, recording: str) -> Files:
    channels = [
        {"channel_label": f"ch_{n}", "items": _amazon_items(_of_channel(talk, n), False)} for n in _channels(talk)
    ]
    labels = {"number_of_channels": 2, "channels": channels}
    results = {"transcripts": [{"transcript": ""}], "channel_labels": labels, "items": []}
    return {f"{NAME}.json": _as_json({"jobName": "job", "accountId": "0", "results": results})}


def _amazon_speakers(talk: Talk, recording: str) -> Files:
    results = {"transcripts": [{"transcript": ""}], "items": _amazon_items(talk, True)}
    return {f"{NAME}.json": _as_json({"jobName": "job", "results": results})}


def _contact_lens(talk: Talk, recording: str) -> Files:
    roles = {"left": "AGENT", "right": "CUSTOMER", "": None}
    lines = []
    for x in talk:
        items = [
            {"Type": "pronunciation", "Content": w, "Confidence": "0.9"}
            | {"BeginOffsetMillis": _milliseconds(a), "EndOffsetMillis": _milliseconds(b)}
            for w, a, b in x.words
        ]
        line = {"Content": x.text, "Items": items, "Sentiment": "NEUTRAL"}
        line |= {"BeginOffsetMillis": _milliseconds(x.start), "EndOffsetMillis": _milliseconds(x.end)}
        lines.append(line | _without_none(ParticipantId=roles.get(x.who, x.who)))
    return {f"{NAME}.json": _as_json({"Version": "1.1.0", "LanguageCode": "en-US", "Transcript": lines})}


def _azure_batch(talk: Talk, recording: str) -> Files:
    phrases = []
    for x in talk:
        words = [
            {"displayText": w, "offset": _iso(a), "duration": _iso(_span(a, b)), "confidence": 0.9}
            for w, a, b in x.words
        ]
        best = [{"confidence": 0.9, "lexical": x.text.lower(), "display": x.text, "displayWords": words}]
        times = {"offset": _iso(x.start), "duration": _iso(_span(x.start, x.end))}
        phrases.append({"recognitionStatus": "Success", "channel": _channel(x.who)} | times | {"nBest": best})
    return {f"{NAME}.json": _as_json({"recognizedPhrases": phrases, "combinedRecognizedPhrases": []})}


def _azure_fast(talk: Talk, recording: str) -> Files:
    def times(start: Any, end: Any) -> dict[str, Any]:
        return {
            "offsetMilliseconds": _milliseconds(start),
            "durationMilliseconds": _milliseconds(_span(start, end)),
        }

    phrases = [
        {"channel": _channel(x.who), "text": x.text, "locale": "en-US", "confidence": 0.9}
        | times(x.start, x.end)
        | {"words": [{"text": w} | times(a, b) for w, a, b in x.words]}
        for x in talk
    ]
    return {f"{NAME}.json": _as_json({"durationMilliseconds": 60_000, "phrases": phrases})}


def _google(talk: Talk, recording: str) -> Files:
    results = []
    for x in talk:
        words = [{"startTime": f"{a}s", "endTime": f"{b}s", "word": w} for w, a, b in x.words]
        alternatives = [{"transcript": x.text, "confidence": 0.9, "words": words}]
        end = {"resultEndTime": f"{x.end}s", "languageCode": "en-us"}
        results.append({"alternatives": alternatives, "channelTag": _channel(x.who, 1)} | end)
    return {f"{NAME}.json": _as_json({"results": results})}


def _google_v2(talk: Talk, recording: str) -> Files:
    results = []
    for x in talk:
        words = [
            {"startOffset": f"{a}s", "endOffset": f"{b}s", "word": w}
            | ({"speakerLabel": str(_channel(x.who, 1))} if x.who else {})
            for w, a, b in x.words
        ]
        results.append({"alternatives": [{"transcript": x.text, "words": words}], "resultEndOffset": f"{x.end}s"})
    return {f"{NAME}.json": _as_json({"results": results})}


def _speechmatics(talk: Talk, recording: str) -> Files:
    results = []
    for x in talk:
        channel = {"channel": f"channel_{_channel(x.who, 1)}"}
        for word, start, end in x.words:
            spoken = word.rstrip(".,?!") or word
            alternatives = [{"confidence": 0.9, "content": spoken, "language": "en", "speaker": "UU"}]
            times = {"start_time": start, "end_time": end}
            results.append({"alternatives": alternatives, "type": "word"} | times | channel)
            if spoken != word:
                alternatives = [{"confidence": 1.0, "content": word[len(spoken) :], "language": "en"}]
                times = {"start_time": end, "end_time": end, "attaches_to": "previous"}
                results.append({"alternatives": alternatives, "type": "punctuation"} | times | channel)
    return {f"{NAME}.json": _as_json({"format": "2.9", "results": results})}


def _elevenlabs_words(lines: Sequence[Said]) -> list[dict[str, Any]]:
    words = []
    for x in lines:
        speaker = _speaker_number(x.who)
        label = {"speaker_id": f"speaker_{speaker}"} if speaker is not None else {}
        for word, start, end in x.words:
            words.append({"text": word, "start": start, "end": end, "type": "word"} | label)
            words.append({"text": " ", "start": end, "end": end, "type": "spacing"} | label)
    return words


def _elevenlabs(talk: Talk, recording: str) -> Files:
    document = {"language_code": "eng", "text": "", "words": _elevenlabs_words(talk)}
    return {f"{NAME}.json": _as_json(document)}


def _elevenlabs_channels(talk: Talk, recording: str) -> Files:
    transcripts = [
        {"language_code": "eng", "channel_index": n, "words": _elevenlabs_words(_of_channel(talk, n))}
        for n in _channels(talk)
    ]
    return {f"{NAME}.json": _as_json({"transcripts": transcripts})}


def _rev(talk: Talk, recording: str) -> Files:
    monologues = []
    for x in talk:
        elements: list[dict[str, Any]] = []
        for word, start, end in x.words:
            spoken = word.rstrip(".,?!") or word
            elements.append({"type": "text", "value": spoken, "ts": start, "end_ts": end, "confidence": 0.9})
            elements.append({"type": "punct", "value": f"{word[len(spoken) :]} "})
        monologues.append({"elements": elements} | _without_none(speaker=_speaker_number(x.who)))
    return {f"{NAME}.json": _as_json({"monologues": monologues})}


def _twilio(talk: Talk, recording: str) -> Files:
    sentences = [
        {"media_channel": _channel(x.who, 1), "sentence_index": n, "transcript": x.text, "confidence": "0.9"}
        | {"start_time": str(x.start), "end_time": str(x.end)}
        | {"words": [{"word": w, "start_time": str(a), "end_time": str(b)} for w, a, b in x.words]}
        for n, x in enumerate(talk)
    ]
    return {f"{NAME}.json": _as_json({"meta": {"key": "sentences"}, "sentences": sentences})}


def _podcast(talk: Talk, recording: str) -> Files:
    segments = [
        {"startTime": x.start, "endTime": x.end, "body": x.text} | ({"speaker": _person(x.who)} if x.who else {})
        for x in talk
    ]
    return {f"{NAME}.json": _as_json({"version": "1.0.0", "segments": segments})}


def _gladia(talk: Talk, recording: str) -> Files:
    utterances = [
        {
            "start": x.start,
            "end": x.end,
            "text": x.text,
            "language": "en",
            "channel": _channel(x.who),
            "speaker": 0,
        }
        | {"words": [{"word": f" {w}", "start": a, "end": b, "confidence": 0.9} for w, a, b in x.words]}
        for x in talk
    ]
    document = {"id": "0", "status": "done", "result": {"transcription": {"utterances": utterances}}}
    return {f"{NAME}.json": _as_json(document)}


def _label_studio(talk: Talk, recording: str) -> Files:
    result = []
    for n, x in enumerate(talk):
        region = {"start": x.start, "end": x.end, "channel": 0}
        about = {"id": f"r{n}", "to_name": "audio"}
        labels = [f"Speaker {_channel(x.who, 1)}"] if x.who else []
        result.append(about | {"type": "labels", "from_name": "labels", "value": region | {"labels": labels}})
        result.append(about | {"type": "textarea", "from_name": "text", "value": region | {"text": [x.text]}})
    annotations = [{"was_cancelled": False, "result": result, "completed_by": 1}]
    task = {"id": 1, "annotations": annotations, "data": {"audio": f"/data/upload/1/0a1b2c3d-{recording}.flac"}}
    return {f"{NAME}.json": _as_json([task])}


def _whisper_cpp_lines(talk: Talk) -> list[dict[str, Any]]:
    names = {"left": "0", "right": "1", "": "?"}
    return [
        {"offsets": {"from": _milliseconds(x.start), "to": _milliseconds(x.end)}, "text": f" {x.text}"}
        | {"speaker": names.get(x.who, "2")}
        for x in talk
    ]


def _whisper_cpp(talk: Talk, recording: str) -> Files:
    about = {"params": {"language": "en"}, "result": {"language": "en"}}
    return {f"{NAME}.json": _as_json(about | {"transcription": _whisper_cpp_lines(talk)})}


def _whisper_cpp_full(talk: Talk, recording: str) -> Files:
    lines = _whisper_cpp_lines(talk)
    for line, x in zip(lines, talk, strict=True):
        start = {"from": line["offsets"]["from"], "to": line["offsets"]["from"]}
        tokens: list[dict[str, Any]] = [{"text": "[_BEG_]", "offsets": start, "p": 0.9}]
        for word, a, b in x.words:
            begin, end = _milliseconds(a), _milliseconds(b)
            half = begin if isinstance(a, str) or isinstance(b, str) else (begin + end) // 2
            if len(word) > 1:
                tokens.append({"text": f" {word[:1]}", "offsets": {"from": begin, "to": half}, "p": 0.9})
                tokens.append({"text": word[1:], "offsets": {"from": half, "to": end}, "p": 0.8})
            else:
                tokens.append({"text": f" {word}", "offsets": {"from": begin, "to": end}, "p": 0.9})
        line["tokens"] = tokens
    return {f"{NAME}.json": _as_json({"result": {"language": "en"}, "transcription": lines})}


def _chunk(text: str, start: Any, end: Any) -> dict[str, Any]:
    return {"timestamp": [start, end], "text": f" {text}"}


def _chunks(talk: Talk, recording: str) -> Files:
    files = {}
    for side in ("left", "right"):
        chunks = [_chunk(w, a, b) for x in talk if x.who == side for w, a, b in x.words]
        files[f"{NAME}.{side}.json"] = _as_json({"chunks": chunks, "text": ""})
    return files


def _insanely_fast(talk: Talk, recording: str) -> Files:
    names = {"left": "SPEAKER_00", "right": "SPEAKER_01"}
    speakers = [
        _chunk(x.text, x.start, x.end) | ({"speaker": names.get(x.who, x.who)} if x.who else {}) for x in talk
    ]
    chunks = [_chunk(x.text, x.start, x.end) for x in talk]
    return {f"{NAME}.json": _as_json({"speakers": speakers, "chunks": chunks, "text": ""})}


def _whisper_timestamped(talk: Talk, recording: str) -> Files:
    files = {}
    for side in ("left", "right"):
        segments = [
            {"id": n, "text": f" {x.text}", "start": x.start, "end": x.end, "confidence": 0.9}
            | {"words": [{"text": w, "start": a, "end": b, "confidence": 0.9} for w, a, b in x.words]}
            for n, x in enumerate(talk)
            if x.who == side
        ]
        files[f"{NAME}.{side}.json"] = _as_json({"language": "en", "segments": segments, "text": ""})
    return files


def _openai(talk: Talk, recording: str, with_segments: bool) -> Files:
    files = {}
    for side in ("left", "right"):
        lines = [x for x in talk if x.who == side]
        words = [{"word": w, "start": a, "end": b} for x in lines for w, a, b in x.words]
        document = {"task": "transcribe", "language": "english", "text": "", "words": words}
        if with_segments:
            document["segments"] = [{"start": x.start, "end": x.end, "text": f" {x.text}"} for x in lines]
        files[f"{NAME}.{side}.json"] = _as_json(document)
    return files


def _openai_segments(talk: Talk, recording: str) -> Files:
    return _openai(talk, recording, with_segments=True)


def _openai_words(talk: Talk, recording: str) -> Files:
    return _openai(talk, recording, with_segments=False)


def _vosk(talk: Talk, recording: str) -> Files:
    files = {}
    for side in ("left", "right"):
        documents = [
            {"result": [{"conf": 0.9, "end": b, "start": a, "word": w} for w, a, b in x.words], "text": x.text}
            for x in talk
            if x.who == side
        ]
        text = "\n".join(json.dumps(document, indent=2) for document in documents)
        files[f"{NAME}.{side}.json"] = text.encode()
    return files


def _nemo_words(talk: Talk, recording: str) -> Files:
    words = []
    for x in talk:
        speaker = _speaker_number(x.who)
        label = {"speaker_label": f"speaker_{speaker}"} if speaker is not None else {}
        words += [{"word": w, "start_time": a, "end_time": b} | label for w, a, b in x.words]
    return {f"{NAME}.json": _as_json({"session_id": NAME, "speaker_count": 2, "words": words})}


def _nemo_timestamps(talk: Talk, recording: str) -> Files:
    files = {}
    for side in ("left", "right"):
        words = [{"word": w, "start": a, "end": b} for x in talk if x.who == side for w, a, b in x.words]
        files[f"{NAME}.{side}.json"] = _as_json({"timestamp": {"word": words}, "text": ""})
    return files


# Corpora of talk, and programs that write lines


_LETTERS = {"left": "A", "right": "B"}


# The records of voice agents (`sources.formats.services`), each with what is not said among the lines.

#: When the recording begins, and the second of the day.
_BEGINS = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)

_TOOL_CALL = {
    "id": "call_0",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"day": "Monday"}'},
}


def _role(who: str, agent: str = "agent") -> str:
    return {"left": agent, "right": "user"}.get(who, who)


def _date(seconds: Any) -> Any:
    """A time of day in ISO 8601."""
    is_none = isinstance(seconds, str) or abs(seconds) > 1e6
    return seconds if is_none else (_BEGINS + timedelta(seconds=seconds)).isoformat()


def _since_1970(seconds: Any) -> Any:
    return seconds if isinstance(seconds, str) else round(_BEGINS.timestamp() + seconds, 3)


def _retell_call(talk: Talk) -> dict[str, Any]:
    lines = []
    for x in talk:
        words = [{"word": f"{word} ", "start": start, "end": end} for word, start, end in x.words]
        lines.append({"role": _role(x.who), "content": x.text, "words": words})
    call = {"call_id": "call_0", "agent_id": "agent_0", "call_status": "ended", "start_timestamp": 1769860800000}
    tool_call = {"role": "tool_call_invocation", "tool_call_id": "call_0", "name": "look_up", "arguments": "{}"}
    written = "\n".join(f"{line['role'].title()}: {line['content']}" for line in lines)
    return call | {
        "transcript": written,
        "transcript_object": lines,
        "transcript_with_tool_calls": [*lines, tool_call],
        "from_number": "+12137771234",
    }


def _retell(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.json": _as_json(_retell_call(talk))}


def _retell_webhook(talk: Talk, recording: str) -> Files:
    return {f"{NAME}.json": _as_json({"event": "call_ended", "call": _retell_call(talk)})}


def _vapi_messages(talk: Talk) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [
        {"role": "system", "message": "You are an agent.", "time": 1769860800000, "secondsFromStart": 0},
        {"role": "tool_calls", "toolCalls": [_TOOL_CALL], "message": "", "time": 1769860801000}
        | {"secondsFromStart": 1},
        {"role": "tool_call_result", "name": "look_up", "result": "free", "toolCallId": "call_0"}
        | {"time": 1769860802000, "secondsFromStart": 2},
    ]
    for x in talk:
        message = {"role": _role(x.who, "bot"), "message": x.text, "secondsFromStart": x.start}
        if not isinstance(x.start, str):
            duration = _milliseconds(_span(x.start, x.end))
            message |= {"time": _milliseconds(_since_1970(x.start)), "duration": duration}
        messages.append(message)
    return messages


def _vapi(talk: Talk, recording: str) -> Files:
    messages = _vapi_messages(talk)
    spoken = [{"role": "assistant", "content": x.text} for x in talk]
    artifact = {"messages": messages, "messagesOpenAIFormatted": spoken, "transcript": ""}
    call = {"id": "0", "type": "webCall", "startedAt": _date(0.0), "messages": messages, "artifact": artifact}
    return {f"{NAME}.json": _as_json(call)}


def _vapi_report(talk: Talk, recording: str) -> Files:
    report = {"type": "end-of-call-report", "endedReason": "customer-ended-call", "call": {"id": "0"}}
    report |= {"artifact": {"messages": _vapi_messages(talk)}}
    return {f"{NAME}.json": _as_json({"message": report})}


def _elevenlabs_agents(talk: Talk, recording: str) -> Files:
    """Of the post-call webhook, whose times are whole seconds."""
    lines: list[dict[str, Any]] = []
    for x in talk:
        second = x.start if isinstance(x.start, str) else math.floor(x.start)
        line = {"role": _role(x.who), "message": x.text, "time_in_call_secs": second, "source_medium": None}
        lines.append(line | {"tool_calls": [], "tool_results": [], "conversation_turn_metrics": None})
    call = {"request_id": "0", "tool_name": "look_up", "params_as_json": "{}", "tool_has_been_called": True}
    unsaid = {"role": "agent", "message": None, "time_in_call_secs": 1, "tool_calls": [call]}
    typed = {"role": "user", "message": "typed in", "time_in_call_secs": 2, "source_medium": "text"}
    lines[1:1] = [unsaid, typed]
    data = {"agent_id": "agent_0", "conversation_id": "conv_0", "status": "done", "transcript": lines}
    data |= {"metadata": {"start_time_unix_secs": 1769860800, "call_duration_secs": 80}}
    return {f"{NAME}.json": _as_json({"type": "post_call_transcription", "event_timestamp": 0, "data": data})}


def _livekit(talk: Talk, recording: str) -> Files:
    """The session report; a user's line is added when the turn has ended, after an agent's that began later."""
    before = _since_1970(-0.5)
    items: list[dict[str, Any]] = [
        {"id": "item_0", "type": "agent_handoff", "new_agent_id": "agent", "created_at": before},
        {"id": "item_1", "type": "agent_config_update", "instructions": "Be kind.", "created_at": before},
        {"id": "item_2", "type": "message", "role": "system", "content": ["Be kind."], "created_at": before},
        {"id": "item_3", "type": "function_call", "call_id": "call_0", "name": "look_up", "arguments": "{}"}
        | {"created_at": _since_1970(1.0)},
        {"id": "item_4", "type": "function_call_output", "name": "look_up", "call_id": "call_0", "output": "free"}
        | {"is_error": False, "created_at": _since_1970(1.5)},
    ]
    for x in talk:
        metrics = {"started_speaking_at": _since_1970(x.start), "stopped_speaking_at": _since_1970(x.end)}
        item = {"type": "message", "role": _role(x.who, "assistant"), "content": [x.text], "interrupted": False}
        items.append(item | {"created_at": metrics["stopped_speaking_at"], "metrics": metrics})
    report = {"job_id": "AJ_0", "room_id": "RM_0", "room": "call", "events": [], "audio_recording_path": None}
    report |= {"audio_recording_started_at": _since_1970(0.0), "options": {}, "timestamp": _since_1970(90.0)}
    return {f"{NAME}.json": _as_json(report | {"chat_history": {"items": items}, "usage": None})}


def _pipecat(talk: Talk, recording: str) -> Files:
    messages = [{"role": _role(x.who, "assistant"), "content": x.text, "timestamp": _date(x.start)} for x in talk]
    return {f"{NAME}.json": _as_json(messages)}


def _bland(talk: Talk, recording: str) -> Files:
    lines: list[dict[str, Any]] = []
    for number, x in enumerate(talk):
        line = {"id": number, "created_at": _date(x.start), "text": x.text, "user": _role(x.who, "assistant")}
        lines.append(line | {"c_id": "0"})
    action = {"id": 99, "created_at": _date(1.0), "text": "Ended call", "user": "agent-action", "c_id": "0"}
    call = {"call_id": "0", "call_length": 1.3, "to": "+12223334444", "created_at": _date(-8.0)}
    call |= {"started_at": _date(0.0), "concatenated_transcript": "", "transcripts": [*lines, action]}
    return {f"{NAME}.json": _as_json(call)}


def _fisher(talk: Talk, recording: str) -> Files:
    lines = [f"{x.start} {x.end} {_LETTERS.get(x.who, x.who)}: {x.text}\n\n" for x in talk]
    return {f"{NAME}.txt": f"# {recording}.sph\n# Transcribed for a test\n\n{''.join(lines)}".encode()}


def _ms98(talk: Talk, recording: str) -> Files:
    """A file a side, with silence between the utterances."""
    files = {}
    for side, letter in _LETTERS.items():
        lines = []
        before: Any = 0.0
        for n, x in enumerate([line for line in talk if line.who == side], 1):
            utterance = f"sw2001{letter}-ms98-a-{n:04d}"
            first = x.words[0][1]
            if not isinstance(first, str) and first > before >= 0:
                lines.append(f"{utterance} {before} {first} [silence]\n")
            lines += [f"{utterance} {start} {end} {word}\n" for word, start, end in x.words]
            before = x.end if isinstance(x.end, float) else before
        files[f"sw2001{letter}-ms98-a-word.text"] = "".join(lines).encode()
    return files


def _ms98_utterances(talk: Talk, recording: str) -> Files:
    files = {}
    for side, letter in _LETTERS.items():
        spoken = [line for line in talk if line.who == side]
        lines = [f"sw2001{letter}-ms98-a-{n:04d} {x.start} {x.end} {x.text}\n" for n, x in enumerate(spoken, 1)]
        files[f"sw2001{letter}-ms98-a-trans.text"] = "".join(lines).encode()
    return files


def _mrk(talk: Talk, recording: str) -> Files:
    """With a head and marks without times, as in LDC93S7."""
    lines = ["FILENAME: 2001\n", "=====\n", "* * * [beep]\n"]
    for turn, x in enumerate(talk, 1):
        who = f"@{_LETTERS.get(x.who, x.who)}.{turn}"
        lines += [f"{who}   {start} {_span(start, end)} {word}\n" for word, start, end in x.words]
        lines += [f"{who}   * * --\n"]
    return {"sw2001.mrk": "".join(lines).encode()}


def _stm(talk: Talk, recording: str) -> Files:
    lines = []
    for x in talk:
        who = f"{_LETTERS.get(x.who, x.who or '1')} {_person(x.who) or '-'}"
        lines.append(f"{recording} {who} {x.start} {x.end} <o,f0,female> {x.text}\n")
    return {f"{NAME}.stm": f";; written for a test\n{''.join(lines)}".encode()}


def _stm_shared(talk: Talk, recording: str) -> Files:
    other = b"other A Carol 1.0 2.0 Hello.\n"
    return {"test.stm": _stm(talk, recording)[f"{NAME}.stm"] + other}


def _candor(name: str) -> Callable[[Talk, str], Files]:
    def write(talk: Talk, recording: str) -> Files:
        table = io.StringIO()
        rows = csv.writer(table)
        rows.writerow(["turn_id", "speaker", "start", "stop", "utterance", "n_words"])
        for n, x in enumerate(talk):
            rows.writerow([n, _person(x.who), x.start, x.end, x.text, len(x.words)])
        channels = _as_json({"L": PEOPLE["left"], "R": PEOPLE["right"]})
        return {name: table.getvalue().encode(), "channel_map.json": channels}

    return write


def _seamless(talk: Talk, recording: str) -> Files:
    files = {}
    for side in _LETTERS:
        lines = []
        for x in [x for x in talk if x.who == side]:
            words = [{"word": word, "start": start, "end": end, "score": 0.9} for word, start, end in x.words]
            lines.append({"words": words, "transcript": x.text, "start": x.start, "end": x.end})
        data = {"id": f"V00_S0001_I00000001_{side}", "metadata:vad": [], "metadata:transcript": lines}
        files[f"{NAME}.{side}.json"] = _as_json(data)
    return files


def _label(x: Said, text: str) -> str:
    times = [time if isinstance(time, str) else f"{time:.6f}" for time in (x.start, x.end)]
    return f"{times[0]}\t{times[1]}\t{text}\n"


def _audacity(talk: Talk, recording: str) -> Files:
    lines = [_label(x, f"{_person(x.who)}: {x.text}" if x.who else x.text) for x in talk]
    return {f"{NAME}.txt": "".join(lines).encode()}


def _audacity_sides(talk: Talk, recording: str) -> Files:
    files = {}
    for side in _LETTERS:
        lines = [_label(x, x.text) + "\\\t0.000000\t4000.000000\n" for x in talk if x.who == side]
        files[f"{NAME}.{side}.txt"] = "".join(lines).encode()
    return files


def _sbv(talk: Talk, recording: str) -> Files:
    captions = []
    for x in talk:
        name = f"{_person(x.who)}: " if x.who else ""
        captions.append(f"{_clock(x.start, '.')},{_clock(x.end, '.')}\n{name}{x.text}\n")
    return {f"{NAME}.sbv": "\n".join(captions).encode()}


def _otter(talk: Talk, recording: str) -> Files:
    """Named by side: with times in whole seconds the sound does not tell whose a `Yeah` within a turn is."""
    turns = []
    for x in talk:
        clock = x.start
        if not isinstance(x.start, str):
            sign = "-" if x.start < 0 else ""
            clock = f"{sign}{int(abs(x.start) // 60)}:{int(abs(x.start) % 60):02d}"
        turns.append(f"{_LETTERS.get(x.who, x.who)}  {clock}\n{x.text}\n")
    return {f"{NAME}.txt": "\n".join([*turns, "Transcribed by https://otter.ai\n"]).encode()}


#: Breaks that are none: whose side no file names is found in the sound, whatever they are called; lines of other
#: recordings are left alone in a file of many.
_TWO_NAMES = frozenset({"a third speaker", "nobody named"})
_NOBODY = frozenset({"nobody named"})
_SHARED = frozenset({"nothing in it", "another thing"})

#: A text of any other kind is no transcript; a call of Switchboard is not the one that a second file is of.
_NO_TRANSCRIPT = frozenset({"nothing in it", "another thing"})
_OTHER_CALL = frozenset({"a channel twice"})

#: Breaks of ends, which Otter does not write.
_NO_ENDS = frozenset({"an end before its start", "a time of 31,000 years", "an end that is none"})

WAYS_TO_WRITE = (
    Way("our own, JSON", _own_json, document="our own"),
    Way("our own, JSON Lines", _own_lines, document="our own"),
    Way("our own, of a run", _run, document="our own", passes=frozenset({"nothing in it"})),
    Way("moshi-finetune", _moshi, utterances=False, document="moshi-finetune", passes=_TWO_NAMES),
    Way("J-Moshi", _jmoshi, utterances=False, document="J-Moshi", passes=_NOBODY),
    Way("Whisper, a file a side", _whisper, document="Whisper and WhisperX", passes=_TWO_NAMES),
    Way("WhisperX, diarised", _whisperx, document="Whisper and WhisperX", passes=_TWO_NAMES),
    Way(
        "WhisperX with an RTTM", _whisperx_rttm, people=PEOPLE, document="Whisper and WhisperX", passes=_TWO_NAMES
    ),
    Way("SubRip, names", _srt, words=False, people=PEOPLE, passes=_TWO_NAMES),
    Way("SubRip, a file a side", _srt_sides, words=False, passes=_TWO_NAMES),
    Way("WebVTT, voices", _vtt, words=False, people=PEOPLE, passes=_TWO_NAMES),
    Way("SubRip, karaoke", _karaoke_srt, people=PEOPLE, marks=False, passes=_TWO_NAMES),
    Way("WebVTT, karaoke", _karaoke_vtt, people=PEOPLE, marks=False, passes=_TWO_NAMES),
    Way("WebVTT, times inside", _times_inside, people=PEOPLE, marks=False, ends=False, passes=_TWO_NAMES),
    Way("WebVTT, rolling", _rolling, marks=False, ends=False, passes=_TWO_NAMES),
    Way("SubRip, no indices", _srt_bare, words=False, people=PEOPLE, passes=_TWO_NAMES),
    Way("SubRip, marks", _srt_marks, words=False, people=PEOPLE, passes=_TWO_NAMES),
    Way("Zoom, numbers, addresses", _zoom_numbers, words=False, people=CALLERS, passes=_TWO_NAMES),
    Way("Zoom, commas, pronouns", _zoom_commas, words=False, people=WITH_COMMAS, passes=_TWO_NAMES),
    Way("whisper.cpp, labels", _whisper_cpp_labels, words=False, passes=_TWO_NAMES),
    Way("ELAN, with gestures", _eaf_utterances, words=False, people=PEOPLE, passes=_TWO_NAMES),
    Way("ELAN, below ids", _eaf_ids, words=False, people=PEOPLE, passes=_TWO_NAMES),
    Way("TextGrid, silences", _textgrid_silences, words=False, people=PEOPLE, passes=_TWO_NAMES),
    Way("TextGrid, words", _textgrid_words, utterances=False, people=PEOPLE, passes=_TWO_NAMES),
    Way("TextGrid, utterances", _textgrid_utterances, words=False, people=PEOPLE, passes=_TWO_NAMES),
    Way("CTM", _ctm, utterances=False, passes=_NOBODY),
    Way("CTM, a file a side", _ctm_sides, utterances=False, passes=_TWO_NAMES),
    Way("lhotse, JSON Lines", _lhotse_lines, people=PEOPLE, document="lhotse supervisions", passes=_NOBODY),
    Way(
        "lhotse, of a corpus",
        _lhotse_shared,
        people=PEOPLE,
        document="lhotse supervisions",
        passes=_SHARED | _NOBODY,
    ),
    Way("lhotse, JSON", _lhotse_json, people=PEOPLE, document="lhotse supervisions", passes=_NOBODY),
    Way("NeMo manifest", _nemo, words=False, people=PEOPLE, document="NeMo manifest", passes=_TWO_NAMES),
    Way(
        "NeMo, of a corpus",
        _nemo_shared,
        words=False,
        people=PEOPLE,
        document="NeMo manifest",
        passes=_SHARED | _TWO_NAMES,
    ),
    Way("Fisher", _fisher, words=False, passes=_NO_TRANSCRIPT | _NOBODY),
    Way("Switchboard, words", _ms98, utterances=False, passes=_TWO_NAMES | _OTHER_CALL),
    Way("Switchboard, utterances", _ms98_utterances, words=False, passes=_TWO_NAMES | _OTHER_CALL),
    Way("Switchboard, .mrk", _mrk, utterances=False, passes=_OTHER_CALL),
    Way("STM", _stm, words=False, people=PEOPLE, passes=_NOBODY),
    Way("STM, of a corpus", _stm_shared, words=False, people=PEOPLE, passes=_SHARED | _NOBODY),
    Way("CANDOR, audiophile", _candor("transcript_audiophile.csv"), words=False, people=PEOPLE),
    Way("CANDOR, backbiter", _candor("transcript_backbiter.csv"), words=False, people=PEOPLE),
    Way("CANDOR, cliffhanger", _candor("transcript_cliffhanger.csv"), words=False, people=PEOPLE),
    Way("Seamless Interaction", _seamless, document="Seamless Interaction", passes=_TWO_NAMES),
    Way("Audacity, names", _audacity, words=False, people=PEOPLE, passes=_NO_TRANSCRIPT | _TWO_NAMES),
    Way("Audacity, a file a side", _audacity_sides, words=False, passes=_NO_TRANSCRIPT | _TWO_NAMES),
    Way("SBV", _sbv, words=False, people=PEOPLE, passes=_TWO_NAMES),
    Way(
        "Otter",
        _otter,
        words=False,
        passes=_NO_TRANSCRIPT | _NOBODY | _NO_ENDS,
        exact=1.0,
        closed=False,
    ),
)

#: Services of which a channel is a number, which a file without one can't lack.
_CHANNELS = (
    ("Deepgram", "Deepgram, two channels", _deepgram, False),
    ("Deepgram", "Deepgram, utterances", _deepgram_utterances, True),
    ("AssemblyAI", "AssemblyAI, utterances", _assemblyai, True),
    ("Amazon Transcribe", "Amazon, two channels", _amazon, False),
    ("Azure batch transcription", "Azure, batch", _azure_batch, True),
    ("Azure fast transcription", "Azure, fast", _azure_fast, True),
    ("Google Speech-to-Text", "Google, v1", _google, False),
    ("Speechmatics", "Speechmatics", _speechmatics, False),
    ("ElevenLabs", "ElevenLabs, two channels", _elevenlabs_channels, False),
    ("Twilio Voice Intelligence", "Twilio", _twilio, True),
    ("Gladia", "Gladia", _gladia, True),
    ("whisper.cpp", "whisper.cpp, -ojf", _whisper_cpp_full, True),
)

#: Services with names of speakers or a file a side.
_SPEAKERS = (
    ("AssemblyAI", "AssemblyAI, words", _assemblyai_words_alone, False),
    ("Amazon Transcribe", "Amazon, speakers", _amazon_speakers, False),
    ("Amazon Contact Lens", "Contact Lens", _contact_lens, True),
    ("Google Speech-to-Text", "Google, v2", _google_v2, False),
    ("ElevenLabs", "ElevenLabs, speakers", _elevenlabs, False),
    ("Rev", "Rev", _rev, False),
    ("Hugging Face pipelines", "Hugging Face, words", _chunks, False),
    ("whisper-timestamped", "whisper-timestamped", _whisper_timestamped, True),
    ("OpenAI verbose_json", "OpenAI, segments", _openai_segments, True),
    ("OpenAI verbose_json", "OpenAI, words", _openai_words, False),
    ("Vosk", "Vosk", _vosk, False),
    ("NeMo", "NeMo, diarised words", _nemo_words, False),
    ("NeMo", "NeMo, timestamps", _nemo_timestamps, False),
)

WAYS_TO_WRITE += tuple(
    Way(name, write, utterances=utterances, document=service, passes=_NOBODY)
    for service, name, write, utterances in _CHANNELS
)
WAYS_TO_WRITE += tuple(
    Way(name, write, utterances=utterances, document=service, passes=_TWO_NAMES)
    for service, name, write, utterances in _SPEAKERS
)
WAYS_TO_WRITE += (
    Way("whisper.cpp, -oj", _whisper_cpp, words=False, document="whisper.cpp", passes=_NOBODY),
    Way(
        "podcast-namespace", _podcast, words=False, people=PEOPLE, document="podcast-namespace", passes=_TWO_NAMES
    ),
    Way(
        "insanely-fast-whisper", _insanely_fast, words=False, document="Hugging Face pipelines", passes=_TWO_NAMES
    ),
    Way("Label Studio", _label_studio, words=False, document="Label Studio", passes=_TWO_NAMES),
)

#: Roles that nobody has who speaks, and nobody's; an end is not in these records, and a recording that has no
#: beginning begins with its first line.
_OTHER_ROLES = _TWO_NAMES
_ROUGH = _OTHER_ROLES | _NO_ENDS

WAYS_TO_WRITE += (
    Way("Retell", _retell, document="Retell", passes=_OTHER_ROLES),
    Way("Retell, webhook", _retell_webhook, document="Retell", passes=_OTHER_ROLES),
    Way("Vapi", _vapi, words=False, document="Vapi", passes=_OTHER_ROLES),
    Way("Vapi, report", _vapi_report, words=False, document="Vapi", passes=_OTHER_ROLES),
    Way(
        "ElevenLabs Agents",
        _elevenlabs_agents,
        words=False,
        document="ElevenLabs Agents",
        passes=_ROUGH,
        exact=1.0,
        closed=False,
    ),
    Way("LiveKit Agents", _livekit, words=False, document="LiveKit Agents", passes=_OTHER_ROLES),
    Way(
        "Pipecat",
        _pipecat,
        words=False,
        document="Pipecat",
        passes=_ROUGH | {"a time before zero"},
        closed=False,
    ),
    Way("Bland", _bland, words=False, document="Bland", passes=_ROUGH, closed=False),
)


# Breaks


def _line(talk: Talk, **changes: Any) -> Talk:
    """The conversation with a changed utterance in its middle, whose words are where it is."""
    place = len(talk) // 2
    line = replace(talk[place], **changes)
    words = [*line.words]
    if "start" in changes or "end" in changes:
        words[0] = (words[0][0], changes.get("start", words[0][1]), changes.get("end", words[0][2]))
    return [*talk[:place], replace(line, words=tuple(words)), *talk[place + 1 :]]


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Talk, Way], Files]:
    """Damage to the first file of those that a way writes; gzip is damaged inside."""

    def broken(talk: Talk, way: Way) -> Files:
        files = way.write(talk, NAME)
        name, data = next(iter(files.items()))
        packed = name.endswith(".gz")
        data = change(gzip.decompress(data) if packed else data)
        return files | {name: gzip.compress(data) if packed else data}

    return broken


def _talk(change: Callable[[Talk], Talk]) -> Callable[[Talk, Way], Files]:
    return lambda talk, way: way.write(change(talk), NAME)


def _half(data: bytes) -> bytes:
    """What is before the end of the first number in the middle, or of its whole part if it has a fraction."""
    place = data.find(b"\n", len(data) // 2) + 1 or len(data) // 2
    match = re.compile(rb"\d(?=[.,])").search(data, place) or re.compile(rb"\d\b").search(data, len(data) // 2)
    return data[: match.end()] if match else data[: len(data) // 2]


def _twice(talk: Talk, way: Way) -> Files:
    files = way.write(talk, NAME)
    other = f"{NAME}.left.srt" if any(name.endswith(".vtt") for name in files) else f"{NAME}.left.vtt"
    text = "00:00:01.000 --> 00:00:02.000\nHello.\n"
    return files | {other: (f"1\n{text}" if other.endswith("srt") else f"WEBVTT\n\n{text}").encode()}


#: Every way of breaking a file, in order; each format takes the first ten that break it.
BREAKS: dict[str, Callable[[Talk, Way], Files]] = {
    "nothing in it": _bytes(lambda data: b""),
    "half of it": _bytes(_half),
    "no text": _bytes(lambda data: data[: len(data) // 2] + b"\xff\xfe\x00\x80" + data[len(data) // 2 :]),
    "another thing": _bytes(lambda data: b"Dear diary, nobody called today.\n"),
    "a time that is none": _talk(lambda talk: _line(talk, start="soon")),
    "an end before its start": _talk(lambda talk: _line(talk, end=talk[len(talk) // 2].start - 1.5)),
    "a time before zero": _talk(lambda talk: _line(talk, start=-5.0)),
    "a time of 31,000 years": _talk(lambda talk: _line(talk, end=1e12)),
    "a third speaker": _talk(lambda talk: _line(talk, who="Carol")),
    "nobody named": _talk(lambda talk: [replace(line, who="") for line in talk]),
    "a channel twice": _twice,
    "zeros at its end": _bytes(lambda data: data + bytes(4096)),
    "an end that is none": _talk(lambda talk: _line(talk, end="later")),
}


# Reading back


def read_back(files: Files, folder: Path) -> dict[str, Any]:
    """The row of the recording with these files beside it; sides that they do not name are found in its speech."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(EXAMPLE, folder / f"{NAME}.flac")
    for name, data in files.items():
        (folder / name).write_bytes(data)
    if any(name.startswith("sw2001") for name in files):
        (folder / f"{NAME}.flac").rename(folder / f"{SWITCHBOARD}.flac")
    (row,) = folder_rows(FolderConfig(inputs=(str(folder),)))
    if row["problem"]:
        return row
    talk = conversation()
    heard = {name: [None] * len(talk) for name in UTTERANCES}
    heard |= {
        "utterance_id": [str(number) for number in range(len(talk))],
        "channel": [line.who for line in talk],
        "speaker": [_person(line.who) for line in talk],
        "start": [line.start for line in talk],
        "end": [line.end for line in talk],
    }
    matched = row_after(MatchTranscript(), row | heard | {"notes": []})
    return row | {"cues": matched["cues"], "unmatched": matched["unmatched"]}


def differences(talk: Talk, way: Way, row: dict[str, Any]) -> dict[str, bool]:
    """What was read back wrong: words, times, speakers."""
    if row["problem"]:
        return dict.fromkeys(("words", "times", "speakers"), True)
    wrong = dict.fromkeys(("words", "times", "speakers"), False)
    for side in ("left", "right"):
        lines = [line for line in talk if line.who == side]
        # Turns of an RTTM have no text.
        cues = [cue for cue in row["cues"] if cue["channel"] == side and cue["text"] is not None]
        wrong["speakers"] |= {cue["speaker"] for cue in cues} != {(way.people or {}).get(side)}
        if way.words:
            meant = [word for line in lines for word in line.words]
            read = [(word["word"], word["start"], word["end"]) for cue in cues for word in cue["words"]]
            wrong["words"] |= [word for word, *_ in meant] != [word for word, *_ in read]
            last = 3 if way.ends else 2
            wrong["times"] |= _off([word[1:last] for word in meant], [word[1:last] for word in read], way.exact)
        if way.utterances:
            texts = [x.text if way.marks else join_words(word for word, *_ in x.words) for x in lines]
            wrong["words"] |= texts != [cue["text"] for cue in cues]
            edges = 2 if way.closed else 1
            spans = [(x.start, x.end)[:edges] for x in lines]
            wrong["times"] |= _off(spans, [(cue["start"], cue["end"])[:edges] for cue in cues], way.exact)
        else:
            spelled = join_words(word for line in lines for word, *_ in line.words)
            wrong["words"] |= join_words(cue["text"] for cue in cues) != spelled
    return wrong


def _off(meant: Sequence[Sequence[float]], read: Sequence[Sequence[float]], exact: float) -> bool:
    return len(meant) != len(read) or any(
        abs(one - other) > exact
        for pair in zip(meant, read, strict=True)
        for one, other in zip(*pair, strict=True)
    )


def main() -> int:
    parser(__doc__).parse_args()
    talk = conversation()
    rows = []
    met = True
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "calls")
        for way in WAYS_TO_WRITE:
            wrong = differences(talk, way, read_back(way.write(talk, NAME), folder))
            breaks = [name for name in BREAKS if name not in way.passes][:WAYS]
            n_named = 0
            for name in breaks:
                files = BREAKS[name](talk, way)
                problem = read_back(files, folder)["problem"] or ""
                n_named += any(file in problem for file in files)
            equal = ["wrong" if is_wrong else "equal" for is_wrong in wrong.values()]
            rows.append([way.name, *equal, str(len(breaks)), str(n_named)])
            met &= not any(wrong.values()) and n_named == len(breaks)
    print_table(("format", "words", "times", "speakers", "broken", "rejected"), rows)
    return int(not judged(f"all {len(rows)} read back equal, each rejected by name in up to {WAYS} ways", met))


if __name__ == "__main__":
    sys.exit(main())
