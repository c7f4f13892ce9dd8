"""Low-rank part of a layer: matrices whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_nucleiseg.errors import ShapeError
from napari_nucleiseg.low_rank import (
    Measure,
    factorise,
    layers_of,
    measure,
    quality,
    stable_rank,
    unfold,
)


def planted(shape, values, rng, noise=0.0, dtype=np.float64):
    """A matrix with these singular values, under noise of this deviation."""
    rows, columns = (np.linalg.qr(rng.normal(size=(side, len(values))))[0] for side in shape)
    return (rows * values @ columns.T + noise * rng.normal(size=shape)).astype(dtype)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("shape", [(5, 5), (20, 20), (8, 300), (300, 8), (64, 576)])
def test_noise_alone_has_rank_0(shape, rng):
    for _ in range(10):
        found = factorise(3 * rng.normal(size=shape))
        assert len(found.values) == 0
        assert found.noise_variance == pytest.approx(9, rel=0.5)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60), (100, 100)])
def test_structure_above_noise_is_found_with_its_values_and_the_noise(shape, rng):
    values = np.array([90.0, 60.0, 40.0])
    found = factorise(planted(shape, values, rng, noise=1))
    assert len(found.values) == 3
    assert found.noise_variance == pytest.approx(1, rel=0.1)
    # noise lengthens singular values, and the posterior mean lies below the truth
    assert np.all(found.values < values + 1)
    assert found.values == pytest.approx(values, rel=0.15)


def test_structure_below_the_threshold_is_noise(rng):
    weak = 0.5 * (60 * 200) ** 0.25
    assert len(factorise(planted((60, 200), np.array([weak]), rng, noise=1)).values) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("values", [[5.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.1]])
def test_exactly_low_rank_matrices_keep_their_values(values, dtype, rng):
    found = factorise(planted((40, 50), np.array(values), rng, dtype=dtype))
    assert found.values == pytest.approx(values, rel=1e-5)
    assert 0 <= found.noise_variance < 1e-9


def test_diagonal_matrices_keep_their_values():
    assert factorise(np.diag([3.0, 2, 1, 0, 0, 0, 0])).values == pytest.approx([3, 2, 1])


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((3, 4)),
        np.ones((1, 1)),
        np.ones((1, 7)),
        np.arange(5.0)[None],
        np.arange(5.0)[:, None],
        np.eye(6),
        1e-30 * np.eye(6, dtype=np.float32),
        1e30 * np.ones((4, 4), np.float32),
        np.arange(12).reshape(3, 4),
    ],
)
def test_degenerate_matrices_are_finite(matrix):
    found = factorise(matrix)
    assert np.isfinite(found.values).all()
    assert math.isfinite(found.noise_variance)
    measured = measure(matrix)
    assert all(math.isfinite(v) for v in (*vars(measured).values(), quality(measured)))
    assert 0 <= measured.stable_rank <= 1


def test_scale_and_orientation_do_not_matter(rng):
    matrix = planted((30, 70), np.array([40.0, 20.0]), rng, noise=1)
    found, turned, scaled = factorise(matrix), factorise(matrix.T), factorise(1e-3 * matrix)
    assert turned.values == pytest.approx(found.values)
    assert scaled.values == pytest.approx(1e-3 * found.values)
    assert scaled.noise_variance == pytest.approx(1e-6 * found.noise_variance)


def test_no_noise_variance_has_a_lower_free_energy(rng):
    """The free energy written down anew, against a fine grid over the whole range."""
    matrix = planted((12, 31), np.array([14.0, 12.0, 9.0]), rng, noise=1)
    square = np.linalg.svd(matrix, compute_uv=False) ** 2
    alpha = 12 / 31

    def energy(variance):
        total = 0.0
        for x in square / (31 * variance):
            total += x - math.log(x)
            lead = x - 1 - alpha
            if lead > 2 * math.sqrt(alpha):
                tau = (lead + math.sqrt(lead**2 - 4 * alpha)) / 2
                gain = math.log(tau + 1) + alpha * math.log(tau / alpha + 1) - tau
                total += min(gain, 0)
        return total

    found = factorise(matrix).noise_variance
    assert all(energy(found) <= energy(v) + 1e-9 for v in np.geomspace(0.3, 3, 3000))


def test_stable_rank_with_and_without_squares():
    values = np.array([4.0, 2.0, 2.0])
    assert stable_rank(values, 10) == pytest.approx(0.2)
    assert stable_rank(values, 10, squared=True) == pytest.approx(0.15)
    assert stable_rank(np.empty(0), 10) == 0
    assert stable_rank(np.ones(10), 10) == stable_rank(np.ones(10), 10, squared=True) == 1


def test_condition_and_quality_of_known_values():
    found = measure(np.diag([4.0, 2, 2, 0, 0, 0, 0, 0, 0, 0]))
    assert vars(found) == pytest.approx({"rank": 3, "stable_rank": 0.2, "condition": 2})
    assert quality(found) == pytest.approx(math.atan(0.1))
    assert quality(Measure(0, 0, 0)) == 0


def test_a_convolution_is_the_mean_of_its_two_unfoldings(rng):
    weights = rng.normal(size=(6, 5, 3, 3))
    out, into = unfold(weights)
    assert np.array_equal(out, weights.reshape(6, 45))
    assert np.array_equal(into, weights.transpose(1, 0, 2, 3).reshape(5, 54))
    weights = np.einsum("o,i,hw->oihw", np.arange(1.0, 7), np.ones(5), np.ones((3, 3)))
    found = measure(weights)
    assert (found.rank, found.condition) == (1, pytest.approx(1))
    assert found.stable_rank == pytest.approx((1 / 6 + 1 / 5) / 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused_in_words(bad):
    with pytest.raises(ShapeError, match="no numbers"):
        factorise(np.full((3, 3), bad))
    with pytest.raises(ShapeError, match="two or more axes"):
        unfold(np.zeros(3))


def test_vectors_follow_the_weights_of_their_module_and_norms_those_before_them():
    axes = {
        "norm0.weight": 1,
        "stem.weight": 4,
        "norm.weight": 1,
        "norm.bias": 1,
        "head.bias": 1,
        "head.weight": 2,
        "last.bias": 1,
    }
    assert layers_of(axes) == {
        "norm0.weight": "stem.weight",
        "stem.weight": "stem.weight",
        "norm.weight": "stem.weight",
        "norm.bias": "stem.weight",
        "head.bias": "head.weight",
        "head.weight": "head.weight",
        "last.bias": "head.weight",
    }
    assert layers_of({"scale": 1}) == {}
