"""One fold: it learns, repeats itself, goes on where it was stopped, stops when it should, and says what it lacks."""

import copy
import io

import numpy as np
import pytest
import torch

from fer_batch.models.backbone import ResNet18
from fer_batch.models.card import Preprocessing, TrainPreprocessing
from fer_batch.models.preprocess import normalised, preprocess
from fer_batch.training.alignment import alignment_loss
from fer_batch.training.auxiliary import Auxiliary
from fer_batch.training.batches import as_images
from fer_batch.training.data import FaceSet, MadeMaps, Shards
from fer_batch.training.fold import FoldTraining
from fer_batch.training.reasons import auxiliary_of
from fer_batch.training.recipe import Recipe, freeze_all_but
from fer_batch.training.settings import AlignSettings
from fer_batch.training.splits import leave_one_subject_out, subject_folds
from fer_batch.training.swapping import Swap


def train_fold(*arguments, **options):
    """A fold from beginning to end."""
    return FoldTraining(*arguments, **options).run().result()


SIZE = 32


FAST = Recipe(id="test", epochs=6, batch_size=16, learning_rate=0.02, momentum=0.9, augment="flip")


def faces(n_subjects=4, each=16, head="multilabel", maps=False, seed=0):
    """Squares at two places stand for two targets; the third is never annotated for one subject."""
    rng = np.random.default_rng(seed)
    n = n_subjects * each
    labels = rng.integers(0, 2, (n, 2)).astype(np.float32)
    if head == "softmax":
        labels[:, 1] = 1 - labels[:, 0]
    images = rng.integers(0, 60, (n, SIZE, SIZE, 3), dtype=np.uint8)
    images[labels[:, 0] == 1, 4:12, 12:20] += 150
    images[labels[:, 1] == 1, 20:28, 12:20] += 150
    subjects = np.repeat([f"d/{i}" for i in range(n_subjects)], each)
    if head == "multilabel":
        labels[:5, 1] = np.nan
    where = np.zeros((n, SIZE, SIZE), np.float32)
    where[:, 4:12, 12:20] = 1
    return FaceSet(images, labels, ("AU01", "AU26"), subjects, np.full(n, "d"), head, where if maps else None)


def network():
    return ResNet18(2, 0.125)


def assert_same(one, other):
    assert one.history == other.history
    np.testing.assert_array_equal(one.logits, other.logits)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name]), name


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_it_learns_and_repeats_itself(optimizer):
    collection = faces()
    fold = leave_one_subject_out(collection.subjects, collection.datasets)[1]
    recipe = Recipe(**{**vars(FAST), "optimizer": optimizer, "learning_rate": 0.02 if optimizer == "sgd" else 1e-3})
    one, two = (train_fold(collection, fold, network, recipe) for _ in range(2))
    assert_same(one, two)
    if optimizer == "sgd":  # the norms' running means lag behind what the others change so fast
        assert one.f1.min() > 0.9
    assert one.history[-1]["train/loss"] < 0.5 * one.history[0]["train/loss"]
    other = train_fold(collection, fold, network, Recipe(**{**vars(recipe), "seed": 1}))
    assert not np.array_equal(one.logits, other.logits)


@pytest.mark.parametrize(("stop", "to"), [(1, "attention"), (3, "gradient")])
def test_a_training_that_was_stopped_goes_on_to_the_very_same_result(stop, to):
    collection = faces(maps=True)
    fold = subject_folds(collection.subjects, collection.datasets, 4, 0.3)[2]
    recipe = Recipe(**{**vars(FAST), "optimizer": "adam", "learning_rate": 2e-3, "epochs": 4, "augment": "faces",
                       "selection": "best_validation", "schedule": "warm_cosine", "autocast": True})  # fmt: skip
    auxiliary = auxiliary_of(AlignSettings(to=to, maps="units", layers=("layer3",), weight=0.5), "multilabel")
    whole = train_fold(collection, fold, network, recipe, auxiliary=auxiliary)
    first = FoldTraining(collection, fold, network, recipe, auxiliary=auxiliary)
    for _ in range(stop):
        first.run_epoch()
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    torch.manual_seed(99)  # whatever else draws numbers meanwhile
    second = FoldTraining(collection, fold, network, recipe, auxiliary=auxiliary)
    second.restore(torch.load(file, weights_only=True))
    while not second.finished:
        second.run_epoch()
    assert_same(whole, second.result())
    assert whole.epoch == second.result().epoch


