"""Explain facial-expression and Action-Unit networks over whole collections of face media.

The rooms of the pure core (`explain`, `spray`, `prototypes`, `regions`, `evaluate`) take arrays and return arrays and
need neither Ray nor Dask; `pipeline` wires them to the engine.
"""

__version__ = "0.1.0"
