"""From photographs to a file: everything that `mnas` does, in one call.

The parts are public functions of their own; this module puts them in order. Every part is kept in the folder and is not
repeated: an interrupted design resumes, and a design for another budget or table in the same folder takes over the
teacher and its library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from mnas.arch.spec import Architecture
from mnas.errors import InputError, MnasError
from mnas.experiments.design_plan import DESIGN, HOW, DesignPlan
from mnas.experiments.menu import EmptyMenuError, try_menu
from mnas.export.network import export_network
from mnas.latency.table import LatencyTable
from mnas.library.library import TEACHER
from mnas.profiling.meter import AUTO, open_meter
from mnas.profiling.profile import ProfileOptions, profile
from mnas.scaling.members import scale
from mnas.search.measuring import TOLERANCE
from mnas.search.options import SearchOptions
from mnas.search.session import run_study
from mnas.search.teacher import prepare_teacher
from mnas.space.files import save_space
from mnas.study.menu import FOLDER as MENU
from mnas.study.menu import TriedMenu, TriedNetwork, read_menu
from mnas.study.observer import Observer
from mnas.study.study import Study
from mnas.system.files import read_json, write_json
from mnas.system.native_output import load_tensorflow
from mnas.tflite.random_model import write_random_model
from mnas.train.mirroring import describe_augmentation
from mnas.train.trained_network import Trained, open_trained

_SEARCH: dict[str, Any] = {"strategy": "exact", "trials": 40, "batch": 20, "finalists": 1, "retrain_seeds": 0}

OnProgress = Callable[[float, str], None]
Display = Callable[[str], AbstractContextManager[OnProgress]]
Observing = Callable[[], AbstractContextManager[Sequence[Observer]]]


class Design(DesignPlan):
    """A design in a folder, planned when it is made, and done by `run`.

    See `DesignPlan` for the arguments.
    """

    def run(
        self,
        *,
        display: Display = lambda title: nullcontext(lambda share, what: None),
        observing: Observing = lambda: nullcontext(()),
    ) -> dict[str, Any]:
        """Do what is left of the plan; interrupted, the same call resumes.

        Args:
            display: shows the progress of a part: called with its title, gives a context with a function that takes the
                share done, 0 to 1, and a description.
            observing: gives a context with the observers of the search.

        Returns:
            The result, as `design.json` in the folder `target` has it.

        Raises:
            InputError: if no network is within the budget.
            MnasError: if a training diverges, the device is not available, or a file cannot be written.
        """
        self.write()
        if (self.target / DESIGN).is_file():
            return dict(read_json(self.target / DESIGN, "a design"))
        self._make_table(display)
        load_tensorflow()
        with display("The teacher") as progress:
            teacher = prepare_teacher(
                self._teacher_name,
                self.folder / TEACHER,
                data=self.options.data,
                resolution=self._network.resolution,
                seed=self.options.seed,
                class_weights=self.options.class_weights,
                augment=self.options.augment,
                limit=self.options.max_train_images,
                epochs=self.teacher_epochs,
                on_progress=progress,
            )
        self._note(f"In the teacher's training, {describe_augmentation(teacher.training)}.")
        if not self._best_done():
            with observing() as observers:
                self._search(observers)
        menu = self._try_published(teacher, display)
        document = self._finish(teacher, menu)
        write_json(self.target / DESIGN, document)
        return document

    def published(self) -> TriedMenu | None:
        """Return the published networks that were fine-tuned; None if none was."""
        return read_menu(self.study / MENU)

    def published_folder(self, tried: TriedNetwork) -> Path:
        """Return the trained folder of one of them."""
        return self.study / MENU / str(tried.folder)

    def _make_table(self, display: Display) -> None:
        """Measure the device. The table needs no weights."""
        save_space(self.space, self.folder / "space.toml")
        if self.table.is_file():
            return
        options = ProfileOptions(minutes=self.options.profile_minutes, dtype=self.options.dtype, seed=self.options.seed)
        with display("The latency table") as progress:
            profile(self.space, self._open_device(), self.table, options, progress=progress)

    def _search(self, observers: Sequence[Observer]) -> None:
        budget_ms, space = self.options.budget_ms, self.folder / "space.toml"
        options = SearchOptions(
            teacher=str(self.teacher),
            library=str(self.library),
            data=self.options.data,
            space=str(space),
            table=[str(self.table)],
            budget_ms=[budget_ms],
            final_epochs=self.epochs,
            measure_finalists=self._measuring,
            benchmark_binary=self._binary,
            wait=self.options.wait,
            class_weights=self.options.class_weights,
            augment=self.options.augment,
            max_train_images=self.options.max_train_images,
            seed=self.options.seed,
            **_SEARCH,
        )
        run_study(options, self.study, resume=(self.study / "study.json").is_file(), observers=observers)

    def _searched(self) -> dict[str, Any]:
        """The winner of the search."""
        best = Study.open(self.study).best()
        assert best is not None
        return best

    def _try_published(self, teacher: Trained, display: Display) -> TriedMenu | None:
        """Fine-tune published networks; None if none with weights at hand is that fast."""
        best = self._searched()
        measured_ms = best.get("measured_ms")
        beside = None if measured_ms is None else (open_trained(self.study / best["trained"]).architecture, measured_ms)
        with display("Published networks") as progress:
            try:
                return try_menu(
                    str(self.table),
                    self.options.budget_ms,
                    teacher.data,
                    self.study / MENU,
                    tuned=self.num_published,
                    epochs=self.epochs,
                    class_weights=self.options.class_weights,
                    augment=self.options.augment,
                    seed=self.options.seed,
                    measure=self._measuring,
                    benchmark_binary=self._binary,
                    wait_minutes=self.options.wait,
                    beside=beside,
                    on_progress=progress,
                )
            except EmptyMenuError as error:
                self._note(str(error))
                return None

    def _finish(self, teacher: Trained, menu: TriedMenu | None) -> dict[str, Any]:
        """Choose the winner by its validation accuracy, scale, export and measure it."""
        best = self._searched()
        searched = open_trained(self.study / best["trained"])
        name, chosen, predicted_ms = "searched", searched, best["latency_ms"]
        others: list[tuple[str, Trained]] = []
        published = [] if menu is None else [each for each in menu.tried if each.folder is not None]
        if published and (published[0].validation_accuracy or 0) > best["accuracy"]:
            first, *published = published
            name, chosen, predicted_ms = first.name, open_trained(self.published_folder(first)), first.predicted_ms
            others.append(("searched", searched))
            self._note(
                f"The search did not beat {name} at {first.resolution} px, which is the winner: "
                f"{first.validation_accuracy:.2%} against {best['accuracy']:.2%} on validation images."
            )
        files, int8_accuracy = self._export(chosen)
        self._scale(chosen)
        others.extend((each.name, open_trained(self.published_folder(each))) for each in published)
        others.append((f"the teacher, {self._teacher_name}", teacher))
        measured = self._measure(files[self.options.dtype], [each.architecture for _, each in others])
        winner = {
            **_row(name, chosen, measured[0]),
            "predicted_ms": predicted_ms,
            "int8_test_accuracy": int8_accuracy,
            "files": {dtype: str(path) for dtype, path in files.items()},
        }
        self._say_if_slow(winner["measured_ms"])
        return {
            "budget_ms": self.options.budget_ms,
            "table": str(self.table),
            "device": self._where(),
            "study": str(self.study),
            "winner": winner,
            "baselines": [_row(*each, ms) for each, ms in zip(others, measured[1:], strict=True)],
        }

    def _say_if_slow(self, measured_ms: float | None) -> None:
        """The winner was within the budget when it was chosen; the device may be slower now."""
        budget_ms = self.options.budget_ms
        if measured_ms is not None and measured_ms > budget_ms * (1 + TOLERANCE):
            self._note(
                f"Measured at the end, beside the other networks, the winner takes {measured_ms:.3g} ms, more than the "
                f"budget of {budget_ms:g} ms: the device was faster when the winner was chosen, or something disturbs "
                "it now. Measure the file again with mnas bench, or design for a smaller budget in the same folder."
            )

    def _where(self) -> dict[str, Any]:
        """Where and how latencies were measured, as the table says."""
        configuration = LatencyTable.load(self.table).configuration
        return {name: getattr(configuration, name) for name in ("device", "model", *HOW)}

    @property
    def _measuring(self) -> str:
        """Where finalists are measured: on the device, or where the table is of this machine."""
        return AUTO if self.options.device == "local" else self.options.device

    @property
    def _binary(self) -> str | None:
        binary = self.options.benchmark_binary
        return None if binary is None else str(binary)

    def _measure(self, file: Path, others: Sequence[Architecture]) -> list[float | None]:
        """Latencies of the winner's file and of other networks, interleaved; None where the device is not at hand."""
        meter = open_meter(
            str(self.table), self._measuring, benchmark_binary=self._binary, wait_minutes=self.options.wait
        )
        if meter is None:
            return [None] * (1 + len(others))
        contents = [file.read_bytes(), *(write_random_model(each, dtype=self.options.dtype) for each in others)]
        return [*meter.measure_files(contents)]

    def _export(self, chosen: Trained) -> tuple[dict[str, Path], float | None]:
        """Write both files, by data type, without the int8 one where quantisation costs too much; and its accuracy."""
        models = self.target / "models"
        files = {"float32": models / "winner.tflite"}
        export_network(chosen.folder, files["float32"], dtype="float32")
        try:
            document = export_network(chosen.folder, models / "winner_int8.tflite", dtype="int8")
        except MnasError as error:
            if self.options.dtype == "int8":
                raise
            self._note(f"no int8 file: {error}")
            return files, None
        return {**files, "int8": models / "winner_int8.tflite"}, document["check"]["accuracy_tflite"]

    def _scale(self, chosen: Trained) -> None:
        if not self.options.family:
            return
        try:
            found = scale(
                str(chosen.folder),
                family=f"0..{self.options.family}",
                tables=[self.table],
                out=self.study / "family",
            )
        except InputError as error:
            self._note(f"no family: {error}")
            return
        for note in found.notes:
            self._note(note)


def _row(name: str, trained: Trained, measured_ms: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "resolution": trained.architecture.resolution,
        "measured_ms": measured_ms,
        **{key: trained.training[key] for key in ("validation_accuracy", "test_accuracy")},
    }
