"""The documentation says what is so: links lead somewhere, commands parse, specs are valid, code runs."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shlex
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
import pytest
import yaml

import modelyard
from modelyard.cli import _cli
from modelyard.core.registry import table
from modelyard.spec.settings import Settings
from modelyard.spec.spec import Spec

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
FENCED = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


def load_file(path: Path, name: str, monkeypatch=None):
    """Import a file under a name of our choice; with `monkeypatch`, others can import it by that name meanwhile."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    if monkeypatch is not None:
        monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


# -- links ------------------------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    """The anchor that a heading gets on code hosts: lower case, without punctuation, dashes for blanks."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(line.lstrip("#")) for line in FENCED.sub("", page.read_text("utf-8")).splitlines() if line[:1] == "#"}


@EACH_PAGE
def test_every_relative_link_leads_somewhere(page):
    prose = re.sub(r"`[^`\n]*`", "", FENCED.sub("", page.read_text("utf-8")))
    links = re.findall(r"\]\(([^)\s]+)[^)]*\)|(?:href|src)=\"([^\"]+)\"", prose)
    broken = []
    for link in (one or other for one, other in links):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place) if place else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_the_reference_of_settings_is_what_the_code_says():
    script = load_file(ROOT / "scripts" / "spec_reference.py", "spec_reference")
    expected = script.reference()
    assert (ROOT / "docs" / "spec.md").read_text("utf-8") == expected, "run: python scripts/spec_reference.py"


# -- command lines ----------------------------------------------------------------------------------------------------

PLACEHOLDERS = {"VERB", "RUN", "BUNDLE", "SPEC", "DATA", "NAME", "…"}
"""Words that stand for something else in a command line that only shows a form."""


def command_lines() -> list[tuple[str, str]]:
    """(Where, command line) of everything that tells a reader to call modelyard."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        shown = [line for block in FENCED.finditer(text) for line in block[3].splitlines()]
        rest = FENCED.sub("", text)
        shown += [line for line in rest.splitlines() if line.startswith("    ")]
        shown += re.findall(r"`(modelyard [^`\n]+)`", rest)
        found += [(page.name, line) for line in shown]
    for path in sorted([*(ROOT / "recipes").glob("*.yaml"), *(ROOT / "examples").glob("*.py")]):
        shown = re.findall(r"(?:# Run:|`).*?(modelyard [a-z][^`\n]*)", path.read_text("utf-8"))
        found += [(path.name, line) for line in shown]
    for path, command in commands(_cli, "modelyard"):
        found += [(f"{path} -h", line) for line in (command.epilog or "").splitlines()]
    lines = [(where, re.sub(r"^\s*\$?\s*", "", line)) for where, line in found]
    return [(where, line) for where, line in dict.fromkeys(lines) if re.match(r"modelyard( |$)", line)]


def commands(command: click.Command, path: str):
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


def words_of(line: str) -> list[str]:
    """The arguments of a command line, up to a pipe, a redirection or a comment."""
    words = []
    for word in shlex.split(line, comments=True):
        if word in ("|", ">", ">>", "&&", ";"):
            break
        words.append(word)
    return words[1:]


def parsed(arguments: list[str]) -> tuple[str, dict]:
    """Parse without carrying out; return the verb and its parameters. Raises click's errors."""
    context = click.Context(_cli, info_name="modelyard", **_cli.context_settings)
    command, verb, rest = _cli, [], arguments
    while isinstance(command, click.Group):
        _, rest, _ = command.make_parser(context).parse_args(list(rest))
        if not rest:
            return " ".join(verb), {}
        name, command, rest = command.resolve_command(context, rest)
        verb.append(name)
        context = click.Context(command, parent=context, info_name=name, **command.context_settings)
    return " ".join(verb), command.make_context(verb[-1], list(rest), parent=context.parent).params


