"""Terms by name: what is asked for is computed, weighted, logged and differentiable."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wxjax import errors
from wxjax.losses import terms
from wxjax.metrics import perceptual

SHAPE = (2, 32, 32, 3)
PHOTO = jax.image.resize(jax.random.uniform(jax.random.key(0), (2, 5, 5, 3)), SHAPE, "cubic")
PICTURES = {
    "photo": PHOTO,
    "black": jnp.zeros(SHAPE),
    "grey": jnp.full(SHAPE, 0.5),
    "white": jnp.ones(SHAPE),
}
QUICK = [name for name in terms.NAMES if name != "lpips_vgg16"]


@pytest.fixture(scope="module")
def gradient():
    """All terms' gradients with respect to the output, as one compiled program."""

    def loss(output, target, image, weights):
        found = terms.image_terms(QUICK, output, target, image, lpips_weights=weights)
        return {name: value.sum() for name, value in found.items()}

    weights = {"alexnet": perceptual.weights()}
    compiled = jax.jit(jax.jacrev(loss)).lower(*[PHOTO] * 3, weights).compile()
    return lambda *pictures: compiled(*pictures, weights)


@pytest.mark.parametrize("image", PICTURES)
@pytest.mark.parametrize(
    "output, target",
    [("photo", "photo"), ("black", "photo"), ("grey", "grey"), ("black", "black")],
)
def test_every_gradient_is_finite(gradient, output, target, image):
    found = gradient(PICTURES[output], PICTURES[target], PICTURES[image])
    assert {name for name, value in found.items() if not jnp.isfinite(value).all()} == set()


def test_every_term_pulls_a_wrong_output_somewhere(gradient):
    rain = 0.3 * jnp.sin(jnp.arange(32.0)).reshape(1, 1, 32, 1) * jnp.ones((1, 32, 1, 3))
    rainy = PHOTO + rain
    found = gradient(rainy, PHOTO, rainy)
    assert {name for name, value in found.items() if not jnp.abs(value).max() > 0} == set()


@pytest.mark.parametrize("name", QUICK)
def test_every_term_is_one_value_an_example_and_ranks_them(name):
    strength = jnp.array([0.05, 0.3]).reshape(2, 1, 1, 1)
    rainy = PHOTO + jnp.sin(jnp.arange(32.0)).reshape(1, 1, 32, 1) * strength
    term = jax.jit(lambda *pictures: terms.image_terms([name], *pictures)[name])
    values = term(rainy, PHOTO, rainy)
    assert values.shape == (2,)
    swapped = term(rainy[::-1], PHOTO[::-1], rainy[::-1])
    np.testing.assert_allclose(swapped, values[::-1], rtol=1e-4)
    assert values[0] < values[1]


def test_only_what_is_asked_for_is_computed():
    assert terms.image_terms([], PHOTO, PHOTO, PHOTO) == {}
    assert set(terms.image_terms(["l1", "edge"], PHOTO, PHOTO, PHOTO)) == {"l1", "edge"}


def test_given_lpips_weights_are_used():
    zero = jax.tree.map(jnp.zeros_like, perceptual.weights())
    found = terms.image_terms(["lpips"], 1 - PHOTO, PHOTO, PHOTO, lpips_weights={"alexnet": zero})
    np.testing.assert_array_equal(found["lpips"], 0)


def test_an_unknown_term_is_named_with_its_neighbour():
    with pytest.raises(errors.InputError, match="loss='charbonier': .* Did you mean 'charbonnier'"):
        terms.image_terms(["charbonier"], PHOTO, PHOTO, PHOTO)
    with pytest.raises(errors.InputError, match="loss weight='ege': .* Did you mean 'edge'"):
        terms.total({"edge": jnp.ones(2)}, {"ege": 1.0})


def test_the_total_is_the_weighted_sum_of_the_means():
    found = {"a": jnp.array([1.0, 3.0]), "b": jnp.array([4.0, 4.0]), "c": jnp.array([9.0, 9.0])}
    scalar, log = terms.total(found, {"a": 0.5, "b": lambda step: step / 100}, step=25)
    assert scalar == 0.5 * 2 + 0.25 * 4
    assert log == {"a": 2, "b": 4, "c": 9}
    assert terms.total(found, {})[0] == 0


@pytest.mark.parametrize("step, expected", [(0, 0), (100, 0), (150, 0.5), (200, 1), (999, 1)])
def test_corners_are_joined_by_straight_lines(step, expected):
    corners = ((100, 0.0), (200, 1.0))
    found = jax.jit(lambda s: terms.total({"a": jnp.ones(1)}, {"a": corners}, s)[0])(step)
    assert found == pytest.approx(expected)


def test_corners_that_go_back_are_refused():
    with pytest.raises(errors.InputError, match="rising steps"):
        terms.total({"a": jnp.ones(1)}, {"a": ((200, 0.0), (100, 1.0))})
