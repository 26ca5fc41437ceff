"""Studies of runs and estimators: regret, models' errors, biases of meta-gradients, tables of references."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
