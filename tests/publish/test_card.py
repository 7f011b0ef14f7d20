"""The card of a version: what it says of the data, and what it leaves alone."""

import io
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml
from card_versions import MODELS, NON_COMMERCIAL, card_of, published_row, write_version
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import published_features
from dailytalk_contiguous.publish.tables.card import SAMPLE, Card, CardFacts
from dailytalk_contiguous.publish.tables.templates import asset
from dailytalk_contiguous.publish.version import Packed, Version

FACTS = CardFacts("owner/good_talks", "v1.0.0", history=(("v1.0.0", "2026-01-02", "first"),))

Made = tuple[Packed, Version]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    rows = [published_row(f"call{number}", kept_speaker=f"person {number}") for number in range(3)]
    folder = tmp_path_factory.mktemp("version")
    return write_version(folder, {"train": rows[:2], "validation": rows[2:]})


def render(
    made: Made, old: str | None = None, facts: CardFacts = FACTS, run: Any = None, rejects: Any = ()
) -> Card:
    if facts is FACTS and not run and not rejects:
        return _rendered(made, old)
    return card_of(old, *made, facts, run or {}, rejects)


@lru_cache(maxsize=None)
def _rendered(made: Made, old: str | None) -> Card:
    """Drawing the plots takes most of a second; the same card is looked at in many ways."""
    return card_of(old, *made, FACTS, {}, ())


def front(card: Card | str) -> dict[str, Any]:
    text = card if isinstance(card, str) else card.text
    return dict(yaml.safe_load(text.split("---\n")[1]))


def section(card: Card, name: str) -> str:
    """The part of a card below the heading that begins with a name; what is before all of them is `about`."""
    _, _, ours = card.text.partition("<!-- dailytalk:start")
    parts = re.split("^## (.*)$", ours, flags=re.MULTILINE)
    sections = {"about": parts[0]}
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        first_word, _, _ = heading.partition(" ")
        sections[first_word.lower()] = text
    return sections[name]


def test_the_template_in_dataset_card_is_the_one_that_is_used() -> None:
    template = Path(__file__).parents[2] / "dataset_card" / "README.md"
    assert template.read_text(encoding="utf-8") == asset("card.md")


def test_datasets_reads_configs_and_columns_back(made: Made) -> None:
    data = DatasetCard(render(made).text).data
    configs = MetadataConfigs.from_dataset_card_data(data)
    assert configs.get_default_config_name() == "conversations"
    train = {"split": "train", "path": "conversations/train-*-of-00001.parquet"}
    validation = {"split": "validation", "path": "conversations/validation-*-of-00001.parquet"}
    assert configs["conversations"]["data_files"] == [train, validation]
    info = DatasetInfosDict.from_dataset_card_data(data)["conversations"]
    assert info.features == published_features("conversations", 24000)
    sizes = {name: split.num_examples for name, split in info.splits.items()}
    assert sizes == {"train": 2, "validation": 1}
    assert info.download_size == sum(file.size for file in made[0].files)
    assert info.dataset_size == sum(split.num_bytes for split in info.splits.values()) > 0


def test_the_first_conversation_can_be_heard_from_the_version_that_the_card_is_about(tmp_path: Path) -> None:
    rows = [published_row("a", seconds=45.0), published_row("b")]
    made = write_version(tmp_path, {"train": rows[:1], "test": rows[1:]})
    card = render(made)
    address = "https://huggingface.co/datasets/owner/good_talks/resolve/v1.0.0/assets/sample.mp3"
    listen = section(card, "listen")
    assert f'<audio controls preload="none" src="{address}"></audio>' in listen
    assert "The first 30 seconds of a (split `train`)" in listen
    samples, rate = soundfile.read(io.BytesIO(card.assets[SAMPLE]))
    assert len(samples) / rate == pytest.approx(30, abs=0.1)
    assert samples.shape[1] == 2


def test_every_published_column_is_described(made: Made) -> None:
    names = set(re.findall(r"`(\w+)`", render(made).text))
    for config in ("conversations", "utterances"):
        assert set(published_features(config, 24000)) <= names


def test_card_as_recorded_names_no_step_that_synthesises(tmp_path: Path) -> None:
    row = published_row()
    row["timeline"] |= {"mode": "recorded"}
    card = render(write_version(tmp_path, {"train": [row]}))
    assert "5. Every word gets its times in the recording." in card.text
    assert "One speaker is resynthesised" not in card.text


def test_card_needs_datasets_alone_first_and_names_no_package_of_a_registry(made: Made) -> None:
    text = render(made).text
    assert text.index("load_dataset(") < text.index("dailytalk_contiguous.load(")
    assert "pip install dailytalk" not in text
    assert "`pip install .` in a checkout" in text


