"""Tags: the rules to the letter, their order, and that a synthesiser knows every tag."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.style.buckets import LEVELS
from dailytalk_contiguous.core.style.tags import (
    PRESETS,
    STYLES,
    Evidence,
    choose_tag,
    mapped_tags,
    render,
    tags_among,
)

L, M, H = LEVELS


def grid_evidence(arousal: str, valence: str, dominance: str, pitch_var: str = M) -> Evidence:
    return Evidence(arousal=arousal, valence=valence, dominance=dominance, pitch_var=pitch_var)


ACCEPTANCE = Evidence(
    valence=M, arousal=H, dominance=H, energy=M, rate=H, zcr=L, pitch_var=M, speech_rate=2.1, rate_ratio=1.3
)


def test_acceptance_example_is_excited() -> None:
    choice = choose_tag(ACCEPTANCE)
    assert choice.tag == "excited"
    assert choice.rule == "grid: arousal HIGH, valence MID, dominance HIGH"


# The grid as the rules print it: arousal, then valence LOW | MID | HIGH, each dominance LOW / MID / HIGH.
STANDARD = {
    H: "anxious / frustrated / angry | nervous / excited / excited | surprised / excited / delighted",
    M: "worried / disappointed / frustrated | uncertain / calm / confident | satisfied / satisfied / satisfied",
    L: "depressed / sad / sad | calm / calm / calm | relaxed / relaxed / satisfied",
}
SEED = {
    H: "anxious / frustrated / angry | nervous / excited / determined | excited / excited / delighted",
    M: "worried / disappointed / frustrated | uncertain / calm / confident | satisfied / satisfied / satisfied",
    L: "depressed / sad / sad | calm / calm / calm | relaxed / relaxed / satisfied",
}


@pytest.mark.parametrize(
    ("preset", "table", "prefix"), [("standard", STANDARD, "grid"), ("seed", SEED, "seed grid")]
)
def test_every_cell_of_the_grid_is_reached(preset: str, table: dict[str, str], prefix: str) -> None:
    for arousal, row in table.items():
        for valence, cell in zip(LEVELS, row.split(" | "), strict=True):
            for dominance, tag in zip(LEVELS, cell.split(" / "), strict=True):
                rule = f"{prefix}: arousal {arousal}, valence {valence}, dominance {dominance}"
                evidence = grid_evidence(arousal, valence, dominance)
                assert choose_tag(evidence, preset) == (tag, rule)


def test_pitch_variation_changes_four_cells_of_the_grid() -> None:
    changed = {}
    for arousal, valence, dominance in itertools.product(LEVELS, LEVELS, LEVELS):
        usual = choose_tag(grid_evidence(arousal, valence, dominance))
        for pitch_var in (L, H):
            evidence = grid_evidence(arousal, valence, dominance, pitch_var)
            choice = choose_tag(evidence)
            if choice.tag != usual.tag:
                changed[arousal, valence, dominance, pitch_var] = choice
    determined = changed[H, M, H, L]
    tags = {cell: choice.tag for cell, choice in changed.items()}
    assert tags == {
        (H, M, H, L): "determined",
        (M, H, L, H): "happy",
        (M, H, M, H): "happy",
        (M, H, H, H): "proud",
    }
    assert determined.rule == "grid: arousal HIGH, valence MID, dominance HIGH, pitch_var LOW"


def test_seed_knows_happy_but_neither_proud_nor_steady_determination() -> None:
    dominant = grid_evidence(M, H, H, H)
    aroused = grid_evidence(H, M, H, H)
    assert choose_tag(dominant, "seed").tag == "happy"
    assert choose_tag(aroused, "seed").tag == "determined"


GATES = {
    "T1 whispering": Evidence(energy=L, zcr=H, voiced_fraction=0.19),
    "T2 screaming": Evidence(energy=H, arousal=H, valence=L, f0_ratio=1.6),
    "T3 shouting": Evidence(energy=H, arousal=H, rms_gain_db=6.0),
    "T4 soft tone": Evidence(energy=L, arousal=M, rms_gain_db=-6.0),
    "T5 in a hurry tone": Evidence(rate=H, arousal=M, rate_ratio=1.25, speech_rate=3.5),
}


@pytest.mark.parametrize(("rule", "evidence"), GATES.items())
def test_tone_gate_holds_on_its_margin(rule: str, evidence: Evidence) -> None:
    choice = choose_tag(evidence)
    assert choice.tag == rule[3:]
    assert choice.rule == rule


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("T1 whispering", {"energy": M}),
        ("T1 whispering", {"zcr": M}),
        ("T1 whispering", {"voiced_fraction": 0.2}),
        ("T2 screaming", {"energy": M}),
        ("T2 screaming", {"arousal": M}),
        ("T2 screaming", {"valence": M}),
        ("T2 screaming", {"f0_ratio": 1.59}),
        ("T3 shouting", {"energy": M}),
        ("T3 shouting", {"arousal": M}),
        ("T3 shouting", {"rms_gain_db": 5.99}),
        ("T4 soft tone", {"energy": M}),
        ("T4 soft tone", {"arousal": H}),
        ("T4 soft tone", {"rms_gain_db": -5.99}),
        ("T5 in a hurry tone", {"rate": M}),
        ("T5 in a hurry tone", {"arousal": L}),
        ("T5 in a hurry tone", {"rate_ratio": 1.24}),
        ("T5 in a hurry tone", {"speech_rate": 3.49}),
    ],
)
def test_tone_gate_needs_every_condition(rule: str, change: dict[str, str | float]) -> None:
    evidence = GATES[rule]._replace(**change)
    choice = choose_tag(evidence)
    assert choice.rule.startswith("grid: ")


@pytest.mark.parametrize(("rule", "evidence"), GATES.items())
def test_unknown_measures_satisfy_no_gate(rule: str, evidence: Evidence) -> None:
    measured = []
    for name, value in evidence._asdict().items():
        if isinstance(value, float) and not math.isnan(value):
            measured.append(name)
    assert measured
    for measure in measured:
        unknown = {measure: math.nan}
        unmeasured = evidence._replace(**unknown)
        assert choose_tag(unmeasured).rule != rule


LOUD = Evidence(energy=H, arousal=H, valence=L, f0_ratio=2, rms_gain_db=9, rate=H, rate_ratio=2, speech_rate=5)
QUIET = Evidence(energy=L, zcr=H, voiced_fraction=0.1, rms_gain_db=-9, question=True)


def test_gates_are_tried_in_order_before_questions() -> None:
    assert choose_tag(LOUD).tag == "screaming"
    lower = LOUD._replace(f0_ratio=1.0)
    assert choose_tag(lower).tag == "shouting"
    softer = lower._replace(rms_gain_db=0)
    assert choose_tag(softer).tag == "in a hurry tone"
    assert choose_tag(QUIET).tag == "whispering"
    voiced = QUIET._replace(zcr=M)
    assert choose_tag(voiced).tag == "soft tone"
    louder = voiced._replace(rms_gain_db=0)
    assert choose_tag(louder).tag == "curious"


@pytest.mark.parametrize(
    ("valence", "arousal", "dominance", "tag"),
    [
        (L, M, L, "confused"),
        (L, M, M, "doubtful"),
        (M, L, H, "uncertain"),
        (M, M, M, "curious"),
        (H, L, L, "curious"),
    ],
)
def test_question(valence: str, arousal: str, dominance: str, tag: str) -> None:
    asked = Evidence(valence=valence, arousal=arousal, dominance=dominance, question=True)
    assert choose_tag(asked) == (tag, f"question: {tag}")


def test_angry_question_stays_angry() -> None:
    asked = Evidence(valence=L, arousal=H, dominance=H, question=True)
    assert choose_tag(asked).tag == "angry"


@pytest.mark.parametrize(
    ("evidence", "tag", "rule"),
    [
        (Evidence(energy=L, zcr=H), "whispering", "seed 1 whispering"),
        (Evidence(energy=H, arousal=H), "shouting", "seed 2 shouting"),
        (Evidence(energy=L, arousal=H, rate=H), "soft tone", "seed 3 soft tone"),
        (Evidence(rate=H), "in a hurry tone", "seed 4 in a hurry tone"),
        (Evidence(rate=H, arousal=L), "calm", None),
        (Evidence(question=True), "calm", None),
    ],
)
def test_seed_gates_need_no_margin_and_know_no_questions(evidence: Evidence, tag: str, rule: str | None) -> None:
    choice = choose_tag(evidence, "seed")
    assert choice.tag == tag
    assert rule is None or choice.rule == rule


levels = st.sampled_from(LEVELS)
measures = st.floats(-50, 50) | st.just(math.nan)


@given(st.builds(Evidence, *[levels] * 8, *[measures] * 5, st.booleans()), st.sampled_from(sorted(PRESETS)))
def test_every_utterance_gets_a_tag_that_fish_s1_knows(evidence: Evidence, preset: str) -> None:
    choice = choose_tag(evidence, preset)
    tags_of_rules = {(rule.name, rule.tag) for rule in PRESETS[preset]}
    assert choice.tag in STYLES["fish-s1"].tags
    assert (choice.rule, choice.tag) in tags_of_rules


@pytest.mark.parametrize("preset", PRESETS)
def test_fish_s1_knows_every_tag_of_a_preset_as_it_is(preset: str) -> None:
    tags = {rule.tag for rule in PRESETS[preset]}
    assert len(tags) > 20
    unchanged = {tag: tag for tag in tags}
    assert mapped_tags(tags, "fish-s1", {}) == unchanged


def test_unknown_tag_is_an_error_that_lists_the_mapping_to_add() -> None:
    with pytest.raises(DailytalkError) as caught:
        mapped_tags(["happy", "joyful", "wispering", "joyful"], "fish-s1", {})
    refused = caught.value
    assert refused.reason == "fish-s1 does not know 'joyful', 'wispering'"
    assert '"wispering": "whispering"' in refused.remedy
    assert '"joyful": "' in refused.remedy
    assert "sarcastic" in refused.remedy


def test_mapping_is_followed_and_checked_too() -> None:
    mapped = mapped_tags(["joyful", "sad"], "fish-s1", {"joyful": "happy"})
    assert mapped == {"joyful": "happy", "sad": "sad"}
    with pytest.raises(DailytalkError, match=r"'joyful' \(as 'glee'\)"):
        mapped_tags(["joyful"], "fish-s1", {"joyful": "glee"})


def test_fish_s2_takes_any_words_but_its_own_brackets() -> None:
    words = "joyful, out of breath"
    assert mapped_tags([words], "fish-s2", {}) == {words: words}
    for tag in ("", " ", "a] b"):
        with pytest.raises(DailytalkError):
            mapped_tags([tag], "fish-s2", {})


@pytest.mark.parametrize(
    ("tag", "style", "rendered"),
    [
        ("soft tone", "fish-s1", "(soft tone) Good night."),
        ("soft tone", "fish-s2", "[soft tone] Good night."),
        ("", "fish-s1", "Good night."),
    ],
)
def test_tags_are_written_as_the_synthesiser_reads_them(tag: str, style: str, rendered: str) -> None:
    assert render(tag, "Good night.", style) == rendered


@pytest.mark.parametrize(
    ("words", "tags"),
    [
        (["(excited)", "hello"], ["(excited)"]),
        (["(in", " a ", "hurry", "tone)", "now"], ["(in a hurry tone)"]),
        (["(not", "(excited)"], ["(excited)"]),
        (["(ours)", "(theirs)"], ["(ours)"]),
        (["(excited]", "excited", "x(excited)", "(", "()"], []),
    ],
)
def test_tags_among_words_are_those_that_a_rule_or_a_user_knows(words: list[str], tags: list[str]) -> None:
    users = ["ours", "one of my own tags", "one of my own longer tags"]
    of_rules = [tag for tag in tags if tag != "(ours)"]
    assert tags_among(words, users) == tags
    assert tags_among(words) == of_rules
