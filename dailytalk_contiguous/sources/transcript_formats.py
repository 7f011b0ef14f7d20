"""Reads subtitles and TextGrids into cues of the two channels.

A file that breaks off in the middle would go unseen into a dataset, so what is damaged is refused. Subtitles are
parsed by pysubs2, which skips what it doesn't understand, so its input is checked first; a TextGrid is read as
Praat reads it, by its strings and numbers in order.
"""

import codecs
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pysubs2

from dailytalk_contiguous.core.documents import MOST_BYTES, is_number, quoted, read_bytes
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.matching import Cue, Word, join_words
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.sources.speakers import broken, explains_itself, sides_of

#: Words of one speaker with more than this many seconds between them belong to different cues.
CUE_GAP = 0.35

#: Labels that aligners give to silence: Praat and MFA (sil, sp, spn, <eps>), WebMAUS (<p:>).
SILENCES = frozenset({"", "sil", "sp", "spn", "<eps>", "<sil>", "<p:>"})

#: A tier holds words if at least this share of its labels are single tokens.
WORD_TIER_SHARE = 0.9

#: Characters of a line of a subtitle or of a TextGrid: an hour of speech has 60,000.
MOST_IN_A_LINE = 200_000

#: Seconds; no recording lasts so long.
LATEST = 1e9

# No pattern here may look at a character twice for one that it starts from: a file may hold a million of these.
# "A: hello", ">> MARY: hello", "[SPEAKER_00]: hello"; \0 encloses a name taken from VTT's <v Name>.
_NAMED_LINE = re.compile(
    r"\s*(?:\0(?P<voice>[^\0]+)\0|(?:[-–—>]+\s*)?[\[(]?(?P<name>[^\W_][\w.'-]*(?: [\w.'-]+){0,2})[\])]?\s*"
    r"(?::(?=\s|$)|：))\s*(?P<said>.*)"
)
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]*)>")
_TAG = re.compile(r"</?[a-zA-Z0-9:.][^<>]*>")
_NO_CHARACTER = re.compile(r"&#[xX]?[0-9a-fA-F]{9,}+;?")  # more digits than html.unescape can make a number of
_OVERRIDE = re.compile(r"\{[^{}]*\}")

# What a Praat text file is made of: strings with doubled quotes, and words, of which the numbers count.
_PRAAT = re.compile(r'\s++|"(?P<string>(?:[^"]++|"")*+)"|(?P<word>[^\s"=]++)|=')
_NUMBER = re.compile(r"[-+]?\d{1,15}+(?:\.\d*+)?(?:[eE][-+]?\d{1,2})?")
_SAVE_AGAIN = "save it from Praat again, as a text file"


