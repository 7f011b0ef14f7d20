"""Reads subtitles and TextGrids into cues of the two channels.

A file that breaks off in the middle would go unseen into a dataset, so what is damaged is refused. Subtitles are
parsed by pysubs2 and TextGrids by praatio; both skip what they don't understand, so their input is checked first.
"""

import codecs
import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pysubs2
from praatio.utilities import textgrid_io
from praatio.utilities.errors import PraatioException

from dailytalk_contiguous.core.matching import Cue, Word, join_words
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.sources.speakers import broken, explains_itself, sides_of

#: Words of one speaker with more than this many seconds between them belong to different cues.
CUE_GAP = 0.35

#: Labels that aligners give to silence: Praat and MFA (sil, sp, spn, <eps>), WebMAUS (<p:>).
SILENCES = frozenset({"", "sil", "sp", "spn", "<eps>", "<sil>", "<p:>"})

#: A tier holds words if at least this share of its labels are single tokens.
WORD_TIER_SHARE = 0.9

# "A: hello", ">> MARY: hello", "[SPEAKER_00]: hello"; \0 encloses a name taken from VTT's <v Name>.
_NAMED_LINE = re.compile(
    r"\s*(?:\0(?P<voice>[^\0]+)\0|(?:[-–—>]+\s*)?[\[(]?(?P<name>[^\W_][\w.'-]*(?: [\w.'-]+){0,2})[\])]?\s*"
    r"(?::(?=\s|$)|：))\s*(?P<said>.*)"
)
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_TAG = re.compile(r"</?[a-zA-Z0-9:.][^>]*>")


