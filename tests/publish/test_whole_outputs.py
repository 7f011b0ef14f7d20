"""Whole pages, cards and folders against what they are expected to be, in `goldens/`.

What a trainer reads is compared word for word, everything else by its facts (`facts.py`). After a change that is
meant: `PYTHONPATH=tests python tests/publish/test_whole_outputs.py`, and look at what git shows.
"""

import io
import json
import math
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile
from built_conversations import built_row, work_with_recordings, write_dataset
from card_versions import MODELS, NON_COMMERCIAL, card_of, published_row, write_version
from facts import card_facts, column_facts, figure_facts, finding_facts, page_facts
from finished_corpora import clip_row, corpus_folder, measures
from from_apps import from_app
from mixes import mix_folders
from reports import export_with_readme as write_export
from reports import pack_version, write_report
from rich_conversations import rich_row, rich_rows

from dailytalk_contiguous.core.records.finding import Finding
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.core.records.tables import TableMaker
from dailytalk_contiguous.core.records.utterance import AFFECT, PROSODY
from dailytalk_contiguous.machine.audio import read_at
from dailytalk_contiguous.publish.checking import check_folder, check_version
from dailytalk_contiguous.publish.checks.verdict import all_findings
from dailytalk_contiguous.publish.exports.csm import CSM
from dailytalk_contiguous.publish.exports.exporting import Export
from dailytalk_contiguous.publish.exports.jmoshi import JMOSHI
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.splits import split_conversations
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tables.card import Card, CardFacts
from dailytalk_contiguous.publish.tables.player import LONGEST, NO_SAMPLES, RATE, detail
from dailytalk_contiguous.publish.version import manifest_text, open_version

GOLDENS = Path(__file__).with_name("goldens")

#: Of the time, to validate and to test on.
THREE_TENTHS_EACH = partial(split_conversations, shares={"validation": 0.3, "test": 0.3})

REJECTS = [
    {
        "id": f"x{number}",
        "stage": f"Stage{number % 9}",
        "reason": f"{'abcdefghij'[number % 10]} is bad",
        "remedy": "r",
    }
    for number in range(40)
]

ACTED = {"name": "acted", "licence": "CC-BY-4.0", "citation": "Doe J (2020). Acted.", "homepage": "https://a.org"}


def without_version(text: str) -> str:
    """A text that is the same in the next release."""
    return re.sub(r"(dailytalk-contiguous )[\d.]*\d", r"\1…", text)


def facts_of(pages: str) -> str:
    """The facts of pages."""
    return page_facts(without_version(pages))


def facts_of_card(card: Card) -> str:
    """The facts of a card, and what it warns of."""
    return card_facts(without_version(card.text)) + rows_as_text([len(card.warnings), sorted(card.assets)])


def tree(folder: Path, without_text: Collection[Path] = ()) -> str:
    """All files of a folder: texts as they are, sounds by their rate, shape and sums; of some the name alone."""
    told = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path in without_text:
            text = ""
        elif path.suffix == ".wav":
            samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
            sums = abs(samples.astype(int)).sum(axis=0).tolist() if rate == 24000 else "resampled"
            text = f"{rate} Hz, {samples.shape}, {sums}\n"
        else:
            text = path.read_text(encoding="utf-8").replace(str(folder.resolve()), "FOLDER")
        told.append(f"==== {path.relative_to(folder)}\n{text}")
    return "".join(told)


