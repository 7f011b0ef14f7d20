import json
import math
from pathlib import Path

import numpy as np
import pytest
from command import Command
from hub.server import HubServer

from dailytalk_contiguous import ProsodicSequenceEncoder, read_embeddings, token_rows
from dailytalk_contiguous.models.prosodic_encoder import SIZES

pytest_plugins = ["hub.hub_fixtures"]

EXAMPLE = Path(__file__).parents[3] / "examples/conversations" / "weekend_trip.flac"
QUICK = ("--size", "tiny", "--steps", "4", "--frames-per-batch", "2000", "--device", "cpu")


@pytest.fixture(autouse=True)
def smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "tiny", {"hidden_dim": 32, "num_layers": 1, "nhead": 2})


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        from dailytalk_contiguous.apps.learn.token_rows import ProsodySpec, find_speech
        from dailytalk_contiguous.run.run import run
        from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody

        out = tmp_path_factory.mktemp("tokens") / "tokens"
        patch.chdir(out.parent)
        run(ProsodySpec(find_speech([str(EXAMPLE)], out), out, TokeniseProsody()))
        return out


def test_tokens_become_an_encoder_and_that_embeddings(dailytalk: Command, encoded: Path, tmp_path: Path) -> None:
    done = dailytalk("tokens train", encoded, "--out", tmp_path / "encoder", *QUICK, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["steps"], told["planned"]) == (4, 4)
    assert told["perplexity"] == pytest.approx(math.exp(told["valid_loss"]))
    assert "step 4 of 4" in done.err

    again = dailytalk("tokens train", encoded, "--out", tmp_path / "encoder", *QUICK)
    assert "holds an encoder already" in again.err

    done = dailytalk("tokens embed", encoded, "--encoder", tmp_path / "encoder", "--out", tmp_path / "embeddings")
    assert done.code == 0, done.err
    rows = list(token_rows(encoded))
    embeddings = read_embeddings(tmp_path / "embeddings")
    assert [row["id"] for row in embeddings.rows] == [row["id"] for row in rows]
    assert [row["speaker"] for row in embeddings.rows] == [row["speaker"] for row in rows]
    encoder = ProsodicSequenceEncoder.from_pretrained(tmp_path / "encoder")
    assert encoder.config.prosody_model == rows[0]["prosody_model"]
    alone = np.concatenate([encoder.embed([row["prosody_tokens"]]) for row in rows])
    assert np.allclose(embeddings.vectors, alone, atol=1e-5)


def test_an_encoder_that_knows_no_more_than_counting_is_warned_of(
    dailytalk: Command, encoded: Path, tmp_path: Path
) -> None:
    train = dailytalk("tokens train", encoded, "--out", tmp_path / "encoder", *QUICK)
    accuracy = json.loads((tmp_path / "encoder/training.json").read_text())["result"]["accuracy"]
    assert accuracy["encoder"] < accuracy["bigram"] < 1  # after four steps
    assert "warning: counting predicts as many" in train.out


def test_an_encoder_is_published_with_its_card_and_used_from_the_hub(
    dailytalk: Command, encoded: Path, tmp_path: Path, hub: HubServer
) -> None:
    out = tmp_path / "encoder"
    options = ("--source-licence", "CC0-1.0", "--push", "tester/delivery")
    done = dailytalk("tokens train", encoded, "--out", out, *QUICK, *options)
    assert done.code == 0, done.err
    assert f"{hub.url}/" in done.out
    assert hub.write_token not in done.out + done.err
    loaded = ProsodicSequenceEncoder.from_pretrained("tester/delivery")
    (row, *_) = token_rows(encoded)
    own = ProsodicSequenceEncoder.from_pretrained(out).embed([row["prosody_tokens"]])
    assert np.array_equal(loaded.embed([row["prosody_tokens"]]), own)
    card = (out / "README.md").read_text()
    assert "license: cc0-1.0" in card
    assert "| tokens | CC0-1.0 |" in card
    done = dailytalk("tokens embed", encoded, "--encoder", "tester/delivery", "--out", tmp_path / "embeddings")
    assert done.code == 0, done.err


def test_without_a_token_for_the_hub_nothing_is_trained(
    dailytalk: Command, encoded: Path, tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    done = dailytalk("tokens train", encoded, "--out", tmp_path / "encoder", *QUICK, "--push", "tester/delivery")
    assert done.code == 1
    assert "there is no token for the Hub" in done.err
    assert not (tmp_path / "encoder").exists()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--push", "delivery"), "is no folder, and no name of a model on the Hub"),
        (("--push", "somebody/delivery@v1"), "leave the version out"),
        (("--private",), "--private says how to publish"),
        (("--steps", "-1"), "steps"),
    ],
)
def test_what_can_not_be_is_said_before_training(
    words: tuple[str, ...], reason: str, dailytalk: Command, encoded: Path, tmp_path: Path
) -> None:
    done = dailytalk("tokens train", encoded, "--out", tmp_path / "encoder", "--size", "tiny", *words)
    assert done.code != 0
    assert reason in done.err
    assert not (tmp_path / "encoder").exists()


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
    assert (done.code, "is no encoder of prosodic tokens" in done.err) == (1, True)
    done = dailytalk("tokens train", tmp_path, "--out", tmp_path / "encoder")
    assert (done.code, "holds no tokens" in done.err) == (1, True)
    done = dailytalk("tokens train", encoded, encoded, "--out", tmp_path / "encoder")
    assert (done.code, "a folder of tokens is named twice" in done.err) == (1, True)
