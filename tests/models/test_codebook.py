"""A codebook: a frame has one token whatever it is assigned with, and what comes from outside is checked first."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dailytalk_contiguous import Codebook
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.codebook import ABOUT, BUNDLED, CENTRES, SILENCE, bundled_name
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled codebook."""
    Codebook.load().save(tmp_path / "codebook")
    return tmp_path / "codebook"


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 6), np.float32)


def change(folder: Path, **fields: Any) -> Path:
    about = json.loads((folder / ABOUT).read_text())
    (folder / ABOUT).write_text(json.dumps(about | fields))
    return folder


@given(st.integers(0, 300), st.integers(1, 300), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_a_frame_has_the_same_token_in_any_company(count: int, size: int, seed: int) -> None:
    codebook = Codebook.load()
    features = frames(count, seed)
    tokens, distances = codebook.assign(features)
    for start in range(0, count, size):
        part = slice(start, start + size)
        part_tokens, part_distances = codebook.assign(features[part])
        np.testing.assert_array_equal(part_tokens, tokens[part])
        np.testing.assert_array_equal(part_distances, distances[part])


def test_the_token_is_that_of_the_nearest_weighted_centre() -> None:
    codebook = Codebook.load()
    features = frames(500)
    weights = np.array([*codebook.weights.values()])
    gaps = features[:, None].astype(float) - codebook.centres[None]
    squares = (gaps * weights) ** 2
    to_each_centre = np.sqrt(squares.sum(axis=2))
    tokens, distances = codebook.assign(features)
    np.testing.assert_array_equal(tokens, to_each_centre.argmin(axis=1) + 1)
    np.testing.assert_allclose(distances, to_each_centre.min(axis=1), rtol=1e-5)


def test_a_frame_without_voice_is_silence_and_nothing_else_is() -> None:
    features = frames(50)
    features[::2] = 0
    tokens, distances = Codebook.load().assign(features)
    assert (tokens[::2] == SILENCE).all()
    assert (tokens[1::2] > 0).all()
    assert not distances[::2].any()


def test_a_codebook_that_was_saved_is_the_same(folder: Path) -> None:
    assert Codebook.load(folder).name == Codebook.load().name
    assert (folder / CENTRES).read_bytes() == (BUNDLED / CENTRES).read_bytes()
    assert (folder / ABOUT).read_bytes() == (BUNDLED / ABOUT).read_bytes()


def test_the_bundled_codebook_is_small_and_has_no_token_that_is_never_used() -> None:
    codebook = Codebook.load()
    assert codebook.n_clusters == 120
    assert codebook.name == bundled_name()
    assert codebook.training is not None
    assert min(codebook.training.sizes) > 0
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < 8000


class Attack:
    def __reduce__(self) -> Any:
        return os.mkdir, ("attacked",)


def attacked(folder: Path) -> None:
    torch.save({"cluster_centers": Attack()}, folder / CENTRES)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / CENTRES).write_bytes(pickle.dumps(Attack())), "not a zip file"),
        (attacked, "its tensors can't be read"),
        (lambda folder: torch.save(torch.zeros(119, 5), folder / CENTRES), "no array of finite floats"),
        (lambda folder: (folder / CENTRES).unlink(), "No such file"),
        (lambda folder: (folder / ABOUT).write_text("{"), "is not JSON"),
        (lambda folder: change(folder, n_clusters=10**9), "no array"),
        (lambda folder: change(folder, emphasize_ratio=None), "Expected `float`, got `null`"),
    ],
)
def test_a_codebook_that_is_none_is_refused_in_a_sentence_and_runs_nothing(
    folder: Path, damage: Any, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    damage(folder)
    with pytest.raises(DailytalkError, match=reason) as error:
        Codebook.load(folder)
    assert error.value.remedy
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_older_tool_s_folder_is_read_with_a_warning(
    tmp_path: Path, wrapped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    centres = torch.rand(8, 6)
    stored = {"cluster_centers": centres} if wrapped else centres
    torch.save(stored, tmp_path / CENTRES)
    about = {"n_clusters": 8, "inertia": 1.5, "dtype": "torch.float32"}
    (tmp_path / ABOUT).write_text(json.dumps(about))
    codebook = Codebook.load(tmp_path)
    assert codebook.n_clusters == 8
    assert not codebook.silence
    tokens, _ = codebook.assign(centres.numpy())
    assert tokens.tolist() == list(range(8))
    assert "whose contours differ" in caplog.text


def test_what_a_codebook_computes_is_part_of_a_stage_s_digest(folder: Path) -> None:
    before = TokeniseProsody(str(folder)).digest
    torch.save(torch.rand(119, 6), folder / CENTRES)
    assert TokeniseProsody(str(folder)).digest != before
