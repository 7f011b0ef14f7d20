import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from built_conversations import built_row, write_dataset
from finished_corpora import clip_row, corpus_folder, measures
from hypothesis import given
from hypothesis import strategies as st
from rich_conversations import rich_row, rich_rows

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.tally import UNKNOWN, Sum, Tally
from dailytalk_contiguous.core.utterance import AFFECT, PROSODY
from dailytalk_contiguous.publish.page import Sides, compare_folders, write_report
from dailytalk_contiguous.publish.plots import MapPlot, svg
from dailytalk_contiguous.publish.sections import (
    MOST_VALUES,
    Compared,
    against_section,
    label_plot,
    markdown,
    offsets_against_plot,
    page_html,
    turn_taking_against,
)

HOSTILE = "<b>&\"'</script>é|`"

#: Tag, start, end, text and arousal of what is said on the left.
LINES = (
    ("whispering", 0.0, 1.0, "Come here.", 0.2),
    ("angry", 2.0, 5.0, "What did you do?", 0.9),
    ("calm", 6.0, 12.0, "I see.", None),
)


def talks(folder: Path, lines: Any = LINES) -> Path:
    """A work folder that `tag` has written: its transcript."""
    folder.mkdir(parents=True)
    told = [
        {
            "conversation_id": "call",
            "channel": "left",
            "start": start,
            "end": end,
            "text": text,
            "tag": tag,
            "language": "en",
            "vad": dict.fromkeys(AFFECT, arousal),
            "features": dict.fromkeys(PROSODY, 2.0),
        }
        for tag, start, end, text, arousal in lines
    ]
    (folder / "transcript.jsonl").write_text("".join(json.dumps(line) + "\n" for line in told), encoding="utf-8")
    return folder


def corpus(folder: Path) -> Path:
    rows = [
        clip_row("s1-0", "happy", 1.0, tag="calm"),
        clip_row("s1-1", "sad", 3.0, tag="sad", style=None),
        clip_row("s1-1-pitch", "sad", 3.0, augmented_from="acted/s1-1"),
    ]
    return corpus_folder(folder, rows)


def side(name: str, *tags: str | None) -> Compared:
    tally = Tally()
    for tag in tags:
        tally.by["tag"][tag or UNKNOWN].add(Sum(0, 1))
        tally.heard.add(Sum(0, 1))
    return Compared(name, "clips", tally)


def compared(sides: Sides) -> str:
    return markdown(against_section(*sides).parts)


def row(text: str, name: str) -> list[str]:
    """The two figures behind a name, which may be `LABEL: VALUE`, in the tables of Markdown."""
    label, _, value = name.rpartition(": ")
    [table] = [part for part in text.split("\n\n") if part.startswith(f"| {label} |")]
    [line] = [line for line in table.splitlines() if line.startswith(f"| {value} |")]
    return [cell.strip() for cell in line.split("|")[2:4]]


def test_clips_and_utterances_stand_side_by_side(tmp_path: Path) -> None:
    text = compared(compare_folders(corpus(tmp_path / "acted"), talks(tmp_path / "calls")))
    assert "|  | acted | calls |" in text
    assert row(text, "number") == ["2 clips", "3 utterances"]  # a copy is no clip of its own
    assert row(text, "speech") == ["4.0 s", "10.0 s"]
    assert row(text, "length (s)") == ["2.00 ± 1.00", "3.33 ± 2.05"]
    assert row(text, "arousal (0 to 1)") == ["0.50 ± 0.00", "0.55 ± 0.35 (67 % known)"]
    assert row(text, "pitch (Hz)") == ["1.0 ± 0.0", "2.0 ± 0.0"]
    assert row(text, "tag: calm") == ["50 %", "33 %"]
    assert row(text, "length: long") == ["0 %", "33 %"]
    assert row(text, "sentence type: interrogative") == ["0 %", "33 %"]


