from pathlib import Path

import pytest

from dailytalk_contiguous.apps.clips.corpora.registry import corpus_rows
from dailytalk_contiguous.core.errors import DailytalkError


def test_unknown_name_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match=r"no corpus 'iemocap': choose one of clips, crema_d, dailytalk"):
        list(corpus_rows("iemocap", tmp_path))
