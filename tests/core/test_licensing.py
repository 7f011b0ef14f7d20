from pathlib import Path

import pytest

from dailytalk_contiguous.core.licensing import OTHER, Licence, asked, combined, licence_in_words, refusal
from dailytalk_contiguous.models.licences import licence_of

BY, BY_SA, NC_SA, NC, ND = "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-ND-4.0"
ODBL, ESD, MSP = "ODbL-1.0", "LicenseRef-ESD-research-only", "LicenseRef-MSP-Podcast-academic"


@pytest.mark.parametrize(
    ("licence", "what"),
    [
        (NC_SA, {"commercial", "terms", "naming"}),
        (ND, {"commercial", "changes", "naming"}),
        (ODBL, {"terms", "naming"}),
        (ESD, {"commercial", "research", "naming"}),
        ("CC0-1.0", set()),
    ],
)
def test_the_licences_of_the_corpora_are_known(licence: str, what: set[str]) -> None:
    assert asked(licence) == (what, True)


@pytest.mark.parametrize("licence", [None, "", "unknown", "Contract 7", "LicenseRef-house-rules", "other: terms"])
def test_what_a_name_does_not_tell_is_unknown(licence: str | None) -> None:
    assert not asked(licence).known
    assert licence_in_words(licence) == "see its terms"


@pytest.mark.parametrize("licence", [NC_SA, ND, NC, ESD, MSP, None, "Contract 7"])
def test_commercial_use_is_refused_where_it_is_forbidden_or_not_known(licence: str | None) -> None:
    assert str(licence or "unknown licence") in str(refusal(licence))


@pytest.mark.parametrize(
    ("licences", "strictest"),
    [
        ([BY], BY),
        (["CC0-1.0", "MIT", BY], BY),
        ([BY, NC], NC),
        ([BY, NC, NC_SA], NC_SA),
        ([BY, "CC-BY-SA-3.0", BY_SA], BY_SA),
        ([BY, ESD], ESD),
        ([BY_SA, NC], OTHER),  # none of them says both
        ([BY_SA, NC_SA], OTHER),  # each wants its own terms alone
        ([ODBL, NC_SA], OTHER),
        ([ESD, MSP], OTHER),  # two agreements are not one
        ([ESD, BY_SA], OTHER),
        ([BY, None], OTHER),
        ([], OTHER),
    ],
)
def test_the_strictest_licence_is_named_only_where_it_covers_the_others(
    licences: list[str], strictest: str
) -> None:
    assert combined({licence: ["x"] for licence in licences}).licence == strictest


def test_a_model_that_forbids_commercial_use_makes_a_free_licence_too_little() -> None:
    assert combined({BY: ["x"]}, {"commercial"}).licence == OTHER
    assert combined({NC: ["x"]}, {"commercial"}).licence == NC


@pytest.mark.parametrize(
    ("licences", "words"),
    [
        ([NC, BY], ["CC-BY-NC-4.0 (x): not for commercial use"]),
        ([NC_SA, ODBL], ["not for commercial use", "ODbL-1.0 (x) contradicts"]),
        (
            [NC_SA, ODBL, ESD],
            [
                "not for commercial use",
                "research only",
                "which ODbL-1.0 (x) and LicenseRef-ESD-research-only (x) contradict;",
                "which LicenseRef-ESD-research-only (x) contradicts;",
            ],
        ),
        ([BY, "CC0-1.0", "MIT"], []),
    ],
)
def test_every_clash_is_one_sentence(licences: list[str | None], words: list[str]) -> None:
    warnings = combined({licence: ["x"] for licence in licences}).warnings
    assert len(warnings) == len(words)
    for word in words:
        assert any(word in warning for warning in warnings), (word, warnings)


def test_licence_of_a_model_is_that_of_its_name_or_engine_and_unknown_of_what_others_made(tmp_path: Path) -> None:
    assert licence_of("silero-vad") == Licence("MIT", "https://github.com/snakers4/silero-vad")
    voices = "https://huggingface.co/rhasspy/piper-voices"
    assert (
        licence_of("piper/en_US-joe-medium")
        == licence_of("piper")
        == Licence("unknown", voices, "each voice has its own, as its card says")
    )
    assert licence_of("espeak/en-us").licence == "GPL-3.0-or-later"
    assert licence_of("large-v3") == Licence("MIT", "https://github.com/openai/whisper")
    assert licence_of(str(tmp_path)) == Licence("unknown", "", "a local folder: whoever made it knows its licence")
    assert licence_of("acme/model") == Licence("unknown", "https://huggingface.co/acme/model")