@pytest.mark.parametrize(("where", "line"), command_lines())
def test_every_command_line_that_is_shown_parses_and_names_what_exists(where, line):
    arguments = words_of(line)
    if PLACEHOLDERS & set(arguments):
        return
    try:
        verb, given = parsed(arguments)
    except click.exceptions.Exit:  # -h and --version
        return
    recipes = {recipe.name for recipe in modelyard.recipes()}
    if verb == "train":
        assert given["spec"].endswith(".yaml") or given["spec"].startswith("runs/") or given["spec"] in recipes
        for override in given["overrides"]:
            assert_place_exists(override.partition("=")[0])
    if verb == "recipes show":
        assert given["name"] in recipes
    if verb in ("data show", "data get"):
        assert given["name"] in modelyard.catalog.names()
    for name in re.findall(r"catalog:(\w+)", line):
        assert name in modelyard.catalog.names()


def assert_place_exists(place: str) -> None:
    settings: type[Settings] | None = Spec
    for part in place.split("."):
        assert settings is None or part in settings.model_fields, f"{place}: there is no {part}"
        inner = None if settings is None else settings.model_fields[part].annotation
        settings = inner if inspect.isclass(inner) and issubclass(inner, Settings) else None
        if settings is None:
            return  # what stands below a choice depends on what is chosen


def test_a_command_line_that_does_not_exist_would_be_found():
    for line in ("modelyard trian x.yaml", "modelyard train", "modelyard predict bundle --inputs rows.csv"):
        with pytest.raises(click.UsageError):
            parsed(words_of(line))
    verb, given = parsed(words_of("modelyard recipes show mnist > my.yaml"))
    assert (verb, given["name"]) == ("recipes show", "mnist")


# -- the guides' examples ---------------------------------------------------------------------------------------------

GUIDES = {kind: ROOT / "docs" / f"adding-a-{kind}.md" for kind in ("source", "modality", "family", "task")}
EACH_GUIDE = pytest.mark.parametrize("installed", GUIDES, indirect=True)


@dataclass
class Guide:
    """What a guide tells its reader to save and to add."""

    kind: str
    files: dict[str, str] = field(default_factory=dict)
    """Path → code."""
    lines: dict[str, str] = field(default_factory=dict)
    """Path of a file that exists → the line to add to it."""
    specs: list[str] = field(default_factory=list)
    folder: Path = Path()

    @classmethod
    def read(cls, kind: str) -> Guide:
        guide, text, start = cls(kind), GUIDES[kind].read_text("utf-8"), 0
        for block in FENCED.finditer(text):
            paths = re.findall(r"`((?:modelyard|tests)/[\w/]+\.py)`", text[start : block.start()])
            start = block.end()
            if block[2] == "yaml":
                guide.specs.append(block[3])
            elif block[2] == "python":
                (guide.lines if block[3].count("\n") == 1 else guide.files)[paths[-1]] = block[3]
        return guide

    @property
    def name(self) -> str:
        """The new entry's name in its table."""
        return next(name for path, name, _ in self.entries() if self.kind == kind_of(path))

    def entries(self) -> list[tuple[str, str, str]]:
        """(Table's file, name, target) of each line for a table."""
        found = [(path, re.fullmatch(r'"(\w+)": "([\w.:]+)",\s*', line)) for path, line in self.lines.items()]
        return [(path, match[1], match[2]) for path, match in found if match]

    def tests(self):
        """The test functions that the guide shows, by name."""
        for path in self.files:
            if path.startswith("tests/"):
                module = load_file(self.folder / path, Path(path).stem)
                yield from ((name, test) for name, test in vars(module).items() if name.startswith("test_"))


def kind_of(path: str) -> str:
    kinds = {"sources": "source", "modalities": "modality", "models": "family", "tasks": "task", "evaluate": "metric"}
    return kinds[Path(path).parent.name]


@pytest.fixture
def installed(request, tmp_path, monkeypatch):
    """A guide's example as if its files were saved and its lines added."""
    guide = Guide.read(request.param)
    guide.folder = tmp_path / "saved"
    for path, code in guide.files.items():
        file = guide.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, "utf-8")
        if path.startswith("modelyard/"):
            load_file(file, path.removesuffix(".py").replace("/", "."), monkeypatch)
    for path, name, target in guide.entries():
        monkeypatch.setitem(table(kind_of(path))._builtin, name, target)
    return guide