def read_text(path: Path) -> str:
    """The text of a UTF-8 or UTF-16 file, with or without byte order mark, newlines as LF. Raises BadInput."""
    try:
        data = read_bytes(path, "check the file and its permissions", MOST_BYTES)
    except BadInput as error:
        raise BadInput(f"transcript {error.reason}", error.remedy) from None
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
        raise broken(path, f"{place} has the word {quoted(word)}", "give every word as text that isn't empty")
    if probability is not None and not is_number(probability):
        raise broken(
            path,
            f"{place} has the probability {quoted(probability)}",
            "give a number from 0 to 1, or leave it out",
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
    if not all(is_number(time, 0, LATEST) for time in times) or times[0] > times[1]:
        raise broken(
            path,
            f"{place} has the times {quoted(times[0])} to {quoted(times[1])}",
            "give seconds from the start of the recording, the end not before the start",
        )
    return float(times[0]), float(times[1])


def _subtitles(path: Path) -> list[tuple[str, tuple[float, float], list[_Line]]]:
    """(place, (start, end), lines) of every subtitle that has text, by rising start."""
    text = _read_lines(path)
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
                f"line {number} has no start and end time: {quoted(lines[number - 1].strip())}",
                f"write {'00:01:02.500 --> 00:01:04.000' if is_vtt else '00:01:02,500 --> 00:01:04,000'}",
            )
    if not stamped:
        raise broken(path, "has no subtitles", "remove it, so that the speech is recognised, or save it again")
    try:
        parsed = pysubs2.SSAFile.from_string(_tidy(lines, is_vtt), "vtt" if is_vtt else "srt", keep_html_tags=True)
    except ValueError as error:  # a time such as `:01:00.000`
        raise broken(path, f"has a time that is none ({error})", "save the file again") from None
    if len(parsed) != len(stamped):
        raise broken(path, "has a text with two times in it", "leave times out of the text")
    found = [
        (f"line {number}", (event.start / 1000, event.end / 1000), _lines(_plain(event.text)))
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
            if line.strip() or (tidy and tidy[-1]):  # pysubs2 takes the square of the number of empty lines
                tidy.append(line.strip())
        elif is_text and line.strip():
            tidy.append(re.sub(r"<[\d:.]+>", "", line))
        else:
            is_text = False
    return "\n".join([*tidy, "", "0", ""])


def _lines(text: str) -> list[_Line]:
    lines = []
    for raw in _VOICE.sub(_voice, text).split("\n"):
        line = " ".join(html.unescape(_NO_CHARACTER.sub("\ufffd", _TAG.sub("", raw))).split())
        found = _NAMED_LINE.fullmatch(line)
        if found is None:
            lines.append(_Line(None, line, line, False))
            continue
        name = (found["voice"] or found["name"]).strip()
        said = found["said"]
        text = said if found["voice"] else line
        lines.append(_Line(name.casefold(), said, text, bool(found["voice"]) or explains_itself(name)))
    return [line for line in lines if line.text or line.name]


def _voice(match: re.Match[str]) -> str:
    """A line of its own for a voice, which begins with its name; nothing for one without a name."""
    name = match[1].strip()
    return f"\n\0{name}\0" if name else ""


def _plain(text: str) -> str:
    """The text of a subtitle as pysubs2 holds it, without overrides in braces, with its breaks as LF."""
    return _OVERRIDE.sub("", text).replace(r"\h", " ").replace(r"\n", "\n").replace(r"\N", "\n")


def _read_lines(path: Path) -> str:
    """`read_text` of a file of lines that people can read. Raises BadInput."""
    text = read_text(path)
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MOST_IN_A_LINE:
            raise broken(
                path,
                f"line {number} has {len(line):,} characters, more than {MOST_IN_A_LINE:,}",
                "break it into subtitles, or save the file again",
            )
    return text


def _tiers(path: Path) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """Names and non-silent (start, end, label) of the interval tiers of a TextGrid, except those of phones."""
    text = _read_lines(path)
    if "ooTextFile" not in text[:200]:
        raise broken(path, "does not begin like a TextGrid", _SAVE_AGAIN)
    tokens = _tokens(path, text)

    def number(what: str) -> float:
        token = next(tokens, None)
        if not isinstance(token, float):
            raise broken(path, f"breaks off where {what} should be", _SAVE_AGAIN)
        return token

    def label(what: str) -> str:
        token = next(tokens, None)
        if not isinstance(token, str):
            raise broken(path, f"breaks off where {what} should be", _SAVE_AGAIN)
        return token

    label("its type"), label("its class"), number("its start"), number("its end")
    found = []
    for n_tier in range(1, int(number("the number of its tiers")) + 1):
        kind, name = label(f"the class of tier {n_tier}"), label(f"the name of tier {n_tier}")
        where = f"of tier {n_tier} ({quoted(name)})"
        number(f"the start {where}"), number(f"the end {where}")
        n_items = int(number(f"the size {where}"))
        if kind == "IntervalTier":
            intervals = [
                (number(f"a start {where}"), number(f"an end {where}"), label(f"a label {where}").strip())
                for _ in range(n_items)
            ]
            found.append((name, intervals))
        elif kind == "TextTier":
            for _ in range(n_items):
                number(f"a time {where}"), label(f"a label {where}")
        else:
            raise broken(path, f"has a tier of the unknown class {quoted(kind)}", _SAVE_AGAIN)
    if next(tokens, None) is not None:
        raise broken(path, "goes on after its last tier", _SAVE_AGAIN)
    return [
        (name, [interval for interval in intervals if interval[2].casefold() not in SILENCES])
        for name, intervals in found
        if "phon" not in name.casefold()
    ]


def _tokens(path: Path, text: str) -> Iterator[str | float]:
    """The strings and the free-standing numbers of a Praat text file, which are all that Praat itself reads of it.

    Raises BadInput for a string without an end.
    """
    place = 0
    while match := _PRAAT.match(text, place):
        place = match.end()
        if match["string"] is not None:
            yield match["string"].replace('""', '"')
        elif match["word"] is not None and _NUMBER.fullmatch(match["word"]):
            yield float(match["word"])
    if place < len(text):
        line = text[:place].count("\n") + 1
        raise broken(path, f"breaks off: the text that begins in line {line} has no end", _SAVE_AGAIN)


def _holds_words(name_tokens: Sequence[str], intervals: Sequence[tuple[float, float, str]]) -> bool:
    if any(token.startswith("word") for token in name_tokens):
        return True
    if any(token.startswith("utt") for token in name_tokens) or not intervals:
        return False
    single = sum(len(label.split()) == 1 for _, _, label in intervals)
    return single >= WORD_TIER_SHARE * len(intervals)
