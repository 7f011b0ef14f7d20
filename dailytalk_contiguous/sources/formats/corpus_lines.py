"""Transcripts that are a record a line: Fisher and CallHome, Switchboard, and NIST's STM, CTM and RTTM.

Each states which of two sides speaks, which is what a recording of two channels needs. The signs of the
transcribers are removed, so that words are what somebody says; marks stay (`core.words.transcript_marks`).
A line that is none of its format is an error: it may be what is left of a damaged file.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.words.transcript_marks import mark_of
from dailytalk_contiguous.sources.formats.private_names import shown_line
from dailytalk_contiguous.sources.formats.records import TranscriptRecord
from dailytalk_contiguous.sources.formats.text_files import NUMBER, broken, lines_with_text, number_of_field

#: A line of Fisher, also of CallHome, in which `B1` is the second voice on side B.
FISHER_LINE = re.compile(rf"({NUMBER.pattern})\s+({NUMBER.pattern})\s+([A-Z])\d?:(?:\s+(.*))?")

_REMEDY = "save the file again, one record a line"

_UNCERTAIN = re.compile(r"\(\(([^()]{0,2000})\)\)")


def ldc_text(text: str) -> str:
    """Return the words of a transcript of LDC's, without the signs of the transcriber.

    Doubtful words `((so))` are words; where there are none, the mark `((unclear))` stays.

    >>> ldc_text("((are you)) from a._b._c. (( )) [laughter] //yes// +mispronunced+ &Anna")
    'are you from a. b. c. ((unclear)) [laughter] yes mispronunced Anna'
    """

    def without_brackets(match: re.Match[str]) -> str:
        content = match[1].strip()
        if not content:
            return "((unclear))"
        return match[0] if mark_of(f"(({content}))") else content

    text = _UNCERTAIN.sub(without_brackets, text)
    text = re.sub(r"\[\[[^\[\]]{0,80}\]\]", " ", text)  # comments
    text = text.replace("._", ". ").replace("//", " ")
    text = re.sub(r"(?<!\S)(\*\*|\+)(\w\S*)\1(?=[\s.,?!]|$)", r"\2", text)  # odd words
    text = re.sub(r"(?<!\S)&(?=[A-Z])", "", text)  # names
    return " ".join(text.split())


def fisher_records(path: Path) -> Iterator[TranscriptRecord]:
    """Yield the lines `12.34 15.60 A: words` of Fisher and CallHome; `#` begins a comment. Raises BadInput."""
    for position, line in lines_with_text(path):
        if line.startswith("#"):
            continue
        match = FISHER_LINE.fullmatch(line.strip())
        if match is None:
            raise broken(path, f"{position} is no line of Fisher: {shown_line(line)}", _REMEDY)
        start, end, side, words = match.groups()
        text = ldc_text(words or "")
        if text:
            yield position, {"start": float(start), "end": float(end), "channel": side, "text": text}


# Switchboard


def switchboard_word(token: str) -> str:
    """Return the spoken word of a token of the Mississippi State transcripts; empty for signs that are no speech.

    The corpus's transcription guidelines mark laughed words, mispronounced ones before the intended word, coined
    ones, the unspoken rest of a word that is cut off, and numbers of pronunciations. Marks of sounds stay.

    >>> tokens = ("[laughter-yeah]", "[youn/your]", "{alrighty}", "sim[ilar]-", "about_1")
    >>> [switchboard_word(token) for token in tokens]
    ['yeah', 'your', 'alrighty', 'sim-', 'about']
    """
    if re.fullmatch(r"<[be]_aside>", token, re.IGNORECASE):
        return ""
    laughed = re.fullmatch(r"\[laughter-(.+)\]", token, re.IGNORECASE)
    if laughed:
        token = laughed[1]
    if mark_of(token):
        return token
    token = re.sub(r"^\[[^\[\]/]+/([^\[\]/]+)\]", r"\1", token)
    token = re.sub(r"\[[^\[\]]+\](?=-$)|(?<=^-)\[[^\[\]]+\]", "", token)
    token = re.sub(r"^\{(.+)\}$", r"\1", token)
    return re.sub(r"_\d$", "", token)


#: A line of the Mississippi State transcripts of Switchboard: an utterance's id, with the side, and times.
_MS98_LINE = re.compile(
    rf"sw\d+([AB])-ms98-\w+-\d+\s+({NUMBER.pattern})\s+({NUMBER.pattern})\s+(\S.*)", re.IGNORECASE
)


def ms98_records(path: Path) -> Iterator[TranscriptRecord]:
    """Yield the lines `sw2001A-ms98-a-0001 0.000 0.977 word` of Switchboard, of words or utterances.

    Raises BadInput.
    """
    has_words = path.name.lower().endswith("-word.text")
    for position, line in lines_with_text(path):
        match = _MS98_LINE.fullmatch(line.strip())
        if match is None:
            raise broken(path, f"{position} is no line of Switchboard: {shown_line(line)}", _REMEDY)
        side, start, end, tokens = match.groups()
        words = [switchboard_word(token) for token in tokens.split()]
        text = " ".join(filter(None, words))
        if text:
            field = "word" if has_words else "text"
            yield position, {"start": float(start), "end": float(end), "channel": side.upper(), field: text}


#: A line of a `.mrk` of Switchboard, by LDC's mrk_spec.txt: talker and turn, start, duration, word. `*` stands for
#: what is unknown; `@` has no meaning any more.
_MRK_LINE = re.compile(
    r"@{0,2}(?P<turn>(?P<side>[AB])(?:\.\d+)?|\*)\s+(?P<start>\S+)\s+(?P<duration>\S+)\s+(?P<word>\S+)"
)


def mrk_records(path: Path) -> Iterator[TranscriptRecord]:
    """Yield the turns of a `.mrk` of Switchboard, with words of which some have no times. Raises BadInput."""
    turns: list[tuple[str, str, list[dict[str, object]]]] = []
    last_turn = None
    for position, line in lines_with_text(path):
        match = _MRK_LINE.fullmatch(line.strip())
        if match is None:
            if turns:
                raise broken(path, f"{position} is no line of a .mrk: {shown_line(line)}", _REMEDY)
            continue  # the head of the file
        side = match["side"]
        word = switchboard_word(match["word"].replace("#", ""))  # # encloses what is said at the same time
        has_word = any(map(str.isalnum, word)) or mark_of(word)
        if side is None or not has_word:
            continue
        if match["turn"] != last_turn:
            last_turn = match["turn"]
            turns.append((position, side, []))
        entry: dict[str, object] = {"word": word}
        if match["start"] != "*":
            entry["start"] = number_of_field(match["start"])
            entry["duration"] = number_of_field(match["duration"])
        turns[-1][2].append(entry)
    if not turns:
        raise broken(path, "has no line of a .mrk", _REMEDY)
    yield from _timed_turns(turns)


#: Seconds that each word gets of a turn in which no word has a time.
_UNTIMED_WORD = 0.3


def _timed_turns(turns: Sequence[tuple[str, str, list[dict[str, object]]]]) -> Iterator[TranscriptRecord]:
    """Yield a record for each turn; the words of one in which each has its times are records of their own."""
    latest = 0.0
    for position, side, words in turns:
        timed = [word for word in words if "start" in word]
        if len(timed) == len(words):
            for word in words:
                yield position, {"channel": side, **word}
        ends = [latest]
        for word in timed:
            start = word["start"]
            duration = word["duration"]
            if not isinstance(start, float) or not isinstance(duration, float):
                raise ValueError(f"its times are {quoted(start)} and {quoted(duration)}")
            ends.append(start + duration)
        start = timed[0]["start"] if timed else latest
        latest = ends[-1] if timed else latest + _UNTIMED_WORD * len(words)
        if len(timed) < len(words):
            text = " ".join(str(word["word"]) for word in words)
            record = {"start": start, "end": round(latest, 6), "channel": side, "text": text}
            yield position, record | {"words": words if timed else None}


# STM


#: What STM has in place of words where nothing is scored, and the speakers of no speech.
_STM_NO_WORDS = ("ignore_time_segment_in_scoring",)
_STM_NOBODY = ("inter_segment_gap", "excluded_region")


def stm_records(path: Path) -> Iterator[TranscriptRecord]:
    """Yield the segments of NIST's STM: file, channel, speaker, start, end, labels in `<>`, text.

    The format is that of SCTK's documentation; `;;` begins a comment. The first of the alternatives `{ a / b }` is
    read, and an optional `(word)` is a word. Raises BadInput.
    """
    for position, line in lines_with_text(path):
        fields = line.split(maxsplit=5)
        if fields[0].startswith(";;"):
            continue
        if len(fields) < 5:
            raise broken(path, f"{position} has {len(fields)} fields, not 5 or more", _REMEDY)
        recording, channel, speaker, start, end, *remaining = fields
        text = _stm_text(remaining[0] if remaining else "")
        is_speech = text.casefold() not in _STM_NO_WORDS and speaker.casefold() not in _STM_NOBODY
        if is_speech and text:
            record: dict[str, object] = {
                "recording_id": recording,
                "channel": channel,
                "speaker": speaker,
                "start": number_of_field(start),
                "end": number_of_field(end),
                "text": text,
            }
            yield position, record


def _stm_text(text: str) -> str:
    """Return the words of a segment, without its labels (`<O,en,F,en-F>`); marks stay."""

    def mark_alone(match: re.Match[str]) -> str:
        return match[0] if mark_of(match[0]) else ""

    def first_alternative(match: re.Match[str]) -> str:
        alternatives = match[1].split(" / ")
        if len(alternatives) < 2:
            return match[0]
        alternative = alternatives[0].strip()
        return "" if alternative == "@" else alternative

    def optional_word(match: re.Match[str]) -> str:
        return match[0] if mark_of(match[0]) else match[1]

    text = re.sub(r"^<[^<>\s]*>(?=\s|$)", mark_alone, text)
    text = re.sub(r"\{\s([^{}]{1,4000})\s\}", first_alternative, text)
    text = re.sub(r"(?<!\S)\(([^\s()]+)\)(?!\S)", optional_word, text)
    return " ".join(text.split())


# CTM and RTTM


#: The columns of NIST's formats, of which a line must have at least so many: `ctm` in the documentation of SCTK,
#: and RTTM in appendix A of the plan of RT-09.
_COLUMNS = {
    ".ctm": (5, ("recording_id", "channel", "start", "duration", "word", "probability", "kind", "speaker")),
    ".rttm": (
        9,
        ("kind", "recording_id", "channel", "start", "duration", "", "", "speaker", "probability", "ahead"),
    ),
}

_NUMBERS = ("start", "duration", "probability")

#: Kinds of lines of a CTM that are no words, unless their text is a mark.
_NO_WORDS = ("non-lex", "misc", "noscore")


def nist_records(path: Path) -> Iterator[TranscriptRecord]:
    """Yield the words of a CTM, or the turns of an RTTM; `;;` begins a comment. Raises BadInput."""
    suffix = path.suffix.lower()
    least, columns = _COLUMNS[suffix]
    for position, line in lines_with_text(path):
        fields = line.split()
        if fields[0].startswith(";;"):
            continue
        if not least <= len(fields) <= len(columns):
            reason = f"{position} has {len(fields)} fields, not {least} to {len(columns)}"
            raise broken(path, reason, _REMEDY)
        item: dict[str, Any] = {}
        for name, field in zip(columns, fields, strict=False):
            if field.upper() == "<NA>":
                continue
            item[name] = number_of_field(field) if name in _NUMBERS else field
        if suffix == ".ctm":
            word = item.get("word", "").replace("<space>", " ")
            item["word"] = word
            is_speech = bool(mark_of(word)) or item.get("kind", "").casefold() not in _NO_WORDS
        else:
            is_speech = item.get("kind") == "SPEAKER"
        if is_speech:
            yield position, item