@EACH_GUIDE
def test_the_example_of_a_guide_can_be_found_named_and_described(installed):
    for path, name, _ in installed.entries():
        assert name not in (ROOT / path).read_text("utf-8"), "the guide's example exists already; choose another"
        assert table(kind_of(path)).find(name).name == name
    settings = table(installed.kind).find(installed.name).Settings
    assert all(about.description for about in settings.model_fields.values())
    script = load_file(ROOT / "scripts" / "spec_reference.py", "spec_reference")
    assert f"### `{installed.name}`" in script.reference()
    for text in installed.specs:
        assert Spec.from_yaml(text).data.targets
    if installed.kind != "source":  # formats have no place in the schema
        assert f"'const': '{installed.name}'" in str(modelyard.schema())


@EACH_GUIDE
def test_the_tests_that_a_guide_shows_pass(installed, tmp_path):
    tests = dict(installed.tests())
    assert len(tests) >= 2
    for name, test in tests.items():
        (tmp_path / name).mkdir()
        test(**{"tmp_path": tmp_path / name} if inspect.signature(test).parameters else {})


@EACH_GUIDE
def test_the_code_of_a_guide_is_written_as_the_code_here(installed):
    ours = ["--config", 'lint.isort.known-first-party=["modelyard"]']  # ruff itself looks for the files
    for path, code in installed.files.items():
        for verb in (["check"], ["format", "--check"]):
            command = [sys.executable, "-m", "ruff", *verb, *ours, "--stdin-filename", path, "-"]
            result = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True)
            assert result.returncode == 0, f"{path}: {result.stdout}{result.stderr}"


@pytest.mark.parametrize("installed", ["family"], indirect=True)
def test_the_family_of_the_guide_keeps_the_contract(installed):
    contract = load_file(ROOT / "tests" / "models" / "test_families.py", "families_with_example")
    ran = [name for name, test, values in cases(contract) if installed.name in values.values() and not test(**values)]
    assert len(set(ran)) >= 12


@pytest.mark.parametrize("installed", ["modality"], indirect=True)
def test_the_modality_of_the_guide_keeps_the_contract(installed, monkeypatch):
    path = "tests/data/modalities/test_modality_contract.py"
    contract = load_file(ROOT / path, "modalities_with_example", monkeypatch)
    (name, case), *_ = eval(f"{{{installed.lines[path]}}}", vars(contract)).items()
    assert name == installed.name
    contract.CASES[name] = case
    contract.test_every_modality_of_the_table_has_a_sample()
    ran = set()
    for test_name, test in vars(contract).items():
        parameters = list(inspect.signature(test).parameters) if test_name.startswith("test_") else []
        if parameters == ["case"]:
            test(case)
            ran.add(test_name)
        elif parameters == ["modality", "values"]:
            for values in contract.ODD.values():
                test(name, values)
            ran.add(test_name)
    assert len(ran) >= 11


def cases(module):
    """(Name, test, arguments) of all parametrised tests of a module."""
    for name, test in vars(module).items():
        for mark in getattr(test, "pytestmark", []) if name.startswith("test_") else []:
            names = [mark.args[0]] if isinstance(mark.args[0], str) else mark.args[0]
            for values in mark.args[1]:
                values = getattr(values, "values", values)
                yield name, test, dict(zip(names, values if len(names) > 1 else [values], strict=True))


# -- other code that is shown ------------------------------------------------------------------------------------------

OTHERS = [page for page in PAGES if page not in GUIDES.values()]


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.name)
def test_specs_and_python_that_are_shown_are_valid(page):
    for _, language, code in FENCED.findall(page.read_text("utf-8")):
        if language == "yaml" and "data" in (yaml.safe_load(code) or {}):
            assert Spec.from_yaml(code).data.targets is not None
        if language == "python":
            names = {node.attr for node in ast.walk(ast.parse(code)) if is_public_name(node)}
            assert names <= set(modelyard.__all__)


