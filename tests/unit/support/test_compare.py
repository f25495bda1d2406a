import tarfile
from pathlib import Path

from tests.support.compare import Snapshot, differences, snapshot_tar, snapshot_tree


def tree(root: Path) -> Path:
    (root / "dist/empty").mkdir(parents=True)
    (root / "dist/run").write_text("#!/bin/sh\n")
    (root / "dist/run").chmod(0o755)
    (root / "dist/latest").symlink_to("run")
    (root / "node_modules").mkdir()
    (root / "node_modules/ignored").write_text("x")
    return root


def changed(before: Path, after: Path) -> list[str]:
    return differences(snapshot_tree(before), snapshot_tree(after))


def test_equal_trees_do_not_differ(tmp_path: Path) -> None:
    assert changed(tree(tmp_path / "a"), tree(tmp_path / "b")) == []


def test_each_kind_of_difference_is_seen(tmp_path: Path) -> None:
    before, after = tree(tmp_path / "a"), tree(tmp_path / "b")
    (after / "dist/run").chmod(0o644)
    (after / "dist/latest").unlink()
    (after / "dist/latest").symlink_to("empty")
    (after / "dist/empty").rmdir()
    (after / "dist/more").write_text("")
    assert [line.split(":")[0] for line in changed(before, after)] == [
        "dist/empty",
        "dist/latest",
        "dist/more",
        "dist/run",
    ]


def test_a_changed_byte_is_seen(tmp_path: Path) -> None:
    before, after = tree(tmp_path / "a"), tree(tmp_path / "b")
    (after / "dist/run").write_text("#!/bin/SH\n")
    [line] = changed(before, after)
    assert line.startswith("dist/run: expected file 0755")


def test_a_tar_of_a_tree_is_the_tree(tmp_path: Path) -> None:
    root = tree(tmp_path / "a")
    archive = tmp_path / "tree.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".")
    snapshot: Snapshot = snapshot_tar(archive)
    assert snapshot == snapshot_tree(root)
    assert snapshot["dist/latest"].content == "run"
