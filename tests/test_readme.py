"""The README says what the code does."""

from pathlib import Path

import pytest

from lerobot_puffer.tasks import REGISTRY

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="needs the checkout")


def test_the_readme_shows_the_example_as_it_is():
    readme = (ROOT / "README.md").read_text()
    example = (ROOT / "examples" / "own_task.py").read_text()
    assert f"```python\n{example.rstrip()}\n```" in readme
    assert len(example.splitlines()) <= 60


def test_the_readme_has_every_task_and_every_picture():
    readme = (ROOT / "README.md").read_text()
    for task in REGISTRY:
        assert f"`{task}`" in readme
    for picture in (ROOT / "docs" / "images").glob("*.png"):
        assert f"docs/images/{picture.name}" in readme


def test_no_source_file_is_longer_than_400_lines():
    for folder, pattern in (("lerobot_puffer", "**/*.py"), ("csrc", "*.p*")):
        for path in (ROOT / folder).glob(pattern):
            assert len(path.read_text().splitlines()) <= 400, path