def test_early_stopping_ends_after_the_first_epoch_whose_loss_does_not_fall_and_keeps_the_best():
    collection = faces()
    fold = subject_folds(collection.subjects, collection.datasets, 4, 0.3)[0]
    recipe = Recipe(**{**vars(FAST), "epochs": 40, "patience": 1, "selection": "best_validation",
                       "learning_rate": 0.05})  # fmt: skip
    result = train_fold(collection, fold, network, recipe)
    losses = [found["validation/loss"] for found in result.history]
    assert 2 <= len(losses) < 40
    assert (np.diff(losses[:-1]) < 0).all()
    assert losses[-1] >= losses[-2]
    assert result.epoch == len(losses) - 1


def test_selection_on_the_test_part_shows_it_in_the_history_and_the_default_never_looks_at_it():
    collection = faces()
    fold = leave_one_subject_out(collection.subjects, collection.datasets)[0]
    looked = train_fold(collection, fold, network, Recipe(**{**vars(FAST), "epochs": 3, "selection": "best_test"}))
    losses = [found["test/loss"] for found in looked.history]
    assert looked.epoch == 1 + int(np.argmin(losses))
    usual = train_fold(collection, fold, network, Recipe(**{**vars(FAST), "epochs": 1}))
    assert set(usual.history[0]) == {"train/loss", "train/learning_rate"}


def test_nothing_of_the_test_part_reaches_the_network():
    collection = faces()
    fold = leave_one_subject_out(collection.subjects, collection.datasets)[3]
    images, labels = collection.images.copy(), collection.labels.copy()
    images[fold.test], labels[fold.test] = 255 - images[fold.test], 1 - labels[fold.test]
    changed = FaceSet(images, labels, collection.targets, collection.subjects, collection.datasets)
    recipe = Recipe(**{**vars(FAST), "epochs": 2})
    one, other = (train_fold(each, fold, network, recipe) for each in (collection, changed))
    assert one.history == other.history
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_fold_without_positives_trains_says_so_and_counts_as_undefined():
    collection = faces()
    labels = collection.labels.copy()
    labels[:, 1] = 0
    labels[:16, 1] = np.nan  # the subject that is tested was never annotated
    bare = FaceSet(collection.images, labels, collection.targets, collection.subjects, collection.datasets)
    fold = leave_one_subject_out(bare.subjects, bare.datasets)[0]
    result = train_fold(bare, fold, network, FAST)
    assert result.without_positives == ("AU26",)
    assert result.class_weights[1] == 1.0
    assert np.isnan(result.f1[1]) and result.f1[0] > 0.9


def test_classes_and_frozen_layers():
    collection = faces(head="softmax")
    fold = subject_folds(collection.subjects, collection.datasets, 4, 0.3)[1]
    recipe = Recipe(**{**vars(FAST), "l2": 1e-4, "l2_layers": ("fc.",), "trainable": ("layer4.", "fc.")})
    torch.manual_seed(5)
    start = network()
    training = FoldTraining(collection, fold, lambda: copy.deepcopy(start), recipe)
    before = copy.deepcopy(training.model.state_dict())
    training.run_epoch()
    after = training.model.state_dict()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) != name.startswith(("layer4.", "fc.")), name
    result = train_fold(collection, fold, network, FAST)
    assert {"validation/accuracy", "validation/f1", "validation/loss"} <= set(result.history[0])
    assert result.history[-1]["validation/accuracy"] > 0.9
    with pytest.raises(ValueError, match=r"nothing of the network is named head\..*its parts are"):
        freeze_all_but(start, ("head.",))


