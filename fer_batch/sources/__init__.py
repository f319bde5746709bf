"""Where inputs come from: listings of folders and manifests, and their ground truth.

Every adapter registers its format, and how its ground truth is read, when it is imported.
"""

from fer_batch.sources import (
    affectnet,
    affectnet_npy,
    affectnet_plus,
    biovid,
    bp4d,
    ck_plus,
    disfa,
    disfa_plus,
    fer2013,
    jaffe,
    manifest,
    openface,
    raf_db,
    unbc_mcmaster,
)

__all__ = [
    "affectnet",
    "affectnet_npy",
    "affectnet_plus",
    "biovid",
    "bp4d",
    "ck_plus",
    "disfa",
    "disfa_plus",
    "fer2013",
    "jaffe",
    "manifest",
    "openface",
    "raf_db",
    "unbc_mcmaster",
]