def test_circles_of_both_maps_of_affect_have_one_scale(tmp_path: Path) -> None:
    few, many = side("few", "calm"), side("many", "calm")
    few.tally.affect["calm"].counts.update({(1, 1): 3})
    many.tally.affect["calm"].counts.update({(1, 1): 3, (9, 9): 300})
    maps = [part for part in against_section(few, many).parts if isinstance(part, MapPlot)]
    assert [plot.most for plot in maps] == [300, 300]
    keys = [re.findall(r"<ul.*?</ul>", svg(plot), re.DOTALL)[-1].replace("other", "after") for plot in maps]
    assert keys[0] == keys[1]


def test_what_a_side_does_not_tell_is_counted_as_that(tmp_path: Path) -> None:
    text = compared(compare_folders(corpus(tmp_path / "acted"), talks(tmp_path / "calls")))
    assert row(text, "emotion: happy") == ["50 %", "0 %"]
    assert row(text, "emotion: unknown") == ["0 %", "100 %"]


def test_the_style_of_an_utterance_is_what_the_rule_for_clips_makes_of_its_tag(tmp_path: Path) -> None:
    text = compared(compare_folders(corpus(tmp_path / "acted"), talks(tmp_path / "calls")))
    assert row(text, "style: whispered") == ["0 %", "33 %"]
    assert row(text, "style: normal") == ["50 %", "33 %"]
    assert row(text, "style: unknown") == ["50 %", "33 %"]  # nobody knows how aroused the last one was


def test_an_act_is_shown_where_one_side_tells_it(tmp_path: Path) -> None:
    acting = corpus_folder(tmp_path / "acting", [clip_row("s1-0", act="inform"), clip_row("s1-1")])
    both = compare_folders(talks(tmp_path / "calls"), acting)
    assert row(compared(both), "act: inform") == ["0 %", "50 %"]
    assert "<h3>Act (3 utterances, 2 clips)</h3>" in page_html(against_section(*both))
    assert "| act |" not in compared((side("calls", "calm"), side("others", "calm")))


def test_values_are_ranked_by_both_sides_together_then_by_name_and_the_unknown_is_last() -> None:
    ours = side("a", "calm", "calm", "sad", None, "zen", "angry", "angry", None)
    bars = label_plot(ours, side("b", "sad", "sad", "sad", "calm"), "tag").rows
    assert [bar.name for bar in bars] == ["sad", "calm", "angry", "zen", UNKNOWN]
    assert bars[0].values == (0.125, 0.75)


def test_what_is_rare_is_not_shown_as_none() -> None:
    assert row(compared((side("a", *["calm"] * 999, "sad"), side("b", "calm"))), "tag: sad") == ["0.1 %", "0 %"]


@given(st.lists(st.none() | st.sampled_from([f"tag {n}" for n in range(40)]), min_size=1), st.integers(1, 60))
def test_shares_of_both_sides_add_up_to_one(tags: list[str | None], count: int) -> None:
    ours, theirs = side("a", *tags), side("b", *(f"tag {n}" for n in range(count)))
    bars = label_plot(ours, theirs, "tag").rows
    assert len(bars) <= MOST_VALUES + 2
    assert [sum(bar.values[place] for bar in bars) for place in (0, 1)] == pytest.approx([1.0, 1.0])
    assert (bars[-1].name == UNKNOWN) == (None in tags)
    assert "1 others" not in [bar.name for bar in bars]


def test_what_was_left_out_of_a_conversation_is_not_counted(tmp_path: Path) -> None:
    conversation = built_row("call")
    conversation["utterances"][0] |= {"status": "dropped", "start": None, "end": None}
    folder = write_dataset(tmp_path / "built", [conversation])
    assert compare_folders(folder, corpus(tmp_path / "acted"))[0].n == 3


