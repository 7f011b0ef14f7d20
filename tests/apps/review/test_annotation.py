"""Conversations out to Praat, ELAN, Audacity and editors of subtitles, and what people change there back in."""

import json
import random
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
from command import Command
from praatio import textgrid
from reviewable import dialogue, line, work_folder
from scripted import folder, loopback, say, settings, talk

from dailytalk_contiguous.apps.review.layouts import open_editable
from dailytalk_contiguous.apps.review.session import Session
from dailytalk_contiguous.core.records.conversation import rows_of_cues
from dailytalk_contiguous.sources.transcript_formats import read_cues
from dailytalk_contiguous.sources.transcripts import read_transcripts
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
    text = re.sub("<v (Anna|Ben)>", r"\1: ", path.read_text(encoding="utf-8"))
    if path.suffix == ".txt":
        lines = []
        for label in text.splitlines():
            start, end, styled = label.split("\t")
            lines.append((round(1000 * float(start)), round(1000 * float(end)), styled))
    else:
        events = pysubs2.SSAFile.from_string(text, format_=path.suffix[1:])
        lines = [(event.start, event.end, event.plaintext) for event in events]
    heard = []
    for begin, stop, styled in lines:
        match = re.fullmatch(r"(Anna|Ben): (?:\((\w+)\) )?(.*)", styled)
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
    shutil.rmtree(out / ".dailytalk-originals")
    back = dailytalk("edits", recordings, out)
    assert back.code == 0
    assert back.out.splitlines()[0] == f"0 edits of {len(names(recordings))} files"


def test_turns_and_words_for_scorers_are_read_as_given_transcripts(
    recordings: Path, tmp_path: Path, dailytalk: Command
) -> None:
    for format in ("rttm", "ctm"):
        dailytalk("export", recordings, "--format", format, "--out", tmp_path / format)
    for name in names(recordings):
        cues = read_cues(tmp_path / "rttm" / f"{file_name(name)}.rttm", None, list)
        turns = [(cue.speaker, ms(cue.start), ms(cue.end)) for cue in cues]
        expected = [(SPEAKERS[side], start, end) for side, start, end, _, _ in said(recordings, name)]
        assert sorted(turns) == sorted(expected)
        words = []
        for cue in read_cues(tmp_path / "ctm" / f"{file_name(name)}.ctm", None, list):
            side = {"A": "left", "B": "right"}[cue.channel]
            for word in cue.words:
                words.append((side, ms(word.start), ms(word.end), word.text))
        assert sorted(words) == words_said(recordings, name)


# Edits.


def random_edits(heard: list[Heard], count: int, draw: random.Random) -> list[Heard]:
    """What is said after edits of so many lines: of text, times, speaker or tag, deleted and new."""
    after = {index: list(entry) for index, entry in enumerate(heard)}
    for number, index in enumerate(draw.sample(range(len(heard)), count)):
        entry = after[index]
        side, start, end, text, tag = entry
        match number % 6:
            case 0:
                words = text.split()
                word = draw.choice(["boat", '"if"', "A&B", "né", "<three>", "4:30"])
                words[draw.randrange(len(words))] = word
                entry[3] = " ".join([*words, str(number)])
            case 1:
                third = (end - start) // 3
                entry[1] = start + draw.randint(1, third)
                entry[2] = end - draw.randint(1, third)
            case 2:
                entry[0] = "right" if side == "left" else "left"
            case 3:
                entry[4] = draw.choice([other for other in TAGS if other != tag])
            case 4:
                del after[index]
            case _:
                middle = (start + end) // 2
                entry[2] = middle
                new_tag = draw.choice(TAGS)
                after[len(heard) + number] = [side, middle, end, f"a new line {number}", new_tag]
    return sorted((*entry,) for entry in after.values())


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