def is_public_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("modelyard", "my")


# -- the guides' examples, end to end ---------------------------------------------------------------------------------


def train(tmp_path, data, **parts):
    settings = {"epochs": 8, "batch_size": 16, "learning_rate": 0.03, "threads": 1, **parts.pop("train", {})}
    values = {"name": "guide", "data": data, "train": settings, "evaluate": {"resamples": 20}, **parts}
    return modelyard.train(Spec.parse(values), tmp_path / "runs")


@pytest.mark.parametrize("installed", ["source"], indirect=True)
def test_the_source_of_the_guide_trains_and_predicts(installed, tmp_path):
    path = tmp_path / "shop.db"
    rows = [(number, float(number % 50), ("Jena", "Ulm")[number % 2]) for number in range(300)]
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, price REAL, city TEXT, returned TEXT)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?)", [(*row, "yes" if row[1] > 25 else "no") for row in rows]
        )
    given = yaml.safe_load(installed.specs[0])["data"]
    run = train(tmp_path, {**given, "source": str(path)})
    assert sum(run.data.rows.values()) == 300
    assert run.metrics["accuracy"] > 0.9
    answers = modelyard.load(run.bundle).predict(str(path))
    assert [answer["returned"] for answer in answers][:50:49] == ["no", "yes"]


@pytest.mark.parametrize("installed", ["modality"], indirect=True)
def test_the_modality_of_the_guide_is_inferred_trains_and_predicts(installed, tmp_path):
    start, hours = np.datetime64("2024-01-01T00:00"), np.arange(0, 24 * 30, 2)
    rows = [
        {"when": str(start + np.timedelta64(hour, "h")), "load": 100 + 20 * np.sin(2 * np.pi * (hour - 5) / 24)}
        for hour in hours.tolist()
    ]
    run = train(tmp_path, {"source": rows, "targets": {"load": "number"}}, model="linear")
    assert {column.column: column.modality for column in run.data.columns} == {"when": "datetime", "load": "number"}
    assert run.metrics["r2"] > 0.99  # a straight line through hours 0 to 23 cannot do it
    eleven, last = modelyard.load(run.bundle).predict([{"when": "2024-02-03 11:00"}, {"when": "soon"}])
    assert eleven["load"] == pytest.approx(120, abs=2)
    assert "'soon' is not a date" in last["problem"]


@pytest.mark.parametrize("installed", ["family"], indirect=True)
def test_the_family_of_the_guide_trains_and_predicts(installed, tmp_path, sentences):
    model = {"family": "text_cnn", "size": "small", "dropout": 0.2}
    run = train(tmp_path, {"source": sentences, "targets": ["label"]}, model=model, train={"learning_rate": 0.01})
    assert run.metrics["accuracy"] > 0.9
    assert modelyard.load(run.bundle).predict({"review": "service was lovely and 很好"})[0]["label"] == "good"


@pytest.mark.parametrize("installed", ["task"], indirect=True)
def test_the_task_of_the_guide_trains_stops_early_and_predicts(installed, tmp_path):
    chance = np.random.default_rng(0)
    value = chance.uniform(0, 5, 400)
    stars = np.clip(np.ceil(value + chance.normal(0, 0.3, 400)), 1, 5).astype(int)
    run = train(
        tmp_path,
        {"source": {"value": value, "stars": stars}, "targets": {"stars": "category"}},
        model="linear",
        task="ordinal",
        train={"epochs": 40, "learning_rate": 0.1, "early_stopping": {"metric": "steps_off", "patience": 40}},
    )
    measured = run.evaluations[-1].metrics[0]
    assert measured.name == "steps_off"
    assert measured.value < 0.5 < measured.baseline
    answers = modelyard.load(run.bundle).predict({"value": [0.1, 2.5, 4.9]})
    assert [answer["stars"] for answer in answers] == ["1", "3", "5"]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1)