def test_the_auxiliary_loss_turns_attention_to_the_maps():
    collection = faces(maps=True)
    fold = leave_one_subject_out(collection.subjects, collection.datasets)[0]
    seen = []

    def watched(features, maps):
        loss = alignment_loss(features, maps)
        seen.append(float(loss.detach()))
        return loss

    recipe = Recipe(**{**vars(FAST), "epochs": 8})
    train_fold(collection, fold, network, recipe, auxiliary=Auxiliary(("layer1",), watched, 4.0))
    assert np.mean(seen[-3:]) < 0.7 * np.mean(seen[:3])
    with pytest.raises(ValueError, match="needs maps"):
        train_fold(faces(), fold, network, FAST, auxiliary=Auxiliary(("layer1",), watched))


def test_weight_0_is_the_training_without_to_the_bit_and_no_weight_changes_the_network_that_is_left():
    plain, collection = faces(), faces(maps=True)
    fold = leave_one_subject_out(collection.subjects, collection.datasets)[0]
    recipe = Recipe(**{**vars(FAST), "epochs": 2, "augment": "faces"})
    bare = train_fold(plain, fold, network, recipe)
    for to, weight in (("attention", 0.5), ("grad_cam", 0.5), ("gradient", 1e-3)):
        align = AlignSettings(to=to, maps="units", layers=("layer3",), weight=0)
        assert_same(bare, train_fold(collection, fold, network, recipe, auxiliary=auxiliary_of(align, "multilabel")))
        guide = auxiliary_of(AlignSettings(to=to, maps="units", layers=("layer3",), weight=weight), "multilabel")
        guided = train_fold(collection, fold, network, recipe, auxiliary=guide)
        assert not np.array_equal(guided.logits, bare.logits)
        assert guided.history[0]["train/minimised"] == pytest.approx(
            guided.history[0]["train/loss"] + weight * guided.history[0]["train/alignment"], rel=1e-4
        )
        fresh = network()  # the same module, without hooks or weights of its own
        fresh.load_state_dict(guided.model.state_dict())
        images = torch.rand(2, 3, SIZE, SIZE)
        assert torch.equal(fresh.eval()(images), guided.model(images))


def test_maps_are_made_when_they_are_asked_for_and_kept_where_they_fit():
    asked = []

    def make(rows):
        asked.extend(rows.tolist())
        return np.broadcast_to(rows.astype(np.float32)[:, None, None], (len(rows), 4, 4))

    rows = np.array([5, 3, 5])
    for memory, expected in ((1, [3, 5]), (0, [5, 3, 5, 5, 3, 5])):
        asked.clear()
        maps = MadeMaps(make, (9, 4, 4), memory)
        for _ in range(2):
            np.testing.assert_array_equal(maps[rows][:, 0, 0], rows)
        assert asked == expected and len(maps) == 9


