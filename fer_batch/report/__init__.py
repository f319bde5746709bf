"""The static report: plain records in, named files out."""
