import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import Command
from huggingface_hub import ModelCard

from dailytalk_contiguous import ProsodicSequenceEncoder, token_rows
from dailytalk_contiguous.models.prosodic_encoder import SIZES

EXAMPLE = Path(__file__).parents[3] / "examples/conversations" / "weekend_trip.flac"
QUICK = ("--size", "tiny", "--steps", "4", "--batch", "16", "--device", "cpu")


@pytest.fixture(autouse=True)
def smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", {"hidden_dim": 32, "num_layers": 1, "nhead": 2})


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        from dailytalk_contiguous.apps.learn.token_rows import ProsodySpec
        from dailytalk_contiguous.run.run import run
        from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody

        out = tmp_path_factory.mktemp("tokens") / "tokens"
        patch.chdir(out.parent)
        run(ProsodySpec([str(EXAMPLE)], out, TokeniseProsody()))
        return out


def test_tokens_become_an_encoder_and_that_embeddings(dailytalk: Command, encoded: Path, tmp_path: Path) -> None:
    trained = tmp_path / "encoder"
    done = dailytalk("tokens train", encoded, "--out", trained, *QUICK, "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert summary["steps"] == 4
    assert summary["planned"] == 4
    assert summary["perplexity"] == pytest.approx(math.exp(summary["valid_loss"]))
    assert "step 4 of 4" in done.err

    card = ModelCard.load(trained / "README.md")  # as the Hub reads it
    assert card.data.pipeline_tag == "feature-extraction"
    assert card.data.license is None
    assert card.data.datasets is None
    result = card.data.eval_results[0]
    assert result.metric_value == pytest.approx(summary["perplexity"], abs=1e-4)
    rows = list(token_rows(encoded))
    assert f"codebook `{rows[0]['prosody_model']}` only" in card.text
    assert f"| tokens | not known | {len(rows)} utterances," in card.text

    again = dailytalk("tokens train", encoded, "--out", trained, *QUICK)
    assert "holds an encoder already" in again.err

    done = dailytalk("tokens embed", encoded, "--encoder", trained, "--out", tmp_path / "embeddings")
    assert done.code == 0, done.err
    table = pd.read_parquet(tmp_path / "embeddings/embeddings.parquet")
    assert table["id"].tolist() == [row["id"] for row in rows]
    assert table["speaker"].tolist() == [row["speaker"] for row in rows]
    encoder = ProsodicSequenceEncoder.from_pretrained(trained)
    assert encoder.config.prosody_model == rows[0]["prosody_model"]
    alone = [encoder.embed([row["prosody_tokens"]]) for row in rows]
    embeddings = np.stack(table["embedding"])
    assert np.allclose(embeddings, np.concatenate(alone), atol=1e-5)


@pytest.mark.parametrize("is_beside", [True, False])
def test_text_and_tag_of_a_transcript_are_in_the_rows_of_embeddings(
    is_beside: bool, dailytalk: Command, tmp_path: Path
) -> None:
    reference = json.loads(EXAMPLE.with_suffix(".reference.json").read_text())
    utterances = [utterance | {"tag": utterance["style"]} for utterance in reference["utterances"]]
    del utterances[0]["tag"]
    source = tmp_path / "calls"
    source.mkdir()
    shutil.copy(EXAMPLE, source)
    transcript = (source if is_beside else tmp_path) / "weekend_trip.json"
    transcript.write_text(json.dumps({"utterances": utterances}))
    words = () if is_beside else ("--transcripts", tmp_path)
    assert dailytalk("tokens encode", source, "--out", tmp_path / "tokens", *words).code == 0
    trained = tmp_path / "encoder"
    assert dailytalk("tokens train", tmp_path / "tokens", "--out", trained, *QUICK).code == 0
    done = dailytalk("tokens embed", tmp_path / "tokens", "--encoder", trained, "--out", tmp_path)
    assert done.code == 0, done.err
    table = pd.read_parquet(tmp_path / "embeddings.parquet").sort_values("start")
    styles = {utterance["text"]: utterance.get("tag") for utterance in utterances}
    whole = table[table["text"].isin(styles)]
    assert len(whole) > 0.7 * len(utterances)
    expected = [styles[text] for text in whole["text"]]
    assert whole["tag"].fillna("").tolist() == [tag or "" for tag in expected]
    assert whole["tag"].isna().sum() == 1
    assert table["text"].notna().all()


def test_an_encoder_that_has_learned_nothing_is_warned_of(
    dailytalk: Command, encoded: Path, tmp_path: Path
) -> None:
    out = tmp_path / "encoder"
    options = (*QUICK, "--source-licence", "CC0-1.0")
    train = dailytalk("tokens train", encoded, "--out", out, *options)
    card = ModelCard.load(out / "README.md")
    assert card.data.license == "cc0-1.0"
    assert "**It has learned nothing**" in card.text
    result = json.loads((out / "training.json").read_text())["result"]
    assert result["unigram_loss"] > 0
    assert result["valid_loss"] > result["unigram_loss"]  # after four steps
    assert "warning: it has learned nothing" in train.out


def test_tokens_of_another_codebook_are_not_embedded(dailytalk: Command, encoded: Path, tmp_path: Path) -> None:
    other = ProsodicSequenceEncoder.of_size("tiny", prosody_model="prosody-120-other")
    other.save_pretrained(tmp_path / "encoder")
    out = tmp_path / "embeddings"
    done = dailytalk("tokens embed", encoded, "--encoder", tmp_path / "encoder", "--out", out)
    assert done.code == 1
    assert "not of prosody-120-other" in done.err
    assert not (out / "embeddings.parquet").exists()


def test_a_folder_without_an_encoder_or_tokens_is_one_sentence(
    dailytalk: Command, encoded: Path, tmp_path: Path
) -> None:
    done = dailytalk("tokens embed", encoded, "--encoder", tmp_path, "--out", tmp_path / "embeddings")
    assert done.code == 1
    assert "is not an encoder of prosodic tokens" in done.err
    done = dailytalk("tokens train", tmp_path, "--out", tmp_path / "encoder")
    assert done.code == 1
    assert "holds nothing that `dailytalk tokens encode` wrote" in done.err
