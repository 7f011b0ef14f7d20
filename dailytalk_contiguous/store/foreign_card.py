"""The card of a dataset of others on the Hub, checked before `datasets` reads it.

With aliases of aliases a card of a few lines fills memory, and data files elsewhere would be asked for.
"""

import json
import re
from collections.abc import Callable, Container

from huggingface_hub.repocard import REGEX_YAML_BLOCK

from dailytalk_contiguous.core.documents import parse_yaml
from dailytalk_contiguous.core.errors import BadInput

#: A text in the configs of a card, as JSON, that leads out of the dataset: an absolute path, an address, or `..`.
_OUTSIDE = re.compile(r'"(/|[^"]*(://|\.\.(?=[/"])))[^"]*')

#: What to do about a dataset whose card is not read.
USE_ITS_FILES = "download its files, and name their folder"


def front_matter(text: str, name: str) -> object:
    """Parse the YAML at the head of a card; None without any. Raises BadInput as `parse_yaml`."""
    match = REGEX_YAML_BLOCK.search(text)
    return parse_yaml(match[2], name) if match else None


def check_card(dataset: object, names: Container[str], read: Callable[[str], bytes]) -> None:
    """Raise BadInput for a card with aliases, and for one that names data files outside of the dataset.

    Args:
        dataset: its name, for the sentence.
        names: of its files.
        read: returns the content of a file.
    """
    for name in ("README.md", ".huggingface.yaml"):  # `datasets` prefers the configs of the second one
        if name not in names:
            continue
        where = f"{name} of {dataset}"
        text = read(name).decode(errors="replace")
        record = front_matter(text, where) if name.endswith(".md") else parse_yaml(text, where)
        configs = record.get("configs") if isinstance(record, dict) else None
        outside = _OUTSIDE.search(json.dumps(configs, default=str, skipkeys=True))
        if outside:
            raise BadInput(f"{where} names data files outside of it ({outside[0][1:200]})", USE_ITS_FILES)
