"""All of `mnas scale` in one call: scale a network, predict latencies, score the networks, write the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol, runtime_checkable

from mnas.arch.codec import architecture_to_dict
from mnas.arch.complexity import complexity
from mnas.arch.spec import Architecture
from mnas.errors import InputError
from mnas.scaling.coefficients import Candidate, different, grid, read_coefficients
from mnas.scaling.compound import Coefficients, scale_by_formula, scale_published
from mnas.scaling.family import Member, read_range, write_family
from mnas.scaling.grid_search import run_grid
from mnas.scaling.keeping import Named, choose_weights, fit_all, keep_if_possible
from mnas.scaling.kept import Grown, KeptWeights, check_target
from mnas.scaling.priced import Devices, scale_to_latencies
from mnas.scaling.to_latency import Fit
from mnas.study.references import resolve_architecture
from mnas.system.files import check_writable, write_json
from mnas.train.pretrained import Pretrained

Progress = Callable[[float, str], None]


class Scorer(Protocol):
    """From a network to its accuracy. `mnas.make_scorer` returns one."""

    def __call__(self, architecture: Architecture) -> float:
        """Accuracy, 0 to 1.

        Raises:
            MnasError: if this network cannot be evaluated.
        """

    def describe(self) -> dict[str, Any]:
        """How it evaluates, as plain data."""


@runtime_checkable
class TrainingScorer(Scorer, Protocol):
    """A scorer that trains, and can start from given weights."""

    def starting_from(self, start: Callable[[Architecture], Pretrained], origin: str) -> Scorer:
        """Return this scorer with initial weights.

        Args:
            start: from a network to its initial weights.
            origin: a hash of the weights that they are made of.
        """


@dataclass(frozen=True)
class Scaling:
    """The result of `scale`.

    Attributes:
        name: of the base.
        base: the network that was scaled.
        members: the scaled networks; none for a grid.
        candidates: the points of a grid.
        document: the result as plain data, as `mnas scale --json` prints it.
        notes: sentences on the weights, where they are not kept or change the depth.
    """

    name: str
    base: Architecture
    members: tuple[Member, ...]
    candidates: tuple[Candidate, ...]
    document: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Prepared:
    """Scaled networks by name, and those with weights by their folders."""

    base: Architecture
    networks: Named
    grown: dict[Path, Grown] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def scale(
    base: Architecture | str,
    *,
    phi: float | None = None,
    published: str | None = None,
    to_ms: Sequence[float] = (),
    family: str | None = None,
    grid: bool = False,
    tables: Sequence[Path | str] = (),
    coefficients: Coefficients | str = "1.2,1.1,1.15",
    lite: bool = False,
    grid_step: float = 0.1,
    scorer: Scorer | None = None,
    out: Path | str | None = None,
    keep_weights: bool | None = None,
    seed: int = 0,
    progress: Progress = lambda share, what: None,
) -> Scaling:
    """Scale a network in one of five ways; what `mnas scale` does.

    Args:
        base: the network, or its reference: a zoo name, a JSON file, a study, or `STUDY#12`.
        phi: scale by the formula.
        published: scale by a published row, `b0` to `b7` or `lite0` to `lite4`.
        to_ms: scale to a latency: one for each table, or several for one table.
        family: scale to a family by the formula, such as `0..4`.
        grid: find the coefficients: score every candidate of a grid.
        tables: latency tables; each predicts the latency of every member.
        coefficients: of the formula; as text, `alpha,beta,gamma` or a file that a grid wrote.
        lite: use EfficientNet-Lite's rules: stem, head, and the repeats of the first and last stage stay.
        grid_step: distance of the grid's points.
        scorer: gives the accuracy of every network, as `mnas.make_scorer` returns it; None for no accuracies.
        out: the JSON file to write; the folder for a family, or for a network with weights. None writes nothing.
        keep_weights: begin with the weights of the base, grown so that the outputs stay the same, see
            `mnas.scaling.grow`. Every network is then written as a trained folder, and a grid's trainings start from
            them. By default they are kept where the base has some, `out` is a folder or `grid` is set, and they can be.
        seed: of the grown weights.
        progress: called with the share of the work that is done, 0 to 1, and a description.

    Raises:
        InputError: unless exactly one way is given, if an option is wrong, or if `keep_weights` is set and they cannot
            be kept.
        MnasError: if no network lands within the tolerance, no network can be scored, or a file cannot be written.
    """
    modes: dict[str, Any] = {
        "--phi": phi,
        "--published": published,
        "--to-ms": list(to_ms) or None,
        "--family": family,
        "--grid": grid or None,
    }
    options = {name: value for name, value in modes.items() if value is not None}
    if len(options) != 1:
        given = ", ".join(options) or "none"
        raise InputError(f"expected one of {', '.join(modes)}; got {given}. For example: --phi 1 or --published b1")
    name, base = (base, resolve_architecture(base)) if isinstance(base, str) else ("a network", base)
    chosen = read_coefficients(coefficients) if isinstance(coefficients, str) else coefficients
    path = None if out is None else Path(out)
    kept = choose_weights(name, keep_weights, path, grid=grid, seed=seed)
    if grid:
        return _grid(name, base, grid_step, lite, scorer, path, kept, bool(keep_weights), progress)
    devices = Devices(tables)
    phis: dict[str, float] = {} if phi is None else {f"phi{phi:g}": phi}
    if family is not None:
        phis = {f"phi{one}": one for one in read_range(family)}

    def prepare(kept: KeptWeights | None) -> _Prepared:
        own = base if kept is None else kept.trained.architecture
        notes: list[str] = []
        if to_ms:
            progress(0.0, "finding networks of this latency")
            landed = scale_to_latencies(own, devices, to_ms, chosen, lite=lite, fit=_fit(kept))
            networks = [(member, scaled.architecture) for member, scaled in landed]
        elif published is not None:
            networks, notes = fit_all([(published, scale_published(own, published))], kept)
        else:
            scaled = [(member, scale_by_formula(own, one, chosen, lite=lite)) for member, one in phis.items()]
            networks, notes = fit_all(scaled, kept)
        return _Prepared(own, networks, _grow(networks, kept, path, family is not None, progress), notes)

    found, kept, notes = keep_if_possible(prepare, kept, required=bool(keep_weights))
    many = len(found.networks) > 1 or family is not None
    _check_out(path, many)
    for folder in found.grown:
        check_target(folder)
    scorer = _starting(scorer, kept)
    devices.check([network for _, network in found.networks])
    members = _members(found.networks, devices, scorer, progress)
    for folder, network in found.grown.items():
        network.write(folder)
    if path is not None and many:
        made = {"base": name, "options": options, "coefficients": [chosen.alpha, chosen.beta, chosen.gamma]}
        how = {"lite": lite, "evaluator": scorer.describe() if scorer else None}
        page = resolve_name("mnas.report.comparison:family_page")(members, title=f"Family of {name}")
        write_family(path, members, {**made, **how}, page)
    elif path is not None and not found.grown:
        write_json(path, architecture_to_dict(members[0].architecture))
    document = _document(found.base, members, path, many)
    if kept is not None and found.grown:
        document["weights_from"] = str(kept.trained.folder)
    return Scaling(name, found.base, members, (), document, (*notes, *found.notes))


def _fit(kept: KeptWeights | None) -> Fit:
    return kept.fit if kept else lambda scaled: scaled


def _grow(
    networks: Named, kept: KeptWeights | None, out: Path | None, family: bool, progress: Progress
) -> dict[Path, Grown]:
    """The networks with their weights, by the folders where they will be written."""
    if kept is None or out is None:
        return {}
    folders = {name: out / name if family or len(networks) > 1 else out for name, _ in networks}
    progress(0.0, "growing the weights")
    return {folders[name]: kept.grow(network) for name, network in networks}


def _starting(scorer: Scorer | None, kept: KeptWeights | None) -> Scorer | None:
    """The scorer, whose trainings start from the weights if it can do that."""
    if kept is None or not isinstance(scorer, TrainingScorer):
        return scorer
    return scorer.starting_from(kept.weights, kept.sha256)


def _check_out(path: Path | None, many: bool) -> None:
    if path is None:
        return
    if many and path.suffix == ".json":
        raise InputError(f"--out is {path}: a family needs a folder, such as {path.with_suffix('')}")
    check_writable(path / "family.json" if many else path)


def _members(
    networks: Sequence[tuple[str, Architecture]], devices: Devices, scorer: Scorer | None, progress: Progress
) -> tuple[Member, ...]:
    members = []
    for number, (name, network) in enumerate(networks):
        if scorer is not None:
            progress(number / len(networks), f"scoring {name}")
        accuracy = scorer(network) if scorer else None
        members.append(devices.member(name, network, accuracy, unpriced=len(networks) > 1))
    return tuple(members)


def _document(base: Architecture, members: Sequence[Member], path: Path | None, many: bool) -> dict[str, Any]:
    before = complexity(base).madds
    rows = [
        {
            **member.row(),
            "architecture": architecture_to_dict(member.architecture),
            "madds_growth": complexity(member.architecture).madds / before,
        }
        for member in members
    ]
    return {**({"members": rows} if many else rows[0]), "file": str(path) if path else None}


def _grid(
    name: str,
    base: Architecture,
    step: float,
    lite: bool,
    scorer: Scorer | None,
    path: Path | None,
    kept: KeptWeights | None,
    required: bool,
    progress: Progress,
) -> Scaling:
    if scorer is None:
        raise InputError("--grid trains and scores every candidate: add the data, e.g. --data fashion_mnist")
    if path is None:
        raise InputError("--grid needs --out FILE.json for the coefficients; use them with --coefficients FILE.json")
    check_writable(path)
    if not isinstance(scorer, TrainingScorer):
        if required:
            raise InputError("--keep-weights is for trainings, and your own evaluator gets no weights: leave it out")
        kept = None

    def prepare(kept: KeptWeights | None) -> tuple[Architecture, dict[Architecture, Coefficients]]:
        own = base if kept is None else kept.trained.architecture
        return own, different(own, grid(step=step), lite=lite, fit=_fit(kept))

    (base, networks), kept, notes = keep_if_possible(prepare, kept, required=required)
    scorer = _starting(scorer, kept) or scorer

    def report(done: int) -> None:
        progress(done / len(networks), f"{done} of {len(networks)} networks")

    report(0)
    candidates, document = run_grid(base, networks, scorer, scorer.describe(), path, progress=report)
    return Scaling(name, base, (), tuple(candidates), {"file": str(path), **document}, tuple(notes))