def plain(value: Any) -> Any:
    """What JSON can hold, without floats beyond nine digits and with audio as its rate, shape and sums."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        if set(value) == {"bytes", "path"} and value["bytes"]:
            samples, rate = soundfile.read(io.BytesIO(value["bytes"]), dtype="int16", always_2d=True)
            return [value["path"], rate, samples.shape, abs(samples.astype(int)).sum(axis=0).tolist()]
        return {str(name): plain(one) for name, one in value.items() if name != "audio_sha256"}
    if isinstance(value, float):
        return float(f"{value:.9g}")
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def facts_of_rows(rows: Iterable[Any], folder: Path) -> str:
    """The facts of the columns of rows, without nulls, the path of `folder` and the version that made them."""
    text = json.dumps([sparse(plain(row)) for row in rows], default=str)
    return column_facts(json.loads(without_version(text.replace(str(folder), "FOLDER"))))


def rows_as_text(rows: Any) -> str:
    return "".join(json.dumps(plain(row), ensure_ascii=False, default=str) + "\n" for row in rows)


def work(folder: Path) -> Path:
    write_dataset(folder, rich_rows()[:2], rich_rows()[2:])
    run = {"speak": {"money": {"spent": 0.5, "saved_by_cache": 0.25}}}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "rejects.jsonl").write_text("".join(json.dumps(one) + "\n" for one in REJECTS))
    return folder


def transcript(folder: Path) -> Path:
    lines = [
        {
            "conversation_id": f"call{number // 4}",
            "channel": ("left", "right")[number % 2],
            "start": 1.5 * number,
            "end": 1.5 * number + 1.25 + 0.5 * (number % 3 == 0),
            "text": f"Line number {number}{'?' if number % 3 else '.'}",
            "tag": ("calm", "angry", None)[number % 3],
            "rule": "seed" if number % 2 else None,
            "language": ("en", "de")[number // 4],
            "speaker": f"p{number % 2}",
            "vad": dict.fromkeys(AFFECT, number / 8) if number != 3 else None,
            "features": dict.fromkeys(PROSODY, float(number)),
            "vad_bucket": {"valence": "LOW"},
            "prosody_bucket": {"pitch": "HIGH"},
            "models": {"recogniser": "given"},
            "words": [{"word": "Line", "start": 1.5 * number, "end": 1.5 * number + 0.5}],
        }
        for number in range(8)
    ]
    folder.mkdir()
    (folder / "transcript.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def corpus(folder: Path, name: str = "acted", run: Mapping[str, Any] = {"corpus": ACTED}) -> Path:
    rows = []
    for number in range(10):
        columns = {
            "weight": 1.0 + number % 3,
            "split": "validation" if number % 5 == 4 else "train",
            "gender": ("female", "male", None)[number % 3],
            "style": ("normal", "whispered", None)[number % 3],
            "style_source": ("rule", "corpus")[number % 2],
            "sentence_type": ("declarative", "interrogative")[number % 2],
            "length": ("short", "medium", "long")[number % 3],
            "licence": ("CC-BY-4.0", "ODbL-1.0", None)[number % 3],
            "language": ("en", "de")[number % 2],
            "text": None if number == 6 else f"Text {number}.",
            "tag": ("calm", None)[number % 2],
            "affect": {**dict.fromkeys(AFFECT, number / 10), "source": ("raters", "model")[number % 2]},
            "prosody": dict.fromkeys(PROSODY, 10.0 * number),
            "augmented_from": f"{name}/s3-8" if number == 9 else None,
        }
        emotion = ("happy", "sad", "angry", None)[number % 4]
        rows.append(clip_row(f"s{number % 5}-{number}", emotion, 0.5 + 0.25 * number, corpus=name, **columns))
    settings = {"min_snr": 20.0, "max_seconds": None}
    balance = {"target_minutes": 25.0, "minutes_before": {"happy": 45.0, "sad": 10.0, "angry": 29.5}}
    measured = [
        measures(snr_db=4.0 * n, bandwidth_hz=1000.0 * n, speech_ratio=n / 12, duration=3.0 * n) for n in range(12)
    ]
    measured += [measures(snr_db=None, bandwidth_hz=None)]
    return corpus_folder(folder, rows, {"settings": settings, "balance": balance, **run}, REJECTS[:20], measured)


def report(folder: Path) -> str:
    return facts_of(write_report(work(folder / "talks"), shown=2).path.read_text())


def report_of_tags(folder: Path) -> str:
    return facts_of(write_report(transcript(folder / "tagged")).path.read_text())


def report_of_clips(folder: Path) -> str:
    return facts_of(write_report(corpus(folder / "acted")).path.read_text())


def listening_test(folder: Path) -> str:
    from_app("listening.listening").write_listening_test(corpus(folder / "acted"), folder / "page.html", 5, seed=3)
    return (folder / "page.key.json").read_text()


def outcome_of(made: Export) -> str:
    """What a person is told of an export."""
    names = ("files", "disjoint", "is_checked", "rejects", "facts", "notes", "left_out")
    return rows_as_text([{name: getattr(made, name) for name in names}])


def moshi(folder: Path) -> str:
    rows = [*rich_rows(), rich_row("mono", audio={"bytes": b"fLaC", "path": None})]
    made = write_export(rows, folder / "data", MOSHI, both_speakers=True, text_conditions=True, max_length=4.0)
    return tree(folder / "data") + outcome_of(made)


def moshi_swapped(folder: Path) -> str:
    settings = {"main": "right", "eval_share": 0.4, "seed": 5, "sample_rate": 16000}
    made = write_export(rich_rows(), folder / "data", MOSHI, **settings)
    return tree(folder / "data") + outcome_of(made)


def csm(folder: Path) -> str:
    made = write_export(rich_rows(), folder / "data", CSM)
    return tree(folder / "data") + outcome_of(made)


def jmoshi(folder: Path) -> str:
    made = write_export(rich_rows(), folder / "data", JMOSHI, main="right")
    return (tree(folder / "data") + outcome_of(made)).replace(str(folder), "FOLDER")


def player_parts(folder: Path) -> str:
    """What the player shows of conversations of which more is known than is shown, or less."""
    lines = [
        ("left", 0.5, 1.5, "One."),
        ("right", 179.0, 190.0, "Two."),
        ("left", 180.0, 181.0, "Three."),
        ("right", 179.996, 180.5, ""),
    ]
    row = built_row("long", lines, 2.0, duration=180.5, sounds=[(179.5, 185.0), (180.0, 181.0), (0.1, 0.101)])
    row["utterances"][0] |= {
        "text": None,
        "tag": "<b>",
        "rule": "r",
        "valence": 0.25,
        "dominance": 0.5,
        "reason": "why",
    }
    row["utterances"][1] |= {"status": "dropped"}
    row["utterances"][3] |= {"tag": None, "text": None, "status": None}
    row["alignments"][0]["source"] = "given"
    limit = row | {"duration": 180.0, "language": None, "utterances": None, "alignments": None, "speakers": None}
    empty = limit | {"duration": None, "sounds": None, "audio": None}
    shown = []
    for one, offset, rebuilt in ((row, 0.0, True), (limit, 1.0, False), (limit, 2.5, True), (empty, 0.0, False)):
        samples = NO_SAMPLES
        problem = "it is gone"
        if one["audio"]:
            samples = read_at(one["audio"], RATE, offset, min(one["duration"], LONGEST))
            problem = ""
        part = detail(from_finished(one), rebuilt, samples) | {"problem": problem}
        part["peaks"] = [len(wave) for wave in part["peaks"]]
        shown.append(part)
    return "".join(json.dumps(plain(one), ensure_ascii=False, indent=1) + "\n" for one in shown)


def mixed(folder: Path) -> str:
    calls = write_dataset(
        folder / "talks",
        [rich_row(f"call{n}", n / 4, speakers={"left": None, "right": f"p{n}"}) for n in range(4)],
    )
    models = {
        "affect": {"name": "audeering/x", "licence": "CC-BY-NC-SA-4.0", "url": ""},
        "speak: new_voice": {"name": "/home/me/own", "licence": "", "url": "https://a.org"},
        "recogniser": {"name": "medium", "licence": "MIT"},
    }
    run = {"models": models, "source": {"repository": "a/calls", "revision": "1", "licence": "ODbL-1.0"}}
    (calls / "run.json").write_text(json.dumps(run))
    folders = [(corpus(folder / "acted"), 2.0), (calls, 1.0), (corpus(folder / "other", "other", {}), 1.0)]
    out = folder / "out"
    mix_folders(folders, out, hours=20 / 3600, text_conditions=True)
    copies = [path for name in ("acted", "other") for path in sorted((out / "data_stereo" / name).iterdir())]
    for copy in copies:
        original = folder / copy.parent.name / "data/data_stereo" / copy.name
        assert copy.read_bytes() == original.read_bytes()
    return tree(out, without_text=copies)


def published(folder: Path) -> str:
    found = pack_version(work(folder / "talks"), folder / "stage", divide=THREE_TENTHS_EACH)
    files = [f"{file.name} {file.rows} {file.seconds:.6f}\n" for file in found.files]
    rows: dict[str, list[Any]] = {}
    for file in found.files:
        rows.setdefault(file.name.partition("/")[0], []).extend(pq.read_table(file.path).to_pylist())
    columns = [f"==== {config}\n{facts_of_rows(every, folder)}" for config, every in rows.items()]
    return "".join([*files, *columns]) + rows_as_text([found.rejects, [found.disjoint]])


def card(folder: Path) -> str:
    rows = [published_row(row["conversation_id"], kept_speaker=f"p{n % 2}") for n, row in enumerate(rich_rows())]
    for row, own in zip(rows, rich_rows(), strict=True):
        row |= {name: own[name] for name in own if name != "provenance"}
    rows[0]["provenance"] |= {"source_licence": "ODbL-1.0", "models": [*MODELS, NON_COMMERCIAL], "voice": "bea"}
    rows[1]["provenance"] |= {
        "settings": json.dumps({"timeline": "sequential", "sample_rate": 24000, "swap": True})
    }
    rows[2]["provenance"] |= {"source_licence": None, "source": None, "tool": None}
    packed, version = write_version(
        folder, {"train": rows[:1], "validation": rows[1:2], "test": rows[2:]}, "recordings"
    )
    tags = [{"from": "calm", "to": "sad", "count": 2}]
    changes = {"previous": "v1.0.0", "added": 1, "removed": 2, "changed": 3, "moved": 4, "tags": tags}
    history = (("v1.1.0", "2026-02-03", "second"), ("v1.0.0", "2026-01-02", "first"))
    facts = CardFacts("owner/good_talks", "v1.1.0", history=history, changes=changes)
    run = {"settings": {"rules": "seed", "profile": "standard"}, "packages": {"torch": "2.13.0"}}
    made = card_of(None, packed, version, facts, run, REJECTS)
    again = card_of(made.text.replace("# good talks", "# Mine"), packed, version, facts, run, REJECTS)
    assert again.text == made.text.replace("# good talks", "# Mine")
    return facts_of_card(made)


def card_of_clips(folder: Path) -> str:
    work = corpus(folder / "acted", run={"corpus": ACTED, "stages": [{"name": "Condition", "digest": "d"}]})
    packed = pack_version(work, folder / "stage")
    facts = CardFacts("owner/acted-clips", "v1.0.0")
    made = card_of(None, packed, open_version(folder / "stage"), facts, {"corpus": ACTED}, REJECTS[:3])
    return facts_of_card(made)


def reports_of_versions(folder: Path) -> str:
    pack_version(work(folder / "talks"), folder / "conversations")
    pack_version(corpus(folder / "acted"), folder / "clips")
    pages = [
        write_report(open_version(folder / name), folder / f"{name}.html", *shown).path.read_text()
        for name, *shown in (("conversations", ["b"]), ("clips",))
    ]
    return facts_of("".join(pages).replace(str(folder), "FOLDER"))


def sparse(value: Any) -> Any:
    """A value without nulls in its rows."""
    if isinstance(value, Mapping):
        return {name: sparse(one) for name, one in value.items() if one is not None}
    return [sparse(one) for one in value] if isinstance(value, list | tuple) else value


def affect(row: Mapping[str, Any]) -> dict[str, Any]:
    utterance = row["utterances"][0]
    return {name: utterance[name] for name in AFFECT} | {"source": (utterance["models"] or {}).get("affect")}


def items(folder: Path) -> str:
    """What the one reader gives of each kind of folder."""
    work(folder / "talks")
    models = {"affect": {"name": "m/dim", "licence": "MIT"}}
    corpus(folder / "acted", run={"corpus": ACTED, "version": "0.1.0", "models": models})
    transcript(folder / "lines")
    write_export(rich_rows()[:1], folder / "moshi", MOSHI, both_speakers=True)
    mix_folders([(folder / "acted", 2.0), (folder / "talks", 1.0)], folder / "mix", hours=30 / 3600)
    pack_version(folder / "talks", folder / "version", divide=THREE_TENTHS_EACH)
    (folder / "cut").mkdir()
    shutil.rmtree(work_with_recordings(folder / "cut") / "dataset")
    (folder / "cut/work/transcript.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in CUT_LINES))
    names = ("talks", "version", "acted", "lines", "moshi", "mix", "cut/work")
    return "".join(f"==== {name}\n{facts_of_items(folder / name, folder)}" for name in names)


def facts_of_items(folder: Path, root: Path) -> str:
    """What the one reader gives of a folder somewhere in `root`."""
    found = open_items(folder)
    ids = [row["conversation_id"] for row in found.rows(["conversation_id"])]
    clips = [row for row in found.listed() if row["labels"]]
    few = [
        [found.kind, found.rebuilt, found.has_labels, found.name, found.splits()],
        [(row_id, found.row(row_id)["duration"]) for row_id in ids],
        [row["conversation_id"] for row in found.rows(["duration"], ["train"])],
        [(row["conversation_id"], row["labels"]["weight"], affect(row)) for row in clips],
    ]
    many: dict[str, Iterable[Any]] = {
        "rejects": found.rejects(),
        "measures": from_app("clips.clip_figures").measured_clips(found),
        "provenance": [found.row(ids[0])["provenance"]],
    }
    if folder.name not in ("talks", "version"):
        many["rows"] = found.rows()
    if folder.name not in ("lines", "acted"):
        many["sound"] = [{"sound": tuple(found.sound(row_id))} for row_id in ids]
    columns = [f"-- {name}\n{facts_of_rows(rows, root)}" for name, rows in many.items()]
    return rows_as_text(sparse(plain(part)) for part in few) + "".join(columns)


#: Lines of conversations that were cut from recordings, in seconds of these.
CUT_LINES = [
    {
        "conversation_id": name,
        "channel": channel,
        "start": start,
        "end": start + 1.0,
        "text": f"At {start}.",
        "language": language,
        "speaker": speaker,
        "words": [{"word": "At", "start": start, "end": start + 0.25, "probability": 0.5}],
        "models": {"recogniser": "tiny"},
        "vad": {"valence": math.nan, "arousal": 0.5},
    }
    for name, channel, start, language, speaker in (
        ("long.000", "left", 0.5, "en", "Ann"),
        ("long.000", "right", 1.25, None, "Ben"),
        ("long.001", "right", 3.5, "de", None),
        ("long.001", "left", 3.25, "en", "Ann"),
        ("long.001", "right", 4.5, "en", "Cem"),
        ("short", "left", 5.0, None, None),
    )
]


def checked_corpus(folder: Path) -> str:
    """A training folder of clips: what its manifests may name twice, and what nobody says on the right."""
    work = corpus(folder / "acted")
    stereo = work / "data/data_stereo"
    first, second, third = sorted(stereo.glob("*.json"))[:3]
    told = json.loads(first.read_text())
    first.write_text(json.dumps(told | {"text_conditions": {"style": "calm"}}))
    second.write_text(json.dumps(json.loads(second.read_text()) | {"alignments": []}))
    for wav in (second.with_suffix(".wav"), third.with_suffix(".wav")):
        samples, rate = soundfile.read(wav)
        soundfile.write(wav, samples * [1, 0], rate, subtype="PCM_16")
    (stereo / "left over.wav").write_bytes(b"RIFF")
    once = checked(work)
    clips = work / "data/expressive_dataset.jsonl"
    clips.write_text(clips.read_text() * 2)
    twice = checked(work)
    clips.write_text(clips.read_text() * 8)
    mix_folders([(corpus(folder / "other", "other", {}), None)], folder / "mix")
    in_mix = checked(folder / "mix")
    (folder / "mix/mix.json").write_text("{")
    return once + twice + checked(work) + in_mix + checked(folder / "mix")


def checked_version(folder: Path) -> str:
    packed = pack_version(work(folder / "talks"), folder / "version", divide=THREE_TENTHS_EACH)
    version = folder / "version"
    (version / "manifest.json").write_text(manifest_text(packed.manifest(None, {})))
    rows = pq.read_table(packed.files[0].path)
    pq.write_table(
        rows.set_column(rows.schema.get_field_index("audio_sha256"), "audio_sha256", [["0"]]), packed.files[0].path
    )
    packed.files[-1].path.unlink()
    findings, facts = check_version(open_version(version))
    return findings_and_figures(findings, facts, version)


def checked_dataset(folder: Path) -> str:
    rows = rich_rows()
    rows[0]["alignments"][1] |= {"start": 0.1, "end": 0.1}
    rows[0]["alignments"][3] |= {"word": "(calm)"}
    rows[1]["utterances"][2] |= {"start": 4.0, "end": 3.0}
    rows[1]["sounds"][0] |= {"end": 9.0}
    rows[2]["alignments"][-1] |= {"end": 8.5}
    long = built_row("long", [("left", 6.0, 20.0, "A long turn."), ("right", 25.0, 26.0, "Yes.")], seconds=30.0)
    return checked(
        write_dataset(
            folder / "talks", rows, [long, rich_row("a"), rich_row("d", audio={"bytes": b"x", "path": None})]
        )
    )


def checked_moshi(folder: Path) -> str:
    data = folder / "data"
    write_export(rich_rows(), data, MOSHI, both_speakers=True)
    for name, change in (("a", slice(None, None, -1)), ("b", slice(0, 0))):
        path = data / f"data_stereo/{name}.json"
        told = json.loads(path.read_text())
        path.write_text(json.dumps({"alignments": told["alignments"][change]}))
    (data / "data_stereo/c.wav").write_bytes((data / "data_stereo/c.wav").read_bytes()[:200_000])
    (data / "moshi-finetune.yaml").write_text(
        f"data:\n  train_data: {data}/train.jsonl\n  eval_data: gone.jsonl\n"
    )
    return checked(data)


def damaged_moshi(folder: Path) -> str:
    """Each fault in a file of its own, and what is wrong with the folder as a whole."""
    data = folder / "data"
    rows = [
        built_row(f"call{n:02}", kept_speaker=f"p{n % 2}", language="de", rate=24000 if n else 8000)
        for n in range(14)
    ]
    write_export(rows, data, MOSHI, both_speakers=True, sample_rate=24000)
    stereo = data / "data_stereo"
    samples, _ = soundfile.read(stereo / "call02.wav")
    (stereo / "call00.wav").unlink()
    (stereo / "call01.wav").write_bytes(b"RIFF")
    soundfile.write(stereo / "call02.wav", samples[: 5 * 24000, 0], 16000)
    soundfile.write(stereo / "call03.wav", samples * [0, 1], 24000, subtype="PCM_16")
    for name in ("call04", "call05"):
        soundfile.write(stereo / f"{name}.wav", samples * [1, 0], 24000, subtype="PCM_16")
    (stereo / "call06.json").unlink()
    words = {f"call{n:02}": json.loads((stereo / f"call{n:02}.json").read_text()) for n in range(7, 14)}
    (stereo / "call07.json").write_text("{")
    words["call08"]["alignments"][1] = ["Hello", 1.0]
    for number, word in enumerate(words["call09"]["alignments"]):
        word[2] = ("MAIN", "A", "B", "A", "C", "B", "A", "D", "SPEAKER_OTHER")[number % 9]
    words["call10"]["alignments"] = [word for word in words["call10"]["alignments"] if word[2] != "SPEAKER_MAIN"]
    words["call11"]["text_conditions"] = {"style": "calm"}
    times = [(0.5, 0.5), (0.51, 0.52), (0.53, 0.9), (0.8, 1.0), (0.9, 1.2), (0.7, 0.8), (0.6, 0.7), (0.5, 0.55)]
    times += [(5.2, 5.3), (5.4, 5.5), (5.6, 5.7), (5.9, 6.5), (-1.0, 0.1), (7.0, 8.0)]
    texts = ["(calm)", "", " ", "(sad)", "(angry)", *"abcdefghi"]
    words["call12"]["alignments"] = [
        [text, list(span), "SPEAKER_MAIN"] for text, span in zip(texts, times, strict=True)
    ]
    for name in ("call08", "call09", "call10", "call11", "call12"):
        (stereo / f"{name}.json").write_text(json.dumps(words[name]))
    for name in ("left", "over"):
        (data / f"{name}.wav").write_bytes(b"RIFF")
    (data / "stray.jsonl").write_text("")
    with (data / "train.jsonl").open("a") as file:
        lines = ["", "nonsense " * 9, '{"path": "../out.wav", "duration": 1}']
        again = [{"path": f"data_stereo/call{n}.wav", "duration": 6.0} for n in (13, 12, 12)]
        file.write("\n".join([*lines, *map(json.dumps, again)]) + "\n")
    config = (data / "moshi-finetune.yaml").read_text()
    (data / "moshi-finetune.yaml").write_text(config.replace("\nbatch_size: 1", "\nbatch_size: 9"))
    return checked(data)


def unfit(folder: Path) -> str:
    """Advice on conversations that are too long, late, slow or lonely, one of each and two of some."""
    fine = {"longest_turn": 10.0, "turns_per_window": 3.0, "longest_monologue": 60.0}
    fine |= {"response": 2.5, "overlapping_turns": 0.05, "duration": 60.0}
    unlike = [
        {},
        {"longest_turn": 10.25},
        {"longest_turn": 12.5, "longest_monologue": 60.5},
        {"turns_per_window": 2.5, "response": None},
        {"turns_per_window": 2.0, "response": 0.5, "overlapping_turns": 0.5},
        {"longest_monologue": 90.0, "overlapping_turns": 0.08},
    ]
    maker = TableMaker()
    for n, changes in enumerate(unlike):
        known = {"conversation_id": f"c{n}", "kept_speakers": ["p"], "first_turn": 3.0 + n}
        maker.add_known(dict.fromkeys(CONVERSATION_MEASURES) | fine | known | changes)
    findings = all_findings(maker.tables())
    return finding_facts(finding.as_dict() for finding in findings)


def damaged_work(folder: Path) -> str:
    """A transcript by hand, its recordings, and a record of what was tagged."""
    line = {"utterance_id": "a", "channel": "left", "start": 0.0, "end": 1.0, "text": "Hello."}
    word = {"word": "Hello.", "start": 0.0, "end": 1.0}
    others: list[dict[str, Any]] = [
        {},
        {"utterance_id": 7},
        {"utterance_id": None, "channel": "middle"},
        {"utterance_id": None, "start": 1.0},
        {"utterance_id": None, "start": -0.5},
        {"utterance_id": None, "end": "late"},
        {"utterance_id": "b", "words": "Hello."},
        {"utterance_id": "c", "words": ["Hello."]},
        {"utterance_id": "d", "words": [word, word | {"word": 1}]},
        {"utterance_id": "e", "words": [word, word | {"start": 2.0}]},
        {"utterance_id": "f", "words": [word, word | {"end": None}]},
        {"utterance_id": "g", "words": [word, word | {"start": 1.0}]},
        {"utterance_id": "h", "text": " "},
        {"utterance_id": "i", "text": None},
        {"utterance_id": "j", "text": "", "text_reason": "noise"},
        {"utterance_id": "k", "text": "", "status": "kept"},
        {"utterance_id": "l", "status": "dropped", "start": None, "end": None},
        {"utterance_id": "b", "channel": "mix"},
    ]
    (folder / "audio/deep").mkdir(parents=True)
    (folder / "tagged").mkdir()
    lines = ["nonsense", *(json.dumps(line | one) for one in others)]
    (folder / "transcript.jsonl").write_text("\n".join(lines))
    (folder / "transcript_shifted.jsonl").write_text(json.dumps(line | {"channel": None}) + "\n")
    soundfile.write(folder / "audio/deep/one.wav", [0.5] * 800, 8000)
    soundfile.write(folder / "audio/three.wav", [[0.5] * 3] * 800, 8000)
    soundfile.write(folder / "audio/two.wav", [[0.5] * 2] * 800, 8000)
    (folder / "audio/none.wav").write_bytes(b"RIFF")
    told = {"counts": {"conversations": 3, "utterances": 1.5}, "hours": {"audio": 0.25, "speech": "long"}}
    (folder / "run.json").write_text(json.dumps(told))
    return checked(folder)


def checked(folder: Path) -> str:
    findings, facts = check_folder(folder)
    return findings_and_figures(findings, facts, folder)


def findings_and_figures(findings: Iterable[Finding], facts: Mapping[str, Any], folder: Path) -> str:
    """The facts of what a check found in a folder, and the figures that it gives of the whole.

    Digests depend on the version of pyarrow.
    """
    text = json.dumps([finding.as_dict() for finding in findings]).replace(str(folder), "FOLDER")
    found = json.loads(re.sub("[0-9a-f]{64}", "DIGEST", text))
    # The likeness of voices is there with the weights of the speaker encoder, which are optional.
    figures = {name: value for name, value in facts.items() if name != "voice_likeness"}
    return finding_facts(found) + figure_facts(plain(figures))


OUTPUTS: dict[str, Callable[[Path], str]] = {
    "report.txt": report,
    "report_of_tags.txt": report_of_tags,
    "report_of_clips.txt": report_of_clips,
    "listening_test.json": listening_test,
    "player_parts.txt": player_parts,
    "moshi.txt": moshi,
    "moshi_swapped.txt": moshi_swapped,
    "csm.txt": csm,
    "jmoshi.txt": jmoshi,
    "mix.txt": mixed,
    "published.txt": published,
    "card.txt": card,
    "card_of_clips.txt": card_of_clips,
    "reports_of_versions.txt": reports_of_versions,
    "items.txt": items,
    "checked_corpus.txt": checked_corpus,
    "checked_version.txt": checked_version,
    "checked_dataset.txt": checked_dataset,
    "checked_moshi.txt": checked_moshi,
    "damaged_moshi.txt": damaged_moshi,
    "unfit.txt": unfit,
    "damaged_work.txt": damaged_work,
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_whole_output_is_as_expected(name: str, tmp_path: Path) -> None:
    assert OUTPUTS[name](tmp_path).splitlines() == (GOLDENS / name).read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    for golden, made in OUTPUTS.items():
        with TemporaryDirectory() as scratch:
            (GOLDENS / golden).write_text(made(Path(scratch)), encoding="utf-8")