@pytest.mark.parametrize(("format", "save"), SAVED.items())
def test_random_edits_arrive_once_and_can_be_undone(
    tmp_path: Path, dailytalk: Command, format: str, save: Callable[[Path, Sequence[Heard]], None]
) -> None:
    draw = random.Random(36)
    names = ("a", "bb")
    items = [(name, name, 0.0, dialogue(name, 58.0, 240)) for name in names]
    work = work_folder(tmp_path, items)
    out = tmp_path / "out"
    before = (work / "transcript.jsonl").read_bytes()
    dailytalk("export", work, "--format", format, "--out", out)
    heard_before = {name: said(work, name) for name in names}
    wanted = {name: random_edits(heard, 30, draw) for name, heard in heard_before.items()}
    for name, heard in wanted.items():
        save(out / f"{file_name(name)}{ENDINGS[format]}", heard)
    shown = dailytalk("edits", work, out, "--dry-run")
    assert shown.code == 0
    assert (work / "transcript.jsonl").read_bytes() == before
    done = dailytalk("edits", work, out, "--author", "Ada", "--json")
    summary = json.loads(done.out)
    assert done.code == 0
    assert summary["rejects"] == []
    assert {name: said(work, name) for name in names} == wanted
    assert len(summary["edits"]) >= 60
    kept = {json.dumps(entry) for entry in transcript(work) if "edited_by" not in entry}
    assert kept <= {*before.decode().splitlines()}
    assert {entry.get("edited_by", "Ada") for entry in transcript(work)} == {"Ada"}
    again = dailytalk("edits", work, out, "--author", "Ada", "--json")
    assert again.code == 0
    assert json.loads(again.out)["edits"] == []
    session = Session(open_editable(work), "Ada")
    for name in names:  # a file is one edit
        base = session.item(name)["base"]
        session.edit(name, base, {"do": "undo"})
    assert {name: said(work, name) for name in names} == heard_before


def test_times_are_those_of_the_recording_wherever_in_it_a_conversation_begins(
    tmp_path: Path, dailytalk: Command
) -> None:
    first = ("day.000", "day", 0.0, dialogue("day.000", 25.0, 60, 0.0))
    second = ("day.001", "day", 30.0, dialogue("day.001", 25.0, 60, 30.0))
    work = work_folder(tmp_path, [first, second])
    out = tmp_path / "out"
    dailytalk("export", work, "--format", "audacity", "--out", out)
    path = out / "day.001.txt"
    labels = path.read_text(encoding="utf-8").splitlines(keepends=True)
    start, end, styled = labels[0].split("\t")
    assert float(start) > 30
    later = float(start) + 0.1
    _, _, words = styled.partition(") ")
    labels[0] = f"{later:.6f}\t{end}\tBen: (sad) {words}"
    del labels[3]
    path.write_text("".join(labels), encoding="utf-8")
    heard = said(work, "day.001")
    assert dailytalk("edits", work, out, "--author", "Ada").code == 0
    _, begin, stop, text, _ = min(heard, key=lambda entry: entry[1])
    assert ("right", begin + 100, stop, text, "sad") in said(work, "day.001")
    assert len(said(work, "day.001")) == len(heard) - 1
    (edited,) = [entry for entry in transcript(work) if "edited_fields" in entry]
    assert edited["edited_fields"] == ["channel", "speaker", "start", "tag", "words"]


def test_what_others_changed_since_the_export_is_kept(tmp_path: Path, dailytalk: Command) -> None:
    work = work_folder(tmp_path, [("a", "a", 0.0, dialogue("a", 30.0, 60))])
    out = tmp_path / "out"
    dailytalk("export", work, "--format", "srt", "--out", out)
    path = out / "a.srt"
    texts = [entry["text"] for entry in transcript(work)]
    session = Session(open_editable(work), "Bob")
    for key, text in (("a/left/0000", "Bob's own words"), ("a/right/0001", "Bob's other words")):
        base = session.item("a")["base"]
        session.edit("a", base, {"do": "text", "line": key, "text": text})
    content = path.read_text(encoding="utf-8")
    for number, text in ((1, "Ada's words"), (2, "Ada's new words")):
        content = content.replace(texts[number], text, 1)
    path.write_text(content, encoding="utf-8")
    done = dailytalk("edits", work, out, "--author", "Ada")
    assert done.code == 3
    assert "it was changed meanwhile" in " ".join(done.out.split())
    after = [entry["text"] for entry in transcript(work)]
    assert after[:4] == ["Bob's own words", "Bob's other words", "Ada's new words", texts[3]]
    assert dailytalk("export", work, "--format", "srt", "--out", out).code == 1
    assert path.read_text(encoding="utf-8") == content


