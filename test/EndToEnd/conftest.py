"""Fixtures of the end-to-end tests; the way itself is in whole_way.py. Artifacts are cached for the session."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from whole_way import MODELS, Way  # noqa: E402


@pytest.fixture(scope="session")
def way(tmp_path_factory):
    return Way(tmp_path_factory.mktemp("way"))


@pytest.fixture(scope="session")
def stories():
    folder = MODELS / "stories260K"
    if not folder.is_dir():
        pytest.skip("../shared/models/stories260K is not here")
    return folder


@pytest.fixture(scope="session")
def architectures():
    folder = MODELS / "architectures"
    if not folder.is_dir():
        pytest.skip("../shared/models/architectures is not here")
    return folder
