"""The page of what can go wrong has the sentences that the code says and that tests meet."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: The sentences of the page's tables, each as its fixed parts.
SENTENCES = {
    said: [part.strip() for part in said.split("…") if len(part.strip()) > 3]
    for said in re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/errors.md").read_text(encoding="utf-8"), re.M)
}


def strings_below(folder: str) -> str:
    """All texts in the code of a folder, one after another; escapes of regular expressions are left out."""
    texts: list[str] = []
    for path in (ROOT / folder).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts += [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    return "\n".join(texts).replace("\\", "")


@pytest.mark.parametrize("folder", ["dailytalk_contiguous", "tests"])
def test_every_sentence_is_said_and_met(folder: str) -> None:
    texts = strings_below(folder)
    of_tests = folder == "tests"  # which match a part
    missing = [
        said
        for said, parts in SENTENCES.items()
        if not (any if of_tests else all)(part in texts for part in parts)
    ]
    assert (len(SENTENCES) > 40, missing) == (True, [])
