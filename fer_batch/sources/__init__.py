"""Where inputs come from: listings of folders and manifests, and their ground truth."""
