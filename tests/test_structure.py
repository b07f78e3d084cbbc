"""The structure that keeps the halves apart: imports flow one way, Ray and DeepSpeed stay where their names say."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipelines", "model", "cluster")
# What the model may know of the corpus: the page schema and the label definitions, nothing else.
SHARED_WITH_MODEL = {"pipelines.schema", "pipelines.labels.page_labels"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Full names of every module that `path` imports, at any depth of the code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def top(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_package_has_files(package: str) -> None:
    assert len(sources(package)) > 3


def test_pipelines_import_neither_model_nor_cluster() -> None:
    wrong = [(p.name, m) for p in sources("pipelines") for m in imports(p) if top(m) in ("model", "cluster")]
    assert not wrong


def test_model_imports_only_the_shared_definitions() -> None:
    wrong = [
        (p.name, m)
        for p in sources("model")
        for m in imports(p)
        if top(m) == "cluster" or (top(m) == "pipelines" and m not in SHARED_WITH_MODEL)
    ]
    assert not wrong


@pytest.mark.parametrize("library", ["ray", "deepspeed"])
def test_the_model_knows_no_cluster_library(library: str) -> None:
    assert not [p.name for p in sources("model") for m in imports(p) if top(m) == library]


@pytest.mark.parametrize("library", ["Ray", "DeepSpeed"])
def test_cluster_libraries_stay_in_files_that_say_so(library: str) -> None:
    for package in PACKAGES:
        for path in sources(package):
            if library.lower() in map(top, imports(path)):
                docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
                assert library in docstring, f"{path} imports {library} without saying so in its docstring"


def import_graph() -> dict[str, set[str]]:
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in PACKAGES
        for path in sources(package)
    }
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        # Only what is imported when the module loads: a function may defer a heavy import.
        wanted: set[str] = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                wanted |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
        graph[name] = {other for other in wanted if other in modules and other != name}
    return graph


def test_no_import_cycles() -> None:
    graph = import_graph()
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"import cycle: {' -> '.join((*path, name))}"
        if name in finished:
            return
        for other in graph[name]:
            visit(other, (*path, name))
        finished.add(name)

    for name in graph:
        visit(name, ())


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    heavy = ("torch", "transformers", "ray", "deepspeed", "pymupdf")
    code = (
        "import sys, cluster.cli\n"
        "cluster.cli.build_parser()\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"


def test_a_folder_of_a_packages_name_does_not_hide_it(tmp_path: Path) -> None:
    """`docformer export run --out model`, and then Python beside it."""
    (tmp_path / "model").mkdir()
    code = "from model import DocFormerV2Config; print(DocFormerV2Config.preset('tiny').d_model)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.stdout == "128\n", ended.stderr


def test_requirements_pin_every_dependency() -> None:
    def normal(name: str) -> str:
        return name.lower().replace("_", "-")

    pinned = {
        normal(line.split("==")[0])
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [d for group in project["optional-dependencies"].values() for d in group]
    for requirement in wanted:
        name = requirement
        for mark in ("[", "<", ">", "=", ";", " "):
            name = name.split(mark)[0]
        assert normal(name) in pinned, f"{requirement} has no pinned version in requirements.txt"
