"""`dailytalk tokens evaluate`: tables, JSON and Markdown of what tokens tell, a sentence on what they can't."""

import json
from pathlib import Path

import pytest
import torch
from command import Command
from finished_corpora import clip_row, corpus_folder
from rich.cells import cell_len

from dailytalk_contiguous import ExtractContours, ProsodicSequenceEncoder, TokeniseProsody, token_rows
from dailytalk_contiguous.apps.learn.embeddings import write_embeddings
from dailytalk_contiguous.apps.learn.token_rows import ProsodySpec, find_speech
from dailytalk_contiguous.run.run import run

HOSTILE = "<script>alert(1)</script>|[x](http://example.org)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`corpus`, its `tokens` and `contours`, an `encoder` that has learned nothing, and its `embeddings`."""
    folder = tmp_path_factory.mktemp("evaluate")
    rows = [
        clip_row(
            f"{speaker}-{number}",
            ("happy", "sad")[number % 2],
            seconds=0.4 + 0.3 * (number % 2) + 0.01 * number,
            text=("Is it so?", "It is so.")[number % 2],
            gender="female",
            tag=HOSTILE if number == 0 and speaker == "ann" else None,
        )
        for speaker in ("ann", "ben", "cat", "dan", "eve", "fay")
        for number in range(6)
    ]
    speech = find_speech([str(corpus_folder(folder / "corpus", rows))], folder / "tokens")
    run(ProsodySpec(speech, folder / "tokens", TokeniseProsody()))
    run(ProsodySpec(speech, folder / "contours", ExtractContours()))
    torch.manual_seed(0)
    encoder = ProsodicSequenceEncoder(hidden_dim=32, num_layers=1, nhead=2)
    encoder.save_pretrained(folder / "encoder")
    write_embeddings(token_rows(folder / "tokens"), encoder, folder / "embeddings")
    return folder


@pytest.mark.nightly
def test_tables_fit_80_columns_and_are_those_of_json_and_markdown(
    folder: Path, tmp_path: Path, dailytalk: Command
) -> None:
    words = (
        "tokens evaluate",
        folder / "tokens",
        "--encoder",
        folder / "encoder",
        "--contours",
        folder / "contours",
    )
    plain = dailytalk(*words, "--markdown", tmp_path / "evaluation.md")
    assert plain.code == 0, plain.err
    told = json.loads(dailytalk(*words, "--json").out)
    lines = plain.out.splitlines()
    shown = [line for line in lines if "evaluation.md" not in line]
    assert max(cell_len(line) for line in shown if not line.startswith(("note: ", "next: "))) <= 80
    assert told["features"].keys() == {"embedding", "tokens", "contours"}
    probes = {(probe["target"], probe["features"]): probe for probe in told["probes"]}
    assert probes.keys() == {
        (target, kind) for target in ("emotion", "sentence", "speaker") for kind in told["features"]
    }
    lasting = probes["emotion", "contours"]  # sad clips are longer
    assert (lasting["recall"]["value"], len(lasting["classes"]), lasting["utterances"]) == (1.0, 2, 36)
    row = next(line for line in lines if line.startswith("emotion") and "contours" in line)
    assert row.split() == ["emotion", "contours", "100.0", "100.0–100.0", "50.0", "2", "36", "6"]
    text = (tmp_path / "evaluation.md").read_text(encoding="utf-8")
    assert "| emotion | contours | 100.0 | 100.0–100.0 | 50.0 | 2 | 36 | 6 |" in text
    assert all(note in plain.out for note in told["notes"])


def test_names_from_outside_are_text_in_markdown(folder: Path, tmp_path: Path, dailytalk: Command) -> None:
    done = dailytalk("tokens evaluate", folder / "tokens", "--markdown", tmp_path / "evaluation.md")
    assert "alert(1)" in done.out
    text = (tmp_path / "evaluation.md").read_text(encoding="utf-8")
    assert "alert(1)" in text
    assert "<script" not in text
    assert "](http" not in text


def test_embeddings_of_a_folder_are_probed_without_their_encoder(folder: Path, dailytalk: Command) -> None:
    told = json.loads(
        dailytalk("tokens evaluate", folder / "tokens", "--embeddings", folder / "embeddings", "--json").out
    )
    assert told["features"].keys() == {"embedding", "tokens"}
    assert told["features"]["embedding"] == 32
    assert any(note.startswith("contours: none are there, make them") for note in told["notes"])


def test_what_is_named_and_is_not_there_is_one_sentence(folder: Path, dailytalk: Command) -> None:
    tokens = ("tokens evaluate", folder / "tokens")
    for words, sentence in (
        (("tokens evaluate", folder / "corpus"), "holds no tokens"),
        ((*tokens, "--contours", folder / "tokens"), "holds no contours"),
        ((*tokens, "--embeddings", folder / "tokens"), "holds no embeddings"),
        ((*tokens, "--encoder", folder / "tokens"), "is no encoder of prosodic tokens"),
        (
            (*tokens, "--encoder", folder / "encoder", "--embeddings", folder / "embeddings"),
            "replaces --encoder",
        ),
    ):
        done = dailytalk(*words)
        assert (done.code, done.err.count("\n")) == (1, 1), done
        assert sentence in done.err


def test_one_speaker_without_labels_gives_notes_alone_and_an_exit_code(tmp_path: Path, dailytalk: Command) -> None:
    rows = [clip_row(f"ann-{number}", None, gender=None, text="It is so.") for number in range(3)]
    speech = find_speech([str(corpus_folder(tmp_path / "corpus", rows))], tmp_path / "tokens")
    run(ProsodySpec(speech, tmp_path / "tokens", TokeniseProsody()))
    done = dailytalk("tokens evaluate", tmp_path / "tokens", "--json")
    assert (done.code, json.loads(done.out)["probes"]) == (1, [])
    assert [
        note for note in json.loads(done.out)["notes"] if note.startswith(("emotion", "gender", "speaker"))
    ] == [
        "emotion: there is nothing to distinguish, with 0 labels",
        "gender: there is nothing to distinguish, with 0 labels",
        "speaker: 'acted/ann' left out, of fewer than 5 utterances or 1 speakers",
        "speaker: there is nothing to distinguish, with 0 labels",
    ]
