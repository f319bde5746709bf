"""JAFFE: names are its labels."""

from fer_batch.sources.listing import list_source


def test_jaffe_names_are_its_labels(tree, columns):
    names = ("KA.AN1.39.tiff", "YM.NE2.51.TIFF", "KM.SU.14.tif", "._KA.AN1.39.tiff", "cover.tiff")
    refs = {ref.sequence_id: ref for ref in list_source("jaffe", tree({f"jaffe/{name}": b"II" for name in names}))}
    assert sorted(refs) == sorted(set(names) - {"._KA.AN1.39.tiff"})
    assert (refs["KA.AN1.39.tiff"].emotion, refs["KA.AN1.39.tiff"].subject_id) == ("anger", "jaffe:KA")
    assert refs["YM.NE2.51.TIFF"].emotion == "neutral"
    assert refs["KM.SU.14.tif"].emotion == "surprise", "some names have no number"
    assert "none of JAFFE's" in refs["cover.tiff"].skip_reason
