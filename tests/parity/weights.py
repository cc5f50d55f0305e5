"""Deterministic weights for a PyTorch state_dict, so that a fixture need not store them.

fill(shapes) maps {key: shape} to {key: float32 array}; each depends only on its key and shape:
  rng = numpy.random.Generator(PCG64(crc32(key))); n = rng.standard_normal(shape)
  ndim >= 2            n / sqrt(prod(shape[1:]))
  key ends in running_var     1 + 0.1 |n|
  ndim <= 1, key ends in weight or gamma     1 + 0.1 n
  anything else        0.1 n
"""

import math
import zlib

import numpy as np


def fill(shapes):
    out = {}
    for key, shape in shapes.items():
        shape = tuple(int(s) for s in shape)
        n = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
        if len(shape) >= 2:
            a = n / math.sqrt(math.prod(shape[1:]))
        elif key.endswith("running_var"):
            a = 1 + 0.1 * np.abs(n)
        elif key.endswith(("weight", "gamma")):
            a = 1 + 0.1 * n
        else:
            a = 0.1 * n
        out[key] = np.asarray(a, np.float32)
    return out
