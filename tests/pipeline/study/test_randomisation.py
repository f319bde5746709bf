"""The randomisation page says what was found, in true words, from results that are kept."""

from fer_batch.evaluate.randomisation import MARGIN
from fer_batch.pipeline.study.comparisons.randomisation import _tasks, randomisation
from fer_batch.storage.manifest import dump

OPTIONS = {"images": 8, "steps": 2, "seeds": 1}
FOUND = {  # own, residual, follows, stays, flagged
    "guided_backprop": ([0.6, 0.5, 0.7, 8, 8], [0.8, 0.7, 0.9, 8, 8], True, True, True),
    "deconvnet": ([0.1, 0.0, 0.2, 8, 8], [0.9, 0.8, 1.0, 8, 8], False, True, True),
    "z": ([0.1, 0.0, 0.2, 8, 8], [0.2, 0.1, 0.3, 8, 8], False, False, False),
    "lime": ([0.4, None, None, 8, 3], [0.2, None, None, 8, 3], None, None, None),
}


def keep(work, layers=("fc", "conv1")):
    """Results as workers leave them, each of its explanation."""
    for network, variant, task in _tasks(work, **OPTIONS):
        own, residual, follows, stays, flagged = FOUND[variant]
        depths = [1, 2] if network.name == "net" else [1, 5]
        curve = [[n, layer, *residual] for n, layer in zip(depths, layers, strict=True)]
        found = {"curve": curve, "residual": residual, "chance": [0.1, 0.0, 0.2, 8, 8], "own": own}
        work.store.put(task.path, dump({**found, "follows_image": follows, "stays": stays, "flagged": flagged}))


def test_the_table_shows_what_the_flag_is_made_of_and_the_lead_every_kind(study, tmp_path):
    net = study.network(n=12, subjects=6)
    work = study.work(tmp_path, [study.cell(tmp_path, net, variant) for variant in FOUND])
    keep(work)
    found = randomisation(work, **OPTIONS)
    (table,) = found.page.sections[0].tables
    assert table.columns[:4] == ("Method", "Own", "95 % from", "to") and f"{MARGIN:g}" in table.caption
    assert [row[:4] for row in table.rows[:2]] == [
        ("guided_backprop", 0.6, 0.5, 0.7),
        ("deconvnet", 0.1, 0.0, 0.2),
    ]
    assert [row[-1] for row in table.rows] == [
        "follows the image",
        "always the same picture",
        "changes with the weights",
        "open: the interval includes the margin",
    ]
    lead = found.page.lead
    assert "guided_backprop follow the image" in lead and "deconvnet stay the same picture" in lead
    assert "Of lime it is open" in lead and "The maps of z change" in lead
    own = {row.explain: row.value for row in found.rows if row.metric == "randomised_own_similarity_low"}
    assert own == {"guided_backprop": 0.5, "deconvnet": 0.0, "z": 0.0, "lime": None}


def test_networks_of_other_depths_have_a_chart_each(study, tmp_path):
    nets = [study.network(n=12), study.network(n=12, name="b-1", head="multilabel")]
    work = study.work(tmp_path, [study.cell(tmp_path, net, "z") for net in nets], [("b-1", {"seed": 3})])
    keep(work)
    found = randomisation(work, **OPTIONS)
    chart, first, second = found.page.sections[0].figures
    assert "z, net" in chart.alt and first.alt.endswith("; net") and second.alt.endswith("; b-1 (seed=3)")
    assert found.page.lead == "The maps of every method change when the network's weights are shuffled."
    assert {row.model for row in found.rows} == {net.model.model_id for net in nets}
    assert {row.group for row in found.rows if row.layer == "conv1"} == {"2 layers", "5 layers"}
    assert "nothing to compare" in randomisation(study.work(tmp_path, [])).page.lead
