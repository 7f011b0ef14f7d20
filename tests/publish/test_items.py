"""The one reader: the same questions to every kind of folder, and no more read than an answer needs."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from built_conversations import built_row, write_dataset
from finished_corpora import clip_row, corpus_folder, measures
from publish.published_folder import write_published
from recordings import run, save

from dailytalk_contiguous import tag_stages
from dailytalk_contiguous.core.audio import read_pcm
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.quality import NAMES
from dailytalk_contiguous.core.schema import BUILT, SIDE, measured_sides
from dailytalk_contiguous.publish.exports import export_moshi
from dailytalk_contiguous.publish.items import (
    finished_items,
    open_items,
    problem_of,
)
from dailytalk_contiguous.publish.mixture import Settings, mix_folders
from dailytalk_contiguous.run.clips import annotated_clip, annotation
from dailytalk_contiguous.shards import read_rows


def conversations(path: Path) -> Path:
    return write_dataset(path, [built_row("a"), built_row("b")], [built_row("c", seconds=7.0)])


def corpus(path: Path) -> Path:
    rows = [clip_row("s1-0", split="train"), clip_row("s2-0", "sad", seconds=2.0, split="validation")]
    return corpus_folder(
        path, rows, {"version": "0.1.0", "models": {"affect": {"name": "m"}}}, measured=[measures()]
    )


def damage_audio(path: Path, place: int) -> None:
    """Overwrite the audio of a row, which is alone in its row group."""
    group = pq.read_metadata(path).row_group(place)
    chunks = [group.column(number) for number in range(group.num_columns)]
    [audio] = [chunk for chunk in chunks if chunk.path_in_schema == "audio.bytes"]
    data = bytearray(path.read_bytes())
    first = audio.dictionary_page_offset or audio.data_page_offset
    data[first : first + audio.total_compressed_size] = b"\xff" * audio.total_compressed_size
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["conversations", "clips", "version", "mix", "moshi"])
def test_every_kind_gives_rows_one_row_and_its_sound(tmp_path: Path, kind: str) -> None:
    if kind == "conversations":
        folder = conversations(tmp_path / "work")
    elif kind == "clips":
        folder = corpus(tmp_path / "work")
    elif kind == "version":
        folder = write_published(tmp_path / "version")
    elif kind == "mix":
        folder = tmp_path / "mix"
        mix_folders(
            [(corpus(tmp_path / "work"), None), (conversations(tmp_path / "talks"), None)], folder, Settings()
        )
    else:
        folder = tmp_path / "moshi"
        export_moshi(open_items(conversations(tmp_path / "work")).rows(), folder, both_speakers=True)
    items = open_items(folder)
    rows = list(items.rows())
    assert (items.kind, len(rows) > 1) == (kind, True)
    for row in rows:
        name = row["conversation_id"]
        alone = items.row(name)
        assert row.keys() >= {*BUILT, "labels", "split", "problem", "remedy"}
        assert row["problem"] is None
        assert {column: value for column, value in row.items() if column != "audio"} == alone
        assert items.sound(name).audio == row["audio"]
        assert len(read_pcm(items.sound(name).audio, sample_rate=24000)) == round(row["duration"] * 24000)
    splits = {row["conversation_id"]: row["split"] for row in rows if row["split"]}
    assert items.splits() == splits
    wanted = [name for name, split in splits.items() if split == "train"]
    assert [row["conversation_id"] for row in items.rows(["conversation_id"], ["train"])] == wanted
    with pytest.raises(BadInput, match="has no conversation 'gone'"):
        items.sound("gone")


def test_sound_is_read_although_that_of_every_other_row_is_damaged(tmp_path: Path) -> None:
    for folder, shard, names in (
        (conversations(tmp_path / "talks"), "dataset/shard-0.parquet", ("a", "b")),
        (corpus(tmp_path / "acted"), "clips/shard-0.parquet", ("acted/s1-0", "acted/s2-0")),
    ):
        damage_audio(folder / shard, 0)
        items = open_items(folder)
        assert items.sound(names[1]).audio["bytes"]
        assert [row["conversation_id"] for row in items.rows(["conversation_id", "duration"])][:2] == [*names]
        with pytest.raises(DailytalkError, match=r"shard-0\.parquet can't be read"):
            items.sound(names[0])


def test_places_of_rows_are_found_once_for_each_reader(tmp_path: Path) -> None:
    folder = conversations(tmp_path)
    items = open_items(folder)
    assert items.row("a")["duration"] == 6.0
    (folder / "dataset/shard-1.parquet").unlink()
    assert items.row("b")["duration"] == 6.0  # were the folder gone through again, shard-1 would be missed
    with pytest.raises(FileNotFoundError):
        items.row("c")


def test_sound_of_the_row_just_read_needs_no_look_at_other_files(tmp_path: Path) -> None:
    folder = conversations(tmp_path)
    (folder / "dataset/shard-2.parquet").write_bytes(b"damaged")
    items = open_items(folder)
    rows = items.rows(["conversation_id"])
    for name in ("a", "b", "c"):
        assert next(rows)["conversation_id"] == name
        assert items.sound(name).audio["bytes"]
    with pytest.raises(DailytalkError, match=r"shard-2\.parquet can't be read"):
        items.sound("a")


def test_tagged_conversation_is_read_by_its_id_from_the_lines_of_the_transcript(tmp_path: Path) -> None:
    def line(name: str, start: float, channel: str) -> dict[str, Any]:
        return {
            "conversation_id": name,
            "channel": channel,
            "start": start,
            "end": start + 1,
            "text": f"At {start}.",
        }

    lines = [line("a", 0, "left"), line("a", 2, "right"), line("b", 1, "left"), line("b", 3, "right")]
    (tmp_path / "transcript.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    items = open_items(tmp_path)
    assert (items.kind, items.rebuilt) == ("tagged", False)
    rows = {row["conversation_id"]: row for row in items.rows()}
    assert {name: items.row(name) for name in rows} == rows
    assert [utterance["text"] for utterance in rows["b"]["utterances"]] == ["At 1.", "At 3."]
    with pytest.raises(BadInput, match="does not say where its recording is"):
        items.sound("b")
    with pytest.raises(DailytalkError, match="holds no finished conversations"):
        open_items(tmp_path, finished=True)


def test_clip_is_a_conversation_of_one_utterance_with_labels(tmp_path: Path) -> None:
    columns = {"augmented_from": "acted/s1-1", "official_split": "train", "conditioning": {"clip_start": 0.25}}
    clip = clip_row("s1-0", tag="calm", **columns)
    [row] = open_items(corpus_folder(tmp_path, [clip], {"models": {"affect": {"name": "m"}}})).rows()
    [utterance] = row["utterances"]
    assert [utterance[name] for name in ("channel", "start", "end", "text", "tag", "status")] == [
        *("left", 0.25, 1.0, "Hello there.", "calm", "kept")
    ]
    assert (row["recording_id"], row["speakers"]) == ("acted/s1-1", {"left": "acted/s1", "right": None})
    assert [word["speaker"] for word in row["alignments"]] == ["left"]
    labels = {name: row["labels"][name] for name in ("emotion", "style", "speaker", "licence", "official_split")}
    assert list(labels.values()) == ["happy", "normal", "acted/s1", "CC-BY-4.0", "train"]
    assert json.loads(row["provenance"])["models"] == {"affect": {"name": "m"}}


def test_clip_comes_back_from_its_annotation_whole() -> None:
    clip = clip_row("s1-0", tag="calm", rule="r", weight=2.0)
    assert annotated_clip(annotation(clip)) == {name: clip[name] for name in clip if name != "audio"} | {
        "alignments": []
    }


def test_row_with_labels_and_another_number_of_utterances_is_no_clip() -> None:
    row = clip_row("s1-0")
    assert problem_of(row) is None
    for times, utterances in ((0, "0 utterances"), (2, "2 utterances")):
        problem = problem_of(row | {"utterances": times * row["utterances"]})
        assert problem == ("utterances", f"it is a clip and has {utterances}, not one")


def test_measures_are_those_of_every_clip_also_before_one_is_finished(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, [], measured=[measures(), measures(snr_db=5.0)])
    items = open_items(folder)
    assert (items.kind, list(items.rows()), len(list(items.measures()))) == ("measured", [], 2)
    with pytest.raises(DailytalkError, match="measured and not finished"):
        open_items(folder, finished=True)


def test_damaged_shard_of_a_corpus_is_one_sentence_and_so_is_one_of_another_kind(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "acted")
    shard = folder / "clips/shard-0.parquet"
    pq.write_table(pq.read_table(shard).drop_columns("labels"), shard)
    with pytest.raises(
        DailytalkError, match=r"shard-0\.parquet has no column labels: run `dailytalk corpus` again"
    ):
        list(open_items(folder).rows())


def test_shards_of_clips_are_read_from_their_work_folder_alone(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "acted")
    with pytest.raises(DailytalkError, match=r"shard-0\.parquet holds clips: name the work folder"):
        list(open_items(folder / "clips").rows())


def test_word_of_a_training_folder_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    out = tmp_path / "moshi"
    export_moshi(open_items(conversations(tmp_path / "work")).rows(), out)
    path = next((out / "data_stereo").glob("*.json"))
    path.write_text(json.dumps({"alignments": [["Hello", 1.0, "SPEAKER_MAIN"]]}))
    with pytest.raises(DailytalkError, match=r"a word beside .* is .*, not .word"):
        list(open_items(out).rows())


def test_what_can_not_be_read_in_shards_says_what_to_name_instead(tmp_path: Path) -> None:
    mix_folders([(corpus(tmp_path / "acted"), None)], tmp_path / "mix", Settings())
    with pytest.raises(
        DailytalkError, match="holds no finished conversations: name what `dailytalk build`, `speak`"
    ):
        finished_items(tmp_path / "mix")
    (tmp_path / "work/tagged").mkdir(parents=True)
    (tmp_path / "work/transcript.jsonl").write_text("")
    with pytest.raises(DailytalkError, match=r"work was tagged and not spoken yet: run dailytalk speak .*work$"):
        open_items(tmp_path / "work", finished=True)
    with pytest.raises(BadInput, match="work has no conversation 'gone'"):
        open_items(tmp_path / "work").row("gone")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"path": "notes.txt", "duration": 1.0}', r"names 'notes.txt', which is no WAV: make that folder again"),
        ('{"path": "../a.wav", "duration": 1.0}', "the manifest in '.*moshi': .*a.wav"),
        ('{"path": "b.wav", "duration": 1.0}', "b.wav' is named and not there"),
        ('{"path": "c.wav", "duration": 1.0}', "c.json' is named and not there"),
        ('{"path": "d.WAVE", "duration": 1.0}', "d.WAVE' is named as audio and is no WAV"),
        (
            '{"path": 7, "duration": 1.0}',
            "train.jsonl' is no manifest .line 1: path is 7, not text.: run `dailytalk check`",
        ),
        ('{"path": "a.wav"', "train.jsonl' is no manifest .line 1: .*JSON"),
    ],
)
def test_manifest_that_names_what_is_no_wav_of_its_folder_is_one_sentence(
    tmp_path: Path, line: str, told: str
) -> None:
    folder = tmp_path / "moshi"
    folder.mkdir()
    (folder / "train.jsonl").write_text(f"{line}\n")
    for name in ("c.wav", "d.json", "d.WAVE"):
        (folder / name).write_bytes(b"RIFX" if name == "c.wav" else b"{}  ")
    with pytest.raises(DailytalkError, match=told):
        list(open_items(folder).rows())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"channel": "mix"},
            "line 2 of .*transcript.jsonl: channel is 'mix', not left or right: mend or delete the line",
        ),
        ({"start": None}, "line 2 of .*transcript.jsonl: start is None"),
        ({"end": True}, "line 2 of .*transcript.jsonl: end is True"),
        ({"text": 7}, "line 2 of .*transcript.jsonl.*text.*: mend or delete the line"),
        ({"words": [{"word": "a"}]}, "line 2 of .*transcript.jsonl.*: mend or delete the line"),
    ],
)
def test_line_of_a_transcript_that_can_not_be_is_named_by_its_number(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    line = {"conversation_id": "a", "channel": "left", "start": 0.0, "end": 1.0, "text": "Yes."}
    (tmp_path / "transcript.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(line | change)}\n")
    with pytest.raises(DailytalkError, match=told):
        list(open_items(tmp_path).rows())


def test_what_is_no_folder_of_ours_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="does not exist"):
        open_items(tmp_path / "gone")
    with pytest.raises(DailytalkError, match="holds no finished conversations"):
        open_items(tmp_path)


def test_conversations_of_a_dataset_without_measures_of_their_sides_have_none(tmp_path: Path) -> None:
    folder = conversations(tmp_path / "work")
    for path in (folder / "dataset").glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns("sides"), path)
    items = open_items(folder)
    assert [row["sides"] for row in items.rows()] == [None] * 3
    assert [row["sides"] for row in items.rows(["sides"])] == [None] * 3
    assert (items.row("c")["sides"], items.row("c")["problem"]) == (None, None)
    assert "sides" not in next(items.rows(["duration"]))


def test_utterances_of_a_dataset_that_does_not_tell_who_edited_them_are_whole(tmp_path: Path) -> None:
    folder = conversations(tmp_path / "work")
    for path in (folder / "dataset").glob("*.parquet"):
        table = pq.read_table(path)
        place = table.schema.get_field_index("utterances")
        parts = [
            [{name: value for name, value in part.items() if not name.startswith("edited_")} for part in row]
            for row in table["utterances"].to_pylist()
        ]
        older = pa.struct(
            [field for field in table.schema.field(place).type.value_type if field.name[:5] != "edite"]
        )
        column = pa.array(parts, pa.list_(older))
        pq.write_table(table.set_column(place, "utterances", column), path)
    rows = list(open_items(folder).rows())
    assert [row["problem"] for row in rows] == [None] * 3
    assert {(part["edited_by"], part["edited_fields"]) for row in rows for part in row["utterances"]} == {
        (None, None)
    }


def test_clip_has_the_measures_of_its_file_on_its_one_side(tmp_path: Path) -> None:
    quality = dict.fromkeys(NAMES, 0.5) | {"snr_db": 31.0, "bandwidth_hz": None}
    rows = [clip_row("s1-0", quality=quality), clip_row("s1-1", quality=None)]
    first, second = open_items(corpus_folder(tmp_path, rows)).rows()
    unknown = dict.fromkeys(SIDE) | {"channel": "left"}
    assert first["sides"] == [unknown | {"snr_db": 31.0, "clipping_ratio": 0.5}]
    assert second["sides"] == [unknown]
    assert measured_sides(first) == {"left": first["sides"][0]}


def test_measures_of_the_sides_of_a_tagged_conversation_are_those_of_its_recording(tmp_path: Path) -> None:
    save(tmp_path / "in/call.wav")
    run(tmp_path / "in", tmp_path / "work", tag_stages("embedded"))
    items = open_items(tmp_path / "work")
    (row,) = items.rows()
    (path,) = (tmp_path / "work/tagged").glob("shard-*.parquet")
    (tagged,) = read_rows(path, ["sides"]).values()
    assert [side["channel"] for side in row["sides"]] == ["left", "right"]
    assert row["sides"] == tagged["sides"] == items.row("call")["sides"]
    assert row["sides"][0]["bandwidth_hz"] > 7000


def test_measures_of_no_known_side_are_left_out() -> None:
    left = {"channel": "left", "snr_db": 31.0}
    assert measured_sides({"sides": [left, {"channel": "mix"}, None, {}]}) == {"left": dict.fromkeys(SIDE) | left}
    assert measured_sides({"sides": None}) == measured_sides({}) == {}


def test_measures_in_a_tagged_shard_that_are_none_are_unknown(tmp_path: Path) -> None:
    save(tmp_path / "in/call.wav")
    run(tmp_path / "in", tmp_path / "work", tag_stages("embedded"))
    (path,) = (tmp_path / "work/tagged").glob("shard-*.parquet")
    table = pq.read_table(path)
    place = table.schema.names.index("sides")
    pq.write_table(table.set_column(place, "sides", [["loud"]]), path)
    (row,) = open_items(tmp_path / "work").rows()
    assert (row["sides"], row["conversation_id"]) == (None, "call")
