"""`dailytalk tokens`: from recordings to contours, a codebook and tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import Command
from recordings import calls, excerpt, save

from dailytalk_contiguous import Codebook, token_rows


@pytest.fixture(scope="module")
def contours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings, and in `contours/` what was extracted of them."""
    folder = tmp_path_factory.mktemp("tokens")
    calls(folder / "calls", "ann", "ben")
    with pytest.MonkeyPatch.context() as patch:
        words = ["dailytalk", "tokens", "extract", str(folder / "calls"), "--out", str(folder / "out")]
        patch.setattr("sys.argv", words)
        from dailytalk_contiguous.cli.main import run_command

        with pytest.raises(SystemExit) as leave:
            run_command()
        assert not leave.value.code
    return folder


def test_recordings_become_contours_a_codebook_and_tokens(
    contours: Path, tmp_path: Path, dailytalk: Command
) -> None:
    codebook = tmp_path / "codebook"
    done = dailytalk("tokens cluster", contours / "out", "--out", codebook, "--n-clusters", 30)
    assert done.code == 0
    assert str(codebook) in done.out
    files = {path.name for path in codebook.iterdir()}
    assert files == {"kmeans_model.json", "cluster_centers.pt"}
    words = ("--out", tmp_path / "tokens", "--prosodic-tokens", codebook)
    assert dailytalk("tokens encode", contours / "calls", *words).code == 0
    rows = [*token_rows(tmp_path / "tokens")]
    assert {row["prosody_model"] for row in rows} == {Codebook.load(codebook).name}
    again = dailytalk("tokens encode", contours / "calls", *words)
    assert "nothing to do: all of it is there" in again.out


def test_the_same_command_makes_the_same_codebook_and_another_one_is_not_put_in_its_place(
    contours: Path, tmp_path: Path, dailytalk: Command
) -> None:
    codebook = tmp_path / "codebook"
    words = ("tokens cluster", contours / "out", "--out", codebook, "--n-clusters", 20)
    assert dailytalk(*words).code == 0
    before = (codebook / "cluster_centers.pt").read_bytes()
    assert dailytalk(*words).code == 0
    done = dailytalk(*words, "--seed", 1)
    assert done.code == 1
    assert "holds another codebook: choose another --out" in done.err
    assert (codebook / "cluster_centers.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--n-clusters", 4000), "frames have a voice and are different, too few for 3,999"),
        (("--device", "tpu"), "device string: tpu"),
        (("--out", "s3://bucket/codebook"), "--out can't be"),
    ],
)
def test_what_can_not_be_clustered_is_one_sentence(
    contours: Path, tmp_path: Path, dailytalk: Command, words: Any, reason: str
) -> None:
    done = dailytalk("tokens cluster", contours / "out", "--out", tmp_path / "codebook", *words)
    assert done.code in (1, 2)
    assert done.err.count("\n") == 1
    assert reason in done.err
    assert not (tmp_path / "codebook").exists()


def test_without_scikit_learn_it_is_said_how_to_get_it_and_tokens_need_none(
    contours: Path, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    done = dailytalk("tokens cluster", contours / "out", "--out", tmp_path / "codebook")
    assert done.code == 1
    assert "pip install '.[tokens]'" in done.err
    assert dailytalk("tokens encode", contours / "calls", "--out", tmp_path / "tokens").code == 0


def test_what_is_no_sound_is_rejected_and_said(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "calls/ann.wav")
    save(tmp_path / "calls/empty.wav", excerpt()[:0])
    (tmp_path / "calls/text.wav").write_text("no sound")
    done = dailytalk("tokens encode", tmp_path / "calls", "--out", tmp_path / "out", "--json")
    summary = json.loads(done.out)
    assert done.code == 3
    assert summary["counts"] == {"conversations": 1, "rejects": 2}
    assert {reject["id"] for reject in summary["rejects"]} == {"empty", "text"}
