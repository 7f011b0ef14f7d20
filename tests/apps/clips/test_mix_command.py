from pathlib import Path

from command import Command
from finished_corpora import clip_row, corpus_folder


def corpus(folder: Path, name: str, licence: str = "CC-BY-4.0") -> Path:
    rows = [clip_row(f"s{n}-0", corpus=name, licence=licence) for n in range(3)]
    rows.append(clip_row("v-0", corpus=name, licence=licence, split="validation"))
    return corpus_folder(folder / name, rows)


def test_a_mix_stands_up_to_the_check(tmp_path: Path, dailytalk: Command) -> None:
    first = corpus(tmp_path, "one")
    second = corpus(tmp_path, "two", "CC-BY-NC-4.0")
    out = tmp_path / "out"
    done = dailytalk("mix", f"{first}:2", f"{second}:1", "--out", out)
    assert done.code == 3  # a clip of the second was left out
    assert done.err == ""
    assert "one: 0.00 h of training (66." in done.out
    assert "warning: CC-BY-NC-4.0 (two): not for commercial use" in done.out
    checked = dailytalk("check", out)
    assert checked.code == 0
    assert "\nmoshi: " in checked.out
