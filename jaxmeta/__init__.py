"""Meta-reinforcement learning in JAX: the whole meta-training step is one compiled program.

The public names are listed in ``__init__.pyi``; each is imported when it is first asked for, so that ``import jaxmeta``
and errors of the command line take no time.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
