"""Runs: experiments, the loop of meta-training, directories, evaluation. Each file is imported when it is needed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
