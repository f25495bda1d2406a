"""Small modules, small functions, a small light client."""

import ast
from pathlib import Path

import pytest

MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
# docs/why.md says why these two.
MAX_LIGHT_CLIENT_LINES = 2800
MAX_ARCHIVE_LINES = 800

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "src/nx_dte/light_client/bundle"
MODULES = sorted(
    path for folder in ("src", "tests", "benchmarks", "toolchain") for path in (ROOT / folder).rglob("*.py")
)
SCRIPTS = sorted(
    path
    for folder in ("src", "tests", "toolchain")
    for suffix in ("*.js", "*.mjs", "*.cjs")
    for path in (ROOT / folder).rglob(suffix)
    if "node_modules" not in path.parts
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("module", MODULES + SCRIPTS, ids=_name)
def test_module_is_small(module: Path) -> None:
    assert _lines(module) <= MAX_MODULE_LINES, f"{_name(module)} should be split by concept"


@pytest.mark.parametrize("module", [path for path in MODULES if path.is_relative_to(ROOT / "src")], ids=_name)
def test_functions_are_small(module: Path) -> None:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert not long, f"{_name(module)}: longer than {MAX_FUNCTION_LINES} lines"


def test_light_client_is_small() -> None:
    sizes = {path.name: _lines(path) for path in sorted(BUNDLE.glob("*.js"))}
    archive = {name: size for name, size in sizes.items() if name.startswith(("archive", "tar"))}
    assert archive, f"no archive modules in {BUNDLE}"
    assert sum(archive.values()) <= MAX_ARCHIVE_LINES, archive
    assert sum(sizes.values()) - sum(archive.values()) <= MAX_LIGHT_CLIENT_LINES, sizes
