from pathlib import Path

import pytest
from corpus_trees import clip, put

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import EMOTIONS, GENDERS, INTENSITIES, OFFICIAL_SPLITS, STYLES
from dailytalk_contiguous.sources.corpora import acted, crema_d, dailytalk, esd, msp_podcast
from dailytalk_contiguous.sources.corpora.registry import CORPORA, corpus_info, corpus_rows, options_of


def test_all_corpora_are_there_by_name() -> None:
    clips = {"clips", "crema_d", "dailytalk", "esd", "msp_podcast", "ravdess", "savee", "tess"}
    assert set(CORPORA) == clips | {"dailytalk_conversations", "dailytalk_contiguous"}


def test_unknown_names_and_options_are_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match=r"no corpus 'iemocap': choose one of clips, crema_d, dailytalk"):
        list(corpus_rows("iemocap", tmp_path))
    with pytest.raises(DailytalkError, match=r"crema_d has no option 'agree': it takes agreed_only"):
        list(corpus_rows("crema_d", tmp_path, agree=True))
    with pytest.raises(DailytalkError, match=r"tess has no option 'seed': leave it out"):
        list(corpus_rows("tess", tmp_path, seed=1))
    strange = dict.fromkeys("zyxwvutsrqponmlkjihgfedcba", 1)
    with pytest.raises(DailytalkError, match=r"tess has no option 'a'"):
        list(corpus_rows("tess", tmp_path, **strange))
    assert options_of("dailytalk_conversations") == {"seed"}


def test_rows_come_one_at_a_time(tmp_path: Path) -> None:
    put(tmp_path, {"DC_a01.wav": clip(), "DC_a02.wav": clip()})
    rows = corpus_rows("savee", tmp_path)
    assert next(rows)["id"] == "savee/DC_a01"
    (tmp_path / "DC_a02.wav").unlink()
    assert "No such file" in next(rows)["problem"]


def test_every_map_leads_into_the_vocabulary() -> None:
    maps = [crema_d.EMOTIONS, crema_d.VOTES, dailytalk.EMOTIONS, esd.EMOTIONS, msp_podcast.EMOTIONS]
    maps += [acted.SAVEE_EMOTIONS, acted.TESS_EMOTIONS, dict(acted.RAVDESS_EMOTIONS.values())]
    assert {emotion for one in maps for emotion in one.values()} <= set(EMOTIONS)
    levels = {*crema_d.LEVELS.values(), *acted.INTENSITIES.values()} - {None}
    assert levels == set(INTENSITIES)
    assert {*esd.SPLITS.values(), *msp_podcast.SPLITS.values()} == set(OFFICIAL_SPLITS)
    genders = [crema_d.GENDERS, msp_podcast.GENDERS, acted.ACTORS, acted.SAVEE_SPEAKERS]
    assert {gender for one in genders for gender in one.values()} - {None} <= set(GENDERS)
    assert "sung" in STYLES


def test_licence_and_citation_are_in_the_info() -> None:
    assert corpus_info("ravdess").license == "CC-BY-NC-SA-4.0"
    assert "Livingstone" in corpus_info("ravdess").citation