def test_training_sees_what_a_run_will_see():
    crops = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    how = Preprocessing(size=32, color="gray", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    torch.testing.assert_close(normalised(as_images(crops), how), preprocess(crops, how), atol=1e-6, rtol=1e-6)


def test_labels_images_and_subjects_are_checked():
    good = faces()
    labels = good.labels.copy()
    labels[7, 1] = 2
    with pytest.raises(ValueError, match=r"labels must be 0, 1 or NaN .* got 2 for AU26 in sample 7 \(subject d/0\)"):
        FaceSet(good.images, labels, good.targets, good.subjects, good.datasets)
    with pytest.raises(ValueError, match="a softmax head needs exactly one class a sample; sample 0 has not"):
        FaceSet(good.images, np.ones_like(labels), good.targets, good.subjects, good.datasets, "softmax")
    with pytest.raises(ValueError, match="subject 'd/0' is in the datasets 'd' and 'e'"):
        FaceSet(good.images, good.labels, good.targets, good.subjects, np.array(["e"] + ["d"] * 63))
    fold = leave_one_subject_out(good.subjects, good.datasets)[0]
    with pytest.raises(ValueError, match="recipe test watches a validation part"):
        FoldTraining(good, fold, network, Recipe(**{**vars(FAST), "patience": 1}))
    with pytest.raises(ValueError, match="unknown optimizer 'sdg'; did you mean 'sgd'"):
        Recipe(optimizer="sdg")


def test_a_swap_needs_another_crop_in_the_batch(monkeypatch):
    collection = faces()
    fold = leave_one_subject_out(collection.subjects, collection.datasets)[0]
    small, swap = Recipe(**{**vars(FAST), "batch_size": 2}), Swap(np.zeros((len(collection), 8, 8), np.float32))
    FoldTraining(collection, fold, network, small, swap=swap)
    monkeypatch.setattr("fer_batch.training.fold.rank_and_size", lambda: (0, 2))
    with pytest.raises(ValueError, match=r"crops of one worker's batch; give recipe.batch_size 2 or more a worker"):
        FoldTraining(collection, fold, network, small, swap=swap)


def test_shards_read_rows_from_files_in_any_order(tmp_path):
    whole = np.random.default_rng(0).integers(0, 256, (11, 4, 4, 3), dtype=np.uint8)
    for i, part in enumerate((whole[:4], whole[4:5], whole[5:])):
        np.save(tmp_path / f"{i}.npy", part)
    shards = Shards([tmp_path / f"{i}.npy" for i in range(3)])
    assert shards.shape == whole.shape
    rows = np.array([10, 0, 4, 4, 3, 5])
    np.testing.assert_array_equal(shards[rows], whole[rows])
    np.save(tmp_path / "odd.npy", whole[:, :3])
    with pytest.raises(ValueError, match="images of one shape"):
        Shards([tmp_path / "0.npy", tmp_path / "odd.npy"])


def test_l2_adds_the_squared_weights_of_its_layers_to_what_is_minimised_and_to_no_figure():
    collection = faces(head="softmax", each=8)
    fold = subject_folds(collection.subjects, collection.datasets, 4, 0.3)[0]
    rate = 1e-6  # one step of it moves no weight that shows
    plain = Recipe(**{**vars(FAST), "epochs": 1, "batch_size": 64, "learning_rate": rate, "augment": "none"})
    heavy = Recipe(**{**vars(plain), "l2": 0.25, "l2_layers": ("fc.",)})
    without, training = (FoldTraining(collection, fold, network, recipe) for recipe in (plain, heavy))
    weights = training.model.fc.weight.detach().double()
    bare, found = without.run_epoch(), training.run_epoch()
    expected = 0.25 * float((weights**2).sum())
    assert found["train/minimised"] - found["train/loss"] == pytest.approx(expected, rel=1e-4)
    assert found["train/loss"] == pytest.approx(bare["train/loss"], abs=1e-6)
    assert found["validation/loss"] == pytest.approx(bare["validation/loss"], abs=1e-4)
    assert training.result().loss == pytest.approx(without.result().loss, abs=1e-4)
    assert "train/minimised" not in bare


@pytest.mark.parametrize(
    ("losses", "patience", "finished"),
    [
        ([0.9], 1, False),
        ([0.9, 0.8, 0.7], 1, False),
        ([0.9, 0.8, 0.8], 1, True),  # it does not decrease
        ([0.9, 0.8, 0.85], 1, True),
        ([0.9, 0.8, 0.85], 2, False),
        ([0.9, 1.0, 1.1, 1.2], None, False),
        ([0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5], None, True),  # seven epochs, whatever the loss does
    ],
)
def test_it_stops_after_the_first_epoch_whose_validation_loss_does_not_decrease_or_after_a_fixed_number(
    losses, patience, finished
):
    collection = faces(head="softmax", each=4)
    fold = subject_folds(collection.subjects, collection.datasets, 4, 0.3)[0]
    recipe = Recipe(**{**vars(FAST), "epochs": 7, "batch_size": 8, "patience": patience})
    training = FoldTraining(collection, fold, network, recipe)
    training.history, training.epoch = [{"validation/loss": loss} for loss in losses], len(losses)
    assert training.finished is finished


def test_accuracy_of_the_training_part_is_that_of_the_batches_as_they_were_learned_from():
    collection = faces(head="softmax")
    fold = subject_folds(collection.subjects, collection.datasets, 4, 0.3)[0]
    history = train_fold(collection, fold, network, FAST).history
    assert history[-1]["train/accuracy"] > 0.95 > history[0]["train/accuracy"] > 0.3
    still = Recipe(**{**vars(FAST), "learning_rate": 1e-12, "momentum": 0.0, "epochs": 1, "augment": "none"})
    training = FoldTraining(collection, fold, lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 2)),
                            Recipe(**{**vars(still), "batch_size": len(fold.train)}))  # fmt: skip
    found = training.run_epoch()
    logits = training._logits(fold.train)
    expected = (logits.argmax(1) == collection.labels[fold.train].argmax(1)).mean()
    assert found["train/accuracy"] == pytest.approx(expected)


