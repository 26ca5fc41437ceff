# The studies, each imported when it is needed.

from . import (
    comparison as comparison,
    comparison_tables as comparison_tables,
    meta_gradients as meta_gradients,
    model_errors as model_errors,
    reference_tables as reference_tables,
    regret as regret,
    report as report,
    reproduction as reproduction,
)
