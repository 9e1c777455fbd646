import pytest

from mnas.arch import Architecture, parse_stages
from mnas.arch.complexity import block_complexity, complexity
from mnas.data.dataset import normalise
from mnas.evaluators.base import Evaluator
from mnas.reward import make_reward
from mnas.search.constraints import latency_budget
from mnas.search.objective import Objective
from mnas.space.costs import SpaceCosts
from tests.images import coloured
from tests.libraries import build, train_teacher
from tests.spaces import separable, small_space

TINY = Architecture(
    parse_stages("ds_r1_k3_s1_c8|ir_r2_k3_s2_e2_c8_se0.5_pool|cn_r1_k3_s1_c8_skip"),
    stem_filters=8,
    head_filters=16,
    resolution=12,
    num_classes=3,
    activation="hswish",
    stem_stride=1,
    stochastic_depth=0.2,
)


class FakeEvaluator(Evaluator):
    """Separable accuracies; counts its evaluations, and does what `on_call` says at each."""

    def __init__(self, space, bonus=0.0):
        self.function = separable(space)
        self.bonus = bonus
        self.calls = []
        self.on_call = lambda count: None

    def accuracy(self, architecture):
        self.on_call(len(self.calls))
        self.calls.append(architecture)
        return 0.9 * self.function(architecture) + self.bonus

    def describe(self):
        return {"name": "fake", "bonus": self.bonus}


@pytest.fixture
def space():
    return small_space()


@pytest.fixture
def evaluator(space):
    return FakeEvaluator(space)


def madds_target(space, budget):
    """Multiply-adds in thousands stand in for milliseconds."""
    costs = SpaceCosts(space, lambda placed: block_complexity(placed).madds / 1e3)
    return latency_budget(lambda architecture: complexity(architecture).madds / 1e3, budget, costs)


@pytest.fixture
def objective(space, evaluator):
    target = madds_target(space, 1000.0)
    return Objective(evaluator, make_reward("absolute"), [target])


@pytest.fixture(scope="session")
def tiny_images():
    """Three classes that differ in their mean colour, (96, 12, 12, 3) in [-1, 1], and labels."""
    split = coloured(96, 12)
    return normalise(split.images), split.labels


@pytest.fixture(scope="session")
def tiny_model(tiny_images):
    """A trained Keras model of TINY that gives probabilities."""
    import keras

    from mnas.nn.build import build_model

    images, labels = tiny_images
    model = build_model(TINY, probabilities=True, batch_norm_momentum=0.8)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", jit_compile=False)
    model.fit(images, labels, epochs=12, batch_size=32, verbose=0)
    return model


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory):
    """A small network that was trained on digits for a few steps."""
    return train_teacher(tmp_path_factory.mktemp("tiny") / "teacher")


@pytest.fixture(scope="session")
def tiny_library(tiny_teacher):
    """Its block library, at two resolutions. Tests that change it take a copy."""
    return build(tiny_teacher, tiny_teacher.folder.with_name("library"))
