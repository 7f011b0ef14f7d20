"""The public face of the package: what it names can be imported, is documented, and costs nothing until used."""

import inspect
import subprocess
import sys

import pytest

import dailytalk_contiguous


def test_names_are_sorted_and_listed_once() -> None:
    assert dailytalk_contiguous.__all__ == sorted(set(dailytalk_contiguous.__all__))
    assert dir(dailytalk_contiguous) == dailytalk_contiguous.__all__


@pytest.mark.parametrize("name", dailytalk_contiguous.__all__)
def test_name_can_be_imported_and_is_documented(name: str) -> None:
    value = getattr(dailytalk_contiguous, name)
    assert inspect.getdoc(value)
    assert value.__doc__  # of its own, not inherited


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = dailytalk_contiguous.Nonsense
    with pytest.raises(ImportError):
        exec("from dailytalk_contiguous import Nonsense")


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "torch", "datasets", "transformers", "librosa", "faster_whisper", "numpy", "pyarrow"
    code = f"import sys, dailytalk_contiguous; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_who_only_loads_imports_nothing_that_makes_datasets() -> None:
    code = "import sys; from dailytalk_contiguous import load; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in done.stdout.split() if name.startswith("dailytalk_contiguous.")}
    assert rooms == {"core", "machine", "store", "shards", "publish"}
    assert not {"torch", "faster_whisper", "transformers"} & {*done.stdout.split()}
