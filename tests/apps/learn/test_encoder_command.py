import json
import math
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
    done = dailytalk("tokens train", encoded, "--out", tmp_path / "encoder", *QUICK, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["steps"], told["planned"]) == (4, 4)
    assert told["perplexity"] == pytest.approx(math.exp(told["valid_loss"]))
    assert "step 4 of 4" in done.err

    card = ModelCard.load(tmp_path / "encoder/README.md")  # as the Hub reads it
    assert (card.data.pipeline_tag, card.data.license, card.data.datasets) == ("feature-extraction", None, None)
    assert card.data.eval_results[0].metric_value == pytest.approx(told["perplexity"], abs=1e-4)
    assert f"codebook `{next(token_rows(encoded))['prosody_model']}` only" in card.text
    n_utterances = len([*token_rows(encoded)])
    assert f"| tokens | not known | {n_utterances} utterances," in card.text

    again = dailytalk("tokens train", encoded, "--out", tmp_path / "encoder", *QUICK)
    assert "holds an encoder already" in again.err

    done = dailytalk("tokens embed", encoded, "--encoder", tmp_path / "encoder", "--out", tmp_path / "embeddings")
    assert done.code == 0, done.err
    rows = list(token_rows(encoded))
    table = pd.read_parquet(tmp_path / "embeddings/embeddings.parquet")
    assert table["id"].tolist() == [row["id"] for row in rows]
    assert table["speaker"].tolist() == [row["speaker"] for row in rows]
    encoder = ProsodicSequenceEncoder.from_pretrained(tmp_path / "encoder")
    assert encoder.config.prosody_model == rows[0]["prosody_model"]
    alone = np.concatenate([encoder.embed([row["prosody_tokens"]]) for row in rows])
    assert np.allclose(np.stack(table["embedding"]), alone, atol=1e-5)


def test_an_encoder_that_has_learned_nothing_is_warned_of(
    dailytalk: Command, encoded: Path, tmp_path: Path
) -> None:
    options = ("--source-licence", "CC0-1.0")
    train = dailytalk("tokens train", encoded, "--out", tmp_path / "encoder", *QUICK, *options)
    card = ModelCard.load(tmp_path / "encoder/README.md")
    assert (card.data.license, "**It has learned nothing**" in card.text) == ("cc0-1.0", True)
    result = json.loads((tmp_path / "encoder/training.json").read_text())["result"]
    assert result["valid_loss"] > result["unigram_loss"] > 0  # after four steps
    assert "warning: it has learned nothing" in train.out


def test_tokens_of_another_codebook_are_not_embedded(dailytalk: Command, encoded: Path, tmp_path: Path) -> None:
    ProsodicSequenceEncoder.of_size("tiny", prosody_model="prosody-120-other").save_pretrained(
        tmp_path / "encoder"
    )
    done = dailytalk("tokens embed", encoded, "--encoder", tmp_path / "encoder", "--out", tmp_path / "embeddings")
    assert done.code == 1
    assert "not of prosody-120-other" in done.err
    assert not (tmp_path / "embeddings" / "embeddings.parquet").exists()


def test_a_folder_without_an_encoder_or_tokens_is_one_sentence(
    dailytalk: Command, encoded: Path, tmp_path: Path
) -> None:
    done = dailytalk("tokens embed", encoded, "--encoder", tmp_path, "--out", tmp_path / "embeddings")
    assert (done.code, "is not an encoder of prosodic tokens" in done.err) == (1, True)
    done = dailytalk("tokens train", tmp_path, "--out", tmp_path / "encoder")
    assert (done.code, "holds nothing that `dailytalk tokens encode` wrote" in done.err) == (1, True)
