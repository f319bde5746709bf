"""Results in the formats of other tools: OpenFace's CSV, ViRelAy's project. Arrays in, tables and files out."""
