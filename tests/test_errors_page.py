"""The page of what can go wrong has the sentences that the code says and that tests meet."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PAGE = (ROOT / "docs/errors.md").read_text(encoding="utf-8")

#: The sentences of the page.
SENTENCES = re.findall(r"^- `([^`]+)`:", PAGE, re.M)


def fixed_parts(sentence: str) -> list[str]:
    """The parts of a sentence of the page between what differs from case to case."""
    parts = [part.strip() for part in sentence.split("…")]
    return [part for part in parts if len(part) > 3]


def strings_below(folder: str) -> str:
    """All texts in the code of a folder, one after another; escapes of regular expressions are left out."""
    texts: list[str] = []
    for path in (ROOT / folder).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts).replace("\\", "")


@pytest.mark.parametrize("folder", ["dailytalk_contiguous", "tests"])
def test_every_sentence_is_said_and_met(folder: str) -> None:
    texts = strings_below(folder)
    are_met = any if folder == "tests" else all  # tests match a part
    missing = []
    for sentence in SENTENCES:
        if not are_met(part in texts for part in fixed_parts(sentence)):
            missing.append(sentence)
    assert missing == []
    assert len(set(SENTENCES)) > 40
