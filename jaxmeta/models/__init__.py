"""Models of the dynamics, and planning with them."""

import jaxmeta.types  # noqa: F401  # First: it imports gymnax without plotting packages.
from jaxmeta.models.dynamics import (
    DynamicsModel as DynamicsModel,
    dynamics_model_for as dynamics_model_for,
    interval_coverage as interval_coverage,
    open_loop as open_loop,
    sample_step as sample_step,
    with_context as with_context,
)
from jaxmeta.models.fitting import adapt_model as adapt_model, fit_model as fit_model
from jaxmeta.models.imagined_tasks import ImaginedTask as ImaginedTask, imagined_tasks as imagined_tasks
from jaxmeta.models.online import (
    OnlineModel as OnlineModel,
    of_lifetimes as of_lifetimes,
    online_model_for as online_model_for,
    recurrent_model as recurrent_model,
    step_between as step_between,
    steps_of as steps_of,
    windowed_model as windowed_model,
)
from jaxmeta.models.planners import (
    Planner as Planner,
    cross_entropy_method as cross_entropy_method,
    imagined_return as imagined_return,
    random_shooting as random_shooting,
)
