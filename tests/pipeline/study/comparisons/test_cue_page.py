"""The page leads with what changed and names what its figures are of."""

from dataclasses import replace
from types import SimpleNamespace

from fer_batch.pipeline.study.comparisons.cue_page import cue_page
from fer_batch.pipeline.study.comparisons.cue_pairs import families
from fer_batch.pipeline.study.cue_images import Codebook
from fer_batch.visualize.cosine_matrix import cosine_matrix_figure

SHEETS = ("mean_sheet", "example_sheet", "pair_sheet")  # which have tests of their own


def made(work, networks, monkeypatch, without=SHEETS):
    for sheet in without:
        picture = SimpleNamespace(alt=sheet, content=b"", caption="")
        monkeypatch.setattr(f"fer_batch.pipeline.study.comparisons.cue_page.{sheet}", lambda one, p=picture: p)
    return cue_page(networks, families(work, networks), "raf_db", Codebook("emfacs_sh", True))


def test_sections_follow_what_the_study_varies(sweep, monkeypatch):
    page = made(*sweep(), monkeypatch, (*SHEETS, "_matrix", "_confusion"))
    titles = [section.title for section in page.sections]
    assert titles[:4] == [
        *("Without and with maps of Action Units", "Strength of the loss", "Layers that are aligned", "All networks")
    ]
    assert titles[4:] == [f"net{place}" for place in range(6)]
    assert "RAF-DB" in page.sections[0].notes[0] and "no target" in page.sections[0].notes[0]
    assert page.lead.startswith("net0: With maps of Action Units") and "at 0.85, without at 0.55" in page.lead
    assert page.sections[3].notes[0].endswith("codebook emfacs_sh, disgust as released.")
    (strength,) = page.sections[1].figures
    assert strength.alt.endswith("lambda 0, 1, 4")
    assert [figure.alt for figure in page.sections[2].figures] == [
        "CAM-COS cam by the layers that are aligned",
        "ATT-COS layer4 by the layers that are aligned",
    ]


def test_a_matrix_numbers_the_stages_and_no_layers_that_are_named(cues, monkeypatch):
    shown = []

    def figure(values, classes, names, *more, **options):
        shown.append(names)
        return cosine_matrix_figure(values, classes, names, *more, **options)

    monkeypatch.setattr("fer_batch.pipeline.study.comparisons.cue_page.cosine_matrix_figure", figure)
    made(SimpleNamespace(trainings=()), [cues(), replace(cues(), named=True)], monkeypatch)
    assert [names[4] for names in shown] == ["5  layer4", "layer4"]


def test_networks_without_alignment_are_compared_with_a_constant_map(cues, monkeypatch):
    networks = [cues(), cues(name="b-1", head="multilabel", att=0.7)]
    page = made(SimpleNamespace(trainings=()), networks, monkeypatch)
    assert page.lead == "Mean cosine with maps of Action Units: net 0.60; b 0.70; a constant map has 0.50."
    assert [section.title for section in page.sections] == ["All networks", "net", "b"]
    assert len(page.sections[1].figures) == 4 and len(page.sections[2].figures) == 3  # units have no confusion
