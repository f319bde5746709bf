"""Where on the face an Action Unit shows: landmarks in, masks out (methods 2)."""

from fer_batch.regions.au_maps import au_maps, expression_maps, has_map
from fer_batch.regions.au_regions import (
    RegionTable,
    boxes,
    centres,
    has_region,
    region_masks,
    region_outlines,
    region_table,
    region_words,
    regions_version,
)
from fer_batch.regions.ekman_masks import ekman_masks, ekman_outlines
from fer_batch.regions.geometry import standard_face
from fer_batch.regions.warp import StandardWarp, Warped

__all__ = [
    "RegionTable",
    "StandardWarp",
    "Warped",
    "au_maps",
    "boxes",
    "centres",
    "ekman_masks",
    "ekman_outlines",
    "expression_maps",
    "has_map",
    "has_region",
    "region_masks",
    "region_outlines",
    "region_table",
    "region_words",
    "regions_version",
    "standard_face",
]
