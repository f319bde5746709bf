"""Networks: what a checkpoint says about itself, how one is built, loaded and fed.

`card` is free of torch, because planning needs a model's digest and targets but none of its arithmetic.
"""