def test_the_validation_part_is_mirrored_where_the_recipe_says_so_and_the_test_part_never():
    collection = faces(head="softmax")
    fold = subject_folds(collection.subjects, collection.datasets, 4, 0.3)[0]
    base = Recipe(**{**vars(FAST), "epochs": 1, "learning_rate": 1e-12, "momentum": 0.0, "augment": "flip",
                     "augment_options": {"share": 1.0}})  # fmt: skip
    linear = lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 2))  # noqa: E731
    both = Recipe(**{**vars(base), "augment_validation": True})
    plain, mirrored = (FoldTraining(collection, fold, linear, recipe) for recipe in (base, both))
    unmoved, moved = plain.run_epoch(), mirrored.run_epoch()
    turned = FaceSet(collection.images[:, :, ::-1].copy(), collection.labels, collection.targets, collection.subjects,
                     collection.datasets, "softmax")  # fmt: skip
    expected = FoldTraining(turned, fold, linear, base).run_epoch()
    assert moved["validation/loss"] == pytest.approx(expected["validation/loss"], rel=1e-5)
    assert moved["validation/loss"] != pytest.approx(unmoved["validation/loss"], rel=1e-3)
    np.testing.assert_array_equal(plain.result().logits, mirrored.result().logits)


def test_a_fold_is_centred_by_its_own_training_part_and_goes_on_with_the_same_numbers():
    collection = faces()
    collection.images[:16] //= 2  # one person is darker
    folds = leave_one_subject_out(collection.subjects, collection.datasets)
    how = TrainPreprocessing(size=24, mean="train")
    recipe = Recipe(**{**vars(FAST), "epochs": 1})
    results = [train_fold(collection, fold, network, recipe, how) for fold in folds[:2]]
    assert results[0].preprocessing.mean[0] > results[1].preprocessing.mean[0] + 0.01
    for fold, result in zip(folds, results, strict=False):
        x = preprocess(collection.images[fold.train], result.preprocessing)
        assert x.mean((0, 2, 3)).abs().max() < 1e-5
        logits = result.model(preprocess(collection.images[fold.test], result.preprocessing)).detach()
        np.testing.assert_allclose(result.logits, logits, atol=1e-4)
    training = FoldTraining(collection, folds[0], network, recipe, how)
    training.run_epoch()
    other = FoldTraining(collection, folds[1], network, recipe, how)
    other.restore(training.state())
    assert other.preprocessing == training.preprocessing
