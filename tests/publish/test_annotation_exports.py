"""Conversations out to Praat, ELAN, Audacity and editors of subtitles, and corrected there in as transcripts."""

import html
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import parselmouth
import pympi
import pysubs2
import pytest
import soundfile
from audio_files import EXAMPLES
from built_conversations import built_row, sound, write_dataset
from command import EMBEDDED, Command
from praatio import textgrid
from reviewable import dialogue, line, work_folder

from dailytalk_contiguous.core.records.rows import rows_of_cues
from dailytalk_contiguous.sources.transcripts.named_records import NamedRecords
from dailytalk_contiguous.sources.transcripts.record_cues import read_cues
from dailytalk_contiguous.sources.transcripts.recording_transcripts import read_transcripts
from dailytalk_contiguous.store.files import file_name

ENDINGS = {"textgrid": ".TextGrid", "eaf": ".eaf", "srt": ".srt", "vtt": ".vtt", "audacity": ".txt"}

#: Side, start and end in milliseconds, text, tag.
Heard = tuple[str, int, int, str, str]

TAGS = ("calm", "sad", "happy", "")


def transcript(work: Path) -> list[dict[str, Any]]:
    texts = (work / "transcript.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(text) for text in texts]


def ms(seconds: float) -> int:
    return round(1000 * round(seconds, 3))


def said(work: Path, name: str) -> list[Heard]:
    """What the transcript of a conversation says, in milliseconds."""
    lines = []
    for entry in transcript(work):
        if entry["conversation_id"] == name and entry["text"]:
            start = ms(entry["start"])
            end = ms(entry["end"])
            lines.append((entry["channel"], start, end, entry["text"], entry["tag"]))
    return sorted(lines)


def words_said(work: Path, name: str) -> list[tuple[str, int, int, str]]:
    words = []
    for entry in transcript(work):
        if entry["conversation_id"] == name:
            for word in entry["words"]:
                start = ms(word["start"])
                end = ms(word["end"])
                words.append((entry["channel"], start, end, word["word"]))
    return sorted(words)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagged work folder of the bundled recordings, with their own transcripts."""
    path = tmp_path_factory.mktemp("recordings")
    items = []
    for recording in sorted(EXAMPLES.glob("*.flac")):
        name = recording.stem
        samples, rate = soundfile.read(recording)
        soundfile.write(path / f"{name}.FLAC", samples, rate)
        reference = recording.with_suffix(".reference.json")
        cues = [cue for cue in read_transcripts([reference], recording.name) if cue.text]
        lines = []
        for number, cue in enumerate(cues):
            words = rows_of_cues([cue])[0]["words"]
            entry = line(name, number, cue.channel, words, tag=TAGS[number % 4])
            entry |= {"start": cue.start, "end": cue.end, "text": cue.text}
            lines.append(entry)
        items.append((name, name, 0.0, lines))
    return work_folder(path, items)


def names(work: Path) -> list[str]:
    return [*dict.fromkeys(entry["conversation_id"] for entry in transcript(work))]


# What other programs read of each format, in milliseconds.


def read_by_praat(path: Path) -> tuple[list[Heard], list[Heard]]:
    """Utterances with their tags, and words, as Praat itself reads them."""
    grid = parselmouth.read(str(path))
    call = parselmouth.praat.call
    tiers: dict[str, list[tuple[int, int, str]]] = {}
    for number in range(1, call(grid, "Get number of tiers") + 1):
        name = call(grid, "Get tier name...", number)
        labels = tiers.setdefault(name, [])
        n_intervals = call(grid, "Get number of intervals...", number)
        for index in range(1, n_intervals + 1):
            text = call(grid, "Get label of interval...", number, index)
            if text:
                start = call(grid, "Get start time of interval...", number, index)
                end = call(grid, "Get end time of interval...", number, index)
                labels.append((round(1000 * start), round(1000 * end), text))
    return of_tiers(tiers)


def read_by_pympi(path: Path) -> tuple[list[Heard], list[Heard]]:
    eaf = pympi.Elan.Eaf(str(path))
    tiers = {}
    for name in eaf.tiers:
        annotations = eaf.get_annotation_data_for_tier(name)
        tiers[name] = [annotation[:3] for annotation in annotations]
    return of_tiers(tiers)


SIDES = {"Anna": "left", "Ben": "right"}
SPEAKERS = {side: name for name, side in SIDES.items()}


def of_tiers(tiers: Mapping[str, Sequence[tuple[int, int, str]]]) -> tuple[list[Heard], list[Heard]]:
    heard: dict[str, list[Heard]] = {"utterances": [], "words": []}
    tags = {}
    for name, labels in tiers.items():
        if "/tags" in name:
            for start, end, tag in labels:
                tags[name, start, end] = tag
    for name, labels in tiers.items():
        speaker, _, kind = name.partition("/")
        entries = heard.setdefault(kind.split()[0], [])
        tier_of_tags = name.replace("utterances", "tags")
        for start, end, text in labels:
            tag = tags.get((tier_of_tags, start, end), "")
            entries.append((SIDES[speaker], start, end, text, tag))
    return sorted(heard["utterances"]), sorted(heard["words"])


def read_lines(path: Path) -> tuple[list[Heard], None]:
    """Subtitles as pysubs2 reads them, which leaves out the names of voices, and labels."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".txt":
        lines = []
        for label in text.splitlines():
            start, end, styled = label.split("\t")
            lines.append((round(1000 * float(start)), round(1000 * float(end)), styled))
    else:
        named = re.sub("<v (Anna|Ben)>", r"\1: ", text)
        events = pysubs2.SSAFile.from_string(named, format_=path.suffix[1:])
        lines = [(event.start, event.end, html.unescape(event.plaintext)) for event in events]
    heard = []
    for begin, stop, styled in lines:
        match = re.fullmatch(r"(Anna|Ben): (?:\((calm|sad|happy)\) )?(.*)", styled)
        assert match is not None
        speaker, tag, words = match.groups(default="")
        heard.append((SIDES[speaker], begin, stop, words, tag))
    return sorted(heard), None


READERS: dict[str, Callable[[Path], Any]] = {"textgrid": read_by_praat, "eaf": read_by_pympi}
READERS |= dict.fromkeys(("srt", "vtt", "audacity"), read_lines)


@pytest.mark.parametrize("format", READERS)
def test_texts_times_speakers_tags_and_words_are_equal_in_other_programs(
    recordings: Path, tmp_path: Path, dailytalk: Command, format: str
) -> None:
    out = tmp_path / "out"
    assert dailytalk("export", recordings, "--format", format, "--out", out).code == 0
    for name in names(recordings):
        path = out / f"{file_name(name)}{ENDINGS[format]}"
        utterances, words = READERS[format](path)
        assert utterances == said(recordings, name)
        if words is not None:
            assert [word[:4] for word in words] == words_said(recordings, name)


def all_names(records: NamedRecords) -> list[str]:
    return [*records.by_name]


def test_turns_and_words_for_scorers_are_read_as_given_transcripts(
    recordings: Path, tmp_path: Path, dailytalk: Command
) -> None:
    for format in ("rttm", "ctm"):
        dailytalk("export", recordings, "--format", format, "--out", tmp_path / format)
    for name in names(recordings):
        cues = read_cues(tmp_path / "rttm" / f"{file_name(name)}.rttm", all_names)
        turns = [(cue.speaker, ms(cue.start), ms(cue.end)) for cue in cues]
        expected = [(SPEAKERS[side], start, end) for side, start, end, _, _ in said(recordings, name)]
        assert sorted(turns) == sorted(expected)
        words = []
        for cue in read_cues(tmp_path / "ctm" / f"{file_name(name)}.ctm", all_names):
            side = {"A": "left", "B": "right"}[cue.channel]
            for word in cue.words:
                words.append((side, ms(word.start), ms(word.end), word.word))
        assert sorted(words) == words_said(recordings, name)


def tiers_of(heard: Sequence[Heard]) -> dict[str, list[tuple[int, int, str]]]:
    """As somebody leaves them who edits two tiers of each speaker, and takes away the others."""
    tiers: dict[str, list[tuple[int, int, str]]] = {}
    lanes = ("", *(f" {number}" for number in range(2, 9)))
    for side, start, end, text, tag in sorted(heard, key=lambda entry: entry[1]):
        speaker = SPEAKERS[side]
        for lane in lanes:
            utterances = tiers.setdefault(f"{speaker}/utterances{lane}", [])
            tags = tiers.setdefault(f"{speaker}/tags{lane}", [])
            if not utterances or utterances[-1][1] <= start:
                utterances.append((start, end, text))
                if tag:
                    tags.append((start, end, tag))
                break
        else:
            raise AssertionError(f"{speaker} says more than {len(lanes)} things at once")
    return tiers


def save_in_praat(path: Path, heard: Sequence[Heard]) -> None:
    """In the long format."""
    grid = textgrid.Textgrid()
    for name, labels in tiers_of(heard).items():
        entries = [(start / 1000, end / 1000, text) for start, end, text in labels]
        grid.addTier(textgrid.IntervalTier(name, entries, 0, 3600))
    grid.save(str(path), "long_textgrid", includeBlankSpaces=True)


def save_in_elan(path: Path, heard: Sequence[Heard]) -> None:
    eaf = pympi.Elan.Eaf(author="somebody")
    eaf.add_linguistic_type("free")
    for name, labels in tiers_of(heard).items():
        eaf.add_tier(name, "free")
        for label in labels:
            eaf.add_annotation(name, *label)
    eaf.to_file(str(path))


def save_lines(path: Path, heard: Sequence[Heard]) -> None:
    """Subtitles as pysubs2 writes them; labels as Audacity does, one of them with its frequencies."""
    subtitles = pysubs2.SSAFile()
    labels = ""
    for side, start, end, text, tag in sorted(heard, key=lambda entry: entry[1]):
        prefix = f"({tag}) " if tag else ""
        styled = f"{SPEAKERS[side]}: {prefix}{text}"
        labels += f"{start / 1000:.6f}\t{end / 1000:.6f}\t{styled}\n"
        escaped = styled.replace("&", "&amp;").replace("<", "&lt;")
        subtitles.append(pysubs2.SSAEvent(start, end, escaped))
    if path.suffix == ".txt":
        path.write_text(f"{labels}\\\t120.5\t3000.0\n", encoding="utf-8")
    else:
        subtitles.save(str(path))


SAVED = {"textgrid": save_in_praat, "eaf": save_in_elan}
SAVED |= dict.fromkeys(("srt", "vtt", "audacity"), save_lines)


@pytest.fixture(scope="module")
def excerpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagged work folder of the first 20 s of a recording, whose speakers have names."""
    path = tmp_path_factory.mktemp("excerpt")
    samples, rate = soundfile.read(EXAMPLES / "bicycle_repair.flac")
    soundfile.write(path / "call.FLAC", samples[: 20 * rate], rate)
    cues = read_transcripts([EXAMPLES / "bicycle_repair.reference.json"], "bicycle_repair.flac")
    lines = []
    for number, cue in enumerate(cue for cue in cues if cue.text and cue.end < 20):
        entry = line("call", number, cue.channel, rows_of_cues([cue])[0]["words"], tag=TAGS[number % 4])
        lines.append(entry | {"start": cue.start, "end": cue.end, "text": cue.text})
    return work_folder(path, [("call", "call", 0.0, lines)])


@pytest.mark.parametrize(("format", "save"), SAVED.items())
def test_corrected_files_are_read_as_transcripts(
    excerpt: Path, tmp_path: Path, dailytalk: Command, format: str, save: Callable[[Path, Sequence[Heard]], None]
) -> None:
    out = tmp_path / "out"
    assert dailytalk("export", excerpt, "--format", format, "--out", out).code == 0
    corrected = [list(entry) for entry in said(excerpt, "call")]
    corrected[0][3] = "Oh, hello! I hope you can mend my bicycle."
    corrected[1][2] -= 200
    path = out / f"call{ENDINGS[format]}"
    save(path, [(*entry,) for entry in corrected])
    cues = read_transcripts([path], "call.FLAC")
    given = sorted((SIDES[str(cue.speaker)], ms(cue.start), ms(cue.end), cue.text) for cue in cues)
    assert given == [(*entry[:4],) for entry in corrected]
    (tmp_path / "calls").mkdir()
    shutil.copy(excerpt.parent / "call.FLAC", tmp_path / "calls")
    read = ("tag", tmp_path / "calls", "--transcripts", out, "--out", tmp_path / "work", "--affect-model", "none")
    done = dailytalk(*read, *EMBEDDED)
    assert done.code == 0, done.err
    again = said(tmp_path / "work", "call")
    assert [(side, text) for side, _, _, text, _ in again] == [(side, text) for side, _, _, text, _ in corrected]
    assert {entry["speaker"] for entry in transcript(tmp_path / "work")} == {"Anna", "Ben"}


@pytest.mark.parametrize("format", ["textgrid", "eaf"])
def test_words_of_tiers_keep_their_times_where_they_are_those_of_the_corrected_text(
    excerpt: Path, tmp_path: Path, dailytalk: Command, format: str
) -> None:
    out = tmp_path / "out"
    assert dailytalk("export", excerpt, "--format", format, "--out", out).code == 0
    path = out / f"call{ENDINGS[format]}"
    text = path.read_text(encoding="utf-8")
    assert text.count("you can save my bicycle.") == 1
    path.write_text(text.replace("you can save my bicycle.", "you can mend my bicycle."), encoding="utf-8")
    cues = read_transcripts([path], "call.FLAC")
    words = {cue.text: [(ms(word.start), ms(word.end), word.word) for word in cue.words] for cue in cues}
    assert words.pop("Oh, hello! I hope you can mend my bicycle.") == []
    expected = {}
    for entry in transcript(excerpt):
        expected[entry["text"]] = [(ms(word["start"]), ms(word["end"]), word["word"]) for word in entry["words"]]
    assert words == {spoken: expected[spoken] for spoken in words}
    assert len(words) == len(expected) - 1


def test_times_are_those_of_the_recording_wherever_in_it_a_conversation_begins(
    tmp_path: Path, dailytalk: Command
) -> None:
    first = ("day.000", "day", 0.0, dialogue("day.000", 25.0, 60, 0.0))
    second = ("day.001", "day", 30.0, dialogue("day.001", 25.0, 60, 30.0))
    work = work_folder(tmp_path, [first, second])
    out = tmp_path / "out"
    dailytalk("export", work, "--format", "audacity", "--out", out)
    heard, _ = read_lines(out / "day.001.txt")
    assert min(start for _, start, *_ in heard) > 30_000
    assert heard == said(work, "day.001")


#: Texts that a format may take for something of its own.
NASTY = (
    "42", "Note: yes", "a --> b", "<i>x</i> & y", "{\\an8}x", "(laughs) hi", 'say "it"', "intervals [2]:", "sil",
    "né 日本語", "Ben: hi", "x\\Ny", "[a]: b", "WEBVTT", "&lt;", "<v Ben>x", "00:00:01,000", "]]>",
)  # fmt: skip


@pytest.mark.parametrize("format", ENDINGS)
def test_no_text_is_taken_for_something_of_the_format(tmp_path: Path, dailytalk: Command, format: str) -> None:
    word = {"word": "x", "start": 0.0, "end": 0.5}
    lines = []
    for number, text in enumerate(NASTY):
        side = "right" if number % 2 else "left"
        start = number + 1 / 3
        end = number + 1.99995
        lines.append(line("a", number, side, [word], text=text, start=start, end=end))
    work = work_folder(tmp_path, [("a", "a", 0.0, lines)])
    out = tmp_path / "out"
    dailytalk("export", work, "--format", format, "--out", out)
    if format == "srt":  # players show the number of a character as it is
        assert " & y" in (out / "a.srt").read_text(encoding="utf-8")
    utterances, _ = READERS[format](out / f"a{ENDINGS[format]}")
    assert utterances == said(work, "a")


def test_the_rebuilt_timeline_has_its_sound_beside_it(tmp_path: Path, dailytalk: Command) -> None:
    row = built_row("call") | {"sounds": [sound(2.5, 2.6)]}
    write_dataset(tmp_path / "work", [row])
    out = tmp_path / "out"
    done = dailytalk("export", tmp_path / "work", "--format", "eaf", "--out", out)
    assert done.code == 0
    eaf = pympi.Elan.Eaf(str(out / "call--rebuilt.eaf"))
    media = eaf.media_descriptors[0]
    wav = soundfile.info(out / media["RELATIVE_MEDIA_URL"])
    assert wav.channels == 2
    assert round(wav.duration, 2) == round(row["duration"], 2)
    texts = []
    for name in eaf.tiers:
        if "/utterances" in name:
            annotations = eaf.get_annotation_data_for_tier(name)
            texts += [text for _, _, text in annotations]
    assert sorted(texts) == sorted(utterance["text"] for utterance in row["utterances"])
    assert [name for name in eaf.tiers if "/sounds" in name]
