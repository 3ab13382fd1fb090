"""The command line: one verb a stage. It parses, calls the public API and prints; nothing is decided here."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import modelyard
from modelyard.core.errors import DataError, GateError, ModelyardError, Stopped, UsageError
from modelyard.core.files import to_json, write_text
from modelyard.core.optional import resolve

__all__ = ["main"]

_TERMINAL = "modelyard.terminal."
"""How records look on a terminal; brought in when something is printed, to keep `-h` quick."""


class _Group(click.Group):
    """Lists verbs in the order of the work rather than of the alphabet, and names the nearest one to a typing error."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            from_name = resolve("modelyard.core.errors:nearest")(args[0], self.commands) if args else ""
            raise click.UsageError(f"{error.message.rstrip('.')}{from_name}", context) from error


def _epilog(*examples: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)


def _json(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`. A command returns a record and its printer, and possibly an exit code; the record is printed as
    JSON when asked for, and by its printer otherwise."""

    @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
    @functools.wraps(command)
    def wrapped(*args: Any, as_json: bool, **kwargs: Any) -> int:
        click.get_current_context().find_root().obj = {"json": as_json}
        outcome = command(*args, **kwargs)
        if outcome is None:
            return 0
        record, printer, *code = outcome
        if as_json:
            click.echo(to_json(record, indent=2))
        elif printer is not None:
            printer(record)
        return code[0] if code else 0

    return wrapped


def _print(name: str) -> Callable[[Any], None]:
    return lambda record: resolve(_TERMINAL + name)(record)


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_RUNS = click.option("--runs", default="runs", show_default=True, metavar="DIR", help="Folder of the runs.")


@click.group(
    cls=_Group,
    context_settings=_SETTINGS,
    epilog=_epilog(
        "modelyard new reviews.csv --target stars",
        "modelyard train reviews.yaml train.epochs=3",
        "modelyard train mnist",
        'modelyard predict runs/reviews-…/bundle --input \'{"review": "Worth every penny."}\'',
    )
    + "\n\n\b\nExit codes: 0 done · 1 failed · 2 the spec or the data is wrong · 3 a gate refused · 75 stopped",
)
@click.version_option(modelyard.__version__, message="modelyard %(version)s")
def _cli() -> None:
    """From your own data and one short spec to a model you can trust."""


@_cli.command("new", epilog=_epilog("modelyard new reviews.csv --target stars",
                                    "modelyard new photos/ --target label --output photos.yaml",
                                    "modelyard new catalog:adult --target income"))  # fmt: skip
@click.argument("data")
@click.option(
    "--target", "targets", multiple=True, required=True, metavar="COLUMN", help="What to predict; repeatable."
)
@click.option("--name", help="Name of the run; the data's when unsaid.")
@click.option(
    "--output", type=click.Path(dir_okay=False), help="Where to write; NAME.yaml when unsaid, - for the screen."
)
@click.option("--force", is_flag=True, help="Overwrite a spec that exists.")
@_json
def _new(data: str, targets: Sequence[str], name: str | None, output: str | None, force: bool) -> Any:
    """Look at DATA and write a spec for it, every choice explained."""
    draft = modelyard.draft(data, targets, name)
    if output == "-":
        return draft, lambda record: click.echo(record.text, nl=False)
    path = Path(output or f"{draft.name}.yaml")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already; choose another --output, or overwrite it with --force")
    write_text(path, draft.text)
    return {**draft.as_dict(), "path": str(path)}, _print("data:print_draft")


@_cli.command("check", epilog=_epilog("modelyard check reviews.yaml",
                                      "modelyard check reviews.csv --target stars",
                                      "modelyard check photos/ --target label --json"))  # fmt: skip
@click.argument("data", metavar="SPEC|DATA")
@click.argument("overrides", nargs=-1)
@click.option("--target", "targets", multiple=True, metavar="COLUMN", help="What is to be predicted; repeatable.")
@_json
def _check(data: str, overrides: Sequence[str], targets: Sequence[str]) -> Any:
    """Say what is wrong with the rows of a spec, a recipe, a file or a folder; exit code 3 when training is refused."""
    if click.get_current_context().find_root().obj["json"]:
        found = modelyard.check(data, targets, overrides)
    else:
        with resolve(_TERMINAL + "live:WorkDisplay")() as display:
            found = modelyard.check(data, targets, overrides, display)
    refused = any(finding.severity == "refuse" for finding in found.findings)
    return found, _print("data:print_data_check"), GateError.exit_code if refused else 0


@_cli.command("train", epilog=_epilog("modelyard train reviews.yaml",
                                      "modelyard train reviews.yaml train.epochs=3 model.size=large seed=1",
                                      "modelyard train mnist --runs /tmp/runs --max-time 2h",
                                      "modelyard train runs/reviews-20260102-150405"))  # fmt: skip
@click.argument("spec", metavar="SPEC|RUN")
@click.argument("overrides", nargs=-1)
@_RUNS
@click.option("--new", is_flag=True, help="Begin a new run even where one of this spec was interrupted.")
@click.option("--max-time", metavar="TIME", help="Save and stop after this long: 90s, 45m, 2h, 1h30m.")
@_json
def _train(spec: str, overrides: Sequence[str], runs: str, new: bool, max_time: str | None) -> Any:
    """Carry out SPEC, a YAML file or a recipe's name: data, training, evaluation, bundle, report.

    A run of the same spec that was interrupted is continued as if nothing had happened; so is a run's folder, RUN.
    """
    seconds = None if max_time is None else resolve("modelyard.train.stopping:parse_duration")(max_time)
    asked: Any = spec
    if not (Path(spec) / "run.json").is_file():
        asked = modelyard.open_spec(spec, overrides)
    elif overrides:
        raise UsageError(f"{spec} is a run to be continued as it is; to change {overrides[0]!r}, train its spec anew")
    if click.get_current_context().find_root().obj["json"]:
        return modelyard.train(asked, runs, new=new, max_time=seconds), None
    with resolve(_TERMINAL + "live:TrainingDisplay")() as display:
        run = modelyard.train(asked, runs, [display], new=new, max_time=seconds)
    return run, _print("results:print_run")


@_cli.command("profile", epilog=_epilog("modelyard profile reviews.yaml",
                                        "modelyard profile mnist train.precision=bfloat16 train.batch_size=256",
                                        "modelyard profile mnist --steps 100 --trace trace.json"))  # fmt: skip
@click.argument("spec")
@click.argument("overrides", nargs=-1)
@click.option("--steps", type=click.IntRange(3), help="Steps to measure; as many as take some seconds when unsaid.")
@click.option("--trace", metavar="FILE", type=click.Path(dir_okay=False), help="Write a trace for Chrome or Perfetto.")
@click.option("--refresh", is_flag=True, help="Measure the machine's limits anew.")
@_json
def _profile(spec: str, overrides: Sequence[str], steps: int | None, trace: str | None, refresh: bool) -> Any:
    """Say where the time and memory of SPEC's training steps go, and what to change; nothing is trained to the end."""
    given: dict[str, Any] = {"steps": steps, "trace": trace, "refresh": refresh}
    if click.get_current_context().find_root().obj["json"]:
        return modelyard.profile(spec, overrides, **given), None
    with resolve(_TERMINAL + "live:WorkDisplay")() as display:
        found = modelyard.profile(spec, overrides, progress=display, **given)
    return found, _print("profile:print_profile")


@_cli.command("evaluate", epilog=_epilog("modelyard evaluate runs/reviews-…/bundle --data test.csv"))
@click.argument("bundle")
@click.option("--data", required=True, metavar="PATH", help="Rows with their true answers: a file, glob or folder.")
@click.option("--format", help="The data's format, when its ending does not tell.")
@_json
def _evaluate(bundle: str, data: str, format: str | None) -> Any:
    """Measure BUNDLE on rows whose answers are known."""
    return modelyard.evaluate(bundle, data, format), _print("results:print_evaluation")


@_cli.command(
    "predict",
    epilog=_epilog(
        'modelyard predict runs/reviews-…/bundle --input \'{"review": "Crisp and dry."}\'',
        "modelyard predict runs/reviews-…/bundle --input new.csv --output answers.csv",
        "modelyard predict runs/photos-…/bundle --input holiday/ --output answers.jsonl",
    ),
)
@click.argument("bundle")
@click.option("--input", "rows", required=True, metavar="JSON|PATH",
              help="One row or a list of rows as JSON; or a file, glob or folder.")  # fmt: skip
@click.option("--output", metavar="FILE", help="Where to write: .csv, .parquet or .jsonl; the screen when unsaid.")
@click.option("--format", help="The input's format, when its ending does not tell.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, or auto for the first accelerator.")
@click.option("--calibrated", is_flag=True, help="Give probabilities by the temperature fitted on the validation rows.")
@_json
def _predict(bundle: str, rows: str, output: str | None, format: str | None, device: str, calibrated: bool) -> Any:
    """Answer rows with BUNDLE."""
    predictor = modelyard.load(bundle, device, calibrated=calibrated)
    given = _parse_rows(rows)
    if output is not None:
        if given is not None:
            rows_in: Any = given
        else:
            rows_in = rows
        return resolve("modelyard.bundle.answers:write_answers")(predictor, rows_in, Path(output), format), _print(
            "results:print_written"
        )
    answers = predictor.predict(rows if given is None else given, format=format)
    return {"answers": list(answers), "notes": answers.notes}, _print("results:print_answers")


def _parse_rows(text: str) -> Any:
    """Return rows given as JSON, or None when the text is a location."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        if Path(text).exists():
            return None
        raise DataError(
            f"--input looks like JSON but is not: {error}. A row is written as '{{\"column\": value}}'"
        ) from error


@_cli.command("runs", epilog=_epilog("modelyard runs", "modelyard runs --runs elsewhere/runs"))
@_RUNS
@_json
def _runs(runs: str) -> Any:
    """List what was trained here."""
    return modelyard.runs(runs), _print("results:print_runs")


@_cli.command(
    "compare",
    epilog=_epilog(
        "modelyard compare runs/reviews-20260101-120000 runs/reviews-20260102-090000",
        "modelyard compare runs/a-… runs/b-… --data new.csv --output comparison.html",
    ),
)
@click.argument("paths", nargs=-1, metavar="RUN RUN…")
@click.option("--data", metavar="PATH", help="Rows with known answers; the runs' own held-out rows when unsaid.")
@click.option("--format", help="The data's format, when its ending does not tell.")
@click.option(
    "--output", default="comparison.html", show_default=True, metavar="FILE", help="Where to write the HTML page."
)
@_json
def _compare(paths: Sequence[str], data: str | None, format: str | None, output: str) -> Any:
    """Put runs side by side: settings, results, and paired tests on the same rows."""
    found = modelyard.compare(paths, data, format)
    resolve("modelyard.train.compare:write_comparison")(found, Path(output))
    return {**found.as_dict(), "page": output}, lambda _: resolve(_TERMINAL + "results:print_comparison")(found, output)


@_cli.command("board", epilog=_epilog("modelyard board", "modelyard board --runs elsewhere/runs --port 9000"))
@_RUNS
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for any free one."
)
def _board(runs: str, host: str, port: int) -> None:
    """Show all runs of a folder on a live page: curves while they train, results, links to the reports."""

    def announce(url: str) -> None:
        click.echo(f"the board of {runs} is at {url} (Ctrl-C ends it)")

    resolve("modelyard.board.server:serve")(runs, host, port, announce)


@_cli.group("data", cls=_Group)
def _data() -> None:
    """The catalogue of named public data sets; a spec uses one as `source: catalog:NAME`."""


@_data.command("list", epilog=_epilog("modelyard data list"))
@_json
def _data_list() -> Any:
    """List the data sets."""
    return [modelyard.catalog.entry(name) for name in modelyard.catalog.names()], _print("data:print_catalog")


@_data.command("show", epilog=_epilog("modelyard data show adult"))
@click.argument("name")
@_json
def _data_show(name: str) -> Any:
    """Show what is known of data set NAME."""
    return modelyard.catalog.entry(name), _print("data:print_entry")


@_data.command("get", epilog=_epilog("modelyard data get fashion_mnist"))
@click.argument("name")
@_json
def _data_get(name: str) -> Any:
    """Fetch data set NAME and say where it is."""
    if click.get_current_context().find_root().obj["json"]:
        return {"name": name, "path": str(modelyard.catalog.get(name))}, None
    with resolve(_TERMINAL + "live:DownloadDisplay")() as display:
        path = modelyard.catalog.get(name, progress=display)
    return {"name": name, "path": str(path)}, _print("data:print_fetched")


@_cli.group("recipes", cls=_Group, invoke_without_command=True)
@_json
def _recipes() -> Any:
    """The recipes that ship with modelyard; a recipe's name works wherever a spec's path does."""
    if click.get_current_context().invoked_subcommand is not None:
        return None
    return modelyard.recipes(), _print("results:print_recipes")


@_recipes.command("list", epilog=_epilog("modelyard recipes list"))
@_json
def _recipes_list() -> Any:
    """List the recipes."""
    return modelyard.recipes(), _print("results:print_recipes")


@_recipes.command("show", epilog=_epilog("modelyard recipes show mnist", "modelyard recipes show mnist > my.yaml"))
@click.argument("name")
@_json
def _recipes_show(name: str) -> Any:
    """Print recipe NAME, to read it or to make it your own."""
    text = modelyard.recipe_text(name)
    return {"name": name, "text": text}, lambda record: click.echo(record["text"], nl=False)


@_cli.group("bundle", cls=_Group)
def _bundle() -> None:
    """Look into a bundle, or prove that it is what was written."""


@_bundle.command("show", epilog=_epilog("modelyard bundle show runs/reviews-…/bundle"))
@click.argument("path")
@_json
def _bundle_show(path: str) -> Any:
    """Show what is in the bundle at PATH: inputs, task, model, results, files."""
    return modelyard.describe(path), _print("results:print_bundle")


@_bundle.command("verify", epilog=_epilog("modelyard bundle verify runs/reviews-…/bundle"))
@click.argument("path")
@_json
def _bundle_verify(path: str) -> Any:
    """Recompute all digests of the bundle at PATH; exit code 2 when it is not what was written."""
    check = modelyard.verify(path)
    if not check.whole:
        listed = "\n".join(f"  {problem}" for problem in check.problems)
        raise modelyard.BundleError(f"the bundle {path} is not what was written:\n{listed}")
    return check, _print("results:print_check")


@_cli.command("schema", epilog=_epilog("modelyard schema > modelyard.schema.json"))
@_json
def _schema() -> Any:
    """Print the JSON schema of a spec, for editors that complete and check YAML."""
    return modelyard.schema(), lambda record: click.echo(to_json(record, indent=2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code. Errors are said in words; a traceback only shows when
    `MODELYARD_DEBUG` is set."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = _cli.main(args=given, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        _fail(Stopped("interrupted"), given)
    except BrokenPipeError:
        # The reader went away (`modelyard recipes | head`): nothing is left to say, also not at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except ModelyardError as error:
        _fail(error, given)
    except Exception as error:  # the outermost frame: whatever nobody planned for is said in words, as a defect
        _fail(_defect(error), given)


def _fail(error: ModelyardError, arguments: Sequence[str]) -> None:
    if os.environ.get("MODELYARD_DEBUG"):
        traceback.print_exception(error)
    if "--json" in arguments:
        kind = type(error).__name__
        click.echo(to_json({"error": {"type": kind, "message": str(error), "exit_code": error.exit_code}}, indent=2))
    else:
        click.echo(click.style("error: ", fg="red", bold=True) + str(error), err=True)
    sys.exit(error.exit_code)


def _defect(error: Exception) -> ModelyardError:
    """Say that an error nobody planned for is modelyard's own fault, and where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    failure = ModelyardError(
        f"{type(error).__name__}: {error}{where}. This is a defect of modelyard, not of your spec or data; "
        "please report it with the output of the same command run with MODELYARD_DEBUG=1"
    )
    failure.__cause__ = error
    return failure