def test_two_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    found = compare_folders(corpus(tmp_path / "a/work"), talks(tmp_path / "b/work"))
    assert [one.name for one in found] == ["a/work", "b/work"]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("itself", "can't be compared with itself"),
        ("empty", "neither clips nor"),
        ("measured", "no finished clips"),
    ],
)
def test_what_can_not_be_compared_is_refused(tmp_path: Path, kind: str, sentence: str) -> None:
    acted = corpus(tmp_path / "acted")
    other = acted / "../acted" if kind == "itself" else tmp_path / kind
    other.mkdir(exist_ok=True)
    if kind == "measured":
        corpus_folder(other, [], measured=[measures()])
    with pytest.raises(DailytalkError, match=sentence):
        compare_folders(acted, other)


def test_the_page_and_the_summary_of_a_corpus_show_both(tmp_path: Path) -> None:
    done = write_report(
        corpus(tmp_path / "acted"), markdown=tmp_path / "summary.md", other=talks(tmp_path / "calls")
    )
    text = done.path.read_text(encoding="utf-8")
    assert "<h2>Against calls</h2>" in text
    assert ">50 % · 33 %</text>" in text
    assert "<h3>Affect of acted (2 clips)</h3>" in text
    assert "<h3>Affect of calls (2 utterances)</h3>" in text
    assert "### Against calls\n\n" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_the_page_of_conversations_shows_both(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "built", [built_row()])
    text = write_report(folder, other=corpus(tmp_path / "acted")).path.read_text(encoding="utf-8")
    assert "<h2>Against acted</h2>" in text
    assert "<h3>Affect of built (0 utterances)</h3><p" in text


def test_text_of_the_other_side_stays_text(tmp_path: Path) -> None:
    other = talks(tmp_path / "<b>'", [(HOSTILE, 0.0, 1.0, HOSTILE, 0.5)])
    done = write_report(corpus(tmp_path / "acted"), markdown=tmp_path / "summary.md", other=other)
    text = done.path.read_text(encoding="utf-8")
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)
    assert not re.search(r"<b>(?!acted|doubtful<|note<)", text)
    assert "<b>" not in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_turn_taking_of_two_datasets_stands_side_by_side_in_colours_of_their_own(tmp_path: Path) -> None:
    ours = write_dataset(tmp_path / "ours", [rich_row("a")])
    theirs = write_dataset(tmp_path / "theirs", [rich_row("b", 1.0), rich_row("c")])
    page = write_report(ours, tmp_path / "page.html", other=theirs).path.read_text(encoding="utf-8")
    against = page.partition('<section id="against">')[2].partition("</section>")[0]
    assert "<h3>Turn-taking</h3>" in against
    assert "<h3>Changes of speaker (4, 8)</h3>" in against
    drawn = against.partition("<h3>Changes of speaker (4, 8)</h3>")[2].partition("</article>")[0]
    assert re.findall(r'<i class="(\w+)"></i>(\w+)<', drawn) == [("after", "ours"), ("other", "theirs")]
    alone = compare_folders(ours, corpus(tmp_path / "clips"))
    assert not offsets_against_plot(*alone)


def test_turn_taking_of_two_folders_is_set_side_by_side() -> None:
    ours, theirs = Tally(), Tally(rebuilt=False)
    for rich in rich_rows():
        ours.add(rich)
        theirs.add(rich)
    table = turn_taking_against(Compared("a", "utterances", ours), Compared("b", "utterances", theirs))
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.head == ("", "a", "b")
    assert rows["conversations"] == (3, 3)
    assert rows["length"] == ("21.0 s", "22.5 s")
    assert rows["both speak at once"] == ("5.7 %", "5.3 %")
    assert rows["interruptions a minute"] == ("8.6", "0.0")
    assert rows["offset, right takes the floor"] == ("−0.10 s", "−0.10 s")
    assert rows["pauses"] == ("–", "–")
    assert not turn_taking_against(Compared("a", "utterances", ours), Compared("c", "utterances", Tally()))
