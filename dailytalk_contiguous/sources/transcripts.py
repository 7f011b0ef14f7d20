"""Transcripts that people already have, used instead of recognition.

Finds the files that belong to a recording, reads them into cues of its two channels and cuts these to
conversations. Any mix of formats will do as long as each channel comes from one file: two texts for the same
speech would put every word into the dataset twice, so they are refused rather than ranked.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.built import MAIN
from dailytalk_contiguous.core.documents import parse_json, quoted, shown
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.matching import Cue, Word, join_words
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.files.inside import leads_out
from dailytalk_contiguous.sources.speakers import broken, explains_itself, sides_of
from dailytalk_contiguous.sources.transcript_formats import (
    cues_of_words,
    make_cue,
    make_word,
    read_subtitles,
    read_text,
    read_textgrid,
)

#: The transcript of a whole run, with lines of many recordings.
RUN_TRANSCRIPT = "transcript.jsonl"

#: Formats with a file for a recording or for a channel of it, and those with a file for a recording only.
ONE_SIDED = {".srt": read_subtitles, ".vtt": read_subtitles, ".textgrid": read_textgrid}
TWO_SIDED = (".jsonl", ".json")

_KNOWN_JSON = (
    'give {"alignments": [[word, [start, end], speaker], …]}, [{"speaker", "word", "start", "end"}, …] or '
    '{"utterances": [{"channel", "start", "end", "text"}, …]}'
)


def find_transcripts(
    audio_file: Path, folder: Path | None, relative: Path, root: Path | None = None
) -> list[Path]:
    """Transcript files of a recording, sorted by name; an empty list if there are none.

    They are called like the audio file but for the extension (`call.json`), those of one channel with the side
    before it (`call.left.srt`: left, l, a, 1, ch0 … right, r, b, 2, ch1). A run's `transcript.jsonl`, which may
    or may not have lines for this recording, is among them. Files `*.reference.json` are never found: they hold
    what benchmarks compare with.

    Args:
        audio_file: the recording.
        folder: where to look: under the recording's relative path, and if there are none, in the folder itself.
            None: beside the audio, where a `.json` or `.jsonl` of another kind is taken for something else, and
            passed over.
        relative: path of the recording inside the folder of recordings.
        root: what links out of it point to is not opened: they are found whatever it is. None: all may be opened.
    """
    if folder is None:
        found = _named_like(audio_file, audio_file.parent)
        return [path for path in found if (root and leads_out(path, root)) or _may_be_transcript(path)]
    return _named_like(audio_file, folder / relative.parent) or _named_like(audio_file, folder)


def read_transcripts(
    paths: Sequence[Path], recording_file: str, channels: Mapping[Path, str | None] | None = None
) -> list[Cue]:
    """Cues (`schema.CUE`, in seconds of the recording) of transcript files, by rising start.

    `recording_file` is what the lines of a run's transcript call the recording (their `audio_file`); `channels`,
    what is known of files whose names don't say which side they are of. Raises BadInput, naming the file, for one
    that is damaged or of no known kind, where it can't be told who speaks, and where two give the same channel.
    """
    stem = Path(recording_file).stem
    known = {path: channel for path, channel in (channels or {}).items() if channel}
    markers = {path: None if path in known else _side_marker(path, stem) for path in paths}
    named = [marker for marker in markers.values() if marker]
    sides = sides_of(named, paths[0]) if named else {}
    cues: list[Cue] = []
    origin: dict[str, Path] = {}
    for path, marker in markers.items():
        own = _read(path, sides[marker] if marker else known.get(path), recording_file)
        for channel in {cue["channel"] for cue in own}:
            if channel in origin:
                raise broken(path, f"gives the {channel} channel, as {origin[channel].name} does", "keep only one")
            origin[channel] = path
        cues += own
    return sorted(cues, key=lambda cue: (cue["start"], cue["end"], cue["channel"]))


def cues_within(cues: Sequence[Cue], offset: float, duration: float, last: bool = False) -> list[Cue]:
    """The part of a recording's cues that lies in [offset, offset + duration), in seconds from `offset`.

    A word belongs to the side of a border that holds its midpoint, and so does the whole of a cue without word
    times; times are clipped to the border. `last`: this is the end of the recording, and what lies beyond it
    belongs here too, with its times as they are, so that it is missed later on and reported. A channel that is
    silent here but has cues elsewhere keeps one empty cue: it was transcribed and is not to be recognised.
    """
    end = offset + duration

    def is_inside(item: dict[str, Any]) -> bool:
        middle = (item["start"] + item["end"]) / 2
        return bool(offset <= middle and (last or middle < end))

    def moved(item: dict[str, Any]) -> dict[str, Any]:
        first, final = (
            max(time, offset) if last else min(max(time, offset), end) for time in (item["start"], item["end"])
        )
        return {**item, "start": first - offset, "end": final - offset}

    found: list[Cue] = []
    for cue in cues:
        words = [moved(word) for word in cue["words"] if is_inside(word)]
        if words and len(words) < len(cue["words"]):
            text = join_words(word["word"] for word in words)
            times = {"start": words[0]["start"], "end": max(word["end"] for word in words)}
            found.append({**cue, **times, "text": text, "words": words})
        elif words or (not cue["words"] and is_inside(cue)):
            found.append({**moved(cue), "words": words})
    silent = {cue["channel"] for cue in cues} - {cue["channel"] for cue in found}
    empty = [
        {"channel": channel, "start": 0.0, "end": duration, "text": "", "words": []} for channel in sorted(silent)
    ]
    return empty + found


def _named_like(audio_file: Path, directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    named = _by_name(directory, directory.stat().st_mtime_ns)
    found = []
    for path in (*named.get(audio_file.stem, ()), *named.get(RUN_TRANSCRIPT, ())):
        # call.1.srt is the left side of call.wav, unless there is a recording call.1.wav that it belongs to.
        is_side = (
            path.suffix.lower() in ONE_SIDED
            and _side_marker(path, audio_file.stem) is not None
            and not audio_file.with_name(path.stem + audio_file.suffix).exists()
        )
        if (path.stem == audio_file.stem or is_side or path.name == RUN_TRANSCRIPT) and path.is_file():
            found.append(path)
    return sorted(set(found))


@lru_cache(maxsize=8)
def _by_name(directory: Path, changed: int) -> dict[str, list[Path]]:
    """What is called like a transcript, by its stem and by each part of that up to a dot; runs' by their name.

    Listed once for all recordings of a folder; `changed`, when something in it was last added or removed.
    """
    named: dict[str, list[Path]] = {}
    for path in directory.iterdir():
        if path.suffix.lower() not in {*ONE_SIDED, *TWO_SIDED} or path.name.lower().endswith(".reference.json"):
            continue
        keys = [RUN_TRANSCRIPT] if path.name == RUN_TRANSCRIPT else []
        parts = path.stem.split(".")
        keys += [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
        for key in keys:
            named.setdefault(key, []).append(path)
    return named


def _side_marker(path: Path, stem: str) -> str | None:
    """What a file name says about the side: "left" for call.left.srt of call.wav; None for call.srt."""
    if path.stem == stem or path.suffix.lower() not in ONE_SIDED:
        return None
    rest = path.stem.removeprefix(f"{stem}.").rpartition(".")[2]
    return rest if explains_itself(rest) else None


def _may_be_transcript(path: Path) -> bool:
    """Whether a file that was found by name alone holds a transcript; a damaged one may, and fails later on."""
    if path.suffix.lower() not in TWO_SIDED or path.name == RUN_TRANSCRIPT:
        return True
    try:
        text = read_text(path)
        if path.suffix.lower() == ".json":
            return _kind(_loaded(path, text)) is not None
        line = _loaded(path, text.strip().partition("\n")[0])
    except BadInput:
        return True
    return isinstance(line, dict) and {"channel", "start", "end"} <= line.keys()


def _read(path: Path, side: str | None, recording_file: str) -> list[Cue]:
    suffix = path.suffix.lower()
    if suffix in ONE_SIDED:
        return ONE_SIDED[suffix](path, side)
    if suffix == ".json":
        return _read_json(path)
    if suffix != ".jsonl":
        raise broken(
            path, f"has the unknown extension '{path.suffix}'", "give .jsonl, .json, .srt, .vtt, .TextGrid"
        )
    lines = _lines_of(path, path.stat().st_mtime_ns)
    is_run = path.name == RUN_TRANSCRIPT
    return [
        _utterance_cue(path, f"line {number}", line)
        for number, line in lines
        if not is_run or line.get("audio_file") == recording_file
    ]


@lru_cache(maxsize=2)
def _lines_of(path: Path, modified: int) -> list[tuple[int, dict[str, Any]]]:
    """Numbered objects of a JSON Lines file, kept because a run's transcript is read for every recording in it."""
    lines = []
    for number, text in enumerate(read_text(path).split("\n"), 1):
        if text.strip():
            line = _loaded(path, text, number)
            if not isinstance(line, dict):
                raise broken(path, f"line {number} is not a JSON object", "give one utterance a line")
            lines.append((number, line))
    return lines


