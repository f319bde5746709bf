"""What pages call the networks of a study."""

from fer_batch.pipeline.study.comparisons.networks import by_name, title_of, trained


def test_folds_of_a_training_are_one_and_bear_its_title(study, tmp_path):
    nets = [study.network(n=6, name=name, fold=fold) for name, fold in (("a-1", 0), ("b-2", 0), ("a-1", 3))]
    nets.append(study.network(n=6, name="given"))
    cells = [study.cell(tmp_path, net, variant) for net in nets for variant in ("z", "gradient")]
    work = study.work(tmp_path, cells, [("a-1", {"seed": 0}), ("b-2", {"seed": 1})])
    assert {name: len(found) for name, found in by_name(cells).items()} == {"a-1": 4, "b-2": 2, "given": 2}
    assert {name: [net.fold for net in found] for name, found in trained(work).items()} == {
        "a-1": [0, 3],
        "b-2": [0],
        "given": [None],
    }
    assert [title_of(work, net) for net in nets[2:]] == ["a-1 (seed=0), fold 3", "given"]
    assert title_of(work, nets[1], fold=False) == "b-2 (seed=1)"
