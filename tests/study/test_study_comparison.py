import numpy as np
import pandas as pd
import pytest

from napari_nucleiseg.study.comparison import (
    as_markdown,
    difference_table,
    optimizer_table,
    quality_table,
    score_table,
    time_tests,
)
from napari_nucleiseg.study.plan import StudyConfig
from napari_nucleiseg.study.results import SCORES, Results


def made(scores, seeds=1, images=30, noise=0.0):
    """Results with known scores: by network and optimizer, images differ much, variants little."""
    rng = np.random.default_rng(0)
    hardness = rng.uniform(-0.3, 0.3, images)
    rows, runs = [], []
    for (network, optimizer), level in scores.items():
        for seed in range(seeds):
            names = {
                "run": f"{network}-{optimizer}-c-{seed}",
                "network": network,
                "optimizer": optimizer,
                "schedule": "c",
                "seed": seed,
            }
            values = level + hardness + rng.normal(0, noise, images)
            rows += [
                {**names, "split": "val", "image": f"{i:02d}", **dict.fromkeys(SCORES, v)}
                for i, v in enumerate(values)
            ]
            runs.append(
                {
                    **names,
                    "variant": f"{network}-{optimizer}-c",
                    "test_split": "val",
                    **dict.fromkeys(SCORES, values.mean()),
                    "train_cpu_seconds": 100 + seed + (500 if network == "big" else 0),
                    "test_cpu_seconds": 10 + seed,
                    "quality": level,
                    "gap": 1 - level,
                    "loss": 0.1,
                    "held_out_loss": 0.2,
                    "learning_rate": 0.1,
                }
            )
    empty = pd.DataFrame()
    return Results(pd.DataFrame(runs), empty, pd.DataFrame(rows), empty)


FOUR = {("a", "x"): 0.5, ("a", "y"): 0.5, ("big", "x"): 0.6, ("big", "y"): 0.6}


def test_the_score_table_is_best_first_and_has_published_values_beside(tiny):
    published = {"network": "big", "optimizer": "x", "schedule": "c", "dice": 0.8, "iou": 0.7}
    study = StudyConfig(**{**tiny.model_dump(), "references": [published]})
    table = score_table(made(FOUR), study)
    assert list(table["network"]) == ["big", "big", "a", "a"]
    known = table.set_index(["network", "optimizer"])["reference_dice"]
    assert known["big", "x"] == 0.8
    assert np.isnan(known["a", "x"])
    assert table["dice"].iloc[0] - table["dice"].iloc[-1] == pytest.approx(0.1)


def test_a_real_difference_is_found_and_none_is_made_up():
    table = difference_table(made(FOUR, noise=0.02))
    by_pair = table[table["score"] == "dice"].set_index(["compared", "one", "other"])
    network = by_pair.loc[("network", "a", "big")]
    assert network["significant"]
    assert network["difference"] == pytest.approx(-0.1, abs=0.01)
    assert network["words"].startswith("big is better than a")
    optimizer = by_pair.loc[("optimizer", "x", "y")]
    assert not optimizer["significant"]
    assert "no significant difference between x and y" in optimizer["words"]
    # all six pairs of the four variants
    assert (by_pair.index.get_level_values("compared") == "variant").sum() == 6


def test_many_variants_are_compared_with_the_best_alone():
    many = {("a", f"o{n}"): 0.5 + n / 100 for n in range(12)}
    table = difference_table(made(many))
    assert set(table["compared"]) == {"variant"}
    assert set(table["one"]) == {"a-o11-c"}
    assert len(table[table["score"] == "iou"]) == 11


def test_images_that_one_of_both_lacks_do_not_count():
    results = made(FOUR)
    images = results.images[
        ~((results.images["run"] == "a-x-c-0") & (results.images["image"] < "10"))
    ]
    table = difference_table(Results(results.runs, results.epochs, images, results.layers))
    pair = table[(table["compared"] == "variant") & (table["score"] == "dice")]
    counts = {frozenset((r["one"], r["other"])): r["images"] for _, r in pair.iterrows()}
    assert counts[frozenset(("a-x-c", "a-y-c"))] == 20
    assert counts[frozenset(("big-x-c", "a-y-c"))] == 30


def test_times_of_networks_are_tested_over_runs():
    tests = time_tests(made(FOUR, seeds=3)).set_index("measure")
    assert tests.loc["train_cpu_seconds", "p"] < 0.01
    assert tests.loc["test_cpu_seconds", "p"] > 0.9
    assert tests.loc["train_cpu_seconds", "one_runs"] == 6


def test_optimizers_have_mean_and_deviation_over_runs():
    table = optimizer_table(made(FOUR, seeds=3, noise=0.05)).set_index("optimizer")
    assert table.loc["x", "runs"] == 6
    assert table.loc["x", "error"] == pytest.approx(1 - table.loc["x", "dice"])
    assert table.loc["x", "dice_sd"] > 0


def test_correlations_of_quality_have_the_right_sign():
    table = quality_table(made({("a", f"o{n}"): 0.4 + n / 50 for n in range(8)}))
    by = table.set_index("measure")
    assert by.loc["gap", "spearman"] == pytest.approx(-1)
    assert by.loc["dice", "pearson"] == pytest.approx(1)
    assert by.loc["dice", "runs"] == 8
    assert quality_table(made({("a", "x"): 0.5})).empty


def test_markdown_shows_deviations_counts_and_gaps():
    table = pd.DataFrame(
        {"n": ["a", "b"], "v": [0.5, np.nan], "v_sd": [0.01, np.nan], "k": [1234567, 2]}
    )
    assert as_markdown(table, {"n": "name", "v": "Dice", "k": "count", "no": "-"}) == (
        "| name | Dice | count |\n| --- | --- | --- |\n"
        "| a | 0.500 ± 0.010 | 1,234,567 |\n| b |  | 2 |\n"
    )