def _loaded(path: Path, text: str, first_line: int = 1) -> Any:
    return parse_json(text, f"transcript {shown(path)}", line=first_line, nan=True)


def _kind(data: Any) -> str | None:
    """Which of the known JSON transcripts this is, by its outermost layer."""
    if isinstance(data, dict):
        return next((key for key in ("alignments", "utterances") if isinstance(data.get(key), list)), None)
    is_words = isinstance(data, list) and all(isinstance(item, dict) and "word" in item for item in data)
    return "words" if is_words else None


def _read_json(path: Path) -> list[Cue]:
    data = _loaded(path, read_text(path))
    kind = _kind(data)
    if kind is None:
        raise broken(path, "is no known kind of transcript", _KNOWN_JSON)
    if kind == "utterances":
        return [_utterance_cue(path, f"utterance {n}", item) for n, item in enumerate(data["utterances"], 1)]
    said: list[tuple[str, Word]] = []
    for number, item in enumerate(data["alignments"] if kind == "alignments" else data, 1):
        try:
            if kind == "alignments":
                # moshi-finetune trains the voice of SPEAKER_MAIN, which it takes from the left channel.
                word, (start, end), speaker = item
                name = "main" if speaker == MAIN else "other"
            else:
                name, word, start, end = str(item["speaker"]), item["word"], item["start"], item["end"]
        except (KeyError, TypeError, ValueError) as error:
            raise broken(path, f"word {number} is {quoted(item)}", _KNOWN_JSON) from error
        said.append((name, make_word(path, f"word {number}", word, (start, end))))
    said.sort(key=lambda item: item[1]["start"])
    sides = sides_of([name for name, _ in said], path)
    return [
        cue
        for name, channel in sides.items()
        for cue in cues_of_words(channel, [word for speaker, word in said if speaker == name])
    ]


def _utterance_cue(path: Path, place: str, line: Any) -> Cue:
    """A cue from an utterance of one of our own transcripts.

    Words that don't spell the text were made before somebody corrected it; they are left out, so that the text
    is aligned anew.
    """
    words_of = line.get("words") or [] if isinstance(line, dict) else None
    if not isinstance(words_of, list) or not all(isinstance(word, dict) for word in words_of):
        raise broken(path, f"{place} is not an utterance: {quoted(line)}", _KNOWN_JSON)
    text = line.get("text") if line.get("text_raw") is None else line["text_raw"]
    if line.get("channel") not in CHANNELS or not isinstance(text, str):
        raise broken(
            path,
            f"{place} has the channel {quoted(line.get('channel'))} and the text {quoted(text)}",
            "give every utterance a channel, left or right, and a text, if only an empty one",
        )
    words = [
        make_word(path, place, word.get("word"), (word.get("start"), word.get("end")), word.get("probability"))
        for word in words_of
    ]
    if _letters(text) != _letters("".join(word["word"] for word in words)):
        words = []
    words.sort(key=lambda word: (word["start"], word["end"]))
    return make_cue(path, place, line["channel"], (line.get("start"), line.get("end")), text, words)


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()
