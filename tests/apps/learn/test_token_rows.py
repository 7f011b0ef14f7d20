"""Rows with tokens: of whatever holds speech, the same by any number of workers, and made once."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recordings import calls, excerpt, save

from dailytalk_contiguous import ClusteringPipeline, Codebook, ExtractContours, TokeniseProsody, token_rows
from dailytalk_contiguous.apps.learn.clusters import gather_frames
from dailytalk_contiguous.apps.learn.token_rows import TOKEN_SHARDS, ProsodySpec
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.run.run import RunOptions, RunOutcome, run
from dailytalk_contiguous.stages.segment import Segment


def encode(*inputs: Path | str, out: Path, stage: Any = None, **options: Any) -> RunOutcome:
    segment = Segment(channel=options.pop("channel", "both"))
    seconds = options.get("shard_seconds", 600.0)
    sources = [str(source) for source in inputs]
    stage = stage or TokeniseProsody()
    spec = ProsodySpec(sources, out, stage, segment, shard_seconds=seconds)
    return run(spec, RunOptions(**options))


@pytest.mark.nightly
def test_rows_are_the_same_by_any_number_of_workers_and_shards(tmp_path: Path) -> None:
    folder = calls(tmp_path / "calls", "ann", "ben", "cat")
    rows = []
    for name, options in (("one", {}), ("two", {"workers": 2, "shard_seconds": 1.0})):
        encode(folder, out=tmp_path / name, **options)
        rows.append(sorted(token_rows(tmp_path / name), key=lambda row: row["id"]))
    assert rows[0] == rows[1]
    assert len(rows[0]) > 5
    assert {row["conversation_id"] for row in rows[0]} == {"ann", "ben", "cat"}
    first = rows[0][0]
    n_tokens = len(first["prosody_tokens"])
    assert sum(run["frames"] for run in first["prosody_runs"]) == n_tokens
    seconds = first["end"] - first["start"]
    assert abs(n_tokens * 0.016 - seconds) < 0.016
    assert first["prosody_model"] == Codebook.load().name


def test_what_stands_is_not_made_again_until_the_codebook_is_another(tmp_path: Path) -> None:
    folder = calls(tmp_path / "calls", "ann", "ben")
    out = tmp_path / "out"
    assert encode(folder, out=out).run.done == 1
    assert encode(folder, out=out).run.done == 0
    bundled = [row["prosody_tokens"] for row in token_rows(out)]
    encode(folder, out=tmp_path / "contours", stage=ExtractContours())
    ClusteringPipeline(12).train(gather_frames(tmp_path / "contours"), tmp_path / "codebook")
    stage = TokeniseProsody(str(tmp_path / "codebook"))
    assert encode(folder, out=out, stage=stage).run.done == 1
    assert encode(folder, out=out, stage=stage).run.done == 0
    rows = [*token_rows(out)]
    assert [row["prosody_tokens"] for row in rows] != bundled
    assert {row["prosody_model"] for row in rows} == {Codebook.load(tmp_path / "codebook").name}
    ClusteringPipeline(12, seed=1).train(gather_frames(tmp_path / "contours"), tmp_path / "codebook")
    assert encode(folder, out=out, stage=stage).run.done == 1


def test_words_of_a_transcript_beside_a_recording_are_told_how_they_are_said(tmp_path: Path) -> None:
    save(tmp_path / "calls/ann.wav", excerpt(seconds=4.0))
    (tmp_path / "calls/ann.srt").write_text("1\n00:00:00,500 --> 00:00:03,500\nA: so where should we go\n\n")
    out = tmp_path / "out"
    encode(tmp_path / "calls", out=out)
    spoken = [row for row in token_rows(out) if row["prosody_words"]]
    assert spoken[0]["text"]
    for word in spoken[0]["prosody_words"]:
        assert word["word"] in "so where should we go"
        assert set(word["tokens"]) <= set(spoken[0]["prosody_tokens"])


def test_one_speaker_in_a_mono_file_is_taken_as_such(tmp_path: Path) -> None:
    source = tmp_path / "in"
    save(source / "call.wav", excerpt(seconds=4.0))
    save(source / "clip.wav", excerpt(seconds=4.0)[:, :1])
    (source / "clip.srt").write_text("1\n00:00:00,500 --> 00:00:03,500\nso where should we go\n\n")
    out = tmp_path / "out"
    assert not run(ProsodySpec([str(source)], out, TokeniseProsody())).rejects
    rows = [*token_rows(out)]
    assert {row["channel"] for row in rows if row["conversation_id"] == "call"} <= {"left", "right"}
    clip = [row for row in rows if row["conversation_id"] == "clip"]
    assert {row["channel"] for row in clip} == {"mix"}
    assert "where" in " ".join(row["text"] or "" for row in clip)
    encode(source / "clip.wav", out=tmp_path / "mix", channel="mix")
    mixed = [row["prosody_tokens"] for row in token_rows(tmp_path / "mix")]
    assert mixed == [row["prosody_tokens"] for row in clip]


def rewrite(out: Path, change: Any) -> None:
    (path,) = (out / TOKEN_SHARDS).glob("*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows[0])
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda row: row["prosody_tokens"][1].__setitem__(3, 120),
            r"ann/\w+/\d+ has the token 120 at frame 3, not one of 0 to 119",
        ),
        (lambda row: row["prosody_tokens"][0].__setitem__(0, -1), "the token -1 at frame 0"),
        (lambda row: row["prosody_model"].__setitem__(0, "mine"), "prosody_model is 'mine'"),
        (lambda row: row["prosody_model"].__setitem__(0, "prosody-²-mine"), "no name of a codebook"),
        (lambda row: row["prosody_model"].__setitem__(0, f"prosody-{10**12}-mine"), "no name of a codebook"),
        (lambda row: row["prosody_tokens"].__setitem__(1, None), "is not a sequence of whole numbers"),
        (lambda row: row["prosody_tokens"].pop(), "columns of several lengths"),
    ],
)
def test_tokens_that_can_not_be_are_an_error_with_their_place(tmp_path: Path, change: Any, reason: str) -> None:
    out = tmp_path / "out"
    encode(calls(tmp_path / "calls", "ann"), out=out)
    rewrite(out, change)
    with pytest.raises(BadInput, match=reason):
        list(token_rows(out))


def test_a_folder_without_tokens_says_how_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="holds nothing that `dailytalk tokens encode` wrote"):
        list(token_rows(tmp_path))
    with pytest.raises(DailytalkError, match="holds nothing that `dailytalk tokens extract` wrote"):
        gather_frames(tmp_path)


def test_contours_of_all_recordings_are_gathered(tmp_path: Path) -> None:
    folder = calls(tmp_path / "calls", "ann")
    out = tmp_path / "out"
    encode(folder, out=out, stage=ExtractContours())
    first = gather_frames(out).finalize().copy()
    assert len(gather_frames(out)) == len(first)
    save(folder / "ben.wav", excerpt(start=8.0))
    encode(folder, out=out, stage=ExtractContours(), shard_seconds=1.0)
    both = gather_frames(out)
    assert len(both) > len(first)
    relative = gather_frames(out, speaker_relative=True).finalize()
    voiced = relative.any(axis=1)
    middle = float(np.median(relative[voiced, 0]))
    assert abs(middle - 0.5) < 0.05
    np.testing.assert_array_equal(relative[:, 1:], both.finalize()[:, 1:])