def read_text(path: Path) -> str:
    """The text of a UTF-8 or UTF-16 file, with or without byte order mark, with newlines as LF."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise broken(path, f"can't be read ({error.strerror})", "check the path and its permissions") from error
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in data[:4]:  # every other byte of Latin text in UTF-16 is zero
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise broken(path, f"line {line} is not {encoding.upper()} text", "save the file as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def make_cue(path: Path, place: str, channel: str, times: tuple[Any, Any], text: str, words: list[Word]) -> Cue:
    """A `schema.CUE` from checked values; `place` says where in the file it stands ("line 12")."""
    start, end = _checked(path, place, times)
    return {"channel": channel, "start": start, "end": end, "text": " ".join(text.split()), "words": words}


def make_word(path: Path, place: str, word: Any, times: tuple[Any, Any], probability: Any = None) -> Word:
    """A `schema.WORD` from checked values."""
    start, end = _checked(path, place, times)
    if not isinstance(word, str) or not word.strip():
        raise broken(path, f"{place} has the word {word!r}", "give every word as text that isn't empty")
    if probability is not None and not isinstance(probability, int | float):
        raise broken(
            path, f"{place} has the probability {probability!r}", "give a number from 0 to 1, or leave it out"
        )
    return {"word": " ".join(word.split()), "start": start, "end": end, "probability": probability}


def cues_of_words(channel: str, words: Sequence[Word]) -> list[Cue]:
    """Words of one speaker, in any order, as cues split where nobody speaks for more than `CUE_GAP` seconds."""
    cues: list[Cue] = []
    for word in sorted(words, key=lambda word: (word["start"], word["end"])):
        if not cues or word["start"] - cues[-1]["end"] > CUE_GAP:
            cues.append({"channel": channel, "start": word["start"], "end": word["end"], "text": "", "words": []})
        cues[-1]["words"].append(word)
        cues[-1]["end"] = max(cues[-1]["end"], word["end"])
    for cue in cues:
        cue["text"] = join_words(word["word"] for word in cue["words"])
    return cues


@dataclass(frozen=True)
class _Line:
    """A line of a subtitle; `name` is what may be its speaker, `said` the rest, `text` all of it."""

    name: str | None
    said: str
    text: str
    is_certain: bool


def read_subtitles(path: Path, side: str | None) -> list[Cue]:
    """Cues of an SRT or WebVTT file of one `side`, or (None) of both with a speaker's name in every subtitle.

    In a file of one side a name is taken off the text if every subtitle begins with the same one.
    """
    subtitles = _subtitles(path)
    leads = [next((line.name for line in lines), None) for _, _, lines in subtitles]
    names = [name for name in dict.fromkeys(leads) if name is not None]
    unnamed = [place for lead, (place, _, _) in zip(leads, subtitles, strict=True) if lead is None]
    if side is not None:
        is_named = len(names) == 1 and not unnamed and (len(subtitles) > 1 or explains_itself(names[0]))
        return [
            make_cue(
                path, place, side, times, " ".join(x.said if is_named and x.name else x.text for x in lines), []
            )
            for place, times, lines in subtitles
        ]
    if unnamed:
        raise broken(
            path,
            f"{len(unnamed)} of {len(subtitles)} subtitles begin with no speaker (the first at {unnamed[0]})",
            f"begin each with A: or B:, or save one file a channel, as in NAME.left{path.suffix} and "
            f"NAME.right{path.suffix}",
        )
    certain = [line.name for _, _, lines in subtitles for line in lines if line.name and line.is_certain]
    sides = sides_of(list(dict.fromkeys([*names, *certain])), path)
    cues = []
    for place, times, lines in subtitles:
        turns: list[tuple[str, str]] = []
        for line in lines:
            if line.name in sides:
                turns.append((sides[line.name], line.said))
            else:
                turns.append((turns[-1][0], line.text))
        for channel in CHANNELS:
            said = [text for speaker, text in turns if speaker == channel]
            if said:
                cues.append(make_cue(path, place, channel, times, " ".join(said), []))
    return cues


def read_textgrid(path: Path, side: str | None) -> list[Cue]:
    """Cues of the interval tiers of a TextGrid of one `side`, or (None) of both with a speaker in the tier names.

    Phone and point tiers are left out. Where a speaker has a tier of words and one of utterances, the words
    count. Names without a speaker ("words") are taken in order: left, then right.
    """
    speakers: dict[str, dict[str, list[tuple[float, float, str]]]] = {}
    for name, intervals in _tiers(path):
        tokens = re.findall(r"[^\W_]+", name.casefold())
        kind = "words" if _holds_words(tokens, intervals) else "utterances"
        named = [token for token in tokens if not re.fullmatch(r"words?|utterances?|utts?|transcripts?", token)]
        speaker = " ".join(named)
        if not speaker:  # the first tier of each kind is one speaker's, the second the other's
            speaker = next(n for n in "123" if kind not in speakers.get(n, {}) or n == "3")
        if kind in speakers.setdefault(speaker, {}):
            raise broken(path, f"has two tiers of {kind} for {speaker!r}", "keep one of them")
        speakers[speaker][kind] = intervals
    if not speakers:
        raise broken(path, "has no interval tier of words or utterances", "add one, or remove the file")
    if side is not None and len(speakers) > 1:
        raise broken(path, f"is named as one side but has tiers of {', '.join(speakers)}", "keep the tiers of one")
    sides = sides_of(list(speakers), path)
    cues = []
    for speaker, kinds in speakers.items():
        channel = side or sides[speaker]
        kind = "words" if "words" in kinds else "utterances"
        spoken = [(f"'{text}'", (start, end), text) for start, end, text in kinds[kind]]
        if kind == "words":
            cues += cues_of_words(channel, [make_word(path, place, text, times) for place, times, text in spoken])
        else:
            cues += [make_cue(path, place, channel, times, text, []) for place, times, text in spoken]
    return cues


def _checked(path: Path, place: str, times: tuple[Any, Any]) -> tuple[float, float]:
    numbers = [x for x in times if isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)]
    if len(numbers) != 2 or not 0 <= numbers[0] <= numbers[1]:
        raise broken(
            path,
            f"{place} has the times {times[0]!r} to {times[1]!r}",
            "give seconds from the start of the recording, the end not before the start",
        )
    return float(numbers[0]), float(numbers[1])


def _subtitles(path: Path) -> list[tuple[str, tuple[float, float], list[_Line]]]:
    """(place, (start, end), lines) of every subtitle that has text, by rising start."""
    text = read_text(path)
    is_vtt = path.suffix.lower() == ".vtt" or text.lstrip().startswith("WEBVTT")
    stamp = (pysubs2.formats.webvtt.WebVTTFormat if is_vtt else pysubs2.formats.subrip.SubripFormat).TIMESTAMP
    lines = text.split("\n")
    stamped = [
        number
        for number, line in enumerate(lines, 1)
        if "-->" in line or (not is_vtt and len(stamp.findall(line)) == 2)
    ]
    for number in stamped:
        if len(stamp.findall(lines[number - 1])) != 2:
            raise broken(
                path,
                f"line {number} has no start and end time: '{lines[number - 1].strip()}'",
                f"write {'00:01:02.500 --> 00:01:04.000' if is_vtt else '00:01:02,500 --> 00:01:04,000'}",
            )
    if not stamped:
        raise broken(path, "has no subtitles", "remove it, so that the speech is recognised, or save it again")
    parsed = pysubs2.SSAFile.from_string(_tidy(lines, is_vtt), "vtt" if is_vtt else "srt", keep_html_tags=True)
    if len(parsed) != len(stamped):
        raise broken(path, "has a text with two times in it", "leave times out of the text")
    found = [
        (f"line {number}", (event.start / 1000, event.end / 1000), _lines(event.plaintext))
        for number, event in zip(stamped, parsed, strict=True)
    ]
    return sorted((item for item in found if item[2]), key=lambda item: item[1])


def _tidy(lines: Sequence[str], is_vtt: bool) -> str:
    """Subtitles with a number above each and below the last, as pysubs2 takes one number off the end of a text.

    Of WebVTT only the cues are kept, without names of cues, notes, styles, and the times inside of texts, all
    of which pysubs2 would take for text or for cues.
    """
    tidy: list[str] = []
    is_text = False
    for line in lines:
        if "-->" in line:
            tidy += ["", "0", line] if is_vtt else [line]
            is_text = True
        elif not is_vtt:
            tidy.append(line)
        elif is_text and line.strip():
            tidy.append(re.sub(r"<[\d:.]+>", "", line))
        else:
            is_text = False
    return "\n".join([*tidy, "", "0", ""])


def _lines(text: str) -> list[_Line]:
    lines = []
    for raw in _VOICE.sub(lambda found: f"\n\0{found[1].strip()}\0", text).split("\n"):
        line = " ".join(html.unescape(_TAG.sub("", raw)).split())
        found = _NAMED_LINE.fullmatch(line)
        if found is None:
            lines.append(_Line(None, line, line, False))
            continue
        name = (found["voice"] or found["name"]).strip()
        said = found["said"]
        text = said if found["voice"] else line
        lines.append(_Line(name.casefold(), said, text, bool(found["voice"]) or explains_itself(name)))
    return [line for line in lines if line.text or line.name]


def _tiers(path: Path) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """Names and non-silent (start, end, label) of the interval tiers of a TextGrid, but for those of phones."""
    text = read_text(path)
    remedy = "save it from Praat again, as a text file"
    if "ooTextFile" not in text[:200]:
        raise broken(path, "does not begin like a TextGrid", remedy)
    try:
        tiers = textgrid_io.parseTextgridStr(text, includeEmptyIntervals=True)["tiers"]
        found = [
            (tier["name"], [(float(start), float(end), label) for start, end, label in tier["entries"]])
            for tier in tiers
            if tier["class"] == "IntervalTier"
        ]
    except (PraatioException, ValueError, IndexError) as error:
        raise broken(path, f"is damaged ({error})", remedy) from error
    # praatio takes a file that breaks off for a shorter one.
    expected = re.findall(r"(?:intervals|points): ?size ?= ?(\d+)", text) or re.findall(
        r'"(?:Interval|Text)Tier"\s*\n\s*".*"\s*\n.*\n.*\n\s*(\d+)', text
    )
    n_tiers = re.search(r"<exists>\s*\n\s*(?:size ?= ?)?(\d+)", text)
    sizes = [len(tier["entries"]) for tier in tiers]
    if [int(size) for size in expected] != sizes or (n_tiers and int(n_tiers[1]) != len(sizes)):
        raise broken(path, f"breaks off: its {len(sizes)} tiers hold {sizes} of {expected} intervals", remedy)
    return [
        (name, [interval for interval in intervals if interval[2].strip().casefold() not in SILENCES])
        for name, intervals in found
        if "phon" not in name.casefold()
    ]


def _holds_words(name_tokens: Sequence[str], intervals: Sequence[tuple[float, float, str]]) -> bool:
    if any(token.startswith("word") for token in name_tokens):
        return True
    if any(token.startswith("utt") for token in name_tokens) or not intervals:
        return False
    single = sum(len(label.split()) == 1 for _, _, label in intervals)
    return single >= WORD_TIER_SHARE * len(intervals)
