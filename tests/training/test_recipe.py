"""Recipes: learning rates of their schedules."""

import numpy as np
import torch

from fer_batch.training.recipe import OPTIMIZERS, Recipe, learning_rates

FAST = Recipe(id="test", epochs=6, batch_size=16, learning_rate=0.02, momentum=0.9, augment="flip")


def test_schedules_give_the_rates_they_say():
    model = torch.nn.Linear(1, 1)

    def rates(**changes):
        recipe = Recipe(**{**vars(FAST), "epochs": 8, "learning_rate": 1.0, **changes})
        schedule = learning_rates(OPTIMIZERS["sgd"](model, recipe), recipe, 5)
        out = []
        for _ in range(40):
            out.append(schedule.get_last_lr()[0])
            schedule.optimizer.step()
            schedule.step()
        return np.array(out)

    assert (rates() == 1).all()
    steps = rates(schedule="step", step_epochs=4, step_factor=0.9)
    assert (steps[:20] == 1).all() and np.allclose(steps[20:], 0.9)
    cosine = rates(schedule="warm_cosine")
    np.testing.assert_allclose(cosine[:4], [0.25, 0.5, 0.75, 1.0])
    assert (np.diff(cosine[4:]) < 0).all() and cosine[-1] < 0.01