def test_address_of_the_program_stays_in_the_cards_of_later_versions(made: Made) -> None:
    url = "git+https://example.org/dailytalk.git"
    old = render(made, facts=CardFacts("owner/good_talks", "v1.0.0", package_url=url)).text
    new = render(made, old, CardFacts("owner/good_talks", "v1.1.0")).text
    assert f"`pip install 'dailytalk-contiguous @ {url}'`" in new


def test_what_people_wrote_stays_byte_for_byte(made: Made) -> None:
    mine = "Hello   there  \n\n* a list|with a pipe\n\n"
    old = render(made).text
    old = old.replace("<!-- dailytalk:start", mine + "<!-- dailytalk:start")
    old = old.replace("# good talks", "# My own title")
    old += "\nThe end, by me.\n\n\n"
    old = old.replace("language:\n", "extra: mine\nlanguage:\n")
    new = render(made, old, CardFacts("owner/good_talks", "v1.1.0")).text
    assert "v1.1.0" in new
    assert "v1.0.0" not in new
    assert new.replace("v1.1.0", "v1.0.0") != old  # the changelog differs
    for kept in (mine, "# My own title", "\nThe end, by me.\n\n\n", "extra: mine\n"):
        assert kept in new


def test_a_card_of_somebody_else_keeps_its_text_and_gets_our_text(made: Made) -> None:
    old = "---\nlicense: cc-by-nc-4.0 # mine\ntags:\n- mine\n---\n\nI wrote *this*.\n"
    card = render(made, old)
    assert front(card)["license"] == "cc-by-nc-4.0"
    assert front(card)["tags"][0] == "mine"
    assert "moshi" in front(card)["tags"]
    assert "---\n\nI wrote *this*.\n\n<!-- dailytalk:start {" in card.text
    assert "# good talks" not in card.text
    assert render(made, card.text).text == card.text


@pytest.mark.parametrize(
    ("marker", "put"),
    [
        ("<!-- dailytalk:end -->", ""),
        ("<!-- dailytalk:start {", "<!-- dailytalk:start {a"),
    ],
)
def test_damaged_markers_are_named(made: Made, marker: str, put: str) -> None:
    damaged = render(made).text.replace(marker, put)
    with pytest.raises(DailytalkError, match="markers"):
        render(made, damaged)


def test_windows_line_endings_stay(made: Made) -> None:
    old = render(made).text.replace("\n", "\r\n")
    new = render(made, old).text
    assert new == old
    longer = render(made, old + "mine\r\n").text
    assert "\n" not in longer.replace("\r\n", "")


def test_values_that_we_wrote_follow_the_data_and_chosen_ones_stay(made: Made, tmp_path: Path) -> None:
    old = render(made, facts=CardFacts("owner/good_talks", "v1.0.0", licence="cc-by-4.0")).text
    row = published_row(language="de", source_licence=None)
    german = write_version(tmp_path, {"train": [row]})
    values = front(render(german, old))
    assert values["language"] == ["de"]
    assert values["license"] == "cc-by-4.0"  # chosen once, though now `other` would follow
    retitled = old.replace("pretty_name: good talks", "pretty_name: Mine")
    retagged = retitled.replace("- moshi\n", "- mine\n")
    values = front(render(german, retagged))
    assert values["pretty_name"] == "Mine"
    assert "mine" in values["tags"]
    assert "moshi" not in values["tags"]


def test_other_configs_survive_and_ours_are_replaced(made: Made) -> None:
    old = (
        "---\nconfigs:\n- config_name: mine\n  data_files: mine.csv\n"
        "- config_name: utterances\n  data_files: x\n"
        "dataset_info:\n  config_name: utterances\n---\n"
    )
    values = front(render(made, old))
    assert [config["config_name"] for config in values["configs"]] == ["conversations", "mine"]
    assert values["configs"][0]["default"]
    assert [info["config_name"] for info in values["dataset_info"]] == ["conversations"]


def test_a_licence_that_allows_more_than_a_model_gets_a_warning(tmp_path: Path) -> None:
    row = published_row(models=(*MODELS, NON_COMMERCIAL))
    made = write_version(tmp_path, {"train": [row]})
    card = render(made, facts=CardFacts("owner/good_talks", None, licence="cc-by-4.0"))
    (warning,) = card.warnings
    assert "audeering" in warning
    assert "commercial" in warning
    assert "> **Warning:** the model audeering/" in section(card, "about")
    assert "> **Warning:** the model audeering/" in section(card, "licences")
    assert render(made).warnings == ()
    assert front(render(made))["license"] == "other"


