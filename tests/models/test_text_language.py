import pytest

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.models.text_language import language_of_texts

CALLS = {
    "en": "yeah so i was like i don't know what to do you know and she goes well whatever and i'm like okay fine",
    "de": "hallo guten tag ich rufe an wegen der rechnung da stimmt was nicht ja moment ich schau mal nach wie "
    "ist ihr name bitte",
    "ja": "もしもし 田中です お世話になっております 明日の会議の時間なんですが",
}


@pytest.mark.parametrize("language", CALLS)
def test_a_call_is_in_its_language_however_it_is_cut_into_lines(language: str) -> None:
    call = CALLS[language]
    assert language_of_texts([call]) == language
    assert language_of_texts(call.split()) == language


def test_few_words_and_words_of_any_language_are_not_guessed() -> None:
    with pytest.raises(BadInput, match="by 19 words"):
        language_of_texts(CALLS["en"].split()[:19])
    with pytest.raises(BadInput, match="not clear") as refused:
        language_of_texts(["mm-hm uh-huh okay hello hi bye"] * 4)
    assert "--language" in (refused.value.remedy or "")
