"""Phase 1 on Ray Data: units, decoding and faces, the network and its explanation, stage files."""
