"""SVG from parts: text is text, whatever it holds."""

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from fer_batch.visualize.vector import drawing, element, words


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
def test_text_in_a_picture_is_text(text):
    root = ET.fromstring(drawing(10, 10, words(text, 1, 2), element("g", id=text), label=text))
    assert root.get("aria-label") == text
    assert (root[0].text or "") == text
    assert [node.tag for node in root.iter()] == ["svg", "text", "g"]