def test_speak_buys_only_the_lines_that_were_changed(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = folder(tmp_path / "work", one=talk("one", 12), two=talk("two", 12))
    out = tmp_path / "out"
    with loopback(monkeypatch) as server:
        say(work, settings(tmp_path))
        bought = len(server.purchases)
        dailytalk("export", work, "--format", "eaf", "--out", out)
        path = out / "two.eaf"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("This is line 4", "That was line 4"))
        done = dailytalk("edits", work, out)
        assert done.code == 0
        assert done.out.splitlines()[-1] == f"next: dailytalk speak {work}"
        say(work, settings(tmp_path))
        assert len(server.purchases) == bought + 1
        assert [text for text in server.purchases if "That was line 4 of two." in text]


#: Texts that a format may take for something of its own.
NASTY = (
    "42", "Note: yes", "a --> b", "<i>x</i> & y", "{\\an8}x", "(laughs) hi", 'say "it"', "intervals [2]:", "sil",
    "né 日本語", "Ben: hi", "x\\Ny", "[a]: b", "WEBVTT", "&lt;", "<v Ben>x", "00:00:01,000", "]]>",
)  # fmt: skip


@pytest.mark.parametrize("format", ENDINGS)
def test_no_text_is_changed_by_going_out_and_in(tmp_path: Path, dailytalk: Command, format: str) -> None:
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
    shutil.rmtree(out / ".dailytalk-originals")
    done = dailytalk("edits", work, out)
    assert done.code == 0
    assert done.out == "0 edits of 1 file\n"


def test_the_rebuilt_timeline_has_its_sound_beside_it_and_does_not_come_back(
    tmp_path: Path, dailytalk: Command
) -> None:
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
    (tmp_path / "tagged").mkdir()
    lines = [(name, name, 0.0, dialogue(name, 20.0, 30)) for name in ("call", "call.rebuilt")]
    work = work_folder(tmp_path / "tagged", lines)
    tagged = tmp_path / "source"
    dailytalk("export", work, "--format", "eaf", "--out", tagged)
    assert dailytalk("edits", work, tagged).code == 0
    done = dailytalk("edits", work, out)
    assert done.code == 3
    assert "call--rebuilt.eaf" in done.out


#: What is wrong with a file, and what makes it so.
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut in the middle": lambda data: data[: len(data) // 2],
    "noise": lambda data: random.Random(0).randbytes(4000),
    "no speaker of these": lambda data: data.replace(b"Anna", b"Hanna"),
    "unknown tag": lambda data: data.replace(b"calm", b"purple"),
}


@pytest.mark.parametrize("format", ENDINGS)
def test_damaged_files_are_a_sentence_each_and_change_nothing(
    tmp_path: Path, dailytalk: Command, format: str
) -> None:
    work = work_folder(tmp_path, [("a", "a", 0.0, dialogue("a", 30.0, 60))])
    out = tmp_path / "out"
    dailytalk("export", work, "--format", format, "--out", out)
    path = out / f"a{ENDINGS[format]}"
    before = (work / "transcript.jsonl").read_bytes()
    whole = path.read_bytes()
    for damage, change in DAMAGE.items():
        path.write_bytes(change(whole))
        done = dailytalk("edits", work, out)
        assert done.code == 3, (damage, done)
        assert path.name in done.out, damage
        assert (work / "transcript.jsonl").read_bytes() == before, (damage, done.out)
    path.unlink()
    path.symlink_to(tmp_path / "a.FLAC")
    assert dailytalk("edits", work, out).code == 3
    assert (work / "transcript.jsonl").read_bytes() == before
    path.rename(out / f"nobody{ENDINGS[format]}")
    assert "no conversation" in dailytalk("edits", work, out).out
