"""`dailytalk tokens`: from recordings to contours, a codebook, tokens and pictures."""

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
        patch.setattr(
            "sys.argv", ["dailytalk", "tokens", "extract", str(folder / "calls"), "--out", str(folder / "out")]
        )
        from dailytalk_contiguous.cli.main import run_command

        with pytest.raises(SystemExit) as leave:
            run_command()
        assert not leave.value.code
    return folder


def test_recordings_become_contours_a_codebook_and_tokens(
    contours: Path, tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk("tokens cluster", contours / "out", "--out", tmp_path / "codebook", "--n-clusters", 30)
    assert (done.code, str(tmp_path / "codebook") in done.out) == (0, True)
    assert {path.name for path in (tmp_path / "codebook").iterdir()} == {
        *("kmeans_model.json", "cluster_centers.pt", "quality.json", "codebook.png")
    }
    about = json.loads((tmp_path / "codebook/quality.json").read_text())
    assert len(about["centres"]) == 29
    assert all(80 <= centre["f0"] <= 400 and -60 <= centre["power"] <= 0 for centre in about["centres"])
    words = ("--out", tmp_path / "tokens", "--prosodic-tokens", tmp_path / "codebook")
    assert dailytalk("tokens encode", contours / "calls", *words).code == 0
    rows = [*token_rows(tmp_path / "tokens")]
    assert {row["prosody_model"] for row in rows} == {about["name"]}
    again = dailytalk("tokens encode", contours / "calls", *words)
    assert "nothing to do: all of it is there" in again.out


def test_the_same_command_makes_the_same_codebook_and_another_one_is_not_put_in_its_place(
    contours: Path, tmp_path: Path, dailytalk: Command
) -> None:
    words = ("tokens cluster", contours / "out", "--out", tmp_path / "codebook", "--n-clusters", 20)
    assert dailytalk(*words).code == 0
    before = (tmp_path / "codebook/cluster_centers.pt").read_bytes()
    assert dailytalk(*words).code == 0
    done = dailytalk(*words, "--seed", 1)
    assert (done.code, "holds another codebook: choose another --out" in done.err) == (1, True)
    assert (tmp_path / "codebook/cluster_centers.pt").read_bytes() == before


def test_a_sweep_makes_one_of_each_size(contours: Path, tmp_path: Path, dailytalk: Command) -> None:
    words = ("--out", tmp_path / "codebooks", "--sweep", "10,20", "--json", "--speaker-relative")
    reports = json.loads(dailytalk("tokens cluster", contours / "out", *words).out)
    assert [len(report["sizes"]) for report in reports] == [10, 20]
    assert reports[0]["inertia"] > reports[1]["inertia"]
    assert Codebook.load(tmp_path / "codebooks/20").speaker_relative


def test_weights_and_dimensions_are_those_that_are_given(
    contours: Path, tmp_path: Path, dailytalk: Command
) -> None:
    words = ("--out", tmp_path / "codebook", "--n-clusters", 10, "--weights", "f0=3,snr=0", "--reduced-dims", 2)
    assert dailytalk("tokens cluster", contours / "out", *words).code == 0
    codebook = Codebook.load(tmp_path / "codebook")
    assert (codebook.weights["f0"], codebook.weights["snr"], codebook.weights["power"]) == (3.0, 0.0, 2.0)
    assert codebook.centres.shape == (9, 6)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--n-clusters", 4000), "frames have a voice and are different, too few for 3,999"),
        (("--reduced-dims", 7), "reduced_dims is 7, and there are 6 features: choose 1 to 6"),
        (("--sweep", "10,x"), "--sweep can't be '10,x': give whole numbers"),
        (("--weights", "f9=1"), "--weights can't be 'f9': choose one of f0"),
        (("--weights", "f0=x"), "--weights can't be 'f0=x': give NAME=N"),
        (("--device", "tpu"), "there is no device 'tpu'"),
        (("--reducer", "umap"), "--reducer goes with --reduced-dims"),
        (("--sweep", "4,8", "--n-clusters", 4), "--sweep replaces --n-clusters"),
        (("--out", "s3://bucket/codebook"), "--out can't be"),
    ],
)
def test_what_can_not_be_clustered_is_one_sentence(
    contours: Path, tmp_path: Path, dailytalk: Command, words: Any, reason: str
) -> None:
    done = dailytalk("tokens cluster", contours / "out", "--out", tmp_path / "codebook", *words)
    assert (done.code in (1, 2), done.err.count("\n")) == (True, 1)
    assert reason in done.err
    assert not (tmp_path / "codebook").exists()


def test_without_scikit_learn_it_is_said_how_to_get_it_and_tokens_need_none(
    contours: Path, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    done = dailytalk("tokens cluster", contours / "out", "--out", tmp_path / "codebook")
    assert (done.code, "pip install 'dailytalk-contiguous[tokens]'" in done.err) == (1, True)
    assert dailytalk("tokens encode", contours / "calls", "--out", tmp_path / "tokens").code == 0


def test_what_is_no_sound_is_rejected_and_said(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "calls/ann.wav")
    save(tmp_path / "calls/empty.wav", excerpt()[:0])
    (tmp_path / "calls/text.wav").write_text("no sound")
    done = dailytalk("tokens encode", tmp_path / "calls", "--out", tmp_path / "out", "--json")
    told = json.loads(done.out)
    assert (done.code, told["counts"]) == (3, {"conversations": 1, "rejects": 2})
    assert {reject["id"] for reject in told["rejects"]} == {"empty", "text"}


def test_the_picture_of_a_sound_shows_its_tokens(tmp_path: Path, dailytalk: Command) -> None:
    sound = save(tmp_path / "ann.wav")
    words = ("--out", tmp_path / "ann.png", "--start", "1s", "--end", "3s", "--side", "right", "--json")
    told = json.loads(dailytalk("tokens plot", sound, *words).out)
    assert told["frames"] == len(told["tokens"]) == 125
    assert any(told["tokens"])
    assert (tmp_path / "ann.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--out", "ann.what"), "name a file that ends in .png, .svg or .pdf"),
        (("--out", "."), "is a directory"),
        (("--out", "s3://bucket/ann.png"), "--out can't be"),
        (("--out", "ann.wav/ann.png"), "file exists"),
        (("--out", "ann.png", "--start", "3s", "--end", "1s"), "--end 1 is not after --start 3"),
        (("--out", "ann.png", "--start", "1h"), "it has "),
        (("--out", "ann.png", "--side", "middle"), "--side can't be 'middle'"),
        (("--out", "ann.png", "--prosodic-tokens", "nowhere"), "there is no codebook in 'nowhere'"),
    ],
)
def test_a_picture_that_can_not_be_is_one_sentence(
    tmp_path: Path, dailytalk: Command, words: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = dailytalk("tokens plot", save(tmp_path / "ann.wav"), *words)
    assert (done.code in (1, 2), done.err.count("\n"), reason in done.err) == (True, 1, True)
    missing = dailytalk("tokens plot", tmp_path / "nothing.wav", "--out", "ann.png")
    assert (missing.code, missing.err.count("\n")) == (1, 1)
