"""`mnas scale`: grow a network by EfficientNet's compound scaling, to a size or to a measured latency."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mnas.cli import output
from mnas.cli.options import ARCH, JSON, declared, renamed
from mnas.search.options import MaxTrainImages

if TYPE_CHECKING:
    from mnas.arch.spec import Architecture
    from mnas.evaluators.multi_resolution import Scorer
    from mnas.scaling.compound import Coefficients
    from mnas.scaling.family import Member
    from mnas.scaling.priced import Devices


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("scale", cls=renamed({"--limit": "--max-train-images"}))(declared(scale))


def scale(
    arch: str = ARCH,
    phi: float = typer.Option(
        None, "--phi", help="Grow by the formula: alpha^phi deeper, beta^phi wider, gamma^phi larger."
    ),
    published: str = typer.Option(None, "--published", help="Grow by a published row: b0 to b7, lite0 to lite4."),
    to_ms: list[float] = typer.Option(
        [], "--to-ms", help="Scale to a latency: one for each --table, or several for one."
    ),
    family: str = typer.Option(None, "--family", help="A whole family by the formula: 0..4. --out is then a folder."),
    grid: bool = typer.Option(
        False, "--grid", help="Find alpha, beta, gamma: train and score every candidate on --data."
    ),
    table: list[Path] = typer.Option([], "--table", help="Latency tables: each member's latency is predicted."),
    data: str = typer.Option(None, "--data", help="Score on this data (--grid needs it; others take it)."),
    evaluator: str = typer.Option(
        "proxy", "--evaluator", help="proxy (short trainings on --data), or your own: python:MODULE:FUNCTION."
    ),
    coefficients: str = typer.Option("1.2,1.1,1.15", help="alpha,beta,gamma, or a file that --grid wrote."),
    lite: bool = typer.Option(False, "--lite", help="EfficientNet-Lite's rules: stem, head and outer repeats stay."),
    steps: int = typer.Option(200, min=1, help="Training steps of one network that is scored."),
    batch: int = typer.Option(64, min=2, help="Images in such a step."),
    max_train_images: MaxTrainImages | None = None,
    grid_step: float = typer.Option(0.1, help="Steps of the grid."),
    seed: int = typer.Option(0, min=0, help="Of the short trainings."),
    out: Path = typer.Option(None, "--out", help="A JSON file; a folder for a family."),
    json: bool = JSON,
) -> None:
    """Grow a network into a larger one. Example: mnas scale efficientnet-b0 --phi 1 --out b1.json."""
    from mnas.errors import InputError
    from mnas.scaling.coefficients import read_coefficients
    from mnas.study.references import resolve_architecture

    modes = {
        "--phi": phi is not None,
        "--published": published is not None,
        "--to-ms": bool(to_ms),
        "--family": family is not None,
        "--grid": grid,
    }
    if sum(modes.values()) != 1:
        given = ", ".join(name for name, used in modes.items() if used) or "none"
        raise InputError(f"expected one of {', '.join(modes)}; got {given}. For example: --phi 1 or --published b1")
    job = _Job(resolve_architecture(arch), read_coefficients(coefficients), lite, arch)
    job.scorer = _scorer(evaluator, data, steps, batch, max_train_images, seed)
    if grid:
        _grid(job, grid_step, out, json)
        return
    made = {"base": arch, "options": {name: used for name, used in modes.items() if used}, "coefficients": job.plain()}
    _members(job, _networks(job, phi, published, to_ms, family, table), table, out, json, made)


@dataclass
class _Job:
    """What is scaled, and how networks are scored."""

    base: Architecture
    coefficients: Coefficients
    lite: bool
    name: str
    scorer: Scorer | None = None

    def plain(self) -> list[float]:
        return [self.coefficients.alpha, self.coefficients.beta, self.coefficients.gamma]


def _scorer(evaluator: str, data: str | None, steps: int, batch: int, limit: int | None, seed: int) -> Scorer | None:
    from mnas.errors import InputError
    from mnas.evaluators.registry import GROUP
    from mnas.evaluators.user_defined import user_defined_evaluator
    from mnas.system.plugins import is_user_defined

    if is_user_defined(evaluator, GROUP):
        from mnas.evaluators.multi_resolution import UserDefinedScorer

        return UserDefinedScorer(user_defined_evaluator(evaluator))
    if evaluator != "proxy":
        raise InputError(
            f"--evaluator is {evaluator!r}: expected proxy or python:MODULE:FUNCTION; scaled networks are in no table "
            "of accuracies and in no supernet"
        )
    if data is None:
        return None
    from mnas.evaluators.multi_resolution import ScaledProxy
    from mnas.evaluators.proxy import ProxyRecipe

    return ScaledProxy(data, ProxyRecipe(steps=steps, batch_size=batch, seed=seed), limit)


def _networks(
    job: _Job, phi: float | None, published: str | None, to_ms: list[float], family: str | None, table: list[Path]
) -> list[tuple[str, Architecture]]:
    """The scaled networks with their names."""
    from mnas.scaling.compound import scale_by_formula, scale_published
    from mnas.scaling.family import read_range
    from mnas.scaling.priced import Devices, formula_members, scale_to_latencies

    if published is not None:
        return [(published, scale_published(job.base, published))]
    if phi is not None:
        return [(f"phi{phi:g}", scale_by_formula(job.base, phi, job.coefficients, lite=job.lite))]
    if family is not None:
        return formula_members(job.base, read_range(family), job.coefficients, lite=job.lite)
    with output.console(stderr=True).status("Scaling to the latency"):
        found = scale_to_latencies(job.base, Devices(table), to_ms, job.coefficients, lite=job.lite)
    return [(name, scaled.architecture) for name, scaled in found]


def _members(
    job: _Job,
    networks: list[tuple[str, Architecture]],
    table: list[Path],
    out: Path | None,
    json: bool,
    made: dict[str, Any],
) -> None:
    """Price and score the networks, write them, show them."""
    from mnas.errors import InputError
    from mnas.scaling.priced import Devices
    from mnas.system.files import check_writable, write_json

    many = len(networks) > 1 or "--family" in made["options"]
    if many and out is not None and out.suffix == ".json":
        raise InputError(f"--out is {out}: a family needs a folder, such as {out.with_suffix('')}")
    if out is not None:
        check_writable(out / "family.json" if many else out)
    devices = Devices(table)
    members = _scored(job, networks, devices)
    if out is not None and many:
        _write_family(job, members, out, made)
    elif out is not None:
        from mnas.arch.codec import architecture_to_dict

        write_json(out, architecture_to_dict(members[0].architecture))
    if json:
        output.print_json(_document(job, members, out, many))
        return
    _show(job, members, devices)
    print(f"Written to {out}." if out else f"Add --out {'FOLDER' if many else 'FILE.json'} to keep it.")


def _scored(job: _Job, networks: list[tuple[str, Architecture]], devices: Devices) -> list[Member]:
    members = []
    if job.scorer is None:
        return [devices.member(name, network) for name, network in networks]
    _load(job.scorer)
    with output.progress("Scoring") as report:
        for number, (name, network) in enumerate(networks):
            report(number / len(networks), name)
            members.append(devices.member(name, network, job.scorer(network)))
    return members


def _load(scorer: Scorer) -> None:
    from mnas.evaluators.multi_resolution import ScaledProxy
    from mnas.system.native_output import load_tensorflow

    if not isinstance(scorer, ScaledProxy):
        return
    with output.console(stderr=True).status("Loading TensorFlow"):
        load_tensorflow()


def _write_family(job: _Job, members: list[Member], out: Path, made: dict[str, Any]) -> None:
    from mnas.report.comparison import family_figure
    from mnas.report.page import figures_page
    from mnas.scaling.family import write_family

    title = f"Family of {job.name}"
    page = figures_page([family_figure(members, title=title)], title=title)
    evaluated = job.scorer.describe() if job.scorer else None
    write_family(out, members, {**made, "lite": job.lite, "evaluator": evaluated}, page)


def _document(job: _Job, members: list[Member], out: Path | None, many: bool) -> dict[str, Any]:
    from mnas.arch.codec import architecture_to_dict
    from mnas.arch.complexity import complexity

    before = complexity(job.base).madds
    rows = [
        {
            **member.row(),
            "architecture": architecture_to_dict(member.architecture),
            "madds_growth": complexity(member.architecture).madds / before,
        }
        for member in members
    ]
    file = {"file": str(out) if out else None}
    return {"members": rows, **file} if many else {**rows[0], **file}


def _show(job: _Job, members: list[Member], devices: Devices) -> None:
    """The base and its members; columns that say nothing are left out."""
    from mnas.arch.complexity import complexity

    scored = job.scorer is not None
    names = list(devices.estimators)
    heads = ["ms (90 %)"] if len(names) == 1 else [f"ms on {number}" for number in range(1, len(names) + 1)]
    columns = ["network", "px", "blocks", "parameters", "MAdds (M)", *(["accuracy"] if scored else []), *heads]
    base, blocks = complexity(job.base), sum(stage.repeats for stage in job.base.stages)
    first = ["base", str(job.base.resolution), str(blocks), f"{base.params:,}", f"{base.madds / 1e6:,.1f}"]
    first += [""] * (len(columns) - len(first))
    output.table(f"Compound scaling of {job.name}", columns, [first, *(_row(member, scored) for member in members)])
    for number, name in enumerate(names, 1):
        print(f"Latency{f' {number}' if len(names) > 1 else ''}: predicted by {name}.")


def _row(member: Member, scored: bool) -> list[str]:
    row = member.row()
    shown = [
        row["name"],
        str(row["resolution"]),
        str(row["layers"]),
        f"{row['params']:,}",
        f"{row['madds'] / 1e6:,.1f}",
    ]
    if scored:
        shown.append(f"{member.accuracy:.1%}")
    for name, latency in member.latencies_ms.items():
        low, high = member.intervals_ms[name]
        shown.append(f"{latency:.3g} ({low:.3g}-{high:.3g})")
    return shown


def _grid(job: _Job, step: float, out: Path | None, json: bool) -> None:
    """Find the coefficients."""
    from mnas.errors import InputError
    from mnas.scaling.coefficients import best_of, different, grid
    from mnas.scaling.grid_search import run_grid
    from mnas.system.files import check_writable

    if job.scorer is None:
        raise InputError("--grid trains and scores every candidate: say on what with --data, e.g. --data fashion_mnist")
    if out is None:
        raise InputError("--grid needs --out FILE.json for the coefficients; use them with --coefficients FILE.json")
    check_writable(out)
    networks = different(job.base, grid(step=step), lite=job.lite)
    _load(job.scorer)
    with output.progress("Grid") as report:
        found, document = run_grid(
            job.base,
            networks,
            job.scorer,
            job.scorer.describe(),
            out,
            progress=lambda done: report(done / len(networks), f"{done} of {len(networks)} networks"),
        )
    if json:
        output.print_json({"file": str(out), **document})
        return
    rows = [
        [
            f"{one.coefficients.alpha:g}, {one.coefficients.beta:g}, {one.coefficients.gamma:g}",
            f"{one.coefficients.growth:.2f}",
            str(one.architecture.resolution),
            f"{one.madds:,}",
            f"{one.accuracy:.2%}",
        ]
        for one in sorted(found, key=lambda one: -one.accuracy)
    ]
    output.table("Grid for phi = 1", ["alpha, beta, gamma", "growth", "pixels", "multiply-adds", "accuracy"], rows)
    best = best_of(found).coefficients
    print(f"Best: {best.alpha:g}, {best.beta:g}, {best.gamma:g}. Written to {out}; use it with --coefficients {out}.")
