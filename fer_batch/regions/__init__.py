"""Where on the face an Action Unit shows: landmarks in, masks out (methods 2)."""

from fer_batch.regions.au_maps import expression_maps, has_map, unit_maps
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
from fer_batch.regions.ekman_masks import expression_masks, expression_outlines
from fer_batch.regions.face_maps import face_maps
from fer_batch.regions.geometry import standard_face
from fer_batch.regions.kept_masks import kept_masks
from fer_batch.regions.warp import StandardWarp, Warped

__all__ = [
    "RegionTable",
    "StandardWarp",
    "Warped",
    "boxes",
    "centres",
    "expression_maps",
    "expression_masks",
    "expression_outlines",
    "face_maps",
    "has_map",
    "has_region",
    "kept_masks",
    "region_masks",
    "region_outlines",
    "region_table",
    "region_words",
    "regions_version",
    "standard_face",
    "unit_maps",
]
