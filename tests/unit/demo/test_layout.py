from pathlib import Path

import pytest

from nx_dte.demo.errors import MissingToolchainError
from nx_dte.demo.layout import Layout, find_layout


def test_layout_is_found_from_a_folder_inside_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "examples/workspace").mkdir(parents=True)
    (tmp_path / "examples/workspace/nx.json").write_text("{}")
    (tmp_path / "deep/er").mkdir(parents=True)
    assert find_layout(tmp_path / "deep/er").root == tmp_path.resolve()


def test_a_missing_toolchain_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingToolchainError, match="make setup"):
        Layout(root=tmp_path).check()