def test_shared_speakers_are_said_plainly(tmp_path: Path) -> None:
    rows = [published_row(f"c{number}", kept_speaker="Ann") for number in range(2)]
    shared = write_version(tmp_path / "a", {"train": rows[:1], "test": rows[1:]}, "conversations")
    text = section(render(shared), "splits")
    assert "**Speakers are not held apart**: 1 of 1 named speaker can be heard in more than one split" in text
    assert "DailyTalk" not in text


NOT_APART = "**Speakers are not held apart**: "


@pytest.mark.parametrize(
    ("train", "test", "disjoint", "expected"),
    [
        (["Ann"], ["Ben"], "speakers", ["No recorded (right) speaker is heard in two splits."]),
        ([None], [None], "recordings", ["speakers are not known, so one of them may be heard in two splits."]),
        (["Ann", None], ["Ben"], "recordings", ["of 2 of 3 conversations are known, and none of them is heard"]),
        (
            ["Ann", None],
            ["Ann"],
            "recordings",
            [f"{NOT_APART}1 of 1 named speaker", "2 of 3 conversations are known."],
        ),
        ([None], [None], "conversations", [f"{NOT_APART}a recording has parts in two splits"]),
    ],
)
def test_card_counts_the_conversations_whose_speakers_are_known(
    tmp_path: Path, train: list[str | None], test: list[str | None], disjoint: str, expected: list[str]
) -> None:
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, speakers in (("train", train), ("test", test)):
        rows[split] = []
        for number, name in enumerate(speakers):
            rows[split].append(published_row(f"{split}{number}", kept_speaker=name))
    text = section(render(write_version(tmp_path, rows, disjoint)), "splits")
    for sentence in expected:
        assert sentence in text
    assert (NOT_APART in text) == expected[0].startswith(NOT_APART)


def test_no_path_of_the_machine_comes_into_the_card(tmp_path: Path) -> None:
    model = {"role": "recogniser", "name": "/home/maria/whisper-mine", "licence": "unknown", "url": ""}
    row = published_row(models=(model, *MODELS))
    settings = {"voice_file": "C:\\Users\\maria\\v.wav", "timeline": "anchor"}
    row["provenance"]["source"] = "/home/maria/calls"
    row["provenance"]["settings"] = json.dumps(settings)
    run = {
        "command": "dailytalk build /home/maria/calls --out /home/maria/out",
        "settings": {"profile": "standard", "rules": "/home/maria/rules.json", "cache": "/home/maria/.cache"},
        "packages": {"torch": "2.13.0"},
        "speak": {"command": "dailytalk speak ~maria/out", "settings": {"cache": "/home/maria/.cache"}},
    }
    rejects = []
    for path in ("its recording '/home/maria/a b.wav'", "file:///home/maria/a.wav", "~/maria/a.wav"):
        reason = f"{path} can't be read"
        rejects.append({"id": "/home/maria/a.wav", "stage": "Segment", "reason": reason, "remedy": "x"})
    made = write_version(tmp_path, {"train": [row]})
    card = render(made, run=run, rejects=rejects)
    assert "maria" not in card.text
    assert "whisper-mine" in card.text
    assert "torch 2.13.0" in card.text
    assert "(a file) can't be read" in section(card, "limits")


def test_data_cannot_become_markup(tmp_path: Path) -> None:
    name = "A|B\n<!-- dailytalk:load:end -->`*_x_[y](z)"
    row = published_row(kept_speaker=name)
    row["utterances"][0]["tag"] = "a|b $x$"
    made = write_version(tmp_path, {"train": [row]})
    card = render(made)
    assert render(made, card.text).text == card.text
    for line in section(card, "statistics").splitlines():
        if line.startswith("|"):
            assert line.count("|") in (6, 8, 5)
    assert "&#60;!-- dailytalk" in card.text


def test_a_split_without_utterances_still_has_a_card(tmp_path: Path) -> None:
    made = write_version(tmp_path, {"train": [published_row(lines=())]})
    card = render(made)
    assert set(card.assets) == {"assets/lengths.png", SAMPLE}
    assert "nothing to measure" in section(card, "turn-taking")
    assert "](assets/tags.png)" not in card.text


def test_ways_to_load_name_the_version_if_it_has_a_tag(made: Made) -> None:
    tagged = render(made).text
    untagged = render(made, facts=CardFacts("owner/good_talks", None)).text
    assert 'revision="v1.0.0"' in tagged
    assert "--revision v1.0.0" in tagged
    owner = "author = {owner},\n  year = {2026},\n  version = {v1.0.0},\n  howpublished"
    assert owner in tagged
    assert "author = {owner},\n  howpublished" in untagged
    assert "revision=" not in untagged
    assert "--revision" not in untagged
