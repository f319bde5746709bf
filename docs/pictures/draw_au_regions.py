"""Draws `au_regions.png`: every region on the standard face, as the table of the package says."""

from pathlib import Path

from fer_batch.regions import region_outlines, region_table, region_words, standard_face
from fer_batch.visualize.regions import outlined, sheet
from fer_batch.visualize.standard_face import line_face

points, (height, width) = standard_face()
face = line_face(height, width)
table = region_table()
pictures = [
    (f"{target}\n{region_words(target)}", outlined(face, region_outlines(points[None], target)[0], fill=0.3))
    for target in table.targets
]

if __name__ == "__main__":
    from PIL import Image

    page = Image.fromarray(sheet(pictures, columns=6))
    page.quantize(64).save(Path(__file__).with_name("au_regions.png"), optimize=True)
    print(table.version)
