"""`dailytalk tokens similar`: from tokens to lines that are said alike, and a page to listen to them."""

import json
from pathlib import Path

import pytest
from command import Command
from recordings import calls

from dailytalk_contiguous import ProsodicSequenceEncoder, TokeniseProsody, read_embeddings, token_rows
from dailytalk_contiguous.apps.learn.embeddings import write_embeddings
from dailytalk_contiguous.apps.learn.token_rows import ProsodySpec, find_speech
from dailytalk_contiguous.run.run import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens of two calls in `tokens`, and their embeddings in `embeddings`."""
    folder = tmp_path_factory.mktemp("similar")
    speech = find_speech([str(calls(folder / "calls", "ann", "ben"))], folder)
    run(ProsodySpec(speech, folder / "tokens", TokeniseProsody()))
    encoder = ProsodicSequenceEncoder(hidden_dim=32, num_layers=1, nhead=2)
    write_embeddings(token_rows(folder / "tokens"), encoder, folder / "embeddings")
    return folder


def test_lines_of_others_that_are_said_alike_are_listed_and_played(
    folder: Path, tmp_path: Path, dailytalk: Command
) -> None:
    name = read_embeddings(folder / "embeddings").rows[0]["id"]
    words = ("tokens similar", name, "--in", folder / "embeddings", "--other-speakers", "--top", 3)
    plain = dailytalk(*words)
    page = ("--html", tmp_path / "page.html", "--sound", folder / "tokens")
    told = json.loads(dailytalk(*words, *page, "--json").out)
    assert told["asked"]["id"] == name
    assert [match["similarity"] for match in told["similar"]] == sorted(
        (match["similarity"] for match in told["similar"]), reverse=True
    )
    assert told["asked"]["speaker"] not in {match["speaker"] for match in told["similar"]}
    lines = plain.out.splitlines()
    assert [line.split()[0] for line in lines[:-2]] == ["id", name, *(match["id"] for match in told["similar"])]
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count('src="data:audio/mpeg;base64,') == html.count("<audio ") == 4


def test_what_can_not_be_searched_or_heard_is_one_sentence(folder: Path, dailytalk: Command) -> None:
    name = read_embeddings(folder / "embeddings").rows[0]["id"]
    embeddings = ("--in", folder / "embeddings")
    for words, sentence in (
        ((name, "--in", folder / "tokens"), "holds no embeddings: make them with `dailytalk tokens embed`"),
        (("nobody", *embeddings), "'nobody' names 0 utterances"),
        ((name, *embeddings, "--html", folder / "x.html"), "does not say where its sound is: name what was"),
        ((name, *embeddings, "--sound", folder / "tokens"), "--sound goes with --html"),
        ((name, *embeddings, "--html", "s3://bucket/x.html"), "--html"),
        (
            (name, *embeddings, "--html", folder / "embeddings/embeddings.parquet"),
            "a file that ends in .html",
        ),
    ):
        done = dailytalk("tokens similar", *words)
        assert (done.code in (1, 2), done.err.count("\n")) == (True, 1), done
        assert sentence in done.err
    assert not (folder / "x.html").exists()
