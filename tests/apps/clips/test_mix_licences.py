from pathlib import Path

from finished_corpora import clip_row, corpus_folder

from dailytalk_contiguous.apps.clips.mixture import Settings, mix_folders

ACTED = {
    "name": "acted",
    "licence": "CC-BY-4.0",
    "citation": "Doe J & Roe R (2020). Acted | said.",
    "homepage": "https://acted.org/a b",
}


def corpus(folder: Path, name: str, told: dict[str, str] | None = None) -> Path:
    trained = clip_row("s1-0", corpus=name)
    evaluated = clip_row("s2-0", corpus=name, split="validation")
    run = {"corpus": told} if told else None
    return corpus_folder(folder / name, [trained, evaluated], run)


def licences(*folders: Path) -> str:
    out = folders[0].parent / f"mix of {len(folders)}"
    mix_folders([(folder, None) for folder in folders], out, Settings())
    return (out / "licences.md").read_text(encoding="utf-8")


def test_whoever_has_to_be_named_is_named(tmp_path: Path) -> None:
    text = licences(corpus(tmp_path, "acted", ACTED))
    row = "| acted | [acted](https://acted.org/a%20b) | CC-BY-4.0 | Doe J &#38; Roe R (2020). Acted &#124; said. |"
    assert row in text


def test_names_go_on_when_a_mix_is_mixed_again(tmp_path: Path) -> None:
    licences(corpus(tmp_path, "acted", ACTED), corpus(tmp_path, "plain"))
    text = licences(tmp_path / "mix of 2", corpus(tmp_path, "b"), corpus(tmp_path, "c"))
    assert "[acted](https://acted.org/a%20b) | CC-BY-4.0 | Doe J" in text
    assert "| plain | unknown | unknown |" in text
