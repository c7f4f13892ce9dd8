"""Optimizers, one to a file; ``OPTIMIZERS.names()`` lists them.

A file has ``Options``, its settings; ``LEARNING_RATE`` and ``WEIGHT_DECAY``, what its source
advises; and ``build(params, learning_rate, weight_decay, options)``. Parameters come as a list or
as groups (dicts); beside ``params`` a group may have ``layers``, for each parameter the name of the
weights it follows. Two more marks are optional:

``TWO_PASSES = True``
    A step takes the gradients that are there and a function that computes them again elsewhere.
``OWN_RATES = True``
    It sets a learning rate for each layer: ``epoch_step()`` once an epoch, ``rates()`` to read
    them by layer. A schedule would be in its way.
"""

from ..registry import Registry

OPTIMIZERS = Registry(__name__, "optimizer")
